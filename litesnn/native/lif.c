/* Leaky integrate-and-fire neurons on a weighted sum of inputs, in single precision: one pass over memory each way.

   Every thread sums for itself and the sums are added in the threads' order, so that equal calls give equal bits. */

#include <math.h>
#include <omp.h>
#include <stdlib.h>

#include "lanes.h"

#define BLOCK 1024 /* entries of one neuron population that stay in the first-level cache over all timesteps */

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
