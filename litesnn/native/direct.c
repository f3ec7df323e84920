/* 3 x 3 convolutions of any stride with a border of zeros, as they are written down: where channels are few or the stride
   is not 1, the transforms of Winograd's algorithm cost more than the products that it saves.

   Activations lie channels last, weights [outputs][9][inputs]. One image at a time is laid out in words with its border, so
   that the inputs which one row of the kernel meets lie side by side: a row of outputs is three products of matrices whose
   sums stay in registers. An image has a thread of its own, and the sums of the threads are added in their order, so that
   equal calls give equal bits. */

#include <omp.h>

#include "convolutions.h"

#define SIDE 3

/* How to walk through the left matrix: segments of depth words each. */
typedef struct {
    long segments, depth, segment_step, row_step, k_step;
} Walk;

/* c[row][count] (+)= the sum over segments and k of a[segment, row, k] b[segment, k][count], as product in products.h. */
static inline __attribute__((always_inline)) void block(long rows, long vectors, Walk walk, const float *a, const float *b,
                                                        long b_step, float *c, long c_step, long count, int add) {
    vec sum[ROWS][BLOCK];
    for (long i = 0; i < rows; i++)
        for (long j = 0; j < vectors; j++)
            sum[i][j] = add ? load(c + i * c_step + j * LANES, count - j * LANES) : (vec){0};
    for (long segment = 0; segment < walk.segments; segment++) {
        const float *left = a + segment * walk.segment_step;
        for (long k = 0; k < walk.depth; k++, left += walk.k_step, b += b_step) {
            vec right[BLOCK];
            for (long j = 0; j < vectors; j++) right[j] = *(const vec *)(b + j * LANES);
            for (long i = 0; i < rows; i++)
                for (long j = 0; j < vectors; j++) sum[i][j] = multiply_add(sum[i][j], left[i * walk.row_step], right[j]);
        }
    }
    for (long i = 0; i < rows; i++)
        for (long j = 0; j < vectors; j++) store(c + i * c_step + j * LANES, sum[i][j], count - j * LANES);
}

static inline __attribute__((always_inline)) void blocks(long rows, long vectors, Walk walk, const float *a, const float *b,
                                                         long b_step, float *c, long c_step, long count, int add) {
    long row = 0;
    for (; row + ROWS <= rows; row += ROWS)
        block(ROWS, vectors, walk, a + row * walk.row_step, b, b_step, c + row * c_step, c_step, count, add);
    for (; row + 4 <= rows; row += 4)
        block(4, vectors, walk, a + row * walk.row_step, b, b_step, c + row * c_step, c_step, count, add);
    for (; row < rows; row++)
        block(1, vectors, walk, a + row * walk.row_step, b, b_step, c + row * c_step, c_step, count, add);
}

/* The same for any number of columns; b has whole vectors of them. */
static __attribute__((noinline)) void apply(long rows, long columns, Walk walk, const float *a, const float *b, float *c, long c_step, int add) {
    long step = padded(columns);
    for (long from = 0; from < columns; from += BLOCK * LANES) {
        long count = least(columns - from, BLOCK * LANES), vectors = padded(count) / LANES;
        if (BLOCK == 3 && vectors == 3)
            blocks(rows, BLOCK, walk, a, b + from, step, c + from, c_step, count, add);
        else if (vectors == 2)
            blocks(rows, 2, walk, a, b + from, step, c + from, c_step, count, add);
        else
            blocks(rows, 1, walk, a, b + from, step, c + from, c_step, count, add);
    }
}

static inline long out_size(long size, long stride) { return (size + stride - 1) / stride; }

/* Words of an image with its border; what is written beyond a place is written again or the end. */
static inline long bordered(long height, long width, long channels) {
    return (height + 2) * (width + 2) * words(channels) + LANES;
}

/* LANES values from index on, of which count are there. */
static inline vec values(const void *from, int narrow, long index, long count) {
    return narrow ? load_bytes((const uint8_t *)from + index, count) : load((const float *)from + index, count);
}

/* to[column][words of channels] of a row. */
static inline void lay_out_row(const float *from, long width, long channels, float *to) {
    if (channels % PAIR == 0) { /* no gaps: a row is as good as a place of many channels */
        channels *= width;
        width = 1;
    }
    for (long column = 0; column < width; column++, from += channels, to += words(channels))
        for (long c = 0; c < channels; c += LANES)
            put(to + c / PAIR, load(from + c, channels - c), (vec){0}, 1);
}

/* to[row + 1][column + 1][words of channels] of one image, and a border of zeros. */
static void lay_out(long height, long width, long channels, const float *from, float *to) {
    long wide = words(channels), across = (width + 2) * wide;
    memset(to, 0, across * sizeof *to);
    for (long row = 0; row < height; row++) {
        float *place = to + (row + 1) * across;
        memset(place, 0, wide * sizeof *place);
        lay_out_row(from + row * width * channels, width, channels, place + wide);
        memset(place + across - wide, 0, wide * sizeof *place);
    }
    memset(to + (height + 1) * across, 0, across * sizeof *to);
}

/* Words of the weights, forwards and backwards. */
static inline long weight_words(long from, long to) { return SIDE * SIDE * words(from) * padded(to); }

/* u[place][words of inputs][outputs padded] of w [outputs][9][inputs]. */
static void pack_weights(long inputs, long outputs, const float *w, float *u) {
    for (long place = 0; place < SIDE * SIDE; place++)
        for (long i = 0; i < inputs; i += PAIR)
            for (long o = 0; o < outputs; o += LANES, u += LANES) {
                float value[2][LANES] = {{0}};
                for (long l = 0; l < LANES && o + l < outputs; l++)
                    for (long t = 0; t < PAIR && i + t < inputs; t++)
                        value[t][l] = w[((o + l) * SIDE * SIDE + place) * inputs + i + t];
                *(vec *)u = word(*(vec *)value[0], *(vec *)value[1]);
            }
}

/* Weights that meet the inputs of a phase in one direction. */
static inline long taps(long phase, long stride) { return phase < SIDE ? (SIDE - 1 - phase) / stride + 1 : 0; }

/* The input r gets from the output o what the weight r + 1 - stride * o gives it: inputs of one phase, (r + 1) % stride,
   meet the same weights, of which the last belongs to the first output. u[phase][place][words of outputs][inputs padded]. */
static void pack_weights_backwards(long inputs, long outputs, long stride, const float *w, float *u) {
    for (long row = 0; row < stride; row++)
        for (long column = 0; column < stride; column++)
            for (long down = taps(row, stride) - 1; down >= 0; down--)
                for (long across = taps(column, stride) - 1; across >= 0; across--) {
                    const float *from = w + ((row + stride * down) * SIDE + column + stride * across) * inputs;
                    for (long o = 0; o < outputs; o += PAIR)
                        for (long i = 0; i < inputs; i += LANES, u += LANES) {
                            const float *first = from + o * SIDE * SIDE * inputs + i;
                            vec second = {0};
                            if (PAIR == 2 && o + 1 < outputs) second = load(first + SIDE * SIDE * inputs, inputs - i);
                            *(vec *)u = word(load(first, inputs - i), second);
                        }
                }
}

/* Words of scratch of direct_forward. */
long direct_forward_scratch(Shape s, long threads) {
    return weight_words(s.inputs, s.outputs) + threads * bordered(s.height, s.width, s.inputs);
}

/* y = x * w. */
void direct_forward(Shape s, long stride, const float *x, const float *w, float *y, float *scratch, long threads) {
    long down = out_size(s.height, stride), across = out_size(s.width, stride);
    long wide = words(s.inputs), row_words = (s.width + 2) * wide;
    Walk walk = {SIDE, SIDE * wide, row_words, stride * wide, 1};
    float *u = scratch, *rest = u + weight_words(s.inputs, s.outputs);
    pack_weights(s.inputs, s.outputs, w, u);
#pragma omp parallel num_threads(threads)
    {
        float *image = rest + omp_get_thread_num() * bordered(s.height, s.width, s.inputs);
#pragma omp for schedule(static)
        for (long n = 0; n < s.images; n++) {
            lay_out(s.height, s.width, s.inputs, x + n * s.height * s.width * s.inputs, image);
            for (long row = 0; row < down; row++)
                apply(across, s.outputs, walk, image + stride * row * row_words, u,
                      y + (n * down + row) * across * s.outputs, s.outputs, 0);
        }
    }
}

/* The gradient of one image's inputs; g is laid out, u are the weights backwards. */
static void input_grad(Shape s, long stride, const float *g, const float *u, float *y) {
    long wide = words(s.outputs), row_words = (out_size(s.width, stride) + 2) * wide;
    for (long row = 0; row < stride; row++)
        for (long column = 0; column < stride; column++) {
            long down = taps(row, stride), across = taps(column, stride), left = column == 0;
            long count = s.width < column ? 0 : (s.width - column) / stride + 1 - left;
            Walk walk = {across ? down : 0, across * wide, row_words, wide, 1};
            for (long q = row == 0; stride * q + row <= s.height; q++)
                apply(count, s.inputs, walk, g + (q - down + 2) * row_words + (left - across + 2) * wide, u,
                      y + ((stride * q + row - 1) * s.width + stride * left + column - 1) * s.inputs, stride * s.inputs, 0);
            u += down * across * wide * padded(s.inputs);
        }
}

/* Words of PAIR images with a border, a channel each. */
static inline long met(Shape s) { return (s.height + 2) * (s.width + 2) * s.inputs + LANES; }

/* to[row + 1][column + 1][channel] of the image at from and, in the same words, of the one size further on if it is there,
   and a border of zeros; this sum runs over images. */
static void lay_out_met(Shape s, const void *x, int narrow, long from, long size, int two, float *to) {
    long row_size = s.width * s.inputs, across = row_size + 2 * s.inputs;
    memset(to, 0, across * sizeof *to);
    for (long row = 0; row < s.height; row++, from += row_size) {
        float *place = to + (row + 1) * across;
        memset(place, 0, s.inputs * sizeof *place);
        place += s.inputs;
        for (long i = 0; i < row_size; i += LANES) {
            vec second = two ? values(x, narrow, from + size + i, row_size - i) : (vec){0};
            *(vec *)(place + i) = word(values(x, narrow, from + i, row_size - i), second);
        }
        memset(place + row_size, 0, s.inputs * sizeof *place);
    }
    memset(to + (s.height + 1) * across, 0, across * sizeof *to);
}

/* to[pixel][channels padded] of the gradients of PAIR images, the second NULL if it is not there. */
static void lay_out_grads(long pixels, long channels, const float *g, const float *second, float *to) {
    for (long i = 0; i < pixels * channels; i += channels)
        for (long c = 0; c < channels; c += LANES, to += LANES)
            *(vec *)to = word(load(g + i + c, channels - c), second ? load(second + i + c, channels - c) : (vec){0});
}

static inline long sums_of(Shape s) { return SIDE * SIDE * s.inputs * padded(s.outputs); }

static inline long most(long a, long b) { return a > b ? a : b; }

/* Words that a thread of direct_backward works in: its sums, the gradients, and what is laid out for either result. */
static long own_words(Shape s, long stride) {
    long down = out_size(s.height, stride), across = out_size(s.width, stride);
    return sums_of(s) + PAIR * down * across * s.outputs +
           most(met(s) + down * across * padded(s.outputs), bordered(down, across, s.outputs));
}

/* Words of scratch of direct_backward. */
long direct_backward_scratch(Shape s, long stride, long threads) {
    return weight_words(s.outputs, s.inputs) + threads * own_words(s, stride);
}

/* grad_x and grad_w, either of which may be NULL; x, g and norm as in convolve_backward. */
void direct_backward(Shape s, long stride, int narrow, const void *x, const float *w, const float *g, const Norm *norm,
                     float *grad_x, float *grad_w, float *scratch, long threads) {
    long down = out_size(s.height, stride), across = out_size(s.width, stride), pixels = down * across;
    long in_size = s.height * s.width * s.inputs, size = pixels * s.outputs, row = (s.width + 2) * s.inputs;
    long own = own_words(s, stride), wide_out = padded(s.outputs);
    float *u = scratch, *rest = u + weight_words(s.outputs, s.inputs);
    Walk walk = {down, across, stride * row, 1, stride * s.inputs};
    if (grad_x) pack_weights_backwards(s.inputs, s.outputs, stride, w, u);
    for (long thread = 0; thread < threads; thread++) memset(rest + thread * own, 0, sums_of(s) * sizeof *rest);
#pragma omp parallel num_threads(threads)
    {
        float *sums = rest + omp_get_thread_num() * own, *made = sums + sums_of(s), *laid = made + PAIR * size;
        float *pairs = laid + met(s);
#pragma omp for schedule(static)
        for (long n = 0; n < s.images; n += PAIR) {
            long some = least(PAIR, s.images - n);
            const float *arriving = g ? g + n * size : made;
            if (!g)
                norm_input_grad(n * pixels, (n + some) * pixels, norm->rounds, norm->targets, norm->width, norm->normal,
                                norm->grad_out, norm->by_grad, norm->by_normal, norm->add, made, 1);
            if (grad_w) {
                lay_out_met(s, x, narrow, n * in_size, in_size, some == 2, laid);
                lay_out_grads(pixels, s.outputs, arriving, some == 2 ? arriving + size : NULL, pairs);
                for (long k = 0; k < SIDE; k++)
                    apply(SIDE * s.inputs, wide_out, walk, laid + k * row, pairs, sums + k * SIDE * s.inputs * wide_out,
                          wide_out, 1);
            }
            for (long t = 0; grad_x && t < some; t++) {
                lay_out(down, across, s.outputs, arriving + t * size, laid);
                input_grad(s, stride, laid, u, grad_x + (n + t) * in_size);
            }
        }
    }
    if (!grad_w) return;
    for (long place = 0; place < SIDE * SIDE; place++)
        for (long i = 0; i < s.inputs; i++)
            for (long o = 0; o < s.outputs; o++) {
                const float *from = rest + (place * s.inputs + i) * wide_out + o;
                float total = 0;
                for (long thread = 0; thread < threads; thread++) total += from[thread * own];
                grad_w[(o * SIDE * SIDE + place) * s.inputs + i] = total;
            }
}
