// Convolution as an implicit matrix product on the tensor cores.
//
// Rows of the product are the pixels of a tile, columns the outputs, and the inner dimension goes over kernel places and
// channels. What lies between two convolutions (normalisation, ReLU, the sum of a residual block, padding, upsampling)
// happens while a block copies its patch of the input into shared memory.
//
// A thread reads 8 channels of a pixel at once (4 of pixels that have only 4). Which numbers of the inner dimension these
// are is for the weights to say, so they are packed in that order: a *group* is what the four threads of a row read, 32
// products (16). In the same way the outputs of a thread are neighbours in memory.
#pragma once
#include "card.cuh"

// Pixels of a tile's row: two fragments of 16. A warp computes one row or two.
#define TILE_WIDTH 32
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
  // What is added to the scaled input, and where the sum is kept (or null).
  const unsigned short* trunk;
  unsigned short* trunk_out;
  // [64 outputs][slice of channels][group][8 outputs][lane]: a thread's 8 halves (4).
  const void* weights;
  // Of the outputs, or null.
  const float* bias;
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
  // Whether ReLU follows the input's scale and shift; whether it follows the bias; whether 2 x 2 pixels are made.
  int relu, relu_output, shuffle;
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

// What a thread reads at once of pixels of 4 channels, and of more.
template <int SLICE> struct Piece { typedef uint4 Words; };
template <> struct Piece<4> { typedef uint2 Words; };

DEVICE unsigned word(const uint4& words, int i) { return i == 0 ? words.x : i == 1 ? words.y : i == 2 ? words.z : words.w; }
DEVICE unsigned word(const uint2& words, int i) { return i == 0 ? words.x : words.y; }

DEVICE int mirrored(int i, int size) {
  i = i < 0 ? -i : i;
  i = i >= size ? 2 * size - 2 - i : i;
  return i < 0 ? 0 : i >= size ? size - 1 : i;
}

DEVICE int within(int i, int size) { return i < 0 ? 0 : i >= size ? size - 1 : i; }

// A level of a colour, so that it is exact in half precision; the weights make up for it.
DEVICE float centred(unsigned char level) { return (float(level) - 128.0f) / 256.0f; }

template <int SLICE, int ROWS>
struct Tile {
  typedef typename Piece<SLICE>::Words Words;
  // Pieces that make a pixel of a patch, and channels of each.
  static const int CHANNELS = SLICE < 8 ? SLICE : 8, PIECES = SLICE / CHANNELS;
  int left, top, width, height;

  DEVICE explicit Tile(const Convolution& p)
      : left(int(blockIdx.x) * TILE_WIDTH * p.stride_across - p.kernel / 2),
        top(int(blockIdx.y) * WARPS * ROWS * p.stride - p.kernel / 2),
        width((TILE_WIDTH - 1) * p.stride_across + p.kernel_width),
        height((WARPS * ROWS - 1) * p.stride + p.kernel) {}
};

// A piece of a picture.
template <int CHANNELS>
DEVICE void read_picture(const Convolution& p, int x, int y, int first, unsigned (&words)[CHANNELS / 2]) {
  const unsigned char* const rgb = static_cast<const unsigned char*>(p.input);
  float values[CHANNELS];
#pragma unroll
  for (int k = 0; k < CHANNELS; k++) {
    // Channel c of a block of 4 x 4 pixels is colour c % 3 of pixel c / 3.
    const bool blocks = p.source == BLOCKS;
    const int channel = first + k, colour = blocks ? channel % 3 : channel, in_block = blocks ? channel / 3 : 0;
    const int from_y = mirrored(blocks ? y * 4 + in_block / 4 : y, p.picture_height);
    const int from_x = mirrored(blocks ? x * 4 + in_block % 4 : x, p.picture_width);
    values[k] = colour < 3 ? centred(rgb[(size_t(from_y) * p.picture_width + from_x) * 3 + colour]) : 0.0f;
  }
#pragma unroll
  for (int k = 0; k < CHANNELS / 2; k++) words[k] = pack(values[2 * k], values[2 * k + 1]);
}

// Copies the patch of a tile, channels `first` and on, into shared memory.
template <int SLICE, int ROWS, int AT_ONCE>
DEVICE void load_patch(const Convolution& p, const Tile<SLICE, ROWS>& tile, typename Piece<SLICE>::Words* patch, const float* norm, int first) {
  typedef typename Piece<SLICE>::Words Words;
  const int CHANNELS = Tile<SLICE, ROWS>::CHANNELS, PIECES = Tile<SLICE, ROWS>::PIECES;
  const int across = tile.width * PIECES, count = across * tile.height, margin = p.kernel / 2;
  const float per_row = 1.0f / float(across);
  // A thread has the same channels of all pixels.
  const int part = threadIdx.x % PIECES;
  float scale[CHANNELS], shift[CHANNELS];
#pragma unroll
  for (int k = 0; k < CHANNELS; k++) {
    scale[k] = norm[part * CHANNELS + k];
    shift[k] = norm[SLICE + part * CHANNELS + k];
  }
  for (int begin = threadIdx.x; begin < count; begin += AT_ONCE * THREADS) {
    Words values[AT_ONCE] = {}, sums[AT_ONCE] = {};
    unsigned from[AT_ONCE];
    bool own[AT_ONCE];
#pragma unroll
    for (int k = 0; k < AT_ONCE; k++) {
      const int i = begin + k * THREADS;
      if (i >= count) break;
      const int row = int((float(i) + 0.5f) * per_row), column = (i - row * across) / PIECES;
      int x = tile.left + column, y = tile.top + row;
      own[k] = row >= margin && row < margin + WARPS * ROWS && column >= margin && column < margin + TILE_WIDTH && x < p.width && y < p.height;
      y = p.border == REFLECT ? mirrored(y, p.height) : within(y, p.height);
      x = p.border == REFLECT ? mirrored(x, p.width) : within(x, p.width);
      if (p.source != TENSOR) {
        unsigned words[CHANNELS / 2];
        read_picture<CHANNELS>(p, x, y, first + part * CHANNELS, words);
        memcpy(&values[k], words, sizeof(Words));
        continue;
      }
      from[k] = (unsigned(y * p.width + x) * p.channels + first) / CHANNELS + part;
      values[k] = static_cast<const Words*>(p.input)[from[k]];
      if (p.trunk != nullptr) sums[k] = reinterpret_cast<const Words*>(p.trunk)[from[k]];
    }
#pragma unroll
    for (int k = 0; k < AT_ONCE; k++) {
      const int i = begin + k * THREADS;
      if (i >= count) break;
      if (p.scale != nullptr) {
        unsigned words[CHANNELS / 2];
#pragma unroll
        for (int c = 0; c < CHANNELS / 2; c++) {
          const float2 pair = unpack(word(values[k], c)), before = unpack(word(sums[k], c));
          float a = pair.x * scale[2 * c] + shift[2 * c], b = pair.y * scale[2 * c + 1] + shift[2 * c + 1];
          if (p.relu) a = a > 0 ? a : 0, b = b > 0 ? b : 0;
          if (p.trunk != nullptr) a += before.x, b += before.y;
          words[c] = pack(a, b);
        }
        memcpy(&values[k], words, sizeof(Words));
      }
      patch[i] = values[k];
      if (p.trunk_out != nullptr && blockIdx.z == 0 && own[k]) reinterpret_cast<Words*>(p.trunk_out)[from[k]] = values[k];
    }
  }
}

// The same of a tensor that is used as it is, with zeros around it: the copy happens while the block goes on.
template <int SLICE, int ROWS>
DEVICE void fetch_patch(const Convolution& p, const Tile<SLICE, ROWS>& tile, typename Piece<SLICE>::Words* patch, int first) {
  typedef typename Piece<SLICE>::Words Words;
  const int CHANNELS = Tile<SLICE, ROWS>::CHANNELS, PIECES = Tile<SLICE, ROWS>::PIECES;
  const int across = tile.width * PIECES, count = across * tile.height, part = threadIdx.x % PIECES;
  const float per_row = 1.0f / float(across);
  for (int i = threadIdx.x; i < count; i += THREADS) {
    const int row = int((float(i) + 0.5f) * per_row), x = tile.left + (i - row * across) / PIECES, y = tile.top + row;
    const bool inside = x >= 0 && y >= 0 && x < p.width && y < p.height;
    const size_t from = ((size_t(inside ? y : 0) * p.width + (inside ? x : 0)) * p.channels + first) / CHANNELS + part;
    copy_later(patch + i, static_cast<const Words*>(p.input) + from, inside);
  }
  end_of_copies();
}

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

// Adds each output's sum and squares over the tile to its channel's; the last block makes scale and shift of them. Totals
// are integers, which sum up to the same in every order.
template <int N, int ROWS>
DEVICE void gather_moments(const Convolution& p, const float (&sums)[2 * ROWS][N][4], void* space, int x0, int y0) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4, OUTPUTS = 8 * N;
  float count = 0;
  bool inside[4 * ROWS];
#pragma unroll
  for (int i = 0; i < 4 * ROWS; i++) {
    inside[i] = y0 + i / 4 < p.out_height && x0 + i % 4 * 8 + g < p.out_width;
    count += inside[i] ? 1.0f : 0.0f;
  }
  Moments own[2 * N];
#pragma unroll
  for (int n = 0; n < N; n++)
#pragma unroll
    for (int k = 0; k < 2; k++) {
      float total = 0, squares = 0;
#pragma unroll
      for (int i = 0; i < 4 * ROWS; i++) total += inside[i] ? sums[i / 2][n][i % 2 * 2 + k] : 0.0f;
      const float mean = count > 0 ? total / count : 0.0f;
#pragma unroll
      for (int i = 0; i < 4 * ROWS; i++) {
        const float apart = sums[i / 2][n][i % 2 * 2 + k] - mean;
        squares += inside[i] ? apart * apart : 0.0f;
      }
      own[2 * n + k] = {mean, squares};
    }
  // The eight lanes with the same outputs: each keeps half of what it has and gives the other half away.
  int column = t * 2 * N;
  bool keeps = true;
#pragma unroll
  for (int level = 0; level < 3; level++) {
    const int distance = 16 >> level, half = (2 * N) >> (level + 1);
    const bool upper = lane & distance;
    const float others = exchange(count, distance), both = count + others, share = both > 0 ? others / both : 0.0f;
    if (half > 0) {
#pragma unroll
      for (int i = 0; i < N; i++) {
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
    for (int i = 0; i < (N < 4 ? 1 : N / 4); i++) of_warps[warp * OUTPUTS + column + i] = own[i];
  }
  if (lane == 0) counts[warp] = count;
  wait_for_block();
  if (threadIdx.x < OUTPUTS) {
    Moments all = of_warps[threadIdx.x];
    float total = counts[0];
    for (int w = 1; w < WARPS; w++) {
      const float both = total + counts[w];
      all = together(all, of_warps[w * OUTPUTS + threadIdx.x], total, both > 0 ? counts[w] / both : 0.0f);
      total = both;
    }
    const double mean = all.mean, sum = mean * total, squares = all.squares + mean * sum;
    unsigned long long* const totals = p.totals + (blockIdx.z * OUTPUTS + threadIdx.x) % p.norm_channels * 4;
    add_up(totals, whole(sum));
    add_up(totals + 1, fraction(sum));
    add_up(totals + 2, whole(squares));
    add_up(totals + 3, fraction(squares));
  }
  // What was added is seen by the block that finds all others done.
  fence();
  wait_for_block();
  int* const last = reinterpret_cast<int*>(counts + WARPS);
  if (threadIdx.x == 0) *last = take_turn(p.done, gridDim.x * gridDim.y * gridDim.z);
  wait_for_block();
  if (!*last) return;
  fence();
  for (int channel = threadIdx.x; channel < p.norm_channels; channel += THREADS) {
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

// Puts down a thread's outputs of one pixel, neighbours from `column` on.
template <int N, bool GRADIENT>
DEVICE void put(const Convolution& p, size_t at, int column, float (&values)[2 * N], float factor) {
  unsigned* const to = reinterpret_cast<unsigned*>(p.output + at);
  unsigned words[N] = {};
  if (GRADIENT) {
#pragma unroll
    for (int n = 0; n < N; n++) {
      if (!p.shuffle && column + 2 * n >= p.stored) break;
      const float2 before = p.add ? unpack(to[n]) : float2{0, 0};
      const unsigned gate = p.gate != nullptr ? reinterpret_cast<const unsigned*>(p.gate + at)[n] : 0xffffffffu;
      const float a = gate & 0xffffu ? values[2 * n] * factor : 0.0f, b = gate >> 16 ? values[2 * n + 1] * factor : 0.0f;
      words[n] = pack(before.x + a, before.y + b);
    }
  } else {
#pragma unroll
    for (int n = 0; n < N; n++) words[n] = pack(values[2 * n], values[2 * n + 1]);
  }
  if (p.shuffle || p.stored % (2 * N) == 0) {
    if (!p.shuffle && column >= p.stored) return;
    if (N >= 4) {
#pragma unroll
      for (int n = 0; n + 3 < N; n += 4) *reinterpret_cast<uint4*>(to + n) = uint4{words[n], words[n + 1], words[n + 2], words[n + 3]};
    } else if (N == 2) {
      *reinterpret_cast<uint2*>(to) = uint2{words[0], words[N - 1]};
    } else {
      to[0] = words[0];
    }
  } else {
#pragma unroll
    for (int n = 0; n < N; n++)
      if (column + 2 * n < p.stored) to[n] = words[n];
  }
}

// `SLICE` channels lie in shared memory together; a warp computes `ROWS` rows of 8 `N` outputs.
template <int SLICE, int N, int ROWS, bool LOSS = false, bool GRADIENT = false>
DEVICE void convolve(const Convolution& p) {
  SHARED_MEMORY(memory);
  typedef typename Piece<SLICE>::Words Words;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
  const int FRAGMENTS = 2 * ROWS, PIECES = Tile<SLICE, ROWS>::PIECES, CHUNKS = sizeof(Words) / 8;
  const Tile<SLICE, ROWS> tile(p);
  // Shared memory: where the threads of a row find what a group takes, scale and shift, the patch (two where one is
  // fetched while the other is worked on).
  int* const offsets = reinterpret_cast<int*>(memory);
  float* const norm = reinterpret_cast<float*>(offsets + p.groups * 4);
  Words* const patches = reinterpret_cast<Words*>(norm + 2 * SLICE);
  const int patch_size = tile.width * tile.height * PIECES;
  for (int i = threadIdx.x; i < p.groups * 4; i += THREADS) {
    const int place = i / PIECES, row = place / p.kernel_width, column = place % p.kernel_width;
    offsets[i] = row < p.kernel ? (row * tile.width + column) * PIECES + i % PIECES : 0;
  }
  float sums[FRAGMENTS][N][4];
#pragma unroll
  for (int m = 0; m < FRAGMENTS; m++)
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
      for (int k = 0; k < 4; k++) sums[m][n][k] = 0;
  const Words* weights = static_cast<const Words*>(p.weights) + size_t(blockIdx.z) * (p.channels / SLICE) * p.groups * N * 32 + lane;
  const int step = p.stride_across * PIECES;
  const int begin = (warp * ROWS * p.stride * tile.width) * PIECES + g * step;
  if (LOSS) fetch_patch(p, tile, patches, 0);
  for (int first = 0; first < p.channels; first += SLICE) {
    const Words* patch = patches;
    if (LOSS) {
      patch += first / SLICE % 2 * patch_size;
      if (first + SLICE < p.channels) {
        fetch_patch(p, tile, patches + (first / SLICE + 1) % 2 * patch_size, first + SLICE);
        wait_for_copies<1>();
      } else {
        wait_for_copies<0>();
      }
    } else {
      for (int i = threadIdx.x; i < 2 * SLICE; i += THREADS) norm[i] = p.scale == nullptr ? 0.0f : i < SLICE ? p.scale[first + i] : p.shift[first + i - SLICE];
      wait_for_block();
      // The sums take registers that copies would have.
      load_patch<SLICE, ROWS, N * ROWS < 8 ? 4 : 2>(p, tile, patches, norm, first);
    }
    wait_for_block();
    for (int group = 0; group < p.groups; group++) {
      const Words* const at = patch + begin + offsets[group * 4 + t];
      Words b[N];
#pragma unroll
      for (int n = 0; n < N; n++) b[n] = weights[n * 32];
      weights += N * 32;
#pragma unroll
      for (int m = 0; m < FRAGMENTS; m++) {
        const Words* const from = at + m / 2 * p.stride * tile.width * PIECES + m % 2 * 16 * step;
        const Words low = from[0], high = from[8 * step];
#pragma unroll
        for (int chunk = 0; chunk < CHUNKS; chunk++) {
          const unsigned a[4] = {word(low, 2 * chunk), word(high, 2 * chunk), word(low, 2 * chunk + 1), word(high, 2 * chunk + 1)};
#pragma unroll
          for (int n = 0; n < N; n++) multiply_add(sums[m][n], a, uint2{word(b[n], 2 * chunk), word(b[n], 2 * chunk + 1)});
        }
      }
    }
    wait_for_block();
  }
  const int x0 = blockIdx.x * TILE_WIDTH, y0 = (blockIdx.y * WARPS + warp) * ROWS, outputs = N * 8 * gridDim.z;
  const int column = (blockIdx.z * 4 + t) * 2 * N;
#pragma unroll
  for (int n = 0; n < N; n++) {
    const float first = p.bias ? p.bias[column + 2 * n] : 0.0f, second = p.bias ? p.bias[column + 2 * n + 1] : 0.0f;
#pragma unroll
    for (int m = 0; m < FRAGMENTS; m++)
#pragma unroll
      for (int k = 0; k < 4; k++) {
        float& value = sums[m][n][k];
        value += k % 2 ? second : first;
        if (p.relu_output) value = value > 0 ? value : 0;
      }
  }
#pragma unroll
  for (int i = 0; i < 4 * ROWS; i++) {
    const int y = y0 + i / 4, x = x0 + i % 4 * 8 + g;
    if (y >= p.out_height || x >= p.out_width) continue;
    size_t at = (size_t(y) * p.out_width + x) * p.stored + column;
    if (p.shuffle) {
      const int own_channels = outputs / 4, place = column / own_channels;
      at = ((size_t(y) * 2 + place / 2) * p.out_width * 2 + x * 2 + place % 2) * p.stored + column % own_channels;
    }
    float values[2 * N];
#pragma unroll
    for (int n = 0; n < N; n++) values[2 * n] = sums[i / 2][n][i % 2 * 2], values[2 * n + 1] = sums[i / 2][n][i % 2 * 2 + 1];
    const float factor = GRADIENT ? p.factor * (p.pixel_weights != nullptr ? p.pixel_weights[size_t(y) * p.out_width + x] : 1.0f) : 1.0f;
    put<N, GRADIENT>(p, at, column, values, factor);
  }
  if (!LOSS && p.totals != nullptr) gather_moments<N, ROWS>(p, sums, memory, x0, y0);
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
