// Convolution as an implicit matrix product on the tensor cores.
//
// Rows of the product are the outputs, columns the pixels of a tile, and the inner dimension goes over kernel places and
// channels. What lies between two convolutions (normalisation, ReLU, the sum of a residual block, padding, upsampling)
// happens while a block copies its patch of the input into shared memory.
//
// A thread reads 8 channels of a pixel at once (4 of pixels that have only 4), which are its part of one or two products as
// they lie. Which numbers of the inner dimension these are is for the weights to say, so they are packed in that order: a
// *group* is what the four threads of a pixel read, 32 products (16). In the same way the outputs of a thread are
// neighbours in memory.
#pragma once
#include "statistics.cuh"

// What a thread reads at once of pixels of 4 channels, and of more.
template <int SLICE> struct Piece { typedef uint4 Words; };
template <> struct Piece<4> { typedef uint2 Words; };

DEVICE unsigned word(const uint4& words, int i) { return i == 0 ? words.x : i == 1 ? words.y : i == 2 ? words.z : words.w; }
DEVICE unsigned word(const uint2& words, int i) { return i == 0 ? words.x : words.y; }

// Mirrored about the edge pixels; what is farther away than the picture is large is not looked at, but has to be somewhere.
DEVICE int mirrored(int i, int size) {
  i = abs(i);
  return max(min(i, 2 * size - 2 - i), 0);
}

DEVICE int within(int i, int size) { return max(min(i, size - 1), 0); }

// A level of a colour, so that it is exact in half precision; the weights make up for it.
DEVICE float centred(unsigned char level) { return (float(level) - 128.0f) / 256.0f; }

template <int SLICE, int ROWS>
struct Tile {
  typedef typename Piece<SLICE>::Words Words;
  // Pieces that make a pixel of a patch, channels of each, and pixels that the block's threads have at once.
  static const int CHANNELS = SLICE < 8 ? SLICE : 8, PIECES = SLICE / CHANNELS, PIXELS = THREADS / PIECES;
  int left, top, width, height;

  DEVICE explicit Tile(const Convolution& p)
      : left(int(blockIdx.x) * TILE_WIDTH * p.stride_across - p.kernel / 2),
        top(int(blockIdx.y) * WARPS * ROWS * p.stride - p.kernel / 2),
        width((TILE_WIDTH - 1) * p.stride_across + p.kernel_width),
        height((WARPS * ROWS - 1) * p.stride + p.kernel) {}
};

// i / by, of small numbers.
DEVICE int quotient(int i, int by) { return int((float(i) + 0.5f) * (1.0f / float(by))); }

// Where in a patch a thread is.
struct Spot {
  int row, column;

  DEVICE static Spot of(int i, int width) {
    const int row = quotient(i, width);
    return {row, i - row * width};
  }

  DEVICE void go_on(Spot by, int width) {
    column += by.column;
    row += by.row;
    if (column >= width) column -= width, row++;
  }
};

// A piece of a picture.
template <int CHANNELS>
DEVICE void read_picture(const Convolution& p, int x, int y, int first, unsigned (&words)[CHANNELS / 2]) {
  const unsigned char* const rgb = static_cast<const unsigned char*>(p.input);
  float values[CHANNELS];
#pragma unroll
  for (int k = 0; k < CHANNELS; k++) {
    // Channel c of a block of 4 x 4 pixels is colour c % 3 of pixel c / 3.
    const bool blocks = CHANNELS == 8;
    const int channel = first + k, colour = blocks ? channel % 3 : channel, in_block = blocks ? channel / 3 : 0;
    const int from_y = mirrored(blocks ? y * 4 + in_block / 4 : y, p.picture_height);
    const int from_x = mirrored(blocks ? x * 4 + in_block % 4 : x, p.picture_width);
    values[k] = colour < 3 ? centred(rgb[(size_t(from_y) * p.picture_width + from_x) * 3 + colour]) : 0.0f;
  }
#pragma unroll
  for (int k = 0; k < CHANNELS / 2; k++) words[k] = pack(values[2 * k], values[2 * k + 1]);
}

// Scale and shift of a piece, and what ReLU makes of what is less, which stays in shared memory: registers are few.
template <int CHANNELS>
struct Norm {
  float scale[CHANNELS], shift[CHANNELS];
  const float* least;
};

// A piece with scale and shift, and with what is added to it.
template <int CHANNELS, typename WORDS>
DEVICE WORDS scaled(const float (&values)[CHANNELS], const Norm<CHANNELS>& norm, WORDS added) {
  unsigned words[CHANNELS / 2];
#pragma unroll
  for (int c = 0; c < CHANNELS / 2; c++) {
    const float2 before = unpack(word(added, c));
    const float a = fmaxf(values[2 * c] * norm.scale[2 * c] + norm.shift[2 * c], norm.least[2 * c]) + before.x;
    const float b = fmaxf(values[2 * c + 1] * norm.scale[2 * c + 1] + norm.shift[2 * c + 1], norm.least[2 * c + 1]) + before.y;
    words[c] = pack(a, b);
  }
  WORDS piece;
  memcpy(&piece, words, sizeof(piece));
  return piece;
}

// A piece as numbers.
template <int CHANNELS, typename WORDS>
DEVICE void unpack_piece(const WORDS& piece, float (&values)[CHANNELS]) {
#pragma unroll
  for (int c = 0; c < CHANNELS / 2; c++) {
    const float2 pair = unpack(word(piece, c));
    values[2 * c] = pair.x, values[2 * c + 1] = pair.y;
  }
}

// The same of a tensor in single precision.
template <int CHANNELS>
DEVICE void read_single(const float4* from, float (&values)[CHANNELS]) {
#pragma unroll
  for (int i = 0; i < CHANNELS / 4; i++) {
    const float4 four = from[i];
    values[4 * i] = four.x, values[4 * i + 1] = four.y, values[4 * i + 2] = four.z, values[4 * i + 3] = four.w;
  }
}

// Where a place of a patch is read.
template <int SLICE, int ROWS>
struct Places {
  const Convolution& p;
  const Tile<SLICE, ROWS>& tile;

  DEVICE int inside(int i, int size) const { return p.border == REFLECT ? mirrored(i, size) : within(i, size); }
  DEVICE int row(int row) const { return inside(tile.top + row, p.height); }
  DEVICE int column(int column) const { return inside(tile.left + column, p.width); }
  DEVICE int pixel(Spot spot) const { return row(spot.row) * p.width + column(spot.column); }
};

// Scales what a thread has copied, or what is read in single precision, adds what is to be added, and keeps the tile's sums.
template <int SLICE, int ROWS, int AT_ONCE, bool SINGLE>
DEVICE void add_and_keep(const Convolution& p, const Tile<SLICE, ROWS>& tile, typename Piece<SLICE>::Words* own,
                         const Norm<Tile<SLICE, ROWS>::CHANNELS>& norm, int first, int count) {
  typedef typename Piece<SLICE>::Words Words;
  const int CHANNELS = Tile<SLICE, ROWS>::CHANNELS, PIECES = Tile<SLICE, ROWS>::PIECES, PIXELS = Tile<SLICE, ROWS>::PIXELS;
  const Places<SLICE, ROWS> places{p, tile};
  const int pieces = p.channels / CHANNELS, begin = first / CHANNELS + threadIdx.x % PIECES, margin = p.kernel / 2;
  const int own_rows = p.trunk_out != nullptr && blockIdx.z == 0 ? min(WARPS * ROWS, p.height - tile.top - margin) : 0;
  const int own_columns = min(TILE_WIDTH, p.width - tile.left - margin);
  const Words* const trunk = reinterpret_cast<const Words*>(p.trunk) + begin;
  Words* const trunk_out = reinterpret_cast<Words*>(p.trunk_out) + begin;
  const float4* const single = static_cast<const float4*>(p.input) + size_t(begin) * (CHANNELS / 4);
  const Spot by = Spot::of(PIXELS, tile.width);
  Spot spot = Spot::of(threadIdx.x / PIECES, tile.width);
  for (int i = 0; i < count; i += AT_ONCE * THREADS) {
    Words added[AT_ONCE] = {};
    float values[AT_ONCE][CHANNELS];
    int from[AT_ONCE];
    bool kept[AT_ONCE];
#pragma unroll
    for (int k = 0; k < AT_ONCE; k++) {
      kept[k] = unsigned(spot.row - margin) < unsigned(max(own_rows, 0)) && unsigned(spot.column - margin) < unsigned(own_columns);
      from[k] = places.pixel(spot) * pieces;
      spot.go_on(by, tile.width);
      if (SINGLE) read_single(single + size_t(from[k]) * (CHANNELS / 4), values[k]);
      if (!SINGLE && p.trunk != nullptr) added[k] = trunk[from[k]];
    }
#pragma unroll
    for (int k = 0; k < AT_ONCE; k++) {
      const int at = i + k * THREADS;
      if (at >= count) break;
      if (!SINGLE) unpack_piece(own[at], values[k]);
      if (SINGLE || p.scale != nullptr) own[at] = scaled(values[k], norm, added[k]);
      if (kept[k]) trunk_out[from[k]] = own[at];
    }
  }
}

// Copies the patch of a tile, channels `first` and on, into shared memory. All of it is under way at once; then each thread
// scales what it has copied.
template <int SLICE, int ROWS, int AT_ONCE>
DEVICE void load_patch(const Convolution& p, const Tile<SLICE, ROWS>& tile, typename Piece<SLICE>::Words* patch, const float* norms, int first) {
  typedef typename Piece<SLICE>::Words Words;
  const int CHANNELS = Tile<SLICE, ROWS>::CHANNELS, PIECES = Tile<SLICE, ROWS>::PIECES, PIXELS = Tile<SLICE, ROWS>::PIXELS;
  // A thread has the same channels of all its pixels.
  const int part = threadIdx.x % PIECES;
  const Spot begin = Spot::of(threadIdx.x / PIECES, tile.width), by = Spot::of(PIXELS, tile.width);
  const int pieces = p.channels / CHANNELS;
  const Places<SLICE, ROWS> places{p, tile};
  Words* const own = patch + threadIdx.x;
  // Pictures are read by the kernels of the slices that the first layers have.
  if ((SLICE == 4 || SLICE == 16) && p.source != TENSOR) {
    int i = 0;
    for (Spot spot = begin; spot.row < tile.height; spot.go_on(by, tile.width), i += THREADS) {
      unsigned words[CHANNELS / 2];
      read_picture<CHANNELS>(p, places.column(spot.column), places.row(spot.row), first + part * CHANNELS, words);
      memcpy(own + i, words, sizeof(Words));
    }
    return;
  }
  const Words* const input = static_cast<const Words*>(p.input) + first / CHANNELS + part;
  int i = 0;
  for (Spot spot = begin; spot.row < tile.height; spot.go_on(by, tile.width), i += THREADS)
    if (!p.single) copy_later(own + i, input + places.pixel(spot) * pieces, true);
  end_of_copies();
  Norm<CHANNELS> norm;
#pragma unroll
  for (int k = 0; k < CHANNELS; k++) {
    norm.scale[k] = norms[part * CHANNELS + k];
    norm.shift[k] = norms[SLICE + part * CHANNELS + k];
  }
  norm.least = norms + 2 * SLICE + part * CHANNELS;
  wait_for_copies<0>();
  const int count = i;
  if (p.single) {
    add_and_keep<SLICE, ROWS, AT_ONCE / 2, true>(p, tile, own, norm, first, count);
  } else if (p.trunk != nullptr || p.trunk_out != nullptr) {
    add_and_keep<SLICE, ROWS, AT_ONCE, false>(p, tile, own, norm, first, count);
  } else if (p.scale != nullptr) {
    for (i = 0; i < count; i += THREADS) {
      float values[CHANNELS];
      unpack_piece(own[i], values);
      own[i] = scaled(values, norm, Words{});
    }
  }
}

// The same of a tensor that is used as it is, with zeros around it: the copy happens while the block goes on.
template <int SLICE, int ROWS>
DEVICE void fetch_patch(const Convolution& p, const Tile<SLICE, ROWS>& tile, typename Piece<SLICE>::Words* patch, int first) {
  typedef typename Piece<SLICE>::Words Words;
  const int CHANNELS = Tile<SLICE, ROWS>::CHANNELS, PIECES = Tile<SLICE, ROWS>::PIECES, PIXELS = Tile<SLICE, ROWS>::PIXELS;
  const int part = threadIdx.x % PIECES;
  const Spot by = Spot::of(PIXELS, tile.width);
  const Words* const input = static_cast<const Words*>(p.input) + first / CHANNELS + part;
  Words* to = patch + threadIdx.x;
  for (Spot spot = Spot::of(threadIdx.x / PIECES, tile.width); spot.row < tile.height; spot.go_on(by, tile.width)) {
    const int x = tile.left + spot.column, y = tile.top + spot.row;
    const bool inside = unsigned(x) < unsigned(p.width) && unsigned(y) < unsigned(p.height);
    copy_later(to, input + (inside ? (y * p.width + x) * (p.channels / CHANNELS) : 0), inside);
    to += THREADS;
  }
  end_of_copies();
}

// What is there of a gradient that is added to, and where it is wanted: words of a thread's outputs of one pixel.
template <int TILES>
struct There {
  unsigned before[TILES], gate[TILES];
};

template <int TILES>
DEVICE void read_words(const unsigned short* from, int left, unsigned (&words)[TILES]) {
  if (TILES == 4 && left >= 8) {
    const uint4 all = *reinterpret_cast<const uint4*>(from);
#pragma unroll
    for (int n = 0; n < TILES; n++) words[n] = word(all, n);
  } else {
#pragma unroll
    for (int n = 0; n < TILES; n++)
      if (2 * n < left) words[n] = reinterpret_cast<const unsigned*>(from)[n];
  }
}

// As `put`, in single precision.
template <int TILES>
DEVICE void put_single(float* to, int left, const float (&values)[2 * TILES]) {
  if (TILES == 2 && left >= 4) {
    *reinterpret_cast<float4*>(to) = float4{values[0], values[1], values[TILES], values[2 * TILES - 1]};
  } else {
#pragma unroll
    for (int q = 0; q < 2 * TILES; q++)
      if (q < left) to[q] = values[q];
  }
}

// Puts down a thread's outputs of one pixel, neighbours of which `left` are stored; `at` is where the first of them goes.
template <int TILES, bool GRADIENT>
DEVICE void put(const Convolution& p, size_t at, int left, const float (&values)[2 * TILES], float factor, const There<TILES>& there) {
  if (!GRADIENT && p.single_output) {
    put_single<TILES>(reinterpret_cast<float*>(p.output) + at, left, values);
    return;
  }
  unsigned* const to = reinterpret_cast<unsigned*>(p.output + at);
  unsigned words[TILES] = {};
#pragma unroll
  for (int n = 0; n < TILES; n++) {
    float a = values[2 * n], b = values[2 * n + 1];
    if (GRADIENT) {
      const float2 before = unpack(there.before[n]);
      a = before.x + (there.gate[n] & 0xffffu ? a * factor : 0.0f), b = before.y + (there.gate[n] >> 16 ? b * factor : 0.0f);
    }
    words[n] = pack(a, b);
  }
  if (left >= 2 * TILES && p.stored % (2 * TILES) == 0) {
    if (TILES == 4) {
      *reinterpret_cast<uint4*>(to) = uint4{words[0], words[TILES / 4], words[TILES / 2], words[TILES - 1]};
    } else if (TILES == 2) {
      *reinterpret_cast<uint2*>(to) = uint2{words[0], words[TILES - 1]};
    } else {
      to[0] = words[0];
    }
  } else {
#pragma unroll
    for (int n = 0; n < TILES; n++)
      if (2 * n < left) to[n] = words[n];
  }
}

// `SLICE` channels lie in shared memory together; a block computes 16 `TILES` outputs, a warp `ROWS` rows of them.
template <int SLICE, int TILES, int ROWS, bool LOSS = false, bool GRADIENT = false>
DEVICE void convolve(const Convolution& p) {
  SHARED_MEMORY(memory);
  typedef typename Piece<SLICE>::Words Words;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
  const int PIECES = Tile<SLICE, ROWS>::PIECES, PRODUCTS = sizeof(Words) / 8, COLUMNS = EIGHTS * ROWS;
  const Tile<SLICE, ROWS> tile(p);
  // Shared memory: where the threads of a pixel find what a group takes, scale, shift and least, the patch (two where one is
  // fetched while the other is worked on).
  int* const offsets = reinterpret_cast<int*>(memory);
  float* const norms = reinterpret_cast<float*>(offsets + p.groups * 4);
  const int NORMS = LOSS ? 0 : 3 * SLICE;
  Words* const patches = reinterpret_cast<Words*>(norms + NORMS);
  const int patch_size = tile.width * tile.height * PIECES;
  for (int i = threadIdx.x; i < p.groups * 4; i += THREADS) {
    const int place = i / PIECES, row = quotient(place, p.kernel_width), column = place - row * p.kernel_width;
    offsets[i] = row < p.kernel ? (row * tile.width + column) * PIECES + i % PIECES : 0;
  }
  float sums[TILES][COLUMNS][4];
#pragma unroll
  for (int m = 0; m < TILES; m++)
#pragma unroll
    for (int n = 0; n < COLUMNS; n++)
#pragma unroll
      for (int k = 0; k < 4; k++) sums[m][n][k] = 0;
  // Of one slice; they are fetched into the cache before they are needed.
  const int weight_count = p.groups * TILES * PRODUCTS * 32;
  const uint4* weights = static_cast<const uint4*>(p.weights) + size_t(blockIdx.z) * (p.channels / SLICE) * weight_count;
  for (int i = threadIdx.x; i < weight_count; i += THREADS) touch(weights + i);
  weights += lane;
  const int step = (LOSS ? 1 : p.stride_across) * PIECES, next_row = p.stride * tile.width * PIECES;
  const int begin = warp * ROWS * next_row + g * step;
  if (LOSS) fetch_patch(p, tile, patches, 0);
  for (int first = 0; first < p.channels; first += SLICE) {
    const Words* patch = patches + begin;
    if (LOSS) {
      patch += first / SLICE % 2 * patch_size;
      if (first + SLICE < p.channels) {
        fetch_patch(p, tile, patches + (first / SLICE + 1) % 2 * patch_size, first + SLICE);
        for (int i = threadIdx.x; i < weight_count; i += THREADS) touch(weights - lane + weight_count + i);
        wait_for_copies<1>();
      } else {
        wait_for_copies<0>();
      }
    } else {
      for (int i = threadIdx.x; i < NORMS; i += THREADS) {
        const float* const from = i < SLICE ? p.scale : i < 2 * SLICE ? p.shift : p.least;
        norms[i] = from == nullptr ? -INFINITY : from[first + i % SLICE];
      }
      wait_for_block();
      // The sums take registers that copies would have.
      load_patch<SLICE, ROWS, TILES * ROWS < 4 ? 4 : 2>(p, tile, patches, norms, first);
    }
    wait_for_block();
    // Where there are registers for it, the weights of the next group are on their way while this one is worked on.
    const bool AHEAD = LOSS && TILES * ROWS == 8;
    uint4 next[TILES][PRODUCTS];
#pragma unroll
    for (int i = 0; AHEAD && i < TILES * PRODUCTS; i++) next[i / PRODUCTS][i % PRODUCTS] = weights[i * 32];
    for (int group = 0; group < p.groups; group++) {
      const Words* const at = patch + offsets[group * 4 + t];
      uint4 a[TILES][PRODUCTS];
#pragma unroll
      for (int i = 0; i < TILES * PRODUCTS; i++) a[i / PRODUCTS][i % PRODUCTS] = AHEAD ? next[i / PRODUCTS][i % PRODUCTS] : weights[i * 32];
      weights += TILES * PRODUCTS * 32;
      if (AHEAD && group + 1 < p.groups) {
#pragma unroll
        for (int i = 0; i < TILES * PRODUCTS; i++) next[i / PRODUCTS][i % PRODUCTS] = weights[i * 32];
      }
#pragma unroll
      for (int n = 0; n < COLUMNS; n++) {
        const Words b = at[n / EIGHTS * next_row + n % EIGHTS * 8 * step];
#pragma unroll
        for (int k = 0; k < PRODUCTS; k++)
#pragma unroll
          for (int m = 0; m < TILES; m++) multiply_add(sums[m][n], a[m][k], uint2{word(b, 2 * k), word(b, 2 * k + 1)});
      }
    }
    wait_for_block();
  }
  const int x0 = blockIdx.x * TILE_WIDTH, y0 = (blockIdx.y * WARPS + warp) * ROWS;
  const int column = (blockIdx.z * 8 + g) * 2 * TILES;
  if (p.bias != nullptr) {
#pragma unroll
    for (int q = 0; q < 2 * TILES; q++) {
      const float bias = p.bias[column + q];
#pragma unroll
      for (int i = 0; i < 2 * COLUMNS; i++) {
        float& value = sums[q / 2][i / 2][q % 2 * 2 + i % 2];
        value = p.relu_output ? fmaxf(value + bias, 0.0f) : value + bias;
      }
    }
  }
  if (!LOSS && p.totals != nullptr) gather_moments<TILES, ROWS>(p, sums, memory, x0, y0);
  // From one pixel to the next, in a row and down, and to the first of a thread's outputs.
  const int times = p.shuffle ? 2 : 1, across = times * p.stored, down = times * p.out_width * across;
  const int x = x0 + 2 * t, channels = 4 * TILES * gridDim.z, place = p.shuffle ? column / channels : 0;
  const size_t begins = size_t(y0) * down + x * across + place / 2 * (down / times) + (place % 2) * p.stored + (p.shuffle ? column % channels : column);
  if (p.shuffle || column < p.stored) {
    const int left = p.shuffle ? 2 * TILES : p.stored - column, AT_ONCE = 4;
#pragma unroll
    for (int begin = 0; begin < 2 * COLUMNS; begin += AT_ONCE) {
      There<TILES> there[AT_ONCE] = {};
      float factors[AT_ONCE];
#pragma unroll
      for (int k = 0; GRADIENT && k < AT_ONCE; k++) {
        const int i = begin + k, row = i / (2 * EIGHTS), right = i / 2 % EIGHTS * 8 + i % 2;
        factors[k] = p.factor;
        if (y0 + row >= p.out_height || x + right >= p.out_width) continue;
        const size_t at = begins + (row * down + right * across);
        if (p.add) read_words<TILES>(p.output + at, left, there[k].before);
        if (p.gate != nullptr) {
          read_words<TILES>(p.gate + at, left, there[k].gate);
        } else {
#pragma unroll
          for (int n = 0; n < TILES; n++) there[k].gate[n] = 0xffffffffu;
        }
        if (p.pixel_weights != nullptr) factors[k] *= p.pixel_weights[(y0 + row) * p.out_width + x + right];
      }
#pragma unroll
      for (int k = 0; k < AT_ONCE; k++) {
        const int i = begin + k, row = i / (2 * EIGHTS), right = i / 2 % EIGHTS * 8 + i % 2;
        if (y0 + row >= p.out_height || x + right >= p.out_width) continue;
        float values[2 * TILES];
#pragma unroll
        for (int q = 0; q < 2 * TILES; q++) values[q] = sums[q / 2][i / 2][q % 2 * 2 + i % 2];
        put<TILES, GRADIENT>(p, begins + (row * down + right * across), left, values, GRADIENT ? factors[k] : 1.0f, there[k]);
      }
    }
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
