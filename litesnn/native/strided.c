/* 3 x 3 convolutions of stride 2 with a border of zeros by Winograd's algorithm.

   In each direction the odd inputs meet the outer two weights and the even inputs the middle one: y[o] = w0 x[2o - 1] +
   w1 x[2o] + w2 x[2o + 1]. So a convolution is four of stride 1, one for each phase (odd or even row, odd or even
   column), of 2 x 2, 2 x 1, 1 x 2 and 1 x 1 weights. F(4, 2) takes 5 points (0, 1, -1, 2 and infinity), of which a single
   weight needs no infinity: 81 products for 16 outputs instead of 144. A plane is a phase and a point. */

#include <omp.h>

#include "convolutions.h"

#define PLANES 81
#define POINTS 25

/* Phases are numbered row * 2 + column, 0 for odd and 1 for even. */
static inline long size_of(int even) { return even ? 4 : 5; }
static const long first_plane[4] = {0, 25, 45, 65};

static inline void input_transform(int even, const vec *d, long stride, vec *t, long step) {
    vec d0 = d[0], d1 = d[stride], d2 = d[2 * stride], d3 = d[3 * stride];
    t[0] = 2 * (d0 - d2) - d1 + d3;
    t[step] = 2 * d1 + d2 - d3;
    t[2 * step] = 3 * d2 - 2 * d1 - d3;
    t[3 * step] = d3 - d1;
    if (!even) t[4 * step] = 2 * (d1 - d3) - d2 + d[4 * stride];
}

static inline void output_transform(int even, const vec *m, long stride, vec *y, long step) {
    vec m1 = m[stride], m2 = m[2 * stride], m3 = m[3 * stride], sum = m1 + m2, difference = m1 - m2;
    y[0] = m[0] + sum + m3;
    y[step] = difference + 2 * m3;
    y[2 * step] = sum + 4 * m3;
    y[3 * step] = difference + 8 * m3;
    if (!even) y[3 * step] += m[4 * stride];
}

static inline void grad_transform(const vec *g, long stride, vec *t, long step) {
    vec g0 = g[0], g1 = g[stride], g2 = g[2 * stride], g3 = g[3 * stride];
    t[0] = g0;
    t[step] = g0 + g1 + g2 + g3;
    t[2 * step] = g0 - g1 + g2 - g3;
    t[3 * step] = g0 + 2 * g1 + 4 * g2 + 8 * g3;
    t[4 * step] = g3;
}

/* Of the weights of one phase: near meets the first input of a window, far the next. */
static inline void weight_transform(int even, vec near, vec far, vec *u, long step) {
    if (even) far = (vec){0};
    u[0] = near * 0.5f;
    u[step] = (near + far) * 0.5f;
    u[2 * step] = (near - far) * (1.0f / 6);
    u[3 * step] = (near + 2 * far) * (1.0f / 6);
    if (!even) u[4 * step] = far;
}

/* Back to the gradient of the weights; an even phase has near alone. */
static inline void weight_grad_transform(int even, const vec *u, long stride, vec *near, vec *far) {
    vec half = u[stride] * 0.5f, minus = u[2 * stride] * (1.0f / 6), twice = u[3 * stride] * (1.0f / 6);
    *near = u[0] * 0.5f + half + minus + twice;
    if (!even) *far = half - minus + 2 * twice + u[4 * stride];
}

/* to[plane][tile][channel]: the tiles first .. first + count of the inputs; words as in winograd.c. */
static inline void transform_inputs(Grid grid, Images x, long first, long count, int together, long plane, float *to) {
    long across = padded(x.channels) * together / PAIR, image[PAIR], top[PAIR], left[PAIR];
    for (long tile = 0; tile < count; tile += together) {
        for (int t = 0; t < together; t++) find(grid, first + tile + t, image + t, top + t, left + t);
        for (long c = 0; c < x.channels; c += LANES)
            for (int phase = 0; phase < 4; phase++) {
                int row = phase >> 1, column = phase & 1;
                long down = size_of(row), wide = size_of(column);
                vec window[5], part[PAIR][25], out[PAIR][5];
                float *place = to + first_plane[phase] * plane + tile / together * across + c * together / PAIR;
                for (int t = 0; t < together; t++)
                    for (long j = 0; j < wide; j++) {
                        for (long i = 0; i < down; i++)
                            window[i] = tile + t < count ? value_at(x, image[t], 2 * (top[t] + i) - !row,
                                                                    2 * (left[t] + j) - !column, c)
                                                         : (vec){0};
                        input_transform(row, window, 1, part[t] + j, 5);
                    }
                for (long i = 0; i < down; i++) {
                    for (int t = 0; t < together; t++) input_transform(column, part[t] + 5 * i, 1, out[t], 1);
                    for (long j = 0; j < wide; j++)
                        put(place + (i * wide + j) * plane, out[0][j], out[PAIR - 1][j], together);
                }
            }
    }
}

/* to[point][tile][channel] of the gradient of the outputs: of tiles that do not overlap for the gradient of the weights;
   of windows of 5 x 5 for the gradient of the inputs. */
static inline void transform_grads(Grid grid, Images g, int windows, long first, long count, int together, long plane,
                                   float *to) {
    long across = padded(g.channels) * together / PAIR, size = windows ? 5 : 4, image[PAIR], top[PAIR], left[PAIR];
    for (long tile = 0; tile < count; tile += together) {
        for (int t = 0; t < together; t++) find(grid, first + tile + t, image + t, top + t, left + t);
        for (long c = 0; c < g.channels; c += LANES) {
            vec window[5], part[PAIR][25], out[PAIR][5];
            float *place = to + tile / together * across + c * together / PAIR;
            for (int t = 0; t < together; t++)
                for (long j = 0; j < size; j++) {
                    for (long i = 0; i < size; i++)
                        window[i] = tile + t < count ? value_at(g, image[t], top[t] + i, left[t] + j, c) : (vec){0};
                    windows ? input_transform(0, window, 1, part[t] + j, 5) : grad_transform(window, 1, part[t] + j, 5);
                }
            for (long i = 0; i < 5; i++) {
                for (int t = 0; t < together; t++)
                    windows ? input_transform(0, part[t] + 5 * i, 1, out[t], 1)
                            : grad_transform(part[t] + 5 * i, 1, out[t], 1);
                for (long j = 0; j < 5; j++) put(place + (5 * i + j) * plane, out[0][j], out[PAIR - 1][j], together);
            }
        }
    }
}

/* A tile of 4 x 4 results, or of one phase of the results if step is 2, out of m[point][wide]. */
static inline void transform_results(int row, int column, const float *m, long plane, long height, long width,
                                     long channels, long c, long top, long left, long step, float *y) {
    vec window[5], part[25], out[4];
    for (long j = 0; j < size_of(column); j++) {
        for (long i = 0; i < size_of(row); i++) window[i] = *(const vec *)(m + (size_of(column) * i + j) * plane);
        output_transform(row, window, 1, part + j, 5);
    }
    for (long i = 0; i < 4 && top + step * i < height; i++) {
        output_transform(column, part + 5 * i, 1, out, 1);
        for (long j = 0; j < 4 && left + step * j < width; j++)
            store(y + ((top + step * i) * width + left + step * j) * channels + c, out[j], channels - c);
    }
}

/* u[plane][inputs][outputs padded] of w [outputs][9][inputs], in words of PAIR inputs; backwards u[plane][outputs]
   [inputs padded], in words of PAIR outputs, and the two outer weights change places: the input 2o + 1 meets w2 in the
   output o and w0 in the next. */
static void transform_weights(long inputs, long outputs, const float *w, int backwards, float *u) {
    long wide_in = padded(inputs), wide_out = padded(outputs);
#pragma omp for schedule(static) collapse(2)
    for (long o = 0; o < wide_out; o += LANES)
        for (long i = 0; i < wide_in; i += LANES) {
            float block[LANES][PLANES][LANES]; /* output, plane, input */
            for (long k = 0; k < LANES; k++) {
                if (o + k >= outputs) {
                    memset(block[k], 0, sizeof block[k]);
                    continue;
                }
                vec kernel[9];
                for (long a = 0; a < 9; a++) kernel[a] = load(w + ((o + k) * 9 + a) * inputs + i, inputs - i);
                for (int phase = 0; phase < 4; phase++) {
                    int row = phase >> 1, column = phase & 1;
                    long wide = size_of(column), top = row ? 1 : backwards ? 2 : 0, left = column ? 1 : backwards ? 2 : 0;
                    vec *to = (vec *)block[k][first_plane[phase]], near[5], far[5];
                    weight_transform(row, kernel[3 * top + left], kernel[3 * (2 - top) + left], near, 1);
                    weight_transform(row, kernel[3 * top + 2 - left], kernel[3 * (2 - top) + 2 - left], far, 1);
                    for (long a = 0; a < size_of(row); a++) weight_transform(column, near[a], far[a], to + a * wide, 1);
                }
            }
            put_weights(PLANES, block[0][0], inputs, outputs, i, o, backwards, u);
        }
}

/* The weights as strided_apply and, backwards, strided_input_grad take them. */
void strided_weights(long inputs, long outputs, const float *w, int backwards, float *u, long threads) {
#pragma omp parallel num_threads(threads)
    transform_weights(inputs, outputs, w, backwards, u);
}

static inline long plane_number(int phase, long i, long j) { return first_plane[phase] + i * size_of(phase & 1) + j; }

/* y = x * w, x [images][height][width][inputs], y [images][(height + 1) / 2][(width + 1) / 2][outputs]. */
void strided_apply(Shape shape, long chunk, const float *x, const float *u, float *y, float *scratch, long threads) {
    long down = (shape.height + 1) / 2, across = (shape.width + 1) / 2, inputs = shape.inputs;
    long wide_in = padded(inputs), wide_out = padded(shape.outputs);
    Grid grid = grid_of(down, across);
    Images source = {shape.height, shape.width, inputs, x, 0};
    long tiles = shape.images * grid.down * grid.across;
    long in_plane = plane_of(chunk, wide_in / PAIR), out_plane = plane_of(chunk, BLOCK * LANES);
#pragma omp parallel num_threads(threads)
    {
        float *v = scratch + omp_get_thread_num() * (PLANES * in_plane + POINTS * out_plane), *m = v + PLANES * in_plane;
#pragma omp for schedule(dynamic)
        for (long first = 0; first < tiles; first += chunk) {
            long count = least(chunk, tiles - first), image, top, left;
            transform_inputs(grid, source, first, count, 1, in_plane, v);
            for (long c = 0; c < wide_out; c += BLOCK * LANES) {
                long wide = least(BLOCK * LANES, wide_out - c);
                for (int phase = 0; phase < 4; phase++)
                    for (long i = 0; i < size_of(phase >> 1); i++)
                        for (long j = 0; j < size_of(phase & 1); j++) {
                            long plane = plane_number(phase, i, j);
                            multiply(count, wide / LANES, words(inputs), v + plane * in_plane, wide_in / PAIR, 1,
                                     u + plane * words(inputs) * wide_out + c, wide_out, m + (5 * i + j) * out_plane, wide,
                                     phase > 0);
                        }
                for (long tile = 0; tile < count; tile++) {
                    find(grid, first + tile, &image, &top, &left);
                    for (long l = 0; l < wide; l += LANES)
                        transform_results(0, 0, m + tile * wide + l, out_plane, down, across, shape.outputs, c + l, top,
                                          left, 1, y + image * down * across * shape.outputs);
                }
            }
        }
    }
}

/* The gradient of the inputs, y [images][height][width][inputs], from that of the outputs, g. */
void strided_input_grad(Shape shape, long chunk, const float *g, const float *u, float *y, float *scratch,
                        long threads) {
    long down = (shape.height + 1) / 2, across = (shape.width + 1) / 2, inputs = shape.inputs;
    long wide_in = padded(inputs), wide_out = padded(shape.outputs);
    Grid grid = grid_of(down, across);
    Images source = {down, across, shape.outputs, g, 0};
    long tiles = shape.images * grid.down * grid.across;
    long in_plane = plane_of(chunk, BLOCK * LANES), out_plane = plane_of(chunk, wide_out / PAIR);
#pragma omp parallel num_threads(threads)
    {
        float *v = scratch + omp_get_thread_num() * (POINTS * out_plane + PLANES * in_plane), *m = v + POINTS * out_plane;
#pragma omp for schedule(dynamic)
        for (long first = 0; first < tiles; first += chunk) {
            long count = least(chunk, tiles - first), image, top, left;
            transform_grads(grid, source, 1, first, count, 1, out_plane, v);
            for (long c = 0; c < wide_in; c += BLOCK * LANES) {
                long wide = least(BLOCK * LANES, wide_in - c);
                for (int phase = 0; phase < 4; phase++)
                    for (long i = 0; i < size_of(phase >> 1); i++)
                        for (long j = 0; j < size_of(phase & 1); j++) {
                            long plane = plane_number(phase, i, j);
                            multiply(count, wide / LANES, words(shape.outputs), v + (5 * i + j) * out_plane, wide_out / PAIR,
                                     1, u + plane * words(shape.outputs) * wide_in + c, wide_in, m + plane * in_plane, wide, 0);
                        }
                for (long tile = 0; tile < count; tile++) {
                    find(grid, first + tile, &image, &top, &left);
                    for (long l = 0; l < wide; l += LANES)
                        for (int phase = 0; phase < 4; phase++)
                            transform_results(phase >> 1, phase & 1, m + first_plane[phase] * in_plane + tile * wide + l,
                                              in_plane, shape.height, shape.width, inputs, c + l,
                                              2 * top + !(phase >> 1), 2 * left + !(phase & 1), 2,
                                              y + image * shape.height * shape.width * inputs);
                }
            }
        }
    }
}

/* Sums of products of x, of floats or, if narrow, of bytes, and the gradient g of the outputs; added to u unless new. */
void strided_accumulate(Shape shape, int narrow, long chunk, const void *x, const float *g, int new, float *u,
                        float *scratch, long threads) {
    long down = (shape.height + 1) / 2, across = (shape.width + 1) / 2, inputs = shape.inputs;
    long wide_in = padded(inputs), wide_out = padded(shape.outputs);
    Grid grid = grid_of(down, across);
    Images source = {shape.height, shape.width, inputs, x, narrow}, grads = {down, across, shape.outputs, g, 0};
    long tiles = shape.images * grid.down * grid.across;
    long in_plane = plane_of(words(chunk), wide_in), out_plane = plane_of(words(chunk), wide_out);
    float *v = scratch, *d = scratch + PLANES * in_plane;
#pragma omp parallel num_threads(threads)
    for (long first = 0; first < tiles; first += chunk) {
        long count = least(chunk, tiles - first);
#pragma omp for schedule(dynamic, 8)
        for (long tile = 0; tile < count; tile += PAIR) {
            long some = least(PAIR, count - tile);
            transform_inputs(grid, source, first + tile, some, PAIR, in_plane, v + tile / PAIR * wide_in);
            transform_grads(grid, grads, 0, first + tile, some, PAIR, out_plane, d + tile / PAIR * wide_out);
        }
#pragma omp for schedule(dynamic)
        for (long plane = 0; plane < PLANES; plane++) {
            int phase = plane < 25 ? 0 : plane < 45 ? 1 : plane < 65 ? 2 : 3;
            long place = plane - first_plane[phase], wide = size_of(phase & 1);
            const float *right = d + (place / wide * 5 + place % wide) * out_plane;
            for (long c = 0; c < wide_out; c += BLOCK * LANES)
                multiply(inputs, least(BLOCK, (wide_out - c) / LANES), words(count), v + plane * in_plane, 1, wide_in,
                         right + c, wide_out, u + plane * inputs * wide_out + c, wide_out, !new || first > 0);
        }
    }
}

/* The gradient of the weights, [outputs][9][inputs], from the sums. */
void strided_weight_grad(long inputs, long outputs, const float *u, float *grad_w, long threads) {
    long wide_in = padded(inputs), wide_out = padded(outputs);
#pragma omp parallel for num_threads(threads) schedule(static) collapse(2)
    for (long o = 0; o < wide_out; o += LANES)
        for (long i = 0; i < wide_in; i += LANES) {
            float block[LANES][9][LANES]; /* input, place, output */
            for (long l = 0; l < LANES && i + l < inputs; l++)
                for (int phase = 0; phase < 4; phase++) {
                    int row = phase >> 1, column = phase & 1;
                    long wide = size_of(column), top = row ? 1 : 0, left = column ? 1 : 0;
                    vec points[25], near[5], far[5], *to = (vec *)block[l];
                    for (long x = 0; x < size_of(row) * wide; x++)
                        points[x] = *(vec *)(u + ((first_plane[phase] + x) * inputs + i + l) * wide_out + o);
                    for (long j = 0; j < wide; j++) weight_grad_transform(row, points + j, wide, near + j, far + j);
                    weight_grad_transform(column, near, 1, to + 3 * top + left, to + 3 * top + 2);
                    if (!row) weight_grad_transform(column, far, 1, to + 6 + left, to + 8);
                }
            for (long k = 0; k < LANES && o + k < outputs; k++)
                for (long a = 0; a < 9; a++)
                    for (long l = 0; l < LANES && i + l < inputs; l++)
                        grad_w[((o + k) * 9 + a) * inputs + i + l] = block[l][a][k];
        }
}
