// What the kernels take from the card: half precision in pairs, products of matrix fragments, exchange within a warp.
//
// The kernels are compiled twice, by CUDA's compiler for the card and by a C++ compiler against `emulator.h`, which runs
// the same source on the processor; so they use nothing but what is declared here.
#pragma once

#ifndef __CUDACC__
#include "../emulator/emulator.h"
#else

#define DEVICE __device__ __forceinline__
#define KERNEL(NAME, PARAMETERS) KERNEL_OF(NAME, PARAMETERS, 1)
// So many blocks of 256 threads are to find room on a multiprocessor.
#define KERNEL_OF(NAME, PARAMETERS, BLOCKS) \
  extern "C" __global__ void __launch_bounds__(256, BLOCKS) NAME(const __grid_constant__ PARAMETERS p)
#define SHARED_MEMORY(NAME) extern __shared__ __align__(16) unsigned char NAME[]

DEVICE void wait_for_block() { __syncthreads(); }

DEVICE void wait_for_warp() { __syncwarp(); }

// Whether it holds for any thread of the warp.
DEVICE bool warp_has(bool holds) { return __any_sync(0xffffffffu, holds); }

DEVICE float exchange(float value, int distance) { return __shfl_xor_sync(0xffffffffu, value, distance); }

// Adds to a number that all blocks add to.
DEVICE void add_up(unsigned long long* total, unsigned long long value) { atomicAdd(total, value); }

// What they added; zero is left.
DEVICE unsigned long long take_total(unsigned long long* total) { return atomicExch(total, 0ull); }

// Whether all but this one of `count` blocks were here; the count begins anew when the last one was.
DEVICE bool take_turn(unsigned* done, unsigned count) { return atomicInc(done, count - 1) == count - 1; }

// What was written before is seen by whoever sees what is written after.
DEVICE void fence() { __threadfence(); }

// Fetches 16 bytes into the multiprocessor's cache.
DEVICE void touch(const uint4* from) {
  asm volatile("{.reg .b32 a, b, c, d; ld.global.ca.v4.u32 {a, b, c, d}, [%0];}" ::"l"(from));
}

// Copies 16 bytes (8) into shared memory, or zeros, while the thread goes on; `end_of_copies` ends a lot of them.
template <typename WORDS>
DEVICE void copy_later(WORDS* to, const WORDS* from, bool wanted) {
  const unsigned at = (unsigned)__cvta_generic_to_shared(to);
  if (sizeof(WORDS) == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(wanted ? 16 : 0) : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(at), "l"(from), "r"(wanted ? 8 : 0) : "memory");
  }
}

DEVICE void end_of_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits for the thread's own copies but for the last `LOTS` lots.
template <int LOTS>
DEVICE void wait_for_copies() { asm volatile("cp.async.wait_group %0;" ::"n"(LOTS) : "memory"); }

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
// g = lane / 4 and t = lane % 4, a holds rows g and g + 8 of columns 2t, 2t + 1 and then of 2t + 8, 2t + 9; b rows 2t,
// 2t + 1 and 2t + 8, 2t + 9 of column g; sum columns 2t, 2t + 1 of row g and of row g + 8.
DEVICE void multiply_add(float (&sum)[4], uint4 a, uint2 b) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b.x), "r"(b.y));
}

// Four blocks of 8 x 8 halves of shared memory, turned: each lane of 8 gives the address of one row (16 bytes) of its block,
// and gets of block i words[i], rows 2t and 2t + 1 of column g (`ldmatrix` of the PTX ISA).
DEVICE uint4 load_turned(const unsigned short* row) {
  uint4 words;
  const unsigned at = (unsigned)__cvta_generic_to_shared(row);
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(words.x), "=r"(words.y), "=r"(words.z), "=r"(words.w)
               : "r"(at)
               : "memory");
  return words;
}

#endif
