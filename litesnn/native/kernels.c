/* CPU kernels in single precision: LIF neurons, batch norm summed over candidate operations, compressed weights.

   Activations lie channels last: [rows][channels] with rows = T * B * H * W. All arrays are dense. Plain PyTorch does
   the same sums in many passes over memory; these make one or two. Every thread sums for itself and the sums are added
   in the threads' order, so that equal calls give equal bits. litesnn.native compiles this file and binds it. */

#include <float.h>
#include <math.h>
#include <omp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EACH(i, count) _Pragma("GCC ivdep") for (long i = 0; i < count; i++) /* no two arrays overlap */
#define BLOCK 1024 /* entries of one neuron population that stay in the first-level cache over all timesteps */
#define FLUSH 512  /* rows summed in single precision before the sum goes to double */
#define SMALL 16384 /* entries below which starting threads costs more than it saves */

/* exp(-x) for 0 <= x: 2^-n by the exponent's bits, the rest by its series on [-ln 2 / 2, ln 2 / 2]. */
static inline float exp_minus(float x) {
    if (!(x < 80.0f)) x = 80.0f; /* not a number as well */
    float n = floorf(x * 1.44269504f + 0.5f);
    float r = n * 0.693359375f - x; /* ln 2 in two parts, so that the difference stays exact */
    r -= n * 2.12194440e-4f;
    float series = 1.0f / 5040;
    series = series * r + 1.0f / 720;
    series = series * r + 1.0f / 120;
    series = series * r + 1.0f / 24;
    series = series * r + 1.0f / 6;
    series = series * r + 0.5f;
    series = series * r + 1.0f;
    series = series * r + 1.0f;
    union { int bits; float value; } power;
    power.bits = (127 - (int)n) << 23;
    return series * power.value;
}

/* Eq. 1 on I = sum_k in_k * share_k, every array [timesteps][length]; a share of NULL is 1. */
void lif_forward(long timesteps, long length, long inputs, const float **in, const float **shares, float tau,
                 float threshold, float *membrane, float *spikes, long threads) {
    long blocks = (length + BLOCK - 1) / BLOCK;
#pragma omp parallel for num_threads(threads) if (timesteps * length > SMALL) schedule(static)
    for (long block = 0; block < blocks; block++) {
        long start = block * BLOCK, size = length - start < BLOCK ? length - start : BLOCK;
        float rest[BLOCK]; /* tau * u * (1 - y) of the timestep before */
        memset(rest, 0, sizeof rest);
        for (long t = 0; t < timesteps; t++) {
            float current[BLOCK];
            for (long k = 0; k < inputs; k++) {
                const float *source = in[k] + t * length + start;
                float share = shares[k] ? *shares[k] : 1.0f;
                if (k == 0) memset(current, 0, sizeof current);
                EACH(i, size) current[i] += source[i] * share;
            }
            float *u = membrane + t * length + start, *y = spikes + t * length + start;
            EACH(i, size) {
                float now = current[i] + tau * rest[i];
                int fired = now > threshold;
                u[i] = now;
                y[i] = fired ? 1.0f : 0.0f;
                rest[i] = fired ? 0.0f : now;
            }
        }
    }
}

/* Gradients of lif_forward: grad is dL/dI, the gradient of every input without a share; where there is one, grad_in_k
   and grad_shares_k are filled. */
void lif_backward(long timesteps, long length, long inputs, const float **in, const float **shares, float tau,
                  float threshold, float b, const float *membrane, const float *grad_spikes, float *grad,
                  float **grad_in, float **grad_shares, long threads) {
    long blocks = (length + BLOCK - 1) / BLOCK;
    float factor = 2 * b / tanhf(b / 2);
    double *dots = calloc((long)threads * inputs, sizeof *dots);
#pragma omp parallel for num_threads(threads) if (timesteps * length > SMALL) schedule(static)
    for (long block = 0; block < blocks; block++) {
        double *dot = dots + (long)omp_get_thread_num() * inputs;
        long start = block * BLOCK, size = length - start < BLOCK ? length - start : BLOCK;
        float later[BLOCK]; /* tau * dL/du of the timestep after */
        memset(later, 0, sizeof later);
        for (long t = timesteps - 1; t >= 0; t--) {
            const float *u = membrane + t * length + start, *gy = grad_spikes + t * length + start;
            float *g = grad + t * length + start;
            EACH(i, size) {
                float z = fabsf(u[i] - threshold);
                float e = exp_minus(2 * b * z);
                float slope = z < 0.5f ? factor * e / ((1 + e) * (1 + e)) : 0.0f;
                /* du_{t+1}/du_t = tau * (1 - y_t - u_t * dy/du): the reset is part of the graph. */
                float keep = (u[i] > threshold ? 0.0f : 1.0f) - u[i] * slope;
                float now = gy[i] * slope + later[i] * keep;
                g[i] = now;
                later[i] = tau * now;
            }
            for (long k = 0; k < inputs; k++) {
                if (!shares[k]) continue;
                const float *source = in[k] + t * length + start;
                float total = 0, share = *shares[k], *target = grad_in[k] + t * length + start;
#pragma omp simd reduction(+ : total)
                for (long i = 0; i < size; i++) total += g[i] * source[i];
                dot[k] += total;
                EACH(i, size) target[i] = share * g[i];
            }
        }
    }
    for (long k = 0; k < inputs; k++) {
        double total = 0;
        for (long thread = 0; thread < threads; thread++) total += dots[(long)thread * inputs + k];
        if (shares[k]) *grad_shares[k] = total;
    }
    free(dots);
}

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
            long row = block * FLUSH, end = row + FLUSH < rows ? row + FLUSH : rows;
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

/* Batch norm of x [rows][rounds][targets][width], weighted by its operation's share, summed over the rounds:
   out_t [rows][width]. member m = round * targets + target has the share shares[index[m]]; shares NULL means 1.
   mean and inverse_std are kept for the backward pass; the running statistics move on. */
void norm_forward(long rows, long rounds, long targets, long width, const float *x, const float *gamma, const float *beta,
                  const float *shares, const long *index, float eps, float momentum, float *running_mean,
                  float *running_var, float *mean, float *inverse_std, float **out, long threads) {
    long nodes = (long)targets * width, channels = rounds * nodes;
    double *moment = malloc(2 * channels * sizeof *moment);
    float *scale = malloc(channels * sizeof *scale), *shift = calloc(nodes, sizeof *shift);
    moments(rows, channels, x, moment, moment + channels, threads);
    for (long i = 0; i < channels; i++) {
        double variance = moment[channels + i], unbiased = rows > 1 ? variance * rows / (rows - 1) : variance;
        float share = shares ? shares[index[i / width]] : 1.0f;
        mean[i] = moment[i];
        inverse_std[i] = 1 / sqrt(variance + eps);
        running_mean[i] += momentum * (mean[i] - running_mean[i]);
        running_var[i] += momentum * ((float)unbiased - running_var[i]);
        scale[i] = gamma[i] * share * inverse_std[i];
        shift[i % nodes] += beta[i] * share - mean[i] * scale[i];
    }
#pragma omp parallel num_threads(threads) if (rows * channels > SMALL)
    {
        float *sum = malloc(nodes * sizeof *sum);
#pragma omp for schedule(static)
        for (long row = 0; row < rows; row++) {
            const float *source = x + row * channels;
            EACH(i, nodes) sum[i] = shift[i] + source[i] * scale[i];
            for (long offset = nodes; offset < channels; offset += nodes)
                EACH(i, nodes) sum[i] += source[offset + i] * scale[offset + i];
            for (long target = 0; target < targets; target++) {
                float *to = out[target] + row * width;
                EACH(i, width) to[i] = sum[target * width + i];
            }
        }
        free(sum);
    }
    free(moment);
    free(scale);
    free(shift);
}

/* One row of every target, side by side. */
static inline void gather(long row, long targets, long width, const float **from, float *to) {
    for (long target = 0; target < targets; target++) {
        const float *source = from[target] + row * width;
        EACH(i, width) to[target * width + i] = source[i];
    }
}

/* Gradients of norm_forward; grad_out_t like out_t. grad_shares is added to. */
void norm_backward(long rows, long rounds, long targets, long width, const float *x, const float *gamma, const float *beta,
                   const float *shares, const long *index, const float *mean, const float *inverse_std,
                   const float **grad_out, float *grad_x, float *grad_gamma, float *grad_beta, float *grad_shares,
                   long threads) {
    long nodes = (long)targets * width, channels = rounds * nodes;
    double *total = calloc((nodes + channels) * threads, sizeof *total); /* sum of g, then of g * (x - mean) */
    float *by_grad = malloc(3 * channels * sizeof *by_grad), *by_x = by_grad + channels, *add = by_x + channels;
#pragma omp parallel num_threads(threads) if (rows * channels > SMALL)
    {
        double *own = total + (nodes + channels) * omp_get_thread_num();
        float *part = malloc((2 * nodes + channels) * sizeof *part), *g = part + nodes + channels;
#pragma omp for schedule(static)
        for (long block = 0; block < (rows + FLUSH - 1) / FLUSH; block++) {
            long end = (block + 1) * FLUSH < rows ? (block + 1) * FLUSH : rows;
            memset(part, 0, (nodes + channels) * sizeof *part);
            for (long row = block * FLUSH; row < end; row++) {
                gather(row, targets, width, grad_out, g);
                EACH(i, nodes) part[i] += g[i];
                for (long offset = 0; offset < channels; offset += nodes) {
                    const float *source = x + row * channels + offset, *middle = mean + offset;
                    float *product = part + nodes + offset;
                    EACH(i, nodes) product[i] += g[i] * (source[i] - middle[i]);
                }
            }
            for (long i = 0; i < nodes + channels; i++) own[i] += part[i];
        }
        free(part);
    }
    for (long thread = 1; thread < threads; thread++)
        for (long i = 0; i < nodes + channels; i++) total[i] += total[thread * (nodes + channels) + i];
    for (long i = 0; i < channels; i++) {
        float share = shares ? shares[index[i / width]] : 1.0f;
        double to_beta = total[i % nodes], to_gamma = total[nodes + i] * inverse_std[i];
        double scale = (double)gamma[i] * share * inverse_std[i];
        grad_gamma[i] = to_gamma * share;
        grad_beta[i] = to_beta * share;
        if (shares) grad_shares[index[i / width]] += to_gamma * gamma[i] + to_beta * beta[i];
        by_grad[i] = scale;
        by_x[i] = -scale * inverse_std[i] * to_gamma / rows;
        add[i] = -scale * to_beta / rows - (double)by_x[i] * mean[i];
    }
#pragma omp parallel num_threads(threads) if (rows * channels > SMALL)
    {
        float *g = malloc(nodes * sizeof *g);
#pragma omp for schedule(static)
        for (long row = 0; row < rows; row++) {
            gather(row, targets, width, grad_out, g);
            for (long offset = 0; offset < channels; offset += nodes) {
                const float *source = x + row * channels + offset;
                const float *a = by_grad + offset, *b = by_x + offset, *c = add + offset;
                float *to = grad_x + row * channels + offset;
                EACH(i, nodes) to[i] = a[i] * g[i] + b[i] * source[i] + c[i];
            }
        }
        free(g);
    }
    free(total);
    free(by_grad);
}

/* The bits of |score|: as unsigned integers they are in the order of the values. */
static inline uint32_t magnitude(float score) {
    uint32_t bits;
    memcpy(&bits, &score, sizeof bits);
    return bits & 0x7fffffffu;
}

/* The magnitude at place rank, from 0, of the sorted scores: the leading bits by a histogram, the rest among the few
   that share them. left has room for count entries. */
static uint32_t ranked(long count, const float *scores, long rank, uint32_t *left) {
    long histogram[4][2048] = {{0}}; /* four, so that equal neighbours do not wait for each other */
    for (long i = 0; i < count; i++) histogram[i & 3][magnitude(scores[i]) >> 20]++;
    uint32_t lead = 0;
    for (;; lead++) {
        long here = histogram[0][lead] + histogram[1][lead] + histogram[2][lead] + histogram[3][lead];
        if (rank < here) break;
        rank -= here;
    }
    long size = 0;
    for (long i = 0; i < count; i++) {
        left[size] = magnitude(scores[i]);
        size += left[size] >> 20 == lead;
    }
    for (int bit = 19; bit >= 0; bit--) { /* keep the half in which the rank lies */
        long zeros = 0, kept = 0;
        for (long i = 0; i < size; i++) zeros += !(left[i] >> bit & 1);
        uint32_t wanted = rank >= zeros;
        if (wanted) rank -= zeros;
        for (long i = 0; i < size; i++) {
            uint32_t value = left[i];
            left[kept] = value;
            kept += (value >> bit & 1) == wanted;
        }
        size = kept;
    }
    return left[0];
}

/* Marks the kept scores of largest magnitude; of equal ones the first. */
static void mark(long count, const float *scores, long kept, unsigned char *mask) {
    if (kept == 0) {
        memset(mask, 0, count);
        return;
    }
    uint32_t *left = malloc((count + 1) * sizeof *left), smallest = ranked(count, scores, count - kept, left);
    free(left);
    long ties = kept;
    for (long i = 0; i < count; i++) ties -= magnitude(scores[i]) > smallest;
    for (long i = 0; i < count; i++) {
        uint32_t bits = magnitude(scores[i]);
        mask[i] = bits > smallest || (bits == smallest && ties-- > 0);
    }
}

/* Standard deviation with the unbiased estimate of the variance; above 0. */
static float deviation(long count, const float *values) {
    double mean = 0, square = 0;
    for (long start = 0; start < count; start += FLUSH) {
        long end = start + FLUSH < count ? start + FLUSH : count;
        float part = 0;
#pragma omp simd reduction(+ : part)
        for (long i = start; i < end; i++) part += values[i];
        mean += part;
    }
    mean /= count;
    for (long start = 0; start < count; start += FLUSH) {
        long end = start + FLUSH < count ? start + FLUSH : count;
        float part = 0, middle = mean;
#pragma omp simd reduction(+ : part)
        for (long i = start; i < end; i++) part += (values[i] - middle) * (values[i] - middle);
        square += part;
    }
    float result = sqrt(square / (count > 1 ? count - 1 : 1));
    return result > FLT_MIN ? result : FLT_MIN;
}

static inline float level(float weight, float step, float half) {
    float value = floorf(weight / step);
    value = value < -half ? -half : value;
    return (value > half - 1 ? half - 1 : value) + 0.5f;
}

/* Eq. 8-11 of stacked layers, each [outputs][inputs][area] with a standard deviation and a mask of its own:
   out = sum_j share_j * Q_bj(weight) * mask, laid out [layers * outputs][area][inputs]. half_j is 2^(b_j - 1), factor_j
   the step per standard deviation. mask NULL: nothing is pruned. */
void compress_forward(long layers, long outputs, long inputs, long area, long kept, long candidates,
                      const float *weight, const float *scores, const float *shares, const float *half,
                      const float *factor, float *std, unsigned char *mask, float *out, long threads) {
    long row_size = inputs * area, size = outputs * row_size, rows = layers * outputs;
#pragma omp parallel num_threads(threads) if (layers * size > SMALL)
    {
#pragma omp for schedule(static)
        for (long layer = 0; layer < layers; layer++) {
            std[layer] = deviation(size, weight + layer * size);
            if (mask) mark(size, scores + layer * size, kept, mask + layer * size);
        }
        float *mixed = malloc(row_size * sizeof *mixed);
#pragma omp for schedule(static)
        for (long row = 0; row < rows; row++) {
            const float *w = weight + row * row_size;
            memset(mixed, 0, row_size * sizeof *mixed);
            for (long j = 0; j < candidates; j++) {
                float step = factor[j] * std[row / outputs], scale = step * shares[j], most = half[j];
                EACH(i, row_size) mixed[i] += level(w[i], step, most) * scale;
            }
            if (mask) {
                const unsigned char *keep = mask + row * row_size;
                EACH(i, row_size) mixed[i] = keep[i] ? mixed[i] : 0.0f;
            }
            for (long a = 0; a < area; a++)
                for (long i = 0; i < inputs; i++) out[row * row_size + a * inputs + i] = mixed[i * area + a];
        }
        free(mixed);
    }
}

/* Gradients of compress_forward: straight through to the weights and, by way of |score|, to the scores. The results may
   be NULL; grad is laid out like out, grad_shares is [candidates]. */
void compress_backward(long layers, long outputs, long inputs, long area, long candidates, const float *weight,
                       const float *scores, const float *shares, const float *half, const float *factor,
                       const float *std, const unsigned char *mask, const float *grad, float *grad_weight,
                       float *grad_scores, float *grad_shares, long threads) {
    long row_size = inputs * area, rows = layers * outputs;
    float total_share = 0;
    for (long j = 0; j < candidates; j++) total_share += shares[j];
    double *dots = calloc(threads * candidates, sizeof *dots);
#pragma omp parallel num_threads(threads) if (rows * row_size > SMALL)
    {
        double *dot = dots + omp_get_thread_num() * candidates;
        float *g = malloc(2 * row_size * sizeof *g), *mixed = g + row_size;
#pragma omp for schedule(static)
        for (long row = 0; row < rows; row++) {
            const float *w = weight + row * row_size, *s = scores + row * row_size;
            const unsigned char *keep = mask ? mask + row * row_size : NULL;
            for (long a = 0; a < area; a++)
                for (long i = 0; i < inputs; i++) g[i * area + a] = grad[row * row_size + a * inputs + i];
            if (grad_scores) {
                float *to = grad_scores + row * row_size;
                memset(mixed, 0, row_size * sizeof *mixed);
                for (long j = 0; j < candidates; j++) {
                    float step = factor[j] * std[row / outputs], scale = step * shares[j], most = half[j];
                    EACH(i, row_size) mixed[i] += level(w[i], step, most) * scale;
                }
                EACH(i, row_size) to[i] = g[i] * mixed[i] * ((s[i] > 0) - (s[i] < 0));
            }
            if (keep) {
                EACH(i, row_size) g[i] = keep[i] ? g[i] : 0.0f;
            }
            if (grad_weight) {
                float *to = grad_weight + row * row_size;
                EACH(i, row_size) to[i] = g[i] * total_share;
            }
            if (grad_shares)
                for (long j = 0; j < candidates; j++) {
                    float step = factor[j] * std[row / outputs], most = half[j], part = 0;
#pragma omp simd reduction(+ : part)
                    for (long i = 0; i < row_size; i++) part += g[i] * level(w[i], step, most);
                    dot[j] += (double)part * step;
                }
        }
        free(g);
    }
    for (long j = 0; grad_shares && j < candidates; j++) {
        double total = 0;
        for (long thread = 0; thread < threads; thread++) total += dots[thread * candidates + j];
        grad_shares[j] = total;
    }
    free(dots);
}
