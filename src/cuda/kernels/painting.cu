// The feed-forward networks on the card.
//
// Tensors lie as [row][column][channel] in half precision. A layer is one kernel: a tensor crosses the memory bus twice, no
// more. Sums are in single precision, and so are the statistics, gathered from the sums while they are in registers.
#include "convolution.cuh"

KERNEL(convolve_8, Convolution) { convolve<1>(p); }
KERNEL(convolve_16, Convolution) { convolve<2>(p); }
KERNEL(convolve_32, Convolution) { convolve<4>(p); }
KERNEL(convolve_64, Convolution) { convolve<8>(p); }

struct Normalisation {
  const float2* moments;
  const float* counts;
  // The style's, or null for 1 and 0.
  const float* style_scale;
  const float* style_shift;
  float* scale;
  float* shift;
  int blocks, outputs, channels;
  float epsilon;
};

// From the moments of tiles to what instance normalisation multiplies by and adds: one block per channel. Outputs that
// are one channel of the four pixels of a block count together.
KERNEL(normalise, Normalisation) {
  SHARED_MEMORY(sums);
  float* const space = reinterpret_cast<float*>(sums);
  const int channel = blockIdx.x, size = blockDim.x;
  float count = 0, sum = 0;
  for (int i = threadIdx.x; i < p.blocks; i += size)
    for (int o = channel; o < p.outputs; o += p.channels) {
      count += p.counts[i];
      sum += p.counts[i] * p.moments[size_t(i) * p.outputs + o].x;
    }
  count = block_sum(count, space);
  const float mean = block_sum(sum, space) / count;
  float squares = 0;
  for (int i = threadIdx.x; i < p.blocks; i += size)
    for (int o = channel; o < p.outputs; o += p.channels) {
      const float2 own = p.moments[size_t(i) * p.outputs + o];
      squares += own.y + p.counts[i] * (own.x - mean) * (own.x - mean);
    }
  const float variance = block_sum(squares, space) / count;
  if (threadIdx.x == 0) {
    const float style_scale = p.style_scale ? p.style_scale[channel] : 1.0f, style_shift = p.style_shift ? p.style_shift[channel] : 0.0f;
    const float scale = style_scale / sqrtf(variance + p.epsilon);
    p.scale[channel] = scale;
    p.shift[channel] = style_shift - mean * scale;
  }
}

struct Residual {
  // The trunk; what is added to it (or takes its place), with its scale and shift (or null).
  unsigned short* trunk;
  const unsigned short* value;
  const float* scale;
  const float* shift;
  // Pieces of eight channels, and how many make a pixel.
  int pieces, pieces_per_pixel;
  // Whether `value` takes the trunk's place, behind ReLU.
  int begin;
};

KERNEL(residual, Residual) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= p.pieces) return;
  const int channel = i % p.pieces_per_pixel * 8;
  const uint4 value = reinterpret_cast<const uint4*>(p.value)[i];
  uint4 trunk = {0, 0, 0, 0};
  if (!p.begin) trunk = reinterpret_cast<const uint4*>(p.trunk)[i];
  const unsigned from[4] = {value.x, value.y, value.z, value.w}, to[4] = {trunk.x, trunk.y, trunk.z, trunk.w};
  unsigned words[4];
#pragma unroll
  for (int k = 0; k < 4; k++) {
    float2 pair = unpack(from[k]);
    if (p.scale != nullptr) {
      pair.x = pair.x * p.scale[channel + 2 * k] + p.shift[channel + 2 * k];
      pair.y = pair.y * p.scale[channel + 2 * k + 1] + p.shift[channel + 2 * k + 1];
    }
    if (p.begin) {
      words[k] = pack(pair.x > 0 ? pair.x : 0, pair.y > 0 ? pair.y : 0);
    } else {
      const float2 before = unpack(to[k]);
      words[k] = pack(before.x + pair.x, before.y + pair.y);
    }
  }
  reinterpret_cast<uint4*>(p.trunk)[i] = uint4{words[0], words[1], words[2], words[3]};
}

struct Finish {
  // The last layer, four channels a pixel, `width` pixels a row.
  const unsigned short* value;
  const float* scale;
  const float* shift;
  unsigned char* picture;
  int width, picture_width, picture_height;
};

DEVICE unsigned level(float value) {
  const float shown = 255.0f / (1.0f + expf(-value)) + 0.5f;
  return unsigned(shown);
}

// The logistic function of the normalised last layer as an RGB picture; a thread makes four pixels, three words.
KERNEL(finish, Finish) {
  const int group = blockIdx.x * blockDim.x + threadIdx.x, pixels = p.picture_width * p.picture_height;
  if (group * 4 >= pixels) return;
  unsigned levels[12];
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const int pixel = group * 4 + i < pixels ? group * 4 + i : pixels - 1;
    const uint2 two = reinterpret_cast<const uint2*>(p.value)[size_t(pixel / p.picture_width) * p.width + pixel % p.picture_width];
    const float2 a = unpack(two.x), b = unpack(two.y);
    levels[3 * i] = level(a.x * p.scale[0] + p.shift[0]);
    levels[3 * i + 1] = level(a.y * p.scale[1] + p.shift[1]);
    levels[3 * i + 2] = level(b.x * p.scale[2] + p.shift[2]);
  }
  if (group * 4 + 4 <= pixels) {
#pragma unroll
    for (int k = 0; k < 3; k++) {
      const unsigned* const four = levels + 4 * k;
      reinterpret_cast<unsigned*>(p.picture)[group * 3 + k] = four[0] | four[1] << 8 | four[2] << 16 | four[3] << 24;
    }
  } else {
#pragma unroll
    for (int i = 0; i < 12; i++)
      if (group * 12 + i < pixels * 3) p.picture[group * 12 + i] = (unsigned char)levels[i];
  }
}

struct Peak {
  float* out;
  int rounds;
};

// How many products the tensor cores make when nothing has to be fetched: the ceiling of the convolutions.
KERNEL(product_peak, Peak) {
  float sums[8][4] = {};
  unsigned a[4];
  for (int k = 0; k < 4; k++) a[k] = pack(float(threadIdx.x % 7) * 0.01f, float(k) * 0.01f);
  const uint2 b = {pack(0.5f, 0.25f), pack(0.125f, float(threadIdx.x % 5) * 0.1f)};
  for (int round = 0; round < p.rounds; round++) {
#pragma unroll
    for (int i = 0; i < 8; i++) multiply_add(sums[i], a, b);
  }
  float total = 0;
#pragma unroll
  for (int i = 0; i < 8; i++) total += sums[i][0] + sums[i][1] + sums[i][2] + sums[i][3];
  p.out[blockIdx.x * blockDim.x + threadIdx.x] = total;
}
