/* Leaky integrate-and-fire neurons on a weighted sum of inputs, in single precision: one pass over memory each way. The
   backward pass computes the membrane again from the input current, block by block. The timesteps of a block lie far
   apart, so each is fetched while the one before is worked on.

   Every thread sums for itself and the sums are added in the threads' order, so that equal calls give equal bits. */

#include <math.h>
#include <omp.h>
#include <stdlib.h>

#include "lanes.h"

#define BLOCK 2048       /* entries of one neuron population that stay in the cache over all timesteps */
#define LARGE (6L << 20) /* entries of an array that is better written past the cache */

static inline vec all(float value) { return value - (vec){0}; }

/* a > b ? yes : no. */
static inline vec if_above(vec a, vec b, vec yes, vec no) {
#ifdef __AVX512F__
    __mmask16 above = _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GT_OQ);
    return (vec)_mm512_mask_blend_ps(above, (__m512)no, (__m512)yes);
#else
    typedef int32_t lanes __attribute__((vector_size(4 * LANES)));
    lanes above = a > b;
    return (vec)(((lanes)yes & above) | ((lanes)no & ~above));
#endif
}

/* Writes LANES values, past the cache if that is asked for: then the place is aligned. */
static inline void write_out(float *to, vec value, int past) {
#ifdef __AVX512F__
    if (past) {
        _mm512_stream_ps(to, (__m512)value);
        return;
    }
#else
    (void)past;
#endif
    *(vec *)to = value;
}

static inline int can_stream(const float *to, long length) { return (uintptr_t)to % 64 == 0 && length % LANES == 0; }

static inline vec inverse(vec x) {
#ifdef __AVX512F__
    vec y = (vec)_mm512_rcp14_ps((__m512)x); /* 14 bits; this step doubles them */
    return y * (2 - x * y);
#else
    return 1 / x;
#endif
}

/* The constants of dy/du = factor / (2 + 2 cosh(2 b z)) for |z| < 1/2, which is b/2 (1 - tanh(b z)^2) / tanh(b/2). */
typedef struct {
    float factor, scale; /* scale: square of what z is multiplied by before the series */
    long doublings;
} Surrogate;

static Surrogate surrogate(float b) {
    Surrogate s = {2 * b / tanhf(b / 2), 4 * b * b, 0};
    for (float largest = b; largest > 0.75f; largest /= 2) { /* 2 b z at |z| = 1/2 */
        s.scale /= 4;
        s.doublings++;
    }
    return s;
}

static inline vec slope_at(vec z, Surrogate s) {
    vec square = z * z, x = square * s.scale;
    vec cosh = x * (1.0f / 40320) + 1.0f / 720; /* its series, then cosh 2y = 2 cosh^2 y - 1 */
    cosh = cosh * x + 1.0f / 24;
    cosh = cosh * x + 0.5f;
    cosh = cosh * x + 1.0f;
    for (long i = 0; i < s.doublings; i++) cosh = 2 * cosh * cosh - 1;
    return if_above(all(0.25f), square, s.factor * inverse(2 + 2 * cosh), all(0.0f));
}

/* Eq. 1 on I = sum_k in_k * share_k, every array [timesteps][length]; a share of NULL is 1. I goes to current, unless
   that is NULL. */
void lif_forward(long timesteps, long length, long inputs, const float **in, const float **shares, float tau,
                 float threshold, float *current, float *spikes, long threads) {
    long blocks = (length + BLOCK - 1) / BLOCK;
    vec limit = all(threshold);
    int past = timesteps * length > LARGE && can_stream(spikes, length) && (!current || can_stream(current, length));
#pragma omp parallel for num_threads(threads) if (timesteps * length > SMALL) schedule(static)
    for (long block = 0; block < blocks; block++) {
        long start = block * BLOCK, size = least(length - start, BLOCK), whole = size / LANES * LANES;
        float rest[BLOCK], sum[BLOCK]; /* rest: u * (1 - y) of the timestep before */
        memset(rest, 0, sizeof rest);
        for (long t = 0; t < timesteps; t++) {
            const float *arriving = in[0] + t * length + start;
            float *to = spikes + t * length + start, *kept = current ? current + t * length + start : NULL;
            if (inputs > 1 || shares[0]) {
                for (long k = 0; k < inputs; k++) {
                    const float *source = in[k] + t * length + start;
                    float share = shares[k] ? *shares[k] : 1.0f;
                    if (k == 0) memset(sum, 0, sizeof sum);
                    EACH(i, size) sum[i] += source[i] * share;
                }
                arriving = sum;
            }
            for (long i = 0; i < size; i += LANES) {
                long count = size - i;
                __builtin_prefetch(in[0] + start + i + (t + 1 < timesteps ? (t + 1) * length : BLOCK));
                vec now = load(arriving + i, count), u = now + tau * *(vec *)(rest + i);
                vec y = if_above(u, limit, all(1.0f), all(0.0f));
                *(vec *)(rest + i) = if_above(u, limit, all(0.0f), u);
                if (i < whole) {
                    write_out(to + i, y, past);
                    if (kept) write_out(kept + i, now, past);
                } else {
                    store(to + i, y, count);
                    if (kept) store(kept + i, now, count);
                }
            }
        }
    }
}

/* Gradients of lif_forward: grad is dL/dI, the gradient of every input without a share; where there is one, grad_in_k
   and grad_shares_k are filled. in_k is read where it has a share, and is of bytes. */
void lif_backward(long timesteps, long length, long inputs, const uint8_t **in, const float **shares, float tau,
                  float threshold, float b, const float *current, const float *grad_spikes, float *grad,
                  float **grad_in, float **grad_shares, long threads) {
    long blocks = (length + BLOCK - 1) / BLOCK;
    Surrogate derivative = surrogate(b);
    vec limit = all(threshold);
    int past = timesteps * length > LARGE && can_stream(grad, length), shared = 0;
    for (long k = 0; k < inputs; k++) shared |= shares[k] != NULL;
    double *dots = calloc(threads * inputs, sizeof *dots);
#pragma omp parallel num_threads(threads) if (timesteps * length > SMALL)
    {
        double *dot = dots + omp_get_thread_num() * inputs;
        float *membrane = malloc((timesteps + 2) * BLOCK * sizeof *membrane);
        float *later = membrane + timesteps * BLOCK, *g = later + BLOCK;
#pragma omp for schedule(static)
        for (long block = 0; block < blocks; block++) {
            long start = block * BLOCK, size = least(length - start, BLOCK), whole = size / LANES * LANES;
            memset(later, 0, BLOCK * sizeof *later); /* u * (1 - y) of the timestep before */
            for (long t = 0; t < timesteps; t++)
                for (long i = 0; i < size; i += LANES) {
                    const float *next = t + 1 < timesteps ? current + (t + 1) * length : grad_spikes + t * length;
                    __builtin_prefetch(next + start + i);
                    vec u = load(current + t * length + start + i, size - i) + tau * *(vec *)(later + i);
                    *(vec *)(membrane + t * BLOCK + i) = u;
                    *(vec *)(later + i) = if_above(u, limit, all(0.0f), u);
                }
            memset(later, 0, BLOCK * sizeof *later); /* tau * dL/du of the timestep after */
            for (long t = timesteps - 1; t >= 0; t--) {
                float *to = grad + t * length + start;
                for (long i = 0; i < size; i += LANES) {
                    __builtin_prefetch(t ? grad_spikes + (t - 1) * length + start + i : current + start + BLOCK + i);
                    vec u = *(vec *)(membrane + t * BLOCK + i), slope = slope_at(u - limit, derivative);
                    /* du_{t+1}/du_t = tau * (1 - y_t - u_t * dy/du): the reset is part of the graph. */
                    vec keep = if_above(u, limit, all(0.0f), all(1.0f)) - u * slope;
                    vec now = load(grad_spikes + t * length + start + i, size - i) * slope + *(vec *)(later + i) * keep;
                    *(vec *)(later + i) = tau * now;
                    if (shared) *(vec *)(g + i) = now;
                    if (i < whole)
                        write_out(to + i, now, past);
                    else
                        store(to + i, now, size - i);
                }
                for (long k = 0; k < inputs; k++) {
                    if (!shares[k]) continue;
                    const uint8_t *source = in[k] + t * length + start;
                    float total = 0, share = *shares[k], *scaled = grad_in[k] + t * length + start;
#pragma omp simd reduction(+ : total)
                    for (long i = 0; i < size; i++) total += g[i] * source[i];
                    dot[k] += total;
                    EACH(i, size) scaled[i] = share * g[i];
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
