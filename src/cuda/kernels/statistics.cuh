// What a convolution is told, and the statistics of its outputs.
#pragma once
#include "card.cuh"

// Pixels of a tile's row, four times the eight columns of a product. A warp computes one row or two.
#define TILE_WIDTH 32
#define EIGHTS (TILE_WIDTH / 8)
#define WARPS 8
#define THREADS (32 * WARPS)

enum Border { REFLECT = 0, REPEAT = 1, ZERO = 2 };
enum Source { TENSOR = 0, PICTURE = 1, BLOCKS = 2 };

struct Convolution {
  // A tensor, or the rows of an RGB picture of `picture_width` x `picture_height`.
  const void* input;
  // Of the input's channels; null: the input is used as it is.
  const float* scale;
  const float* shift;
  // What ReLU makes of what is less; null: no ReLU follows.
  const float* least;
  // What is added to the scaled input, and where the sum is kept (or null).
  const unsigned short* trunk;
  unsigned short* trunk_out;
  // [outputs of a block][slice of channels][group][16 outputs][product][lane]: a thread's 8 halves.
  const void* weights;
  // Of the outputs, or null.
  const float* bias;
  // In half precision, or floats where `single_output` says so.
  unsigned short* output;
  // [channel]{sum, its fraction, sum of squares, its fraction}, zeros before and after; null: no statistics.
  unsigned long long* totals;
  // Blocks that are done.
  unsigned* done;
  // The style's, and what the outputs are then to be multiplied by and to be added.
  const float* style_scale;
  const float* style_shift;
  float* next_scale;
  float* next_shift;
  // Of the input as the convolution sees it.
  int width, height;
  int picture_width, picture_height;
  int out_width, out_height;
  // Of the input.
  int channels;
  // Of the output as it is stored; four times as many are computed where blocks of 2 x 2 pixels are made.
  int stored;
  // Rows and columns of the kernel; input pixels from one output to the next, down and across.
  int kernel, kernel_width, stride, stride_across;
  int groups;
  int border, source;
  // Whether the input is in single precision, and the output; whether ReLU follows the bias; whether 2 x 2 pixels are made.
  int single, single_output, relu_output, shuffle;
  // Outputs that are so many apart are one channel of several pixels; how many of these channels the style knows, and how
  // many pixels a channel has.
  int norm_channels, style_channels;
  float pixels, epsilon;
  // For gradients alone, from here on. Whether the outputs are added to what is there.
  int add;
  // What the outputs are multiplied by, and once more for each pixel (or null).
  float factor;
  const float* pixel_weights;
  // Of the output's size: where it is zero the output is not wanted (or null).
  const unsigned short* gate;
};

// Of some numbers.
struct Moments {
  float mean, squares;
};

// Those of two lots together, `share` of which are `b`'s; `squares` are those of deviations from the mean.
DEVICE Moments together(Moments a, Moments b, float count, float share) {
  const float apart = b.mean - a.mean;
  return {a.mean + apart * share, a.squares + b.squares + apart * apart * count * share};
}

DEVICE unsigned long long whole(double value) { return (unsigned long long)(long long)(floor(value)); }
DEVICE unsigned long long fraction(double value) { return (unsigned long long)((value - floor(value)) * 4294967296.0); }

// Mean and squares of each of a thread's outputs over its pixels; `inside` has a bit for each pixel, unless `ALL` are.
template <int TILES, int ROWS, bool ALL>
DEVICE void own_moments(const float (&sums)[TILES][EIGHTS * ROWS][4], unsigned inside, float count, Moments (&own)[2 * TILES]) {
  const float share = count > 0 ? 1.0f / count : 0.0f;
#pragma unroll
  for (int q = 0; q < 2 * TILES; q++) {
    float total = 0, squares = 0;
#pragma unroll
    for (int i = 0; i < 2 * EIGHTS * ROWS; i++) {
      const float value = sums[q / 2][i / 2][q % 2 * 2 + i % 2];
      total += ALL || inside >> i & 1 ? value : 0.0f;
    }
    const float mean = total * share;
#pragma unroll
    for (int i = 0; i < 2 * EIGHTS * ROWS; i++) {
      const float apart = sums[q / 2][i / 2][q % 2 * 2 + i % 2] - mean;
      squares += ALL || inside >> i & 1 ? apart * apart : 0.0f;
    }
    own[q] = {mean, squares};
  }
}

// Adds each output's sum and squares over the tile to its channel's; the last block makes scale and shift of them. Totals
// are integers, which sum up to the same in every order.
template <int TILES, int ROWS>
DEVICE void gather_moments(const Convolution& p, const float (&sums)[TILES][EIGHTS * ROWS][4], void* space, int x0, int y0) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4, OUTPUTS = 16 * TILES;
  unsigned inside = 0;
  float count = 0;
#pragma unroll
  for (int i = 0; i < 2 * EIGHTS * ROWS; i++) {
    const bool is = y0 + i / (2 * EIGHTS) < p.out_height && x0 + i / 2 % EIGHTS * 8 + 2 * t + i % 2 < p.out_width;
    inside |= (is ? 1u : 0u) << i;
    count += is ? 1.0f : 0.0f;
  }
  Moments own[2 * TILES];
  if (y0 + ROWS <= p.out_height && x0 + TILE_WIDTH <= p.out_width) {
    own_moments<TILES, ROWS, true>(sums, inside, count, own);
  } else {
    own_moments<TILES, ROWS, false>(sums, inside, count, own);
  }
  // The four lanes with the same outputs: each keeps half of what it has and gives the other half away.
  int column = g * 2 * TILES;
  bool keeps = true;
#pragma unroll
  for (int level = 0; level < 2; level++) {
    const int distance = 2 >> level, half = TILES >> level;
    const bool upper = lane & distance;
    const float others = exchange(count, distance), both = count + others, share = both > 0 ? others / both : 0.0f;
    if (half > 0) {
#pragma unroll
      for (int i = 0; i < TILES; i++) {
        if (i >= half) break;
        const Moments kept = upper ? own[i + half] : own[i], given = upper ? own[i] : own[i + half];
        const Moments taken = {exchange(given.mean, distance), exchange(given.squares, distance)};
        own[i] = together(kept, taken, count, share);
      }
      column += upper ? half : 0;
    } else {
      const Moments taken = {exchange(own[0].mean, distance), exchange(own[0].squares, distance)};
      own[0] = together(own[0], taken, count, share);
      keeps = keeps && !upper;
    }
    count = both;
  }
  Moments* const of_warps = static_cast<Moments*>(space);
  float* const counts = reinterpret_cast<float*>(of_warps + WARPS * OUTPUTS);
  if (keeps) {
#pragma unroll
    for (int i = 0; i < (TILES < 2 ? 1 : TILES / 2); i++) of_warps[warp * OUTPUTS + column + i] = own[i];
  }
  if (lane == 0) counts[warp] = count;
  wait_for_block();
  // One warp does the rest, while the others put down their outputs.
  if (warp > 0) return;
  if (lane < OUTPUTS) {
    Moments all = of_warps[lane];
    float total = counts[0];
    for (int w = 1; w < WARPS; w++) {
      const float both = total + counts[w];
      all = together(all, of_warps[w * OUTPUTS + lane], total, both > 0 ? counts[w] / both : 0.0f);
      total = both;
    }
    const double mean = all.mean, sum = mean * total, squares = all.squares + mean * sum;
    unsigned long long* const totals = p.totals + (blockIdx.z * OUTPUTS + lane) % p.norm_channels * 4;
    add_up(totals, whole(sum));
    add_up(totals + 1, fraction(sum));
    add_up(totals + 2, whole(squares));
    add_up(totals + 3, fraction(squares));
  }
  // What was added is seen by the block that finds all others done.
  fence();
  wait_for_warp();
  if (!warp_has(lane == 0 && take_turn(p.done, gridDim.x * gridDim.y * gridDim.z))) return;
  fence();
  for (int channel = lane; channel < p.norm_channels; channel += 32) {
    unsigned long long* const totals = p.totals + channel * 4;
    const double sum = double((long long)take_total(totals)) + double(take_total(totals + 1)) / 4294967296.0;
    const double squares = double((long long)take_total(totals + 2)) + double(take_total(totals + 3)) / 4294967296.0;
    if (channel >= p.style_channels) continue;
    const double mean = sum / p.pixels, variance = squares / p.pixels - mean * mean;
    const float scale = p.style_scale[channel] / sqrtf(float(variance > 0 ? variance : 0) + p.epsilon);
    p.next_scale[channel] = scale;
    p.next_shift[channel] = p.style_shift[channel] - float(mean) * scale;
  }
}
