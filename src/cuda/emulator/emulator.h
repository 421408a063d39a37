// CUDA's kernels on the processor: one fiber per thread of a block, blocks one after the other.
//
// A fiber runs until it waits for its block or for the other 31 of its warp; then the next one runs. This is slow and
// finds what a card would not say: every kernel is compared with the reference on machines without a card, and a wait
// that not all threads reach ends in an error.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

struct uint2 { unsigned x, y; };
struct uint4 { unsigned x, y, z, w; };
struct float2 { float x, y; };
struct float4 { float x, y, z, w; };
struct dim3 { unsigned x, y, z; };

namespace emulator {

struct Barrier {
  unsigned arrived = 0, generation = 0;
};

struct Warp {
  Barrier barrier;
  float value[32];
  float sum[32][4];
  unsigned a[32][4];
  uint2 b[32];
  const unsigned short* row[32];
};

struct Fiber {
  ucontext_t begin;
  jmp_buf place;
  std::vector<unsigned char> stack;
  bool begun = false, done = false;
  // Copies that were begun, in lots.
  std::vector<std::function<void()>> open;
  std::vector<std::vector<std::function<void()>>> lots;
};

inline std::vector<Fiber> fibers;
inline std::vector<Warp> warps;
inline Barrier block_barrier;
inline std::function<void()> body;
inline std::vector<unsigned char> shared;
inline jmp_buf scheduler;
inline unsigned current, block_size;
inline dim3 block, grid;
// Counted up whenever anything happens, so that a block in which nothing does is found.
inline unsigned long long progress;

inline void yield() {
  if (!_setjmp(fibers[current].place)) _longjmp(scheduler, 1);
}

inline void wait(Barrier& barrier, unsigned size) {
  const unsigned generation = barrier.generation;
  progress++;
  if (++barrier.arrived == size) {
    barrier.arrived = 0;
    barrier.generation++;
    return;
  }
  while (barrier.generation == generation) yield();
}

inline Warp& warp() { return warps[current / 32]; }
inline void wait_for_warp() { wait(warp().barrier, 32); }

inline void start() {
  body();
  fibers[current].done = true;
  progress++;
  _longjmp(scheduler, 1);
}

// Runs one block; false when its threads wait for each other for ever.
inline bool run_block() {
  block_barrier = Barrier();
  warps.assign(block_size / 32, Warp());
  for (Fiber& fiber : fibers) fiber.begun = fiber.done = false;
  for (;;) {
    const unsigned long long before = progress;
    bool all_done = true;
    for (volatile unsigned i = 0; i < block_size; i = i + 1) {
      current = i;
      Fiber& fiber = fibers[i];
      if (fiber.done) continue;
      all_done = false;
      if (_setjmp(scheduler)) continue;
      if (fiber.begun) _longjmp(fiber.place, 1);
      fiber.begun = true;
      getcontext(&fiber.begin);
      fiber.begin.uc_stack.ss_sp = fiber.stack.data();
      fiber.begin.uc_stack.ss_size = fiber.stack.size();
      fiber.begin.uc_link = nullptr;
      makecontext(&fiber.begin, start, 0);
      setcontext(&fiber.begin);
    }
    if (all_done) return true;
    if (progress == before) return false;
  }
}

inline std::map<std::string, std::function<void(const void*)>>& kernels() {
  static std::map<std::string, std::function<void(const void*)>> all;
  return all;
}

// Bytes of the argument of each.
inline std::map<std::string, size_t>& parameter_sizes() {
  static std::map<std::string, size_t> all;
  return all;
}

struct Registered {
  Registered(const char* name, size_t size, std::function<void(const void*)> kernel) {
    kernels()[name] = kernel;
    parameter_sizes()[name] = size;
  }
};

inline float slow_half_to_float(unsigned half) {
  const unsigned sign = (half & 0x8000) << 16, exponent = (half >> 10) & 31, fraction = half & 1023;
  if (exponent == 0) return (sign ? -1.0f : 1.0f) * std::ldexp(float(fraction), -24);
  const unsigned bits = sign | (exponent == 31 ? 255u << 23 : (exponent + 112) << 23) | (fraction << 13);
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

inline const std::vector<float>& halves() {
  static const std::vector<float> all = [] {
    std::vector<float> values(65536);
    for (unsigned i = 0; i < 65536; i++) values[i] = slow_half_to_float(i);
    return values;
  }();
  return all;
}

inline const float* const half_values = halves().data();
inline float half_to_float(unsigned half) { return half_values[half]; }

inline unsigned float_to_half(float value) {
  unsigned bits;
  std::memcpy(&bits, &value, 4);
  const unsigned sign = (bits >> 16) & 0x8000;
  if (value != value) return sign | 0x7e00;
  const float size = std::fabs(value);
  if (size >= 65520.0f) return sign | 0x7c00;
  if (size < 6.103515625e-5f) return sign | unsigned(std::nearbyint(std::ldexp(size, 24)));
  int exponent;
  const float fraction = std::frexp(size, &exponent);
  const unsigned steps = unsigned(std::nearbyint(std::ldexp(fraction, 11)));
  return sign | ((unsigned(exponent + 13) << 10) + steps);
}

}  // namespace emulator

struct ThreadIndex {
  operator unsigned() const { return emulator::current; }
};
struct {
  ThreadIndex x;
} inline const threadIdx;
struct BlockSize {
  operator unsigned() const { return emulator::block_size; }
};
struct {
  BlockSize x;
} inline const blockDim;
#define blockIdx emulator::block
#define gridDim emulator::grid

using std::max;
using std::min;

#define DEVICE inline
#define KERNEL_OF(NAME, PARAMETERS, BLOCKS) KERNEL(NAME, PARAMETERS)
#define KERNEL(NAME, PARAMETERS)                                                                                      \
  static void NAME(const PARAMETERS& p);                                                                              \
  static emulator::Registered registered_##NAME(#NAME, sizeof(PARAMETERS),                                            \
                                                [](const void* p) { NAME(*static_cast<const PARAMETERS*>(p)); });     \
  static void NAME(const PARAMETERS& p)
#define SHARED_MEMORY(NAME) unsigned char* const NAME = emulator::shared.data()

DEVICE void wait_for_block() { emulator::wait(emulator::block_barrier, emulator::block_size); }

DEVICE void wait_for_warp() { emulator::wait_for_warp(); }

DEVICE float exchange(float value, int distance) {
  emulator::Warp& warp = emulator::warp();
  const unsigned lane = emulator::current % 32;
  warp.value[lane] = value;
  emulator::wait_for_warp();
  const float other = warp.value[lane ^ unsigned(distance)];
  emulator::wait_for_warp();
  return other;
}

DEVICE bool warp_has(bool holds) {
  emulator::Warp& warp = emulator::warp();
  warp.value[emulator::current % 32] = holds;
  emulator::wait_for_warp();
  bool one = false;
  for (const float value : warp.value) one = one || value != 0;
  emulator::wait_for_warp();
  return one;
}

DEVICE void add_up(unsigned long long* total, unsigned long long value) { *total += value; }

DEVICE unsigned long long take_total(unsigned long long* total) {
  const unsigned long long value = *total;
  *total = 0;
  return value;
}

DEVICE bool take_turn(unsigned* done, unsigned count) {
  if (++*done < count) return false;
  *done = 0;
  return true;
}

DEVICE void fence() {}

DEVICE void touch(const uint4*) {}

// What a thread copies is there when it says that it waits for it, and not before.
template <typename WORDS>
DEVICE void copy_later(WORDS* to, const WORDS* from, bool wanted) {
  emulator::fibers[emulator::current].open.push_back([=] { *to = wanted ? *from : WORDS{}; });
}

DEVICE void end_of_copies() {
  emulator::Fiber& fiber = emulator::fibers[emulator::current];
  fiber.lots.push_back(std::move(fiber.open));
  fiber.open.clear();
}

template <int LOTS>
DEVICE void wait_for_copies() {
  std::vector<std::vector<std::function<void()>>>& lots = emulator::fibers[emulator::current].lots;
  while (lots.size() > LOTS) {
    for (const auto& copy : lots.front()) copy();
    lots.erase(lots.begin());
  }
}

DEVICE unsigned pack(float first, float second) {
  return emulator::float_to_half(first) | emulator::float_to_half(second) << 16;
}

DEVICE float2 unpack(unsigned word) {
  return {emulator::half_to_float(word & 0xffff), emulator::half_to_float(word >> 16)};
}

DEVICE void multiply_add(float (&sum)[4], uint4 a, uint2 b) {
  emulator::Warp& warp = emulator::warp();
  const unsigned lane = emulator::current % 32, g = lane / 4, t = lane % 4;
  std::memcpy(warp.a[lane], &a, sizeof(a));
  warp.b[lane] = b;
  emulator::wait_for_warp();
  for (unsigned place = 0; place < 4; place++) {
    const unsigned row = g + place / 2 * 8, column = 2 * t + place % 2;
    float total = 0;
    for (unsigned k = 0; k < 16; k++) {
      const unsigned from_a = warp.a[row % 8 * 4 + k % 8 / 2][row / 8 + k / 8 * 2];
      const uint2 pair = warp.b[column * 4 + k % 8 / 2];
      const unsigned from_b = k / 8 ? pair.y : pair.x;
      const float2 a_values = unpack(from_a), b_values = unpack(from_b);
      total += k % 2 ? a_values.y * b_values.y : a_values.x * b_values.x;
    }
    sum[place] += total;
  }
  emulator::wait_for_warp();
}

DEVICE uint4 load_turned(const unsigned short* row) {
  emulator::Warp& warp = emulator::warp();
  const unsigned lane = emulator::current % 32, g = lane / 4, t = lane % 4;
  warp.row[lane] = row;
  emulator::wait_for_warp();
  unsigned words[4];
  for (unsigned i = 0; i < 4; i++) words[i] = warp.row[i * 8 + 2 * t][g] | unsigned(warp.row[i * 8 + 2 * t + 1][g]) << 16;
  emulator::wait_for_warp();
  return {words[0], words[1], words[2], words[3]};
}

// Bytes of a kernel's argument; 0: no such kernel.
extern "C" size_t parameter_size(const char* name) {
  const auto size = emulator::parameter_sizes().find(name);
  return size == emulator::parameter_sizes().end() ? 0 : size->second;
}

// 0: done, 1: no such kernel, 2: threads that wait for ever.
extern "C" int emulate(const char* name, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned bytes, const void* parameters) {
  const auto kernel = emulator::kernels().find(name);
  if (kernel == emulator::kernels().end()) return 1;
  emulator::body = [&] { kernel->second(parameters); };
  emulator::grid = {x, y, z};
  emulator::block_size = threads;
  if (emulator::fibers.size() < threads) emulator::fibers.resize(threads);
  for (auto& fiber : emulator::fibers) fiber.stack.resize(64 * 1024);
  for (unsigned k = 0; k < z; k++)
    for (unsigned j = 0; j < y; j++)
      for (unsigned i = 0; i < x; i++) {
        emulator::block = {i, j, k};
        emulator::shared.assign(bytes, 0xff);
        if (!emulator::run_block()) return 2;
      }
  return 0;
}
