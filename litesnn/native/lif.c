/* Leaky integrate-and-fire neurons on a weighted sum of inputs, in single precision: one pass over memory each way. The
   backward pass computes the membrane again from the input current. LANES neurons go through all timesteps at a time, their
   membrane in registers; the timesteps lie far apart in memory, so each is fetched a little ahead.

   Every thread sums for itself and the sums are added in the threads' order, so that equal calls give equal bits. */

#include <math.h>
#include <omp.h>
#include <stdlib.h>

#include "lanes.h"

#define GROUP 1024       /* neurons whose gradients of all timesteps stay in the cache for the inputs' gradients */
#define AHEAD 64         /* entries from what is worked on to what is fetched */
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

/* Spikes in bytes. */
static inline void store_bytes(uint8_t *to, vec spikes, long count) {
#if defined(__AVX512BW__) && defined(__AVX512VL__)
    __m128i few = _mm512_cvtepi32_epi8(_mm512_cvttps_epi32((__m512)spikes));
    _mm_mask_storeu_epi8(to, count >= LANES ? 0xffff : (1u << count) - 1, few);
#else
    for (long i = 0; i < LANES && i < count; i++) to[i] = spikes[i];
#endif
}

static inline vec inverse(vec x) {
#ifdef __AVX512F__
    vec y = (vec)_mm512_rcp14_ps((__m512)x); /* 14 bits; this step doubles them */
    return y * (2 - x * y);
#else
    return 1 / x;
#endif
}

/* The constants of dy/du = factor / cosh(b z)^2 for |z| < 1/2, which is b/2 (1 - tanh(b z)^2) / tanh(b/2). */
typedef struct {
    float factor, scale; /* scale: square of what z is multiplied by before the series */
    long doublings;
} Surrogate;

static Surrogate surrogate(float b) {
    Surrogate s = {b / 2 / tanhf(b / 2), b * b, 0};
    for (float largest = b / 2; largest > 1.5f; largest /= 2) { /* b z at |z| = 1/2 */
        s.scale /= 4;
        s.doublings++;
    }
    return s;
}

static inline vec slope_at(vec z, Surrogate s) {
    vec square = z * z, x = square * s.scale;
    vec cosh = x * (1.0f / 3628800) + 1.0f / 40320; /* its series, then cosh 2y = 2 cosh^2 y - 1 */
    cosh = cosh * x + 1.0f / 720;
    cosh = cosh * x + 1.0f / 24;
    cosh = cosh * x + 0.5f;
    cosh = cosh * x + 1.0f;
    for (long i = 0; i < s.doublings; i++) {
        cosh = if_above(cosh, all(1e9f), all(1e9f), cosh); /* its square would be infinite; the slope is 0 either way */
        cosh = 2 * cosh * cosh - 1;
    }
    return if_above(all(0.25f), square, s.factor * inverse(cosh * cosh), all(0.0f));
}

/* Eq. 1 on I = sum_k in_k * share_k, every array [timesteps][length]; a share of NULL is 1. I goes to current and the
   spikes once more to in_bytes, unless these are NULL. */
void lif_forward(long timesteps, long length, long inputs, const float **in, const float **shares, float tau,
                 float threshold, float *current, float *spikes, uint8_t *in_bytes, long threads) {
    long blocks = (length + GROUP - 1) / GROUP;
    vec limit = all(threshold);
    int past = timesteps * length > LARGE && can_stream(spikes, length) && (!current || can_stream(current, length));
#pragma omp parallel for num_threads(threads) if (timesteps * length > SMALL) schedule(static)
    for (long block = 0; block < blocks; block++) {
        long end = least(length, (block + 1) * GROUP);
        for (long i = block * GROUP; i < end; i += LANES) {
            long count = end - i;
            vec rest = {0}; /* u * (1 - y) of the timestep before */
            for (long t = 0; t < timesteps; t++) {
                long at = t * length + i;
                __builtin_prefetch(in[0] + at + AHEAD);
                vec now = load(in[0] + at, count);
                if (shares[0]) now *= *shares[0];
                for (long k = 1; k < inputs; k++) now += load(in[k] + at, count) * (shares[k] ? *shares[k] : 1.0f);
                vec u = now + tau * rest, y = if_above(u, limit, all(1.0f), all(0.0f));
                rest = if_above(u, limit, all(0.0f), u);
                if (in_bytes) store_bytes(in_bytes + at, y, count);
                if (count >= LANES) {
                    write_out(spikes + at, y, past);
                    if (current) write_out(current + at, now, past);
                } else {
                    store(spikes + at, y, count);
                    if (current) store(current + at, now, count);
                }
            }
        }
    }
}

/* Gradients of lif_forward: grad is dL/dI, the gradient of every input without a share; where there is one, grad_in_k
   and grad_shares_k are filled. in_k is read where it has a share, and is of bytes. Of grad_spikes, width entries lie side
   by side, then step entries further the next; where that is not the same, width is a multiple of LANES. */
void lif_backward(long timesteps, long length, long inputs, const uint8_t **in, const float **shares, float tau,
                  float threshold, float b, const float *current, const float *grad_spikes, long width, long step, float *grad,
                  float **grad_in, float **grad_shares, long threads) {
    long blocks = (length + GROUP - 1) / GROUP, apart = length / width * step; /* of timesteps in grad_spikes */
    Surrogate derivative = surrogate(b);
    vec limit = all(threshold);
    int past = timesteps * length > LARGE && can_stream(grad, length), shared = 0;
    for (long k = 0; k < inputs; k++) shared |= shares[k] != NULL;
    double *dots = calloc(threads * inputs, sizeof *dots);
#pragma omp parallel num_threads(threads) if (timesteps * length > SMALL)
    {
        double *dot = dots + omp_get_thread_num() * inputs;
        float *kept = malloc(timesteps * (GROUP + LANES) * sizeof *kept), *membrane = kept + timesteps * GROUP;
#pragma omp for schedule(static)
        for (long block = 0; block < blocks; block++) {
            long start = block * GROUP, size = least(length - start, GROUP);
            for (long i = 0; i < size; i += LANES) {
                long count = size - i;
                const float *arriving = current + start + i;
                const float *grads = grad_spikes + (start + i) / width * step + (start + i) % width;
                vec rest = {0}, later = {0}; /* u * (1 - y) of the timestep before; tau * dL/du of the timestep after */
                for (long t = 0; t < timesteps; t++) {
                    __builtin_prefetch(arriving + t * length + AHEAD);
                    vec u = load(arriving + t * length, count) + tau * rest;
                    *(vec *)(membrane + t * LANES) = u;
                    rest = if_above(u, limit, all(0.0f), u);
                }
                for (long t = timesteps - 1; t >= 0; t--) {
                    __builtin_prefetch(grads + t * apart + AHEAD);
                    float *to = grad + t * length + start + i;
                    vec u = *(vec *)(membrane + t * LANES), slope = slope_at(u - limit, derivative);
                    /* du_{t+1}/du_t = tau * (1 - y_t - u_t * dy/du): the reset is part of the graph. */
                    vec keep = if_above(u, limit, all(0.0f), all(1.0f)) - u * slope;
                    vec now = load(grads + t * apart, count) * slope + later * keep;
                    later = tau * now;
                    if (shared) *(vec *)(kept + t * GROUP + i) = now;
                    if (count >= LANES)
                        write_out(to, now, past);
                    else
                        store(to, now, count);
                }
            }
            for (long k = 0; k < inputs; k++) {
                if (!shares[k]) continue;
                for (long t = 0; t < timesteps; t++) {
                    const uint8_t *source = in[k] + t * length + start;
                    float total = 0, share = *shares[k], *scaled = grad_in[k] + t * length + start, *g = kept + t * GROUP;
#pragma omp simd reduction(+ : total)
                    for (long i = 0; i < size; i++) total += g[i] * source[i];
                    dot[k] += total;
                    EACH(i, size) scaled[i] = share * g[i];
                }
            }
        }
        free(kept);
    }
    for (long k = 0; k < inputs; k++) {
        double total = 0;
        for (long thread = 0; thread < threads; thread++) total += dots[thread * inputs + k];
        if (shares[k]) *grad_shares[k] = total;
    }
    free(dots);
}
