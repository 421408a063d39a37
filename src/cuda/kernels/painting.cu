// The feed-forward networks on the card.
//
// Tensors lie as [row][column][channel] in half precision, a few in single precision. A layer is one kernel: a tensor crosses the memory bus twice, no
// more. Sums are in single precision; the statistics are gathered from them while they are in registers.
#include "convolution.cuh"

// convolve_S_N_R: slices of S channels, N outputs, R rows a warp.
#define CONVOLVE(SLICE, OUTPUTS, ROWS) \
  KERNEL_OF(convolve_##SLICE##_##OUTPUTS##_##ROWS, Convolution, 2) { convolve<SLICE, OUTPUTS / 16, ROWS>(p); }
#define CONVOLVE_SLICES(OUTPUTS, ROWS) \
  CONVOLVE(4, OUTPUTS, ROWS) CONVOLVE(8, OUTPUTS, ROWS) CONVOLVE(16, OUTPUTS, ROWS) CONVOLVE(32, OUTPUTS, ROWS)
CONVOLVE_SLICES(16, 1)
CONVOLVE_SLICES(16, 2)
CONVOLVE_SLICES(32, 1)
CONVOLVE_SLICES(32, 2)

struct Finish {
  // The last layer, four channels a pixel, `width` pixels a row.
  const unsigned short* value;
  const float* scale;
  const float* shift;
  unsigned char* picture;
  int width, picture_width, picture_height;
};

DEVICE unsigned level(float value) {
  return unsigned(255.0f / (1.0f + expf(-value)) + 0.5f);
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
  const float own = float(threadIdx.x % 7) * 0.01f;
  const uint4 a = {pack(own, 0.0f), pack(own, 0.01f), pack(own, 0.02f), pack(own, 0.03f)};
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
