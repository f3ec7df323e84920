/* As many numbers at once as a register holds, and 16-bit floats where 32 bits are not needed: IEEE half precision to keep,
   bfloat16 to multiply. */

#ifndef LITESNN_LANES_H
#define LITESNN_LANES_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

/* Numbers in a register, and what of a product of matrices the registers hold: sums of ROWS rows and BLOCK vectors. Vectors
   longer than a register would pass through memory at every step. */
#if defined(__AVX512F__)
#define LANES 16
#define ROWS 8
#define BLOCK 3
#elif defined(__AVX2__)
#define LANES 8
#define ROWS 6
#define BLOCK 2
#else
#define LANES 4
#define ROWS 6
#define BLOCK 2
#endif
#if !defined(__AVX512F__) && defined(__AVX2__) && defined(__F16C__)
#define EIGHT_HALVES /* instructions that convert eight of them */
#endif
#define EACH(i, count) _Pragma("GCC ivdep") for (long i = 0; i < count; i++) /* no two arrays overlap */
#define FLUSH 512   /* rows summed in single precision before the sum goes to double */
#define SMALL 16384 /* entries below which starting threads costs more than it saves */

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint8_t bytes __attribute__((vector_size(LANES), aligned(1), may_alias));
typedef _Float16 half;

static inline long least(long a, long b) { return a < b ? a : b; }

/* Channels rounded up to whole vectors. */
static inline long padded(long channels) { return (channels + LANES - 1) / LANES * LANES; }

#if LANES == 8
/* Lanes below count. */
static inline __m256i below(long count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
#endif

/* The first count of LANES values; the rest is 0. */
static inline vec load(const float *from, long count) {
    if (count >= LANES) return *(const vec *)from;
#ifdef __AVX512F__
    return (vec)_mm512_maskz_loadu_ps((1u << count) - 1, from);
#elif LANES == 8
    return (vec)_mm256_maskload_ps(from, below(count));
#else
    vec value = {0};
    for (long i = 0; i < count; i++) value[i] = from[i];
    return value;
#endif
}

static inline vec load_bytes(const uint8_t *from, long count) {
#if defined(__AVX512BW__) && defined(__AVX512VL__) /* compilers convert other than lane by lane only since recently */
    __m128i few = count >= LANES ? _mm_loadu_si128((const __m128i *)from) : _mm_maskz_loadu_epi8((1u << count) - 1, from);
    return (vec)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(few));
#else
    bytes value = {0};
    if (count >= LANES)
        value = *(const bytes *)from;
    else
        for (long i = 0; i < count; i++) value[i] = from[i];
#if LANES == 8
    uint64_t few;
    memcpy(&few, &value, sizeof few);
    return (vec)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)few)));
#else
    return __builtin_convertvector(value, vec);
#endif
#endif
}

static inline void store(float *to, vec value, long count) {
    if (count >= LANES) {
        *(vec *)to = value;
        return;
    }
#ifdef __AVX512F__
    _mm512_mask_storeu_ps(to, (1u << count) - 1, (__m512)value);
#elif LANES == 8
    _mm256_maskstore_ps(to, below(count), (__m256)value);
#else
    float lane[LANES];
    memcpy(lane, &value, sizeof lane);
    for (long i = 0; i < LANES - 1 && i < count; i++) to[i] = lane[i];
#endif
}

/* The first count of LANES numbers of 16 bits, as load and store. */
static inline vec load_half(const half *from, long count) {
#if defined(__AVX512BW__) && defined(__AVX512VL__)
    __mmask16 there = count >= LANES ? 0xffff : (1u << count) - 1;
    return (vec)_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(there, from));
#else
#ifdef EIGHT_HALVES
    if (count >= LANES) return (vec)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)from));
#endif
    vec value = {0};
    for (long i = 0; i < LANES && i < count; i++) value[i] = from[i];
    return value;
#endif
}

static inline void store_half(half *to, vec value, long count) {
#if defined(__AVX512BW__) && defined(__AVX512VL__)
    __mmask16 there = count >= LANES ? 0xffff : (1u << count) - 1;
    _mm256_mask_storeu_epi16(to, there, _mm512_cvtps_ph((__m512)value, _MM_FROUND_TO_NEAREST_INT));
#else
#ifdef EIGHT_HALVES
    if (count >= LANES) {
        _mm_storeu_si128((__m128i *)to, _mm256_cvtps_ph((__m256)value, _MM_FROUND_TO_NEAREST_INT));
        return;
    }
#endif
    for (long i = 0; i < LANES && i < count; i++) to[i] = (half)value[i];
#endif
}

/* Bfloat16: the upper half of a float, rounded to the nearest. */

#ifdef __AVX512BF16__
/* In every lane the first rounded to the lower 16 bits, the second to the upper. */
static inline vec join(vec first, vec second) {
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5,
                                           20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    __m512i both = (__m512i)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
    return (vec)_mm512_permutexvar_epi16(order, both);
}

/* LANES numbers rounded into the memory of half as many words. */
static inline void shorten(vec value, void *to) {
    _mm256_storeu_si256(to, (__m256i)_mm512_cvtneps_pbh((__m512)value));
}

/* sum plus the products of both halves of left, one word, and right. */
static inline vec dot(vec sum, float left, vec right) {
    return (vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_ps(left), (__m512bh)right);
}
#else
typedef uint32_t bits __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

/* Rounded, but still single precision. */
static inline vec rounded(vec value) {
    bits all = (bits)value;
    return (vec)((all + 0x7fff + ((all >> 16) & 1)) & 0xffff0000);
}
#endif

#endif
