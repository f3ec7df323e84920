/* What Winograd's convolutions share: tiles of an image, and products of small matrices that lie in the cache.

   A file that defines BF16 gets products of numbers of 16 bits (bfloat16), summed in single precision. Where the processor
   multiplies such numbers, two of them, one behind the other along the dimension that is summed, lie in one word of 32 bits,
   so that matrices of both precisions are arrays of words; elsewhere they are rounded and lie alone. */

#ifndef LITESNN_PRODUCTS_H
#define LITESNN_PRODUCTS_H

#include "lanes.h"

/* A convolution: its images, the height and width of its inputs, their channels and those of its outputs. */
typedef struct {
    long images, height, width, inputs, outputs;
} Shape;

/* Images channels last, of floats or, if narrow, of bytes. */
typedef struct {
    long height, width, channels;
    const void *data;
    int narrow;
} Images;

/* LANES channels from c on of one place; 0 outside of the image. */
static inline vec value_at(Images of, long image, long row, long column, long c) {
    if (row < 0 || row >= of.height || column < 0 || column >= of.width) return (vec){0};
    long index = ((image * of.height + row) * of.width + column) * of.channels + c;
    return of.narrow ? load_bytes((const uint8_t *)of.data + index, of.channels - c)
                     : load((const float *)of.data + index, of.channels - c);
}

/* Asks for floats of a place ahead of time; it may lie anywhere. The processor sees no pattern in rows of tiles. */
static inline void fetch(Images of, long image, long row, long column, long c) {
    long index = ((image * of.height + row) * of.width + column) * of.channels + c;
    __builtin_prefetch((const void *)((uintptr_t)of.data + index * sizeof(float)));
}

/* Tiles of 4 x 4 outputs of an image. */
typedef struct {
    long down, across;
} Grid;

static inline Grid grid_of(long height, long width) { return (Grid){(height + 3) / 4, (width + 3) / 4}; }

/* Place of a tile: its image and the row and column of its first output. */
static inline void find(Grid grid, long tile, long *image, long *top, long *left) {
    *image = tile / (grid.down * grid.across);
    *top = tile / grid.across % grid.down * 4;
    *left = tile % grid.across * 4;
}

/* Words between two points of a chunk's transforms: not a multiple of a page, or all points fall on one cache set. */
static inline long plane_of(long tiles, long wide) { return tiles * wide + LANES; }

/* Operands in a word, and words of a dimension that is summed. */
#if defined(BF16) && defined(__AVX512BF16__)
#define PAIR 2
#else
#define PAIR 1
#endif

static inline long words(long count) { return (count + PAIR - 1) / PAIR; }

/* LANES words of two vectors of operands, or of the first alone where a word is one operand. */
static inline vec word(vec first, vec second) {
#if PAIR == 2
    return join(first, second);
#elif defined(BF16)
    (void)second;
    return rounded(first);
#else
    (void)second;
    return first;
#endif
}

/* Puts down words of the operands first and second if these stand together, else words of neighbours in the first. */
static inline void put(float *to, vec first, vec second, int together) {
#if PAIR == 2
    if (together == 1) {
        shorten(first, to);
        return;
    }
#endif
    (void)together;
    *(vec *)to = word(first, second);
}

/* Transformed weights of LANES outputs from o on and LANES inputs from i on, block[output][plane][input], into u[plane]
   [inputs][outputs padded], in words of PAIR inputs, or backwards u[plane][outputs][inputs padded], of PAIR outputs. */
static inline void put_weights(long planes, const float *block, long inputs, long outputs, long i, long o, int backwards,
                               float *u) {
    long all = planes * LANES, last = PAIR - 1;
    for (long x = 0; x < planes; x++, block += LANES) {
        for (long k = 0; backwards && k < LANES && o + k < outputs; k += PAIR)
            *(vec *)(u + (x * words(outputs) + (o + k) / PAIR) * padded(inputs) + i) =
                word(*(const vec *)(block + k * all), *(const vec *)(block + (k + last) * all));
        for (long l = 0; !backwards && l < LANES && i + l < inputs; l += PAIR) {
            float value[PAIR][LANES];
            for (long t = 0; t < PAIR; t++)
                for (long k = 0; k < LANES; k++) value[t][k] = block[k * all + l + t];
            *(vec *)(u + (x * words(inputs) + (i + l) / PAIR) * padded(outputs) + o) =
                word(*(vec *)value[0], *(vec *)value[last]);
        }
    }
}

static inline vec multiply_add(vec sum, float left, vec right) {
#if PAIR == 2
    return dot(sum, left, right);
#else
    return sum + left * right;
#endif
}

/* c[row][vectors] (+)= sum_k a[row, k] b[k][vectors], k counting words, for up to ROWS rows and BLOCK vectors; both
   numbers are constants where this is called, so that the sums stay in registers. */
static inline __attribute__((always_inline)) void product(long rows, long vectors, long depth, const float *a,
                                                          long row_step, long k_step, const float *b, long b_step,
                                                          float *c, long c_step, int add) {
    vec sum[ROWS][BLOCK];
    for (long i = 0; i < rows; i++)
        for (long j = 0; j < vectors; j++) sum[i][j] = add ? *(vec *)(c + i * c_step + j * LANES) : (vec){0};
    for (long k = 0; k < depth; k++) {
        vec right[BLOCK];
        for (long j = 0; j < vectors; j++) right[j] = *(const vec *)(b + k * b_step + j * LANES);
        for (long i = 0; i < rows; i++) {
            float left = a[i * row_step + k * k_step];
            for (long j = 0; j < vectors; j++) sum[i][j] = multiply_add(sum[i][j], left, right[j]);
        }
    }
    for (long i = 0; i < rows; i++)
        for (long j = 0; j < vectors; j++) *(vec *)(c + i * c_step + j * LANES) = sum[i][j];
}

/* The same for any number of rows and up to BLOCK vectors. */
static inline __attribute__((always_inline)) void strip(long rows, long vectors, long depth, const float *a,
                                                        long row_step, long k_step, const float *b, long b_step,
                                                        float *c, long c_step, int add) {
    long row = 0;
    for (; row + ROWS <= rows; row += ROWS)
        product(ROWS, vectors, depth, a + row * row_step, row_step, k_step, b, b_step, c + row * c_step, c_step, add);
    for (; row + 4 <= rows; row += 4)
        product(4, vectors, depth, a + row * row_step, row_step, k_step, b, b_step, c + row * c_step, c_step, add);
    for (; row < rows; row++)
        product(1, vectors, depth, a + row * row_step, row_step, k_step, b, b_step, c + row * c_step, c_step, add);
}

static inline void multiply(long rows, long vectors, long depth, const float *a, long row_step, long k_step,
                            const float *b, long b_step, float *c, long c_step, int add) {
    if (BLOCK == 3 && vectors == 3)
        strip(rows, BLOCK, depth, a, row_step, k_step, b, b_step, c, c_step, add);
    else if (vectors == 2)
        strip(rows, 2, depth, a, row_step, k_step, b, b_step, c, c_step, add);
    else
        strip(rows, 1, depth, a, row_step, k_step, b, b_step, c, c_step, add);
}

#endif
