// What kernels over pictures share: places held inside, luma, sums over a block.
#pragma once
#include "card.cuh"

DEVICE int half_of(int pixels) { return (pixels + 1) / 2; }
DEVICE int inside(int at, int size) { return at < 0 ? 0 : at < size ? at : size - 1; }
DEVICE float within(float value, float least, float most) { return fminf(fmaxf(value, least), most); }

// An input's luma as `Luma` of the processor has it: 0.2126, 0.7152 and 0.0722 in units of 1/65536.
DEVICE int input_luma(const unsigned char* rgb) { return (13933 * rgb[0] + 46871 * rgb[1] + 4732 * rgb[2] + 0x8000) >> 16; }

// Sums of some numbers over all threads of a block, for its first thread; `space` has room for so many a warp.
template <int COUNT>
DEVICE void block_sums(float (&values)[COUNT], float* space) {
#pragma unroll
  for (int k = 0; k < COUNT; k++) {
    for (int distance = 1; distance < 32; distance *= 2) values[k] += exchange(values[k], distance);
    if (threadIdx.x % 32 == 0) space[threadIdx.x / 32 * COUNT + k] = values[k];
  }
  wait_for_block();
  if (threadIdx.x != 0) return;
#pragma unroll
  for (int k = 0; k < COUNT; k++) {
    values[k] = 0;
    for (int warp = 0; warp < int(blockDim.x) / 32; warp++) values[k] += space[warp * COUNT + k];
  }
}
