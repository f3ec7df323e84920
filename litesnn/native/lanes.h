/* Sixteen numbers at once, and 16-bit floats (IEEE half precision) kept where 32 bits are not needed. */

#ifndef LITESNN_LANES_H
#define LITESNN_LANES_H

#include <stdint.h>
#include <string.h>

#ifdef __AVX512F__
#include <immintrin.h>
#endif

#define LANES 16
#define EACH(i, count) _Pragma("GCC ivdep") for (long i = 0; i < count; i++) /* no two arrays overlap */
#define FLUSH 512   /* rows summed in single precision before the sum goes to double */
#define SMALL 16384 /* entries below which starting threads costs more than it saves */

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint8_t bytes __attribute__((vector_size(LANES), aligned(1), may_alias));
typedef _Float16 half;

static inline long least(long a, long b) { return a < b ? a : b; }

/* Channels rounded up to whole vectors. */
static inline long padded(long channels) { return (channels + LANES - 1) / LANES * LANES; }

/* The first count of LANES values; the rest is 0. */
static inline vec load(const float *from, long count) {
    if (count >= LANES) return *(const vec *)from;
#ifdef __AVX512F__
    return (vec)_mm512_maskz_loadu_ps((1u << count) - 1, from);
#else
    vec value = {0};
    for (long i = 0; i < count; i++) value[i] = from[i];
    return value;
#endif
}

static inline vec load_bytes(const uint8_t *from, long count) {
    bytes value = {0};
    if (count >= LANES)
        value = *(const bytes *)from;
    else
        for (long i = 0; i < count; i++) value[i] = from[i];
    return __builtin_convertvector(value, vec);
}

static inline void store(float *to, vec value, long count) {
    if (count >= LANES) {
        *(vec *)to = value;
        return;
    }
#ifdef __AVX512F__
    _mm512_mask_storeu_ps(to, (1u << count) - 1, (__m512)value);
#else
    for (long i = 0; i < count; i++) to[i] = value[i];
#endif
}

static inline void to_half(long count, const float *from, half *to) {
    long i = 0;
#ifdef __AVX512F__
    for (; i + LANES <= count; i += LANES)
        _mm256_storeu_si256((__m256i *)(to + i), _mm512_cvtps_ph(_mm512_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
#endif
    for (; i < count; i++) to[i] = (half)from[i];
}

static inline void from_half(long count, const half *from, float *to) {
    long i = 0;
#ifdef __AVX512F__
    for (; i + LANES <= count; i += LANES)
        _mm512_storeu_ps(to + i, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(from + i))));
#endif
    for (; i < count; i++) to[i] = from[i];
}

#endif
