/* Batch norm in training, weighted by the operations' shares and summed for each node (Eq. 3): two passes over memory
   each way. What the backward pass needs is kept as normalised values of 16 bits: at most the square root of the number
   of rows, so they never overflow.

   Activations lie channels last, [rows][channels] with rows = T * B * H * W. LANES channels of a node go through a block of rows
   at a time, so that narrow nodes cost no more than wide ones. Every thread sums for itself and the sums
   are added in the threads' order, so that equal calls give equal bits. */

#include <math.h>
#include <omp.h>
#include <stdlib.h>

#include "convolutions.h"

#define TOGETHER 4096 /* entries that stay in the first-level cache */

/* Mean and variance per channel of x [rows][channels], around the first row's values, so that nothing cancels. */
static void moments(long rows, long channels, const float *x, double *mean, double *variance, long threads) {
    double *sums = calloc(2 * channels * threads, sizeof *sums);
#pragma omp parallel num_threads(threads) if (rows * channels > SMALL)
    {
        double *own = sums + 2 * channels * omp_get_thread_num();
        float *part = malloc(2 * channels * sizeof *part);
        float *sum = part, *square = part + channels;
#pragma omp for schedule(static)
        for (long block = 0; block < (rows + FLUSH - 1) / FLUSH; block++) {
            long row = block * FLUSH, end = least(row + FLUSH, rows);
            memset(part, 0, 2 * channels * sizeof *part);
            for (; row + 4 <= end; row += 4) {
                const float *a = x + row * channels, *b = a + channels, *c = b + channels, *d = c + channels;
                for (long i = 0; i < channels; i++) {
                    float p = a[i] - x[i], q = b[i] - x[i], r = c[i] - x[i], s = d[i] - x[i];
                    sum[i] += (p + q) + (r + s);
                    square[i] += (p * p + q * q) + (r * r + s * s);
                }
            }
            for (; row < end; row++)
                for (long i = 0; i < channels; i++) {
                    float p = x[row * channels + i] - x[i];
                    sum[i] += p;
                    square[i] += p * p;
                }
            for (long i = 0; i < 2 * channels; i++) own[i] += part[i];
        }
        free(part);
    }
    for (long thread = 1; thread < threads; thread++)
        for (long i = 0; i < 2 * channels; i++) sums[i] += sums[thread * 2 * channels + i];
    for (long i = 0; i < channels; i++) {
        double offset = sums[i] / rows, squares = sums[channels + i] / rows;
        mean[i] = x[i] + offset;
        variance[i] = squares > offset * offset ? squares - offset * offset : 0;
    }
    free(sums);
}

/* Rows that are worked on together. */
static inline long rows_together(long channels) { return channels < TOGETHER ? TOGETHER / channels : 1; }

/* Batch norm of x [rows][rounds][targets][width], weighted by its operation's share, summed over the rounds:
   out_t [rows][width]. member m = round * targets + target has the share shares[index[m]]; shares NULL means 1.
   normal [rows][channels] and inverse_std are kept for the backward pass; the running statistics move on. */
void norm_forward(long rows, long rounds, long targets, long width, const float *x, const float *gamma, const float *beta,
                  const float *shares, const long *index, float eps, float momentum, float *running_mean,
                  float *running_var, float *inverse_std, half *normal, float **out, long threads) {
    long nodes = targets * width, channels = rounds * nodes;
    double *moment = malloc(2 * channels * sizeof *moment);
    float *mean = malloc((2 * channels + nodes) * sizeof *mean), *scale = mean + channels, *shift = scale + channels;
    memset(shift, 0, nodes * sizeof *shift);
    moments(rows, channels, x, moment, moment + channels, threads);
    for (long i = 0; i < channels; i++) {
        double variance = moment[channels + i], unbiased = rows > 1 ? variance * rows / (rows - 1) : variance;
        float share = shares ? shares[index[i / width]] : 1.0f;
        mean[i] = moment[i];
        inverse_std[i] = 1 / sqrt(variance + eps);
        running_mean[i] += momentum * (mean[i] - running_mean[i]);
        running_var[i] += momentum * ((float)unbiased - running_var[i]);
        scale[i] = gamma[i] * share;
        shift[i % nodes] += beta[i] * share;
    }
#pragma omp parallel num_threads(threads) if (rows * channels > SMALL)
    {
        long together = rows_together(channels);
#pragma omp for schedule(static)
        for (long first = 0; first < rows; first += together) {
            long last = least(first + together, rows);
            for (long node = 0; node < nodes; node += width)
                for (long c = 0; c < width; c += LANES) {
                    long count = width - c;
                    float *to = out[node / width] + c;
                    vec before = load(shift + node + c, count), middle = load(mean + node + c, count);
                    vec inverse = load(inverse_std + node + c, count), factor = load(scale + node + c, count);
                    for (long row = first; row < last; row++) {
                        const float *source = x + row * channels;
                        vec value = (load(source + node + c, count) - middle) * inverse, sum = before + value * factor;
                        if (normal) store_half(normal + row * channels + node + c, value, count);
                        for (long i = node + c + nodes; i < channels; i += nodes) {
                            value = (load(source + i, count) - load(mean + i, count)) * load(inverse_std + i, count);
                            if (normal) store_half(normal + row * channels + i, value, count);
                            sum += value * load(scale + i, count);
                        }
                        store(to + row * width, sum, count);
                    }
                }
        }
    }
    free(moment);
    free(mean);
}

/* Gradients of norm_forward but for that of x, of which it fills by_grad, by_normal and add, [channels] each;
   grad_out_t is like out_t. grad_shares is added to. */
void norm_backward(long rows, long rounds, long targets, long width, const half *normal, const float *gamma,
                   const float *beta, const float *shares, const long *index, const float *inverse_std,
                   const float **grad_out, float *by_grad, float *by_normal, float *add, float *grad_gamma,
                   float *grad_beta, float *grad_shares, long threads) {
    long nodes = targets * width, channels = rounds * nodes, together = rows_together(channels);
    double *total = calloc((nodes + channels) * threads, sizeof *total); /* sum of g, then of g * normal */
#pragma omp parallel num_threads(threads) if (rows * channels > SMALL)
    {
        double *own = total + (nodes + channels) * omp_get_thread_num();
#pragma omp for schedule(static)
        for (long first = 0; first < rows; first += together) {
            long last = least(first + together, rows);
            for (long i = 0; i < channels; i += width)
                for (long c = 0; c < width; c += LANES) {
                    long count = width - c;
                    const float *from = grad_out[i % nodes / width] + c;
                    vec sum = {0}, product = {0};
                    for (long row = first; row < last; row++) {
                        vec g = load(from + row * width, count);
                        sum += g;
                        product += g * load_half(normal + row * channels + i + c, count);
                    }
                    for (long l = 0; l < LANES && l < count; l++) {
                        if (i < nodes) own[i + c + l] += sum[l];
                        own[nodes + i + c + l] += product[l];
                    }
                }
        }
    }
    for (long thread = 1; thread < threads; thread++)
        for (long i = 0; i < nodes + channels; i++) total[i] += total[thread * (nodes + channels) + i];
    for (long i = 0; i < channels; i++) {
        float share = shares ? shares[index[i / width]] : 1.0f;
        double to_beta = total[i % nodes], to_gamma = total[nodes + i];
        double scale = (double)gamma[i] * share * inverse_std[i];
        grad_gamma[i] = to_gamma * share;
        grad_beta[i] = to_beta * share;
        if (shares) grad_shares[index[i / width]] += to_gamma * gamma[i] + to_beta * beta[i];
        by_grad[i] = scale;
        by_normal[i] = -scale * to_gamma / rows;
        add[i] = -scale * to_beta / rows;
    }
    free(total);
}

/* grad_x of the rows from .. to, which it begins with; [rows][channels]. */
void norm_input_grad(long from, long to, long rounds, long targets, long width, const half *normal,
                     const float **grad_out, const float *by_grad, const float *by_normal, const float *add,
                     float *grad_x, long threads) {
    long nodes = targets * width, channels = rounds * nodes, together = rows_together(channels);
#pragma omp parallel for num_threads(threads) if ((to - from) * channels > SMALL) schedule(dynamic)
    for (long first = from; first < to; first += together) {
        long last = least(first + together, to);
        for (long i = 0; i < channels; i += width)
            for (long c = 0; c < width; c += LANES) {
                long count = width - c;
                const float *g = grad_out[i % nodes / width] + c;
                vec a = load(by_grad + i + c, count), b = load(by_normal + i + c, count), d = load(add + i + c, count);
                for (long row = first; row < last; row++) {
                    vec value = load_half(normal + row * channels + i + c, count);
                    store(grad_x + (row - from) * channels + i + c, a * load(g + row * width, count) + b * value + d, count);
                }
            }
    }
}
