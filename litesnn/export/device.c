/* A spiking network on a device: C99, no library, no heap, no floating point. Its tables are in the header.
 *
 * Neurons are computed one after another, all timesteps of a row at once: the membrane is a local variable, and what
 * stays in memory is one bit per neuron and timestep. Currents and membranes have LSNN_FRACTION binary places.
 */
#include "@HEADER@"

uint8_t lsnn_spikes[LSNN_SPIKE_BYTES];

static int fired(uint32_t bit) { return lsnn_spikes[bit >> 3] >> (bit & 7) & 1; }

/* Kept weights of one filter met by spikes at timestep t; (y, x) is the output's place. */
static int32_t gather(const lsnn_layer_t *layer, uint32_t filter, int t, int y, int x)
{
    int32_t sum = 0;
    for (uint32_t w = lsnn_first[filter]; w < lsnn_first[filter + 1]; w++) {
        int tap = lsnn_tap[w] >> 4, pad = layer->kernel / 2;
        int row = y * layer->stride + tap / layer->kernel - pad, column = x * layer->stride + tap % layer->kernel - pad;
        if (row < 0 || column < 0 || row >= layer->height || column >= layer->width)
            continue;
        uint32_t channel = lsnn_input[w], read = layer->reads;
        while (channel >= lsnn_rows[lsnn_reads[read]].channels)
            channel -= lsnn_rows[lsnn_reads[read++]].channels;
        const lsnn_row_t *from = &lsnn_rows[lsnn_reads[read]];
        uint32_t place = (t * from->channels + channel) * from->height + row;
        if (fired(from->spikes + place * from->width + column))
            sum += 2 * (lsnn_tap[w] & 15) - layer->offset;
    }
    return sum;
}

/* The stem's current: its inputs are no spikes, and the same at every timestep. */
static int64_t stem(const uint8_t *pixels, uint32_t filter, int y, int x)
{
    const lsnn_layer_t *layer = &lsnn_layers[0];
    int64_t sum = 0, scale = lsnn_scale[filter];
    for (uint32_t w = lsnn_first[filter]; w < lsnn_first[filter + 1]; w++) {
        int row = y + (lsnn_tap[w] >> 4) / 3 - 1, column = x + (lsnn_tap[w] >> 4) % 3 - 1, channel = lsnn_input[w];
        if (row < 0 || column < 0 || row >= layer->height || column >= layer->width)
            continue;
        int pixel = pixels[(channel * layer->height + row) * layer->width + column];
        sum += (int64_t)(2 * (lsnn_tap[w] & 15) - layer->offset) * lsnn_pixel[channel * 256 + pixel];
    }
    /* sum has LSNN_PIXEL_FRACTION places; the scale in two parts keeps the product within 64 bits. */
    return ((sum * (scale >> 20)) >> (LSNN_PIXEL_FRACTION - 20)) + ((sum * (scale & 0xfffff)) >> LSNN_PIXEL_FRACTION);
}

static void compute(const lsnn_row_t *row, const uint8_t *pixels)
{
    uint32_t size = (uint32_t)row->height * row->width, neurons = row->channels * size;
    for (uint32_t n = 0; n < neurons; n++) {
        uint32_t channel = n / size;
        int y = n % size / row->width, x = n % row->width, before = 0;
        int64_t membrane = 0, frame = row == lsnn_rows ? stem(pixels, channel, y, x) : 0;
        for (int t = 0; t < LSNN_TIMESTEPS; t++) {
            int64_t current = lsnn_bias[row->bias + channel] + frame;
            for (int l = row->layer; row != lsnn_rows && l < row->layer + row->layers; l++) {
                uint32_t filter = lsnn_layers[l].filter + channel;
                current += lsnn_scale[filter] * gather(&lsnn_layers[l], filter, t, y, x);
            }
            for (int s = row->skip; s < row->skip + row->skips; s++) {
                const lsnn_row_t *from = &lsnn_rows[lsnn_skips[s].row];
                int source = lsnn_skip_channel[lsnn_skips[s].first + channel];
                if (source < from->channels && fired(from->spikes + (t * from->channels + source) * size + n % size))
                    current += (int64_t)1 << LSNN_FRACTION;
            }
            membrane = (before ? 0 : membrane * LSNN_DECAY_NUMERATOR / LSNN_DECAY_DENOMINATOR) + current;
            before = membrane > LSNN_THRESHOLD;
            uint32_t bit = row->spikes + (uint32_t)t * neurons + n;
            if (before)
                lsnn_spikes[bit >> 3] |= (uint8_t)(1 << (bit & 7));
            else
                lsnn_spikes[bit >> 3] &= (uint8_t)~(1 << (bit & 7));
        }
    }
}

int lsnn_classify(const uint8_t *pixels, int32_t *scores)
{
    const lsnn_layer_t *last = &lsnn_layers[LSNN_LAYERS - 1];
    int best = 0;
    for (int r = 0; r < LSNN_ROWS; r++)
        compute(&lsnn_rows[r], pixels);
    for (int k = 0; k < LSNN_CLASSES; k++) {
        scores[k] = 0;
        for (int t = 0; t < LSNN_TIMESTEPS; t++)
            for (int y = 0; y < last->height; y++)
                for (int x = 0; x < last->width; x++)
                    scores[k] += gather(last, last->filter + k, t, y, x);
        if (scores[k] > scores[best])
            best = k;
    }
    return best;
}
