/* Memory bandwidth as the machine gives it: each thread walks its own part; what is written bypasses the caches where the
   processor can, so that nothing is read that is about to be overwritten. */
#include <omp.h>
#if defined(__AVX512F__) || defined(__AVX2__) || defined(__SSE2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define LANES 16
typedef __m512 lanes;
#define LOAD(p) _mm512_loadu_ps(p)
#define STREAM(p, v) _mm512_stream_ps(p, v)
#define MULTIPLY_ADD(a, b, c) _mm512_fmadd_ps(a, b, c)
#define SPREAD(s) _mm512_set1_ps(s)
#define FENCE() _mm_sfence()
#elif defined(__AVX2__) && defined(__FMA__)
#define LANES 8
typedef __m256 lanes;
#define LOAD(p) _mm256_loadu_ps(p)
#define STREAM(p, v) _mm256_stream_ps(p, v)
#define MULTIPLY_ADD(a, b, c) _mm256_fmadd_ps(a, b, c)
#define SPREAD(s) _mm256_set1_ps(s)
#define FENCE() _mm_sfence()
#else
#define LANES 1
typedef float lanes;
#define LOAD(p) (*(p))
#define STREAM(p, v) (*(p) = (v))
#define MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
#define SPREAD(s) (s)
#define FENCE()
#endif

/* The sum of n floats; n is a multiple of 16. */
float stream_read(const float *x, long n, long threads) {
    float total = 0;
#pragma omp parallel for simd num_threads(threads) reduction(+ : total)
    for (long i = 0; i < n; i++) total += x[i];
    return total;
}

/* y = x; both aligned to 64 bytes. */
void stream_copy(float *y, const float *x, long n, long threads) {
#pragma omp parallel num_threads(threads)
    {
#pragma omp for
        for (long i = 0; i < n; i += LANES) STREAM(y + i, LOAD(x + i));
        FENCE();
    }
}

/* z = x + s y. */
void stream_triad(float *z, const float *x, const float *y, float s, long n, long threads) {
#pragma omp parallel num_threads(threads)
    {
#pragma omp for
        for (long i = 0; i < n; i += LANES) STREAM(z + i, MULTIPLY_ADD(SPREAD(s), LOAD(y + i), LOAD(x + i)));
        FENCE();
    }
}
