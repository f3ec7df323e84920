/* The parts of a convolution, of stride 1 in winograd.c, of stride 2 in strided.c and of few channels in direct.c, and of
   the batch norm behind it.

   Scratch, in words: for the weights planes * inputs * padded(outputs), backwards planes * outputs * padded(inputs); for
   the sums the former; per thread, to apply them, the transforms of a chunk of tiles before and after the product;
   to accumulate them, the transforms of a chunk of both factors. */

#ifndef LITESNN_CONVOLUTIONS_H
#define LITESNN_CONVOLUTIONS_H

#include "products.h"

/* Every function exists for both precisions: see products.h. */
#ifdef BF16
#define winograd_weights winograd_weights_bf16
#define winograd_apply winograd_apply_bf16
#define winograd_accumulate winograd_accumulate_bf16
#define winograd_weight_grad winograd_weight_grad_bf16
#define strided_weights strided_weights_bf16
#define strided_apply strided_apply_bf16
#define strided_input_grad strided_input_grad_bf16
#define strided_accumulate strided_accumulate_bf16
#define strided_weight_grad strided_weight_grad_bf16
#define direct_forward_scratch direct_forward_scratch_bf16
#define direct_forward direct_forward_bf16
#define direct_backward_scratch direct_backward_scratch_bf16
#define direct_backward direct_backward_bf16
#define forward_scratch forward_scratch_bf16
#define backward_scratch backward_scratch_bf16
#define convolve_forward convolve_forward_bf16
#define convolve_backward convolve_backward_bf16
#define convolve_norm_backward convolve_norm_backward_bf16
#endif

/* What lies between a convolution and the gradients that arrive: a batch norm, or nothing. */
typedef struct {
    long rounds, targets, width;
    const half *normal;
    const float **grad_out, *by_grad, *by_normal, *add;
} Norm;

void winograd_weights(long inputs, long outputs, const float *w, int backwards, float *u, long threads);
void winograd_apply(Shape shape, long from, long to, long chunk, const float *x, const float *u, float *y,
                    float *scratch, long threads);
void winograd_accumulate(Shape shape, int narrow, long chunk, const void *x, const float *g, int new, float *u,
                         float *scratch, long threads);
void winograd_weight_grad(long inputs, long outputs, const float *u, float *grad_w, long threads);

void strided_weights(long inputs, long outputs, const float *w, int backwards, float *u, long threads);
void strided_apply(Shape shape, long chunk, const float *x, const float *u, float *y, float *scratch, long threads);
void strided_input_grad(Shape shape, long chunk, const float *g, const float *u, float *y, float *scratch,
                        long threads);
void strided_accumulate(Shape shape, int narrow, long chunk, const void *x, const float *g, int new, float *u,
                        float *scratch, long threads);
void strided_weight_grad(long inputs, long outputs, const float *u, float *grad_w, long threads);

long direct_forward_scratch(Shape shape, long threads);
void direct_forward(Shape shape, long stride, const float *x, const float *w, float *y, float *scratch, long threads);
long direct_backward_scratch(Shape shape, long stride, long threads);
void direct_backward(Shape shape, long stride, int narrow, const void *x, const float *w, const float *g,
                     const Norm *norm, float *grad_x, float *grad_w, float *scratch, long threads);

void norm_input_grad(long from, long to, long rounds, long targets, long width, const half *normal,
                     const float **grad_out, const float *by_grad, const float *by_normal, const float *add,
                     float *grad_x, long threads);

#endif
