// What the kernels take from the card: half precision in pairs, products of matrix fragments, exchange within a warp.
//
// The kernels are compiled twice, by CUDA's compiler for the card and by a C++ compiler against `emulator.h`, which runs
// the same source on the processor; so they use nothing but what is declared here.
#pragma once

#ifndef __CUDACC__
#include "../emulator/emulator.h"
#else

#define DEVICE __device__ __forceinline__
#define KERNEL(NAME, PARAMETERS) extern "C" __global__ void __launch_bounds__(256) NAME(const __grid_constant__ PARAMETERS p)
#define SHARED_MEMORY(NAME) extern __shared__ __align__(16) unsigned char NAME[]

DEVICE void wait_for_block() { __syncthreads(); }

// Whether it holds for any thread of the warp.
DEVICE bool warp_has(bool holds) { return __any_sync(0xffffffffu, holds); }

DEVICE float exchange(float value, int distance) { return __shfl_xor_sync(0xffffffffu, value, distance); }

// Two halves in one word, the first in the lower bits.
DEVICE unsigned pack(float first, float second) {
  unsigned word;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(second), "f"(first));
  return word;
}

DEVICE float2 unpack(unsigned word) {
  float2 pair;
  asm("{.reg .b16 a, b; mov.b32 {a, b}, %2; cvt.f32.f16 %0, a; cvt.f32.f16 %1, b;}" : "=f"(pair.x), "=f"(pair.y) : "r"(word));
  return pair;
}

// sum[16][8] += a[16][16] b[16][8], spread over the 32 threads of a warp as `mma.m16n8k16` of the PTX ISA says: with
// g = lane / 4 and t = lane % 4, a holds rows g and g + 8 of columns 2t, 2t + 1 and again of 2t + 8, 2t + 9; b rows 2t,
// 2t + 1 and 2t + 8, 2t + 9 of column g; sum columns 2t, 2t + 1 of row g and of row g + 8.
DEVICE void multiply_add(float (&sum)[4], const unsigned (&a)[4], uint2 b) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b.x), "r"(b.y));
}

#endif
