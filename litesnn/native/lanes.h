/* Sixteen numbers at once, and 16-bit floats where 32 bits are not needed: IEEE half precision to keep, bfloat16 to
   multiply. */

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
#if defined(__AVX512BW__) && defined(__AVX512VL__) /* compilers convert other than lane by lane only since recently */
    __m128i few = count >= LANES ? _mm_loadu_si128((const __m128i *)from) : _mm_maskz_loadu_epi8((1u << count) - 1, from);
    return (vec)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(few));
#else
    bytes value = {0};
    if (count >= LANES)
        value = *(const bytes *)from;
    else
        for (long i = 0; i < count; i++) value[i] = from[i];
    return __builtin_convertvector(value, vec);
#endif
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

/* Bfloat16: the upper half of a float, rounded to the nearest. */

typedef uint32_t bits __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

/* In every lane the first rounded to the lower 16 bits, the second to the upper. */
static inline vec join(vec first, vec second) {
#ifdef __AVX512BF16__
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5,
                                           20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    __m512i both = (__m512i)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
    return (vec)_mm512_permutexvar_epi16(order, both);
#else
    bits low = (bits)first, high = (bits)second;
    low = (low + 0x7fff + ((low >> 16) & 1)) >> 16;
    high = (high + 0x7fff + ((high >> 16) & 1)) & 0xffff0000;
    return (vec)(low | high);
#endif
}

/* LANES numbers rounded into the memory of half as many words. */
static inline void shorten(vec value, void *to) {
#ifdef __AVX512BF16__
    _mm256_storeu_si256(to, (__m256i)_mm512_cvtneps_pbh((__m512)value));
#else
    bits rounded = (bits)value;
    rounded = (rounded + 0x7fff + ((rounded >> 16) & 1)) >> 16;
    for (long i = 0; i < LANES; i++) memcpy((uint16_t *)to + i, &(uint16_t){rounded[i]}, sizeof(uint16_t));
#endif
}

/* sum plus the products of both halves of left, one word, and right. */
static inline vec dot(vec sum, float left, vec right) {
#ifdef __AVX512BF16__
    return (vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_ps(left), (__m512bh)right);
#else
    bits a, b = (bits)right;
    uint32_t word;
    memcpy(&word, &left, sizeof word);
    a = word + (bits){0};
    return sum + (vec)(a << 16) * (vec)(b << 16) + (vec)(a & 0xffff0000) * (vec)(b & 0xffff0000);
#endif
}

#endif
