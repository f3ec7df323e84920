/* Compressed weights: quantised to every candidate bit-width, mixed by the bit-widths' shares and masked (Eq. 8-11). */

#include <float.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>

#include "lanes.h"

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
    long marked = 0;
#pragma omp simd reduction(+ : marked)
    for (long i = 0; i < count; i++) {
        mask[i] = magnitude(scores[i]) >= smallest;
        marked += mask[i];
    }
    for (long i = count - 1; marked > kept; i--)
        if (magnitude(scores[i]) == smallest) {
            mask[i] = 0;
            marked--;
        }
}

/* The same in groups of consecutive scores, n of each: group j starts at the first score from j * n * count / kept on. */
static void mark_groups(long count, const float *scores, long kept, long n, unsigned char *mask) {
    memset(mask, 0, count);
    for (long before = 0, start = 0; before < kept; before += n) {
        long end = before + n < kept ? ((before + n) * count + kept - 1) / kept : count;
        long few = before + n < kept ? n : kept - before;
        for (; few > 0; few--) {
            long best = -1;
            for (long i = start; i < end; i++)
                if (!mask[i] && (best < 0 || magnitude(scores[i]) > magnitude(scores[best]))) best = i;
            mask[best] = 1;
        }
        start = end;
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
   the step per standard deviation. mask NULL: nothing is pruned; n: of N:M masks, or 0. */
void compress_forward(long layers, long outputs, long inputs, long area, long kept, long n, long candidates,
                      const float *weight, const float *scores, const float *shares, const float *half,
                      const float *factor, float *std, unsigned char *mask, float *out, long threads) {
    long row_size = inputs * area, size = outputs * row_size, rows = layers * outputs;
#pragma omp parallel num_threads(threads) if (layers * size > SMALL)
    {
#pragma omp for schedule(static)
        for (long layer = 0; layer < layers; layer++) {
            std[layer] = deviation(size, weight + layer * size);
            if (mask && n)
                mark_groups(size, scores + layer * size, kept, n, mask + layer * size);
            else if (mask)
                mark(size, scores + layer * size, kept, mask + layer * size);
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
