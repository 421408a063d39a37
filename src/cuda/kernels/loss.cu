// The loss network (VGG) on the card, forward and backward with frozen weights.
//
// A gradient by the input of a convolution is a convolution with the kernel turned around. Where a layer's features are
// zero, its ReLU was closed: gradients are zero there, and are so from the moment they are written. A Gram matrix's gradient is a convolution of 1 x 1 with a matrix in place of weights.
// Gradients are stored in half precision, scaled so that they are neither lost nor overflow.
#include "convolution.cuh"

KERNEL(features_4, Convolution) { convolve<4, 8, 2, true>(p); }
KERNEL(features_32, Convolution) { convolve<32, 8, 2, true>(p); }
KERNEL(gradient_8, Convolution) { convolve<32, 1, 2, true, true>(p); }
KERNEL(gradient_64, Convolution) { convolve<32, 8, 2, true, true>(p); }

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

struct Gram {
  const unsigned short* features;
  // Of each pixel, or null.
  const float* pixel_weights;
  // [part][channel][channel].
  float* parts;
  int pixels, channels, pixels_of_part;
};

#define GRAM_PIXELS 64
#define GRAM_PITCH 72

// Sums of products of 64 x 64 channels over a part of the pixels, which lie in shared memory as [channel][pixel].
KERNEL(gram, Gram) {
  SHARED_MEMORY(tiles);
  unsigned short* const left = reinterpret_cast<unsigned short*>(tiles);
  unsigned short* const right = left + 64 * GRAM_PITCH;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
  const int row = warp % 4 * 16, column = warp / 4 * 32;
  const int begin = blockIdx.z * p.pixels_of_part, end = begin + p.pixels_of_part < p.pixels ? begin + p.pixels_of_part : p.pixels;
  float sums[4][4] = {};
  for (int first = begin; first < end; first += GRAM_PIXELS) {
    for (int i = threadIdx.x; i < 2 * GRAM_PIXELS * 8; i += blockDim.x) {
      const bool is_left = i < GRAM_PIXELS * 8;
      const int pixel = i / 8 % GRAM_PIXELS, piece = i % 8;
      const int channel = int(is_left ? blockIdx.x : blockIdx.y) * 64 + piece * 8;
      uint4 four = {0, 0, 0, 0};
      float weight = 1;
      if (first + pixel < end) {
        four = *reinterpret_cast<const uint4*>(p.features + size_t(first + pixel) * p.channels + channel);
        if (is_left && p.pixel_weights != nullptr) weight = p.pixel_weights[first + pixel];
      }
      const unsigned words[4] = {four.x, four.y, four.z, four.w};
      unsigned short* const to = (is_left ? left : right) + piece * 8 * GRAM_PITCH + pixel;
#pragma unroll
      for (int k = 0; k < 4; k++) {
        const float2 pair = unpack(words[k]);
        const unsigned word = pack(pair.x * weight, pair.y * weight);
        to[2 * k * GRAM_PITCH] = (unsigned short)(word & 0xffffu);
        to[(2 * k + 1) * GRAM_PITCH] = (unsigned short)(word >> 16);
      }
    }
    wait_for_block();
    for (int k = 0; k < GRAM_PIXELS; k += 16) {
      const unsigned short* const at = left + (row + g) * GRAM_PITCH + k + 2 * t;
      const unsigned a[4] = {
          *reinterpret_cast<const unsigned*>(at),
          *reinterpret_cast<const unsigned*>(at + 8 * GRAM_PITCH),
          *reinterpret_cast<const unsigned*>(at + 8),
          *reinterpret_cast<const unsigned*>(at + 8 * GRAM_PITCH + 8),
      };
#pragma unroll
      for (int n = 0; n < 4; n++) {
        const unsigned short* const from = right + (column + n * 8 + g) * GRAM_PITCH + k + 2 * t;
        multiply_add(sums[n], a, uint2{*reinterpret_cast<const unsigned*>(from), *reinterpret_cast<const unsigned*>(from + 8)});
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
  float total = 0;
  for (int part = 0; part < p.count; part++) total += p.parts[size_t(part) * p.size + i];
  p.out[i] = total;
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
