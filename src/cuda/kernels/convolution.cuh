// Convolution as an implicit matrix product on the tensor cores.
//
// Rows of the product are the pixels of a tile, columns the outputs, and the inner dimension goes over kernel places and
// channels. What lies between two convolutions (normalisation, ReLU, padding, upsampling) happens while a block copies its
// patch of the input into shared memory.
#pragma once
#include "card.cuh"

// Pixels of a tile's row: two fragments of 16. A warp computes one row.
#define TILE_WIDTH 32
#define FRAGMENTS 2

enum Border { REFLECT = 0, REPEAT = 1, ZERO = 2 };
enum Source { TENSOR = 0, PICTURE = 1, BLOCKS = 2 };

struct Convolution {
  // A tensor, or the rows of an RGB picture of `picture_width` x `picture_height`.
  const void* input;
  // Of the input's channels; null: the input is used as it is.
  const float* scale;
  const float* shift;
  // [slice of channels][chunk of 16 products][8 outputs][lane]: fragments of half precision.
  const uint2* weights;
  // Of the outputs, or null.
  const float* bias;
  unsigned short* output;
  // [block][output]{mean, sum of squared deviations}, and the pixels of each block; null: no statistics.
  float2* moments;
  float* counts;
  // Of the input as the convolution sees it.
  int width, height;
  int picture_width, picture_height;
  int out_width, out_height;
  // Of the input, and those that are worked on together.
  int channels, slice;
  // Of the output as it is stored; four times as many are computed where blocks of 2 x 2 pixels are made.
  int stored;
  int kernel, stride, chunks;
  int border, source;
  // Whether ReLU follows the input's scale and shift; whether it follows the bias; whether 2 x 2 pixels are made.
  int relu, relu_output, shuffle;
  // For gradients alone, from here on. Whether the outputs are added to what is there.
  int add;
  // What the outputs are multiplied by, and once more for each pixel (or null).
  float factor;
  const float* pixel_weights;
  // Of the input's size: only where it is not zero does the input count (or null).
  const unsigned short* gate;
};

// Halves from one pixel of a patch to the next: no two of the eight rows that a warp reads at once share a bank.
DEVICE int pitch(int slice) { return slice < 16 ? slice : slice + 8; }

DEVICE int mirrored(int i, int size) {
  i = i < 0 ? -i : i;
  i = i >= size ? 2 * size - 2 - i : i;
  return i < 0 ? 0 : i >= size ? size - 1 : i;
}

DEVICE int within(int i, int size) { return i < 0 ? 0 : i >= size ? size - 1 : i; }

// All bits where a half is not zero.
DEVICE unsigned open(unsigned gate) { return (gate & 0xffffu ? 0xffffu : 0u) | (gate >> 16 ? 0xffff0000u : 0u); }

// Copies the patch of a tile, channels `first` and on, into shared memory.
template <bool GRADIENT>
DEVICE void load_patch(const Convolution& p, unsigned short* patch, const float* norm, int first, int patch_width, int patch_height) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  const int top = int(blockIdx.y) * warps * p.stride - p.kernel / 2, left = int(blockIdx.x) * TILE_WIDTH * p.stride - p.kernel / 2;
  const int pixel = pitch(p.slice);
  for (int row = warp; row < patch_height; row += warps) {
    unsigned short* const to = patch + row * patch_width * pixel;
    int y = top + row;
    const bool row_outside = p.border == ZERO && (y < 0 || y >= p.height);
    y = p.border == REFLECT ? mirrored(y, p.height) : within(y, p.height);
    // Pieces of a pixel: four channels of what comes from a picture or is four channels wide, else eight.
    const int piece = p.source == TENSOR && p.slice >= 8 ? 8 : 4, pieces = p.slice / piece;
    for (int i = lane; i < patch_width * pieces; i += 32) {
      const int column = i / pieces, part = i % pieces;
      int x = left + column;
      const bool outside = row_outside || (p.border == ZERO && (x < 0 || x >= p.width));
      x = p.border == REFLECT ? mirrored(x, p.width) : within(x, p.width);
      unsigned words[4] = {0, 0, 0, 0};
      if (outside) {
      } else if (p.source == PICTURE) {
        const int from_y = mirrored(y, p.picture_height), from_x = mirrored(x, p.picture_width);
        const unsigned char* const rgb = static_cast<const unsigned char*>(p.input) + (size_t(from_y) * p.picture_width + from_x) * 3;
        words[0] = pack(rgb[0] / 255.0f, rgb[1] / 255.0f);
        words[1] = pack(rgb[2] / 255.0f, 0.0f);
      } else if (p.source == BLOCKS) {
        // Channel c of a block of 4 x 4 pixels is colour c % 3 of pixel c / 3.
        float values[4];
        for (int k = 0; k < 4; k++) {
          const int channel = part * 4 + k, in_block = channel / 3;
          const int from_y = mirrored(y * 4 + in_block / 4, p.picture_height), from_x = mirrored(x * 4 + in_block % 4, p.picture_width);
          values[k] = static_cast<const unsigned char*>(p.input)[(size_t(from_y) * p.picture_width + from_x) * 3 + channel % 3] / 255.0f;
        }
        words[0] = pack(values[0], values[1]);
        words[1] = pack(values[2], values[3]);
      } else {
        const int channel = first + part * piece;
        const unsigned short* const from = static_cast<const unsigned short*>(p.input) + (size_t(y) * p.width + x) * p.channels + channel;
        if (piece == 8) {
          const uint4 four = *reinterpret_cast<const uint4*>(from);
          words[0] = four.x, words[1] = four.y, words[2] = four.z, words[3] = four.w;
        } else {
          const uint2 two = *reinterpret_cast<const uint2*>(from);
          words[0] = two.x, words[1] = two.y;
        }
        if (GRADIENT && p.gate != nullptr) {
          const uint4 gate = *reinterpret_cast<const uint4*>(p.gate + (from - static_cast<const unsigned short*>(p.input)));
          words[0] &= open(gate.x), words[1] &= open(gate.y), words[2] &= open(gate.z), words[3] &= open(gate.w);
        }
        if (!GRADIENT && p.scale != nullptr) {
          const float* const scale = norm + part * piece;
          const float* const shift = scale + p.slice;
          for (int k = 0; k < piece / 2; k++) {
            const float2 pair = unpack(words[k]);
            float a = pair.x * scale[2 * k] + shift[2 * k], b = pair.y * scale[2 * k + 1] + shift[2 * k + 1];
            if (p.relu) a = a > 0 ? a : 0, b = b > 0 ? b : 0;
            words[k] = pack(a, b);
          }
        }
      }
      if (piece == 8) {
        *reinterpret_cast<uint4*>(to + column * pixel + part * 8) = uint4{words[0], words[1], words[2], words[3]};
      } else {
        *reinterpret_cast<uint2*>(to + column * pixel + part * 4) = uint2{words[0], words[1]};
      }
    }
  }
}

// Mean and sum of squared deviations of each output over the tile, from the sums in the registers of its warps.
template <int OUTPUTS>
DEVICE void gather_moments(const Convolution& p, const float (&sums)[FRAGMENTS][OUTPUTS][4], float* space, int count, int x0, int y) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32, g = lane / 4, t = lane % 4;
  const int block = blockIdx.y * gridDim.x + blockIdx.x, columns = OUTPUTS * 8 * gridDim.z;
  float* const means = space + warps * OUTPUTS * 8;
  for (int pass = 0; pass < 2; pass++) {
#pragma unroll
    for (int n = 0; n < OUTPUTS; n++)
#pragma unroll
      for (int k = 0; k < 2; k++) {
        const int column = n * 8 + 2 * t + k;
        const float mean = pass ? means[column] : 0.0f;
        float total = 0;
#pragma unroll
        for (int m = 0; m < FRAGMENTS; m++)
#pragma unroll
          for (int half = 0; half < 2; half++) {
            const float value = sums[m][n][half * 2 + k];
            const bool inside = y < p.out_height && x0 + m * 16 + half * 8 + g < p.out_width;
            const float difference = value - mean;
            total += !inside ? 0.0f : pass ? difference * difference : value;
          }
        for (int distance = 4; distance < 32; distance *= 2) total += exchange(total, distance);
        if (g == 0) space[warp * OUTPUTS * 8 + column] = total;
      }
    wait_for_block();
    for (int column = threadIdx.x; column < OUTPUTS * 8; column += blockDim.x) {
      float total = 0;
      for (int w = 0; w < warps; w++) total += space[w * OUTPUTS * 8 + column];
      if (pass) {
        p.moments[size_t(block) * columns + blockIdx.z * OUTPUTS * 8 + column] = float2{means[column], total};
      } else {
        means[column] = total / count;
      }
    }
    wait_for_block();
  }
  if (threadIdx.x == 0) p.counts[block] = float(count);
}

template <int OUTPUTS, bool GRADIENT = false>
DEVICE void convolve(const Convolution& p) {
  SHARED_MEMORY(memory);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32, g = lane / 4, t = lane % 4;
  const int pixel = pitch(p.slice);
  const int patch_width = (TILE_WIDTH - 1) * p.stride + p.kernel, patch_height = (warps - 1) * p.stride + p.kernel;
  // Shared memory: where each pair of products finds its values, scale and shift, the patch.
  int* const offsets = reinterpret_cast<int*>(memory);
  float* const norm = reinterpret_cast<float*>(offsets + p.chunks * 8);
  unsigned short* const patch = reinterpret_cast<unsigned short*>(norm + 2 * p.slice);
  for (int i = threadIdx.x; i < p.chunks * 8; i += blockDim.x) {
    const int place = 2 * i / p.slice, channel = 2 * i % p.slice;
    offsets[i] = place < p.kernel * p.kernel ? (place / p.kernel * patch_width + place % p.kernel) * pixel + channel : 0;
  }
  float sums[FRAGMENTS][OUTPUTS][4];
#pragma unroll
  for (int m = 0; m < FRAGMENTS; m++)
#pragma unroll
    for (int n = 0; n < OUTPUTS; n++)
#pragma unroll
      for (int k = 0; k < 4; k++) sums[m][n][k] = 0;
  const uint2* weights = p.weights + size_t(blockIdx.z) * (p.channels / p.slice) * p.chunks * OUTPUTS * 32 + lane;
  const int row = pixel * p.stride;
  const unsigned short* const own = patch + (warp * p.stride * patch_width + g * p.stride) * pixel;
  for (int first = 0; first < p.channels; first += p.slice) {
    if (p.scale != nullptr)
      for (int i = threadIdx.x; i < 2 * p.slice; i += blockDim.x) norm[i] = i < p.slice ? p.scale[first + i] : p.shift[first + i - p.slice];
    wait_for_block();
    load_patch<GRADIENT>(p, patch, norm, first, patch_width, patch_height);
    wait_for_block();
    for (int chunk = 0; chunk < p.chunks; chunk++) {
      const int near = offsets[chunk * 8 + t], far = offsets[chunk * 8 + 4 + t];
      uint2 b[OUTPUTS];
#pragma unroll
      for (int n = 0; n < OUTPUTS; n++) b[n] = weights[n * 32];
      weights += OUTPUTS * 32;
#pragma unroll
      for (int m = 0; m < FRAGMENTS; m++) {
        const unsigned short* const at = own + m * 16 * row;
        const unsigned a[4] = {
            *reinterpret_cast<const unsigned*>(at + near),
            *reinterpret_cast<const unsigned*>(at + 8 * row + near),
            *reinterpret_cast<const unsigned*>(at + far),
            *reinterpret_cast<const unsigned*>(at + 8 * row + far),
        };
#pragma unroll
        for (int n = 0; n < OUTPUTS; n++) multiply_add(sums[m][n], a, b[n]);
      }
    }
    wait_for_block();
  }
  const int x0 = blockIdx.x * TILE_WIDTH, y = blockIdx.y * warps + warp, outputs = OUTPUTS * 8 * gridDim.z;
#pragma unroll
  for (int n = 0; n < OUTPUTS; n++) {
    const int column = (blockIdx.z * OUTPUTS + n) * 8 + 2 * t;
    const float first_bias = p.bias ? p.bias[column] : 0.0f, second_bias = p.bias ? p.bias[column + 1] : 0.0f;
#pragma unroll
    for (int m = 0; m < FRAGMENTS; m++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        float& a = sums[m][n][half * 2];
        float& b = sums[m][n][half * 2 + 1];
        a += first_bias, b += second_bias;
        if (p.relu_output) a = a > 0 ? a : 0, b = b > 0 ? b : 0;
        const int x = x0 + m * 16 + half * 8 + g;
        if (y >= p.out_height || x >= p.out_width) continue;
        size_t at;
        if (p.shuffle) {
          const int own_channels = outputs / 4, place = column / own_channels;
          at = ((size_t(y) * 2 + place / 2) * p.out_width * 2 + x * 2 + place % 2) * p.stored + column % own_channels;
        } else {
          if (column >= p.stored) continue;
          at = (size_t(y) * p.out_width + x) * p.stored + column;
        }
        unsigned* const to = reinterpret_cast<unsigned*>(p.output + at);
        if (GRADIENT) {
          const float factor = p.factor * (p.pixel_weights != nullptr ? p.pixel_weights[size_t(y) * p.out_width + x] : 1.0f);
          const float2 before = p.add ? unpack(*to) : float2{0, 0};
          *to = pack(before.x + a * factor, before.y + b * factor);
        } else {
          *to = pack(a, b);
        }
      }
  }
  if (p.moments != nullptr) {
    const int wide = p.out_width - x0 < TILE_WIDTH ? p.out_width - x0 : TILE_WIDTH;
    const int rows_left = p.out_height - int(blockIdx.y) * warps, tall = rows_left < warps ? rows_left : warps;
    gather_moments<OUTPUTS>(p, sums, reinterpret_cast<float*>(memory), wide * tall, x0, y);
  }
}

// The sum over all threads of a block, of which every thread gets the same; `space` has room for one number a warp.
DEVICE float block_sum(float value, float* space) {
  for (int distance = 1; distance < 32; distance *= 2) value += exchange(value, distance);
  if (threadIdx.x % 32 == 0) space[threadIdx.x / 32] = value;
  wait_for_block();
  float total = 0;
  for (int i = 0; i < int(blockDim.x) / 32; i++) total += space[i];
  wait_for_block();
  return total;
}
