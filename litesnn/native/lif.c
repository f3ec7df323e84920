/* Leaky integrate-and-fire neurons on a weighted sum of inputs, in single precision: one pass over memory each way. The
   backward pass computes the membrane again from the input current, block by block.

   Every thread sums for itself and the sums are added in the threads' order, so that equal calls give equal bits. */

#include <math.h>
#include <omp.h>
#include <stdlib.h>

#include "lanes.h"

#define BLOCK 4096       /* entries of one neuron population that stay in the cache over all timesteps */
#define LARGE (6L << 20) /* entries of an array that is better written past the cache */

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

/* Writes count floats, past the cache if that is asked for and the place allows it. */
static inline void write_out(float *to, const float *from, long count, int past) {
    long i = 0;
#ifdef __AVX512F__
    if (past && (uintptr_t)to % 64 == 0)
        for (; i + LANES <= count; i += LANES) _mm512_stream_ps(to + i, _mm512_loadu_ps(from + i));
#else
    (void)past;
#endif
    memcpy(to + i, from + i, (count - i) * sizeof *to);
}

/* Eq. 1 on I = sum_k in_k * share_k, every array [timesteps][length]; a share of NULL is 1. I goes to current, unless
   that is NULL. */
void lif_forward(long timesteps, long length, long inputs, const float **in, const float **shares, float tau,
                 float threshold, float *current, float *spikes, long threads) {
    long blocks = (length + BLOCK - 1) / BLOCK;
    int past = timesteps * length > LARGE;
#pragma omp parallel for num_threads(threads) if (timesteps * length > SMALL) schedule(static)
    for (long block = 0; block < blocks; block++) {
        long start = block * BLOCK, size = least(length - start, BLOCK);
        float rest[BLOCK], sum[BLOCK], fired[BLOCK]; /* rest: u * (1 - y) of the timestep before */
        memset(rest, 0, sizeof rest);
        for (long t = 0; t < timesteps; t++) {
            const float *arriving = in[0] + t * length + start;
            if (inputs > 1 || shares[0]) {
                for (long k = 0; k < inputs; k++) {
                    const float *source = in[k] + t * length + start;
                    float share = shares[k] ? *shares[k] : 1.0f;
                    if (k == 0) memset(sum, 0, sizeof sum);
                    EACH(i, size) sum[i] += source[i] * share;
                }
                arriving = sum;
            }
            if (current) write_out(current + t * length + start, arriving, size, past);
            EACH(i, size) {
                float u = arriving[i] + tau * rest[i];
                fired[i] = u > threshold ? 1.0f : 0.0f;
                rest[i] = u > threshold ? 0.0f : u;
            }
            write_out(spikes + t * length + start, fired, size, past);
        }
    }
}

/* Gradients of lif_forward: grad is dL/dI, the gradient of every input without a share; where there is one, grad_in_k
   and grad_shares_k are filled. in_k is read where it has a share, and is of bytes. */
void lif_backward(long timesteps, long length, long inputs, const uint8_t **in, const float **shares, float tau,
                  float threshold, float b, const float *current, const float *grad_spikes, float *grad,
                  float **grad_in, float **grad_shares, long threads) {
    long blocks = (length + BLOCK - 1) / BLOCK;
    float factor = 2 * b / tanhf(b / 2);
    int past = timesteps * length > LARGE;
    double *dots = calloc(threads * inputs, sizeof *dots);
#pragma omp parallel num_threads(threads) if (timesteps * length > SMALL)
    {
        double *dot = dots + omp_get_thread_num() * inputs;
        float *membrane = malloc((timesteps + 3) * BLOCK * sizeof *membrane);
        float *later = membrane + timesteps * BLOCK, *g = later + BLOCK, *scaled = g + BLOCK;
#pragma omp for schedule(static)
        for (long block = 0; block < blocks; block++) {
            long start = block * BLOCK, size = least(length - start, BLOCK);
            for (long t = 0; t < timesteps; t++) {
                const float *arriving = current + t * length + start;
                float *u = membrane + t * BLOCK, *before = u - BLOCK;
                if (t == 0)
                    memcpy(u, arriving, size * sizeof *u);
                else
                    EACH(i, size) u[i] = arriving[i] + tau * (before[i] > threshold ? 0.0f : before[i]);
            }
            memset(later, 0, size * sizeof *later); /* tau * dL/du of the timestep after */
            for (long t = timesteps - 1; t >= 0; t--) {
                const float *u = membrane + t * BLOCK, *gy = grad_spikes + t * length + start;
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
                write_out(grad + t * length + start, g, size, past);
                for (long k = 0; k < inputs; k++) {
                    if (!shares[k]) continue;
                    const uint8_t *source = in[k] + t * length + start;
                    float total = 0, share = *shares[k];
#pragma omp simd reduction(+ : total)
                    for (long i = 0; i < size; i++) total += g[i] * source[i];
                    dot[k] += total;
                    EACH(i, size) scaled[i] = share * g[i];
                    write_out(grad_in[k] + t * length + start, scaled, size, past);
                }
            }
        }
        free(membrane);
    }
    for (long k = 0; k < inputs; k++) {
        double total = 0;
        for (long thread = 0; thread < threads; thread++) total += dots[thread * inputs + k];
        if (shares[k]) *grad_shares[k] = total;
    }
    free(dots);
}
