/* A convolution of 3 x 3 weights, any stride and a border of zeros; alone, and together with the batch norm behind
   it.

   The gradient between the two is made for a few images at a time and used while it is in the cache. */

#include "convolutions.h"

#define LARGEST (1L << 17) /* inputs of an image that stay in the second-level cache when they are laid out at once */
#define SLICE (1L << 20) /* floats of a gradient that stay in the third-level cache */

static inline long between(long low, long value, long high) { return value < low ? low : value > high ? high : value; }
static inline long planes_of(long stride) { return stride == 1 ? 36 : 81; }
static inline long points_of(long stride) { return stride == 1 ? 36 : 25; }

/* Tiles that are worked on at once, so that their transforms stay in the second-level cache. */
static inline long forward_chunk(Shape s, long stride) { return between(16, 6144 / padded(s.inputs) / stride, 32); }
static inline long backward_chunk(Shape s, long stride) { return between(16, 6144 / padded(s.outputs), 32) / stride; }
static inline long weight_chunk(Shape s, long stride) {
    return PAIR * between(64, 24576 / (padded(s.inputs) + padded(s.outputs)) / stride, 256);
}

/* Whether direct.c does it: any stride above 2, and what it does faster than the others, which is as measured. */
static inline int is_direct(Shape s, long stride) {
    if (stride > 2) return 1;
    return (s.height + 2) * (s.width + 2) * s.inputs <= LARGEST && s.inputs <= (stride == 1 ? 8 : 32 * PAIR);
}

static inline long of_threads(long planes, long wide, long others, long chunk, long threads) {
    return threads * (planes * plane_of(chunk, wide) + others * plane_of(chunk, BLOCK * LANES));
}

/* Floats of scratch that convolve_forward needs. */
long forward_scratch(long images, long height, long width, long inputs, long outputs, long stride, long threads) {
    Shape s = {images, height, width, inputs, outputs};
    if (is_direct(s, stride)) return direct_forward_scratch(s, threads);
    long planes = planes_of(stride), points = points_of(stride);
    return planes * words(inputs) * padded(outputs) +
           of_threads(planes, padded(inputs) / PAIR, points, forward_chunk(s, stride), threads);
}

/* Floats of scratch that the backward passes need. */
long backward_scratch(long images, long height, long width, long inputs, long outputs, long stride, long threads) {
    Shape s = {images, height, width, inputs, outputs};
    if (is_direct(s, stride)) return direct_backward_scratch(s, stride, threads);
    long planes = planes_of(stride), points = points_of(stride), chunk = weight_chunk(s, stride);
    long weights = planes * words(outputs) * padded(inputs), sums = planes * inputs * padded(outputs);
    long image = ((height + stride - 1) / stride) * ((width + stride - 1) / stride) * outputs;
    return weights + sums + (image > SLICE ? image : SLICE) +
           of_threads(points, padded(outputs) / PAIR, planes, backward_chunk(s, stride), threads) +
           planes * plane_of(words(chunk), padded(inputs)) + points * plane_of(words(chunk), padded(outputs));
}

/* y = x * w; x [images][height][width][inputs], w [outputs][9][inputs]. */
void convolve_forward(long images, long height, long width, long inputs, long outputs, long stride, const float *x,
                      const float *w, float *y, float *scratch, long threads) {
    Shape s = {images, height, width, inputs, outputs};
    if (is_direct(s, stride)) {
        direct_forward(s, stride, x, w, y, scratch, threads);
        return;
    }
    float *rest = scratch + planes_of(stride) * words(inputs) * padded(outputs);
    if (stride == 1) {
        winograd_weights(inputs, outputs, w, 0, scratch, threads);
        winograd_apply(s, inputs, outputs, forward_chunk(s, 1), x, scratch, y, rest, threads);
    } else {
        strided_weights(inputs, outputs, w, 0, scratch, threads);
        strided_apply(s, forward_chunk(s, 2), x, scratch, y, rest, threads);
    }
}

/* grad_x and grad_w, either of which may be NULL; x is of floats or, if narrow, of bytes. The gradient of the outputs is
   g or, where that is NULL, what norm makes of the gradients behind it. */
static void backward(Shape all, long stride, int narrow, const void *x, const float *w, const float *g, const Norm *norm,
                     float *grad_x, float *grad_w, float *scratch, long threads) {
    if (is_direct(all, stride)) {
        direct_backward(all, stride, narrow, x, w, g, norm, grad_x, grad_w, scratch, threads);
        return;
    }
    long down = (all.height + stride - 1) / stride, across = (all.width + stride - 1) / stride, planes = planes_of(stride);
    long pixels = down * across, in_size = all.height * all.width * all.inputs, out_size = pixels * all.outputs;
    long slice = g ? all.images : between(1, SLICE / out_size, all.images);
    float *weights = scratch, *sums = weights + planes * words(all.outputs) * padded(all.inputs);
    float *made = sums + planes * all.inputs * padded(all.outputs), *rest = made + (out_size > SLICE ? out_size : SLICE);
    float *more = rest + of_threads(points_of(stride), padded(all.outputs) / PAIR, planes, backward_chunk(all, stride), threads);
    if (grad_x) (stride == 1 ? winograd_weights : strided_weights)(all.inputs, all.outputs, w, 1, weights, threads);
    for (long first = 0; first < all.images; first += slice) {
        Shape s = all;
        s.images = least(slice, all.images - first);
        const float *arriving = g ? g + first * out_size : made;
        if (!g)
            norm_input_grad(first * pixels, (first + s.images) * pixels, norm->rounds, norm->targets, norm->width,
                            norm->normal, norm->grad_out, norm->by_grad, norm->by_normal, norm->add, made, threads);
        if (grad_w) {
            const void *from = narrow ? (const void *)((const uint8_t *)x + first * in_size)
                                      : (const void *)((const float *)x + first * in_size);
            (stride == 1 ? winograd_accumulate : strided_accumulate)(s, narrow, weight_chunk(all, stride), from, arriving,
                                                                     first == 0, sums, more, threads);
        }
        if (grad_x && stride == 1)
            winograd_apply(s, s.outputs, s.inputs, backward_chunk(all, 1), arriving, weights, grad_x + first * in_size,
                           rest, threads);
        else if (grad_x)
            strided_input_grad(s, backward_chunk(all, 2), arriving, weights, grad_x + first * in_size, rest, threads);
    }
    if (grad_w) (stride == 1 ? winograd_weight_grad : strided_weight_grad)(all.inputs, all.outputs, sums, grad_w, threads);
}

void convolve_backward(long images, long height, long width, long inputs, long outputs, long stride, long narrow,
                       const void *x, const float *w, const float *g, float *grad_x, float *grad_w, float *scratch,
                       long threads) {
    Shape s = {images, height, width, inputs, outputs};
    backward(s, stride, narrow, x, w, g, NULL, grad_x, grad_w, scratch, threads);
}

/* The same through the batch norm: see norm_backward for what it takes of it. */
void convolve_norm_backward(long images, long height, long width, long inputs, long outputs, long stride, long narrow,
                            const void *x, const float *w, long rounds, long targets, const half *normal,
                            const float **grad_out, const float *by_grad, const float *by_normal, const float *add,
                            float *grad_x, float *grad_w, float *scratch, long threads) {
    Shape s = {images, height, width, inputs, outputs};
    Norm norm = {rounds, targets, outputs / (rounds * targets), normal, grad_out, by_grad, by_normal, add};
    backward(s, stride, narrow, x, w, NULL, &norm, grad_x, grad_w, scratch, threads);
}
