/* 3 x 3 convolutions of stride 1 with a border of zeros by Winograd's algorithm F(4 x 4, 3 x 3) (Lavin and Gray, CVPR
   2016): a quarter of the multiplications.

   Activations lie channels last, [images][height][width][channels], weights [outputs][9][inputs]. Every 4 x 4 tile of
   the output comes from 6 x 6 inputs; transformed, a convolution is 36 products of matrices over the channels. Tiles are
   taken in chunks whose transforms stay in the second-level cache. */

#include <omp.h>

#include "convolutions.h"

#define POINTS 36

/* The points 0, NEAR, -NEAR, FAR, -FAR and infinity. In single precision they are integers; in 16 bits the error of
   integers would be twice that of these, which are still exact. */
#ifdef BF16
#define NEAR 0.75f
#define FAR 1.5f
#else
#define NEAR 1.0f
#define FAR 2.0f
#endif
#define NEAR2 (NEAR * NEAR)
#define FAR2 (FAR * FAR)
#define OF_ZERO (1 / (NEAR2 * FAR2))
#define OF_NEAR (1 / (2 * NEAR2 * (NEAR2 - FAR2)))
#define OF_FAR (1 / (2 * FAR2 * (FAR2 - NEAR2)))
#define OF_LAST (1 / (2 * (FAR2 - NEAR2)))

/* One dimension of the transform of the inputs, B^T d. */
static inline void input_transform(const vec *d, long stride, vec *t, long step) {
    vec d0 = d[0], d1 = d[stride], d2 = d[2 * stride], d3 = d[3 * stride], d4 = d[4 * stride], d5 = d[5 * stride];
    vec a = d4 - FAR2 * d2, b = NEAR * (d3 - FAR2 * d1), c = d4 - NEAR2 * d2, e = FAR * (d3 - NEAR2 * d1);
    t[0] = NEAR2 * FAR2 * d0 - (NEAR2 + FAR2) * d2 + d4;
    t[step] = a + b;
    t[2 * step] = a - b;
    t[3 * step] = c + e;
    t[4 * step] = c - e;
    t[5 * step] = NEAR2 * FAR2 * d1 - (NEAR2 + FAR2) * d3 + d5;
}

/* Of the products back to outputs, A^T m. */
static inline void output_transform(const vec *m, long stride, vec *y, long step) {
    vec p = m[stride] + m[2 * stride], s = m[stride] - m[2 * stride];
    vec r = m[3 * stride] + m[4 * stride], q = m[3 * stride] - m[4 * stride];
    y[0] = m[0] + p + r;
    y[step] = NEAR * s + FAR * q;
    y[2 * step] = NEAR2 * p + FAR2 * r;
    y[3 * step] = NEAR2 * NEAR * s + FAR2 * FAR * q + m[5 * stride];
}

/* Of the gradient of the outputs, A g. */
static inline void grad_transform(const vec *g, long stride, vec *t, long step) {
    vec g0 = g[0], g1 = g[stride], g2 = g[2 * stride], g3 = g[3 * stride];
    vec even = g0 + NEAR2 * g2, odd = NEAR * g1 + NEAR2 * NEAR * g3;
    vec far = g0 + FAR2 * g2, farther = FAR * g1 + FAR2 * FAR * g3;
    t[0] = g0;
    t[step] = even + odd;
    t[2 * step] = even - odd;
    t[3 * step] = far + farther;
    t[4 * step] = far - farther;
    t[5 * step] = g3;
}

/* Of the weights, G w. */
static inline void weight_transform(const vec *w, long stride, vec *u, long step) {
    vec outer = w[0] + NEAR2 * w[2 * stride], w1 = NEAR * w[stride], far = w[0] * OF_FAR + w[2 * stride] * (FAR2 * OF_FAR);
    u[0] = w[0] * OF_ZERO;
    u[step] = (outer + w1) * OF_NEAR;
    u[2 * step] = (outer - w1) * OF_NEAR;
    u[3 * step] = far + w[stride] * (FAR * OF_FAR);
    u[4 * step] = far - w[stride] * (FAR * OF_FAR);
    u[5 * step] = w[2 * stride];
}

/* Of the products back to the gradient of the weights, G^T u. */
static inline void weight_grad_transform(const vec *u, long stride, vec *w, long step) {
    vec p = u[stride] + u[2 * stride], q = u[3 * stride] + u[4 * stride];
    w[0] = u[0] * OF_ZERO + p * OF_NEAR + q * OF_FAR;
    w[step] = (u[stride] - u[2 * stride]) * (NEAR * OF_NEAR) + (u[3 * stride] - u[4 * stride]) * (FAR * OF_FAR);
    w[2 * step] = (q - p) * OF_LAST + u[5 * stride];
}

/* to[point][tile][channel] of the tiles first .. first + count, points plane words apart. A word is a channel of
   together tiles: PAIR, to sum over the tiles, or 1, to sum over the channels. */
static inline void transform_inputs(Grid grid, Images x, long first, long count, int together, long plane, float *to) {
    long across = padded(x.channels) * together / PAIR, image[PAIR], top[PAIR], left[PAIR];
    for (long tile = 0; tile < count; tile += together) {
        for (int t = 0; t < together; t++) find(grid, first + tile + t, image + t, top + t, left + t);
        for (long c = 0; c < x.channels; c += LANES) {
            vec part[PAIR][POINTS], column[6], out[PAIR][6];
            float *place = to + tile / together * across + c * together / PAIR;
            for (int t = 0; t < together; t++)
                for (long j = 0; j < 6; j++) {
                    for (long i = 0; i < 6; i++) {
                        column[i] = tile + t < count ? value_at(x, image[t], top[t] + i - 1, left[t] + j - 1, c) : (vec){0};
                        if (together == 1 && !x.narrow && j > 1) /* what the next tile adds */
                            fetch(x, image[0], top[0] + i - 1, left[0] + j + 3, c);
                    }
                    input_transform(column, 1, part[t] + j, 6);
                }
            for (long i = 0; i < 6; i++) {
                for (int t = 0; t < together; t++) input_transform(part[t] + 6 * i, 1, out[t], 1);
                for (long j = 0; j < 6; j++) put(place + (6 * i + j) * plane, out[0][j], out[PAIR - 1][j], together);
            }
        }
    }
}

/* The same of the gradient of the outputs, whose tiles do not overlap. */
static inline void transform_grads(Grid grid, Images g, long first, long count, int together, long plane, float *to) {
    long across = padded(g.channels) * together / PAIR, image[PAIR], top[PAIR], left[PAIR];
    for (long tile = 0; tile < count; tile += together) {
        for (int t = 0; t < together; t++) find(grid, first + tile + t, image + t, top + t, left + t);
        for (long c = 0; c < g.channels; c += LANES) {
            vec part[PAIR][24], column[4], out[PAIR][6];
            float *place = to + tile / together * across + c * together / PAIR;
            for (int t = 0; t < together; t++)
                for (long j = 0; j < 4; j++) {
                    for (long i = 0; i < 4; i++)
                        column[i] = tile + t < count ? value_at(g, image[t], top[t] + i, left[t] + j, c) : (vec){0};
                    grad_transform(column, 1, part[t] + j, 4);
                }
            for (long i = 0; i < 6; i++) {
                for (int t = 0; t < together; t++) grad_transform(part[t] + 4 * i, 1, out[t], 1);
                for (long j = 0; j < 6; j++) put(place + (6 * i + j) * plane, out[0][j], out[PAIR - 1][j], together);
            }
        }
    }
}

/* The tiles first .. first + count of y [images][height][width][channels], its channels from .. from + wide, out of
   m[point][tile][wide]. */
static inline void transform_outputs(Grid grid, long height, long width, long channels, long from, long wide,
                                     const float *m, long plane, long first, long count, float *y) {
    long image, top, left;
    for (long tile = 0; tile < count; tile++) {
        find(grid, first + tile, &image, &top, &left);
        for (long c = 0; c < wide; c += LANES) {
            vec part[24], column[6], out[4];
            for (long j = 0; j < 6; j++) {
                for (long i = 0; i < 6; i++) column[i] = *(const vec *)(m + (6 * i + j) * plane + tile * wide + c);
                output_transform(column, 1, part + j, 6);
            }
            for (long i = 0; i < 4 && top + i < height; i++) {
                output_transform(part + 6 * i, 1, out, 1);
                float *row = y + ((image * height + top + i) * width + left) * channels + from + c;
                for (long j = 0; j < 4 && left + j < width; j++) store(row + j * channels, out[j], channels - from - c);
            }
        }
    }
}

/* u[point][inputs][outputs padded] of w [outputs][9][inputs], in words of PAIR inputs; backwards, of the kernels turned
   round, u[point][outputs][inputs padded], in words of PAIR outputs: the weights of the convolution that takes the
   gradient of the outputs to that of the inputs. */
static void transform_weights(long inputs, long outputs, const float *w, int backwards, float *u) {
    long wide_in = padded(inputs), wide_out = padded(outputs);
#pragma omp for schedule(static) collapse(2)
    for (long o = 0; o < wide_out; o += LANES)
        for (long i = 0; i < wide_in; i += LANES) {
            float block[LANES][POINTS][LANES]; /* output, point, input */
            for (long k = 0; k < LANES; k++) {
                vec kernel[9], part[18];
                if (o + k >= outputs) {
                    memset(block[k], 0, sizeof block[k]);
                    continue;
                }
                for (long a = 0; a < 9; a++)
                    kernel[backwards ? 8 - a : a] = load(w + ((o + k) * 9 + a) * inputs + i, inputs - i);
                for (long j = 0; j < 3; j++) weight_transform(kernel + j, 3, part + j, 3);
                for (long a = 0; a < 6; a++) weight_transform(part + 3 * a, 1, (vec *)block[k][6 * a], 1);
            }
            put_weights(POINTS, block[0][0], inputs, outputs, i, o, backwards, u);
        }
}

/* The weights as winograd_apply takes them. */
void winograd_weights(long inputs, long outputs, const float *w, int backwards, float *u, long threads) {
#pragma omp parallel num_threads(threads)
    transform_weights(inputs, outputs, w, backwards, u);
}

/* y [images][height][width][to] = x [images][height][width][from] * w. */
void winograd_apply(Shape shape, long from, long to, long chunk, const float *x, const float *u, float *y,
                    float *scratch, long threads) {
    Grid grid = grid_of(shape.height, shape.width);
    long tiles = shape.images * grid.down * grid.across, wide_from = padded(from), wide_to = padded(to);
    long from_plane = plane_of(chunk, wide_from / PAIR), to_plane = plane_of(chunk, BLOCK * LANES);
    Images source = {shape.height, shape.width, from, x, 0};
#pragma omp parallel num_threads(threads)
    {
        float *v = scratch + omp_get_thread_num() * POINTS * (from_plane + to_plane), *m = v + POINTS * from_plane;
#pragma omp for schedule(dynamic)
        for (long first = 0; first < tiles; first += chunk) {
            long count = least(chunk, tiles - first);
            transform_inputs(grid, source, first, count, 1, from_plane, v);
            for (long c = 0; c < wide_to; c += BLOCK * LANES) {
                long wide = least(BLOCK * LANES, wide_to - c);
                for (long point = 0; point < POINTS; point++)
                    multiply(count, wide / LANES, words(from), v + point * from_plane, wide_from / PAIR, 1,
                             u + point * words(from) * wide_to + c, wide_to, m + point * to_plane, wide, 0);
                transform_outputs(grid, shape.height, shape.width, to, c, wide, m, to_plane, first, count, y);
            }
        }
    }
}

/* Sums of products of x, of floats or, if narrow, of bytes, and the gradient g of the outputs; added to u unless new. */
void winograd_accumulate(Shape shape, int narrow, long chunk, const void *x, const float *g, int new, float *u,
                         float *scratch, long threads) {
    Grid grid = grid_of(shape.height, shape.width);
    long inputs = shape.inputs, wide_in = padded(inputs), wide_out = padded(shape.outputs);
    long tiles = shape.images * grid.down * grid.across;
    long in_plane = plane_of(words(chunk), wide_in), out_plane = plane_of(words(chunk), wide_out);
    Images source = {shape.height, shape.width, inputs, x, narrow};
    Images grads = {shape.height, shape.width, shape.outputs, g, 0};
    float *v = scratch, *d = scratch + POINTS * in_plane;
#pragma omp parallel num_threads(threads)
    for (long first = 0; first < tiles; first += chunk) {
        long count = least(chunk, tiles - first);
#pragma omp for schedule(dynamic, 8)
        for (long tile = 0; tile < count; tile += PAIR) {
            long some = least(PAIR, count - tile);
            transform_inputs(grid, source, first + tile, some, PAIR, in_plane, v + tile / PAIR * wide_in);
            transform_grads(grid, grads, first + tile, some, PAIR, out_plane, d + tile / PAIR * wide_out);
        }
#pragma omp for schedule(dynamic)
        for (long point = 0; point < POINTS; point++)
            for (long c = 0; c < wide_out; c += BLOCK * LANES)
                multiply(inputs, least(BLOCK, (wide_out - c) / LANES), words(count), v + point * in_plane, 1, wide_in,
                         d + point * out_plane + c, wide_out, u + point * inputs * wide_out + c, wide_out,
                         !new || first > 0);
    }
}

/* The gradient of the weights, [outputs][9][inputs], from the sums. */
void winograd_weight_grad(long inputs, long outputs, const float *u, float *grad_w, long threads) {
    long wide_in = padded(inputs), wide_out = padded(outputs);
#pragma omp parallel for num_threads(threads) schedule(static) collapse(2)
    for (long o = 0; o < wide_out; o += LANES)
        for (long i = 0; i < wide_in; i += LANES) {
            float block[LANES][9][LANES]; /* input, place, output */
            for (long l = 0; l < LANES && i + l < inputs; l++) {
                vec points[POINTS], part[18];
                for (long x = 0; x < POINTS; x++) points[x] = *(vec *)(u + (x * inputs + i + l) * wide_out + o);
                for (long j = 0; j < 6; j++) weight_grad_transform(points + j, 6, part + j, 6);
                for (long a = 0; a < 3; a++) weight_grad_transform(part + 6 * a, 1, (vec *)block[l][3 * a], 1);
            }
            for (long k = 0; k < LANES && o + k < outputs; k++)
                for (long a = 0; a < 9; a++)
                    for (long l = 0; l < LANES && i + l < inputs; l++)
                        grad_w[((o + k) * 9 + a) * inputs + i + l] = block[l][a][k];
        }
}
