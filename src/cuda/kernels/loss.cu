// The loss network (VGG) on the card, forward and backward with frozen weights.
//
// A gradient by the input of a convolution is a convolution with the kernel turned around. Where a layer's features are zero,
// its ReLU was closed: gradients are zero there, and are so from the moment they are written. A Gram matrix's gradient is a
// convolution of 1 x 1 with a matrix in place of weights. Gradients are stored in half precision, scaled so that they are
// neither lost nor overflow.
#include "convolution.cuh"

// Large tiles of 64 outputs, and for small pictures tiles of which two find room on a multiprocessor.
KERNEL(features_4_2, Convolution) { convolve<4, 4, 2, true>(p); }
KERNEL(features_32_2, Convolution) { convolve<32, 4, 2, true>(p); }
KERNEL(gradient_16_2, Convolution) { convolve<32, 1, 2, true, true>(p); }
KERNEL(gradient_64_2, Convolution) { convolve<32, 4, 2, true, true>(p); }
KERNEL_OF(features_4_1, Convolution, 2) { convolve<4, 4, 1, true>(p); }
KERNEL_OF(features_32_1, Convolution, 2) { convolve<32, 4, 1, true>(p); }
KERNEL_OF(gradient_16_1, Convolution, 2) { convolve<32, 1, 1, true, true>(p); }
KERNEL_OF(gradient_64_1, Convolution, 2) { convolve<32, 4, 1, true, true>(p); }

// All bits where a half is not zero.
DEVICE unsigned open(unsigned gate) { return (gate & 0xffffu ? 0xffffu : 0u) | (gate >> 16 ? 0xffff0000u : 0u); }

struct Pool {
  // Features before pooling, `width` x `height`, and their pieces of eight channels.
  const unsigned short* features;
  // Forward: what is made of them. Backward: the gradient of that, and the gradient before.
  unsigned short* pooled;
  unsigned short* gradient;
  int width, height, pieces, average;
};

DEVICE void larger(unsigned& a, unsigned b) {
  const float2 x = unpack(a), y = unpack(b);
  a = pack(x.x < y.x ? y.x : x.x, x.y < y.y ? y.y : x.y);
}

DEVICE unsigned mean(unsigned a, unsigned b, unsigned c, unsigned d) {
  const float2 e = unpack(a), f = unpack(b), g = unpack(c), h = unpack(d);
  return pack(0.25f * (e.x + f.x + g.x + h.x), 0.25f * (e.y + f.y + g.y + h.y));
}

// 2 x 2 pooling; an odd last row or column is left out.
KERNEL(pool, Pool) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x, columns = p.width / 2, rows = p.height / 2;
  if (i >= columns * rows * p.pieces) return;
  const int piece = i % p.pieces, x = i / p.pieces % columns, y = i / p.pieces / columns;
  const uint4* const from = reinterpret_cast<const uint4*>(p.features) + (size_t(2 * y) * p.width + 2 * x) * p.pieces + piece;
  uint4 a = from[0];
  const uint4 b = from[p.pieces], c = from[size_t(p.width) * p.pieces], d = from[size_t(p.width + 1) * p.pieces];
  if (p.average) {
    a = uint4{mean(a.x, b.x, c.x, d.x), mean(a.y, b.y, c.y, d.y), mean(a.z, b.z, c.z, d.z), mean(a.w, b.w, c.w, d.w)};
  } else {
    larger(a.x, b.x), larger(a.x, c.x), larger(a.x, d.x);
    larger(a.y, b.y), larger(a.y, c.y), larger(a.y, d.y);
    larger(a.z, b.z), larger(a.z, c.z), larger(a.z, d.z);
    larger(a.w, b.w), larger(a.w, c.w), larger(a.w, d.w);
  }
  reinterpret_cast<uint4*>(p.pooled)[i] = a;
}

// The gradient by what was pooled: to the first of the largest, or a quarter to each.
KERNEL(unpool, Pool) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x, columns = (p.width + 1) / 2, rows = (p.height + 1) / 2;
  if (i >= columns * rows * p.pieces) return;
  const int piece = i % p.pieces, x = i / p.pieces % columns, y = i / p.pieces / columns;
  const bool whole = 2 * x + 1 < p.width && 2 * y + 1 < p.height;
  uint4 slope = {0, 0, 0, 0};
  if (whole) slope = reinterpret_cast<const uint4*>(p.pooled)[(size_t(y) * (p.width / 2) + x) * p.pieces + piece];
  const unsigned slopes[4] = {slope.x, slope.y, slope.z, slope.w};
  unsigned values[4][4], out[4][4];
#pragma unroll
  for (int k = 0; k < 4; k++) {
    uint4 four = {0, 0, 0, 0};
    if (whole) four = reinterpret_cast<const uint4*>(p.features)[(size_t(2 * y + k / 2) * p.width + 2 * x + k % 2) * p.pieces + piece];
    values[k][0] = four.x, values[k][1] = four.y, values[k][2] = four.z, values[k][3] = four.w;
  }
#pragma unroll
  for (int word = 0; word < 4; word++) {
    const float2 own = unpack(slopes[word]);
    if (p.average) {
#pragma unroll
      for (int k = 0; k < 4; k++) out[k][word] = pack(0.25f * own.x, 0.25f * own.y) & open(values[k][word]);
    } else {
      float2 best = unpack(values[0][word]);
      int first = 0, second = 0;
#pragma unroll
      for (int k = 1; k < 4; k++) {
        const float2 pair = unpack(values[k][word]);
        if (pair.x > best.x) best.x = pair.x, first = k;
        if (pair.y > best.y) best.y = pair.y, second = k;
      }
#pragma unroll
      for (int k = 0; k < 4; k++) out[k][word] = pack(first == k ? own.x : 0.0f, second == k ? own.y : 0.0f) & open(values[k][word]);
    }
  }
#pragma unroll
  for (int k = 0; k < 4; k++) {
    const int column = 2 * x + k % 2, row = 2 * y + k / 2;
    if (column >= p.width || row >= p.height) continue;
    reinterpret_cast<uint4*>(p.gradient)[(size_t(row) * p.width + column) * p.pieces + piece] = uint4{out[k][0], out[k][1], out[k][2], out[k][3]};
  }
}

DEVICE unsigned weighed(unsigned word, float weight) {
  const float2 pair = unpack(word);
  return pack(pair.x * weight, pair.y * weight);
}

struct Gram {
  const unsigned short* features;
  // Of each pixel, or null.
  const float* pixel_weights;
  // [part][channel][channel].
  float* parts;
  int pixels, channels, pixels_of_part;
};

#define GRAM_PIXELS 64
// Halves from one pixel to the next: rows of eight channels that are read together lie in other banks.
#define GRAM_PITCH 72

// A thread's part of the features of 64 pixels: eight channels of two pixels of the left channels, weighed, and of the right.
DEVICE void read_features(const Gram& p, int first, int end, uint4 (&found)[4]) {
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const int pixel = first + threadIdx.x / 8 + i % 2 * 32, channel = int(i < 2 ? blockIdx.x : blockIdx.y) * 64 + threadIdx.x % 8 * 8;
    found[i] = uint4{0, 0, 0, 0};
    if (pixel >= end) continue;
    const uint4 four = *reinterpret_cast<const uint4*>(p.features + size_t(pixel) * p.channels + channel);
    found[i] = four;
    if (i < 2 && p.pixel_weights != nullptr) {
      const float weight = p.pixel_weights[pixel];
      found[i] = uint4{weighed(four.x, weight), weighed(four.y, weight), weighed(four.z, weight), weighed(four.w, weight)};
    }
  }
}

// Sums of products of 64 x 64 channels over a part of the pixels; a warp makes 16 x 32.
KERNEL(gram, Gram) {
  SHARED_MEMORY(tiles);
  unsigned short* const left = reinterpret_cast<unsigned short*>(tiles);
  unsigned short* const right = left + GRAM_PIXELS * GRAM_PITCH;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
  const int row = warp % 4 * 16, column = warp / 4 * 32;
  const int begin = blockIdx.z * p.pixels_of_part, end = begin + p.pixels_of_part < p.pixels ? begin + p.pixels_of_part : p.pixels;
  // Where a lane's row of eight channels lies: pixels 0-7 and 8-15, and of these the first and the second eight channels.
  const int in_block = lane % 8, block = lane / 8;
  const unsigned short* const left_row = left + (in_block + block / 2 * 8) * GRAM_PITCH + row + block % 2 * 8;
  const unsigned short* const right_row = right + (in_block + block % 2 * 8) * GRAM_PITCH + column + block / 2 * 8;
  float sums[4][4] = {};
  // What is worked on next is on its way.
  uint4 next[4];
  read_features(p, begin, end, next);
  for (int first = begin; first < end; first += GRAM_PIXELS) {
#pragma unroll
    for (int i = 0; i < 4; i++) *reinterpret_cast<uint4*>((i < 2 ? left : right) + (threadIdx.x / 8 + i % 2 * 32) * GRAM_PITCH + threadIdx.x % 8 * 8) = next[i];
    wait_for_block();
    read_features(p, first + GRAM_PIXELS, end, next);
#pragma unroll
    for (int k = 0; k < GRAM_PIXELS; k += 16) {
      const uint4 a = load_turned(left_row + k * GRAM_PITCH);
#pragma unroll
      for (int n = 0; n < 2; n++) {
        const uint4 b = load_turned(right_row + k * GRAM_PITCH + n * 16);
        multiply_add(sums[2 * n], a, uint2{b.x, b.y});
        multiply_add(sums[2 * n + 1], a, uint2{b.z, b.w});
      }
    }
    wait_for_block();
  }
  float* const out = p.parts + size_t(blockIdx.z) * p.channels * p.channels;
#pragma unroll
  for (int n = 0; n < 4; n++)
#pragma unroll
    for (int k = 0; k < 4; k++) {
      const int i = blockIdx.x * 64 + row + g + k / 2 * 8, j = blockIdx.y * 64 + column + n * 8 + 2 * t + k % 2;
      out[size_t(i) * p.channels + j] = sums[n][k];
    }
}

struct Sum {
  const float* parts;
  float* out;
  int count, size;
};

KERNEL(sum_parts, Sum) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= p.size) return;
  // Eight sums, whose reads do not wait for each other.
  float totals[8] = {};
  for (int part = 0; part < p.count; part += 8) {
#pragma unroll
    for (int k = 0; k < 8; k++) totals[k] += part + k < p.count ? p.parts[size_t(part + k) * p.size + i] : 0.0f;
  }
  p.out[i] = ((totals[0] + totals[1]) + (totals[2] + totals[3])) + ((totals[4] + totals[5]) + (totals[6] + totals[7]));
}

struct Difference {
  const unsigned short* features;
  // Null: zeros.
  const unsigned short* target;
  // Of each pixel, or null.
  const float* pixel_weights;
  // Null: none is wanted.
  unsigned short* gradient;
  // One number of each block.
  float* parts;
  int pieces, pieces_per_pixel;
  float slope;
  int add;
};

// The sum of squared differences, weighed, and its gradient.
KERNEL(difference, Difference) {
  SHARED_MEMORY(sums);
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  float total = 0;
  if (i < p.pieces) {
    const float weight = p.pixel_weights != nullptr ? p.pixel_weights[i / p.pieces_per_pixel] : 1.0f;
    const uint4 own = reinterpret_cast<const uint4*>(p.features)[i];
    uint4 other = {0, 0, 0, 0}, before = {0, 0, 0, 0};
    if (p.target != nullptr) other = reinterpret_cast<const uint4*>(p.target)[i];
    if (p.gradient != nullptr && p.add) before = reinterpret_cast<const uint4*>(p.gradient)[i];
    const unsigned a[4] = {own.x, own.y, own.z, own.w}, b[4] = {other.x, other.y, other.z, other.w};
    const unsigned c[4] = {before.x, before.y, before.z, before.w};
    unsigned out[4];
#pragma unroll
    for (int k = 0; k < 4; k++) {
      const float2 feature = unpack(a[k]), target = unpack(b[k]), start = unpack(c[k]);
      const float x = feature.x - target.x, y = feature.y - target.y;
      total += weight * (x * x + y * y);
      out[k] = pack(start.x + p.slope * weight * x, start.y + p.slope * weight * y) & open(a[k]);
    }
    if (p.gradient != nullptr) reinterpret_cast<uint4*>(p.gradient)[i] = uint4{out[0], out[1], out[2], out[3]};
  }
  total = block_sum(total, reinterpret_cast<float*>(sums));
  if (threadIdx.x == 0) p.parts[blockIdx.x] = total;
}
