// Steadying on the card: what the blend has lost of each octave's texture is paid back (src/temporal/steady/octaves.rs).
#include "steady.cuh"

// The four pixels along an axis that make a pixel of half the size, weighted (1 3 3 1)/8.
struct Halved {
  int at[4];

  DEVICE Halved(int place, int size) {
#pragma unroll
    for (int k = 0; k < 4; k++) at[k] = inside(2 * place + k - 1, size);
  }

  DEVICE static float weight(int k) { return k == 0 || k == 3 ? 0.125f : 0.375f; }
};

DEVICE float halved(const float* plane, int width, const Halved& columns, const Halved& rows) {
  float sum = 0;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const float* const row = plane + size_t(rows.at[i]) * width;
    float own = 0;
#pragma unroll
    for (int j = 0; j < 4; j++) own += Halved::weight(j) * row[columns.at[j]];
    sum += Halved::weight(i) * own;
  }
  return sum;
}

DEVICE float2 halved(const float2* plane, int width, const Halved& columns, const Halved& rows) {
  float2 sum = {0, 0};
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const float2* const row = plane + size_t(rows.at[i]) * width;
    float2 own = {0, 0};
#pragma unroll
    for (int j = 0; j < 4; j++) {
      const float2 pixel = row[columns.at[j]];
      own.x += Halved::weight(j) * pixel.x, own.y += Halved::weight(j) * pixel.y;
    }
    sum.x += Halved::weight(i) * own.x, sum.y += Halved::weight(i) * own.y;
  }
  return sum;
}

// Blend and painting of the octave beyond `octave`; colour begins at half size. A block makes 32 x 8 pixels.
KERNEL(steady_halve, Steadying) {
  const Level &fine = p.levels[p.octave], &coarse = p.levels[p.octave + 1];
  const int x = blockIdx.x * 32 + threadIdx.x % 32, y = blockIdx.y * 8 + threadIdx.x / 32;
  if (x >= coarse.width || y >= coarse.height) return;
  const Halved columns(x, fine.width), rows(y, fine.height);
  const size_t at = size_t(y) * coarse.width + x;
  coarse.blend[at] = halved(fine.blend, fine.width, columns, rows);
  coarse.painting[at] = halved(fine.painting, fine.width, columns, rows);
  if (p.octave == 0) return;
  coarse.blend_colour[at] = halved(fine.blend_colour, fine.width, columns, rows);
  coarse.painting_colour[at] = halved(fine.painting_colour, fine.width, columns, rows);
}

// Energies of the octaves, one per layer of the grid; a block measures a cell.
KERNEL(steady_energies, Steadying) {
  SHARED_MEMORY(space);
  const Level &fine = p.levels[blockIdx.z], &coarse = p.levels[blockIdx.z + 1];
  const int columns = cells(fine.width), count = columns * cells(fine.height);
  if (int(blockIdx.x) >= columns || int(blockIdx.y) >= cells(fine.height)) return;
  const int x = blockIdx.x * CELL + threadIdx.x % CELL, y = blockIdx.y * CELL + threadIdx.x / CELL;
  float sums[3] = {0, 0, 0};
  if (x < fine.width && y < fine.height) {
    const Doubled smooth(coarse.width, coarse.height, x, y);
    const size_t at = size_t(y) * fine.width + x;
    const float blend = fine.blend[at] - smooth.of(coarse.blend), painting = fine.painting[at] - smooth.of(coarse.painting);
    sums[0] = blend * blend, sums[1] = painting * painting, sums[2] = blend * painting;
  }
  block_sums(sums, reinterpret_cast<float*>(space));
  if (threadIdx.x != 0) return;
  const int wide = fine.width - int(blockIdx.x) * CELL, tall = fine.height - int(blockIdx.y) * CELL;
  const float pixels = float((wide < CELL ? wide : CELL) * (tall < CELL ? tall : CELL));
  const int cell = blockIdx.y * columns + blockIdx.x;
#pragma unroll
  for (int k = 0; k < 3; k++) fine.energies[k * count + cell] = sums[k] / pixels;
}

// A cell's mean with its neighbours, weights (1 2 1)/4 in both directions.
DEVICE float smoothed(const float* grid, int columns, int rows, int x, int y) {
  float sum = 0;
#pragma unroll
  for (int row = -1; row <= 1; row++) {
    const float* const line = grid + inside(y + row, rows) * columns;
    sum += (row == 0 ? 0.5f : 0.25f) * (0.25f * (line[inside(x - 1, columns)] + line[inside(x + 1, columns)]) + 0.5f * line[x]);
  }
  return sum;
}

// The value of a grid at a place between its cells, in cells from the centre of the first.
DEVICE float at_place(const float* grid, int columns, int rows, float x, float y) {
  const float right = within(x, 0.0f, float(columns - 1)), down = within(y, 0.0f, float(rows - 1));
  const int column = int(right), row = int(down), next = inside(column + 1, columns);
  const float* const above = grid + row * columns;
  const float* const below = grid + inside(row + 1, rows) * columns;
  const float across = right - float(column);
  const float top = above[column] + across * (above[next] - above[column]);
  const float bottom = below[column] + across * (below[next] - below[column]);
  return top + (down - float(row)) * (bottom - top);
}

// Mean square of an octave that is no texture yet.
#define NO_TEXTURE 1.0f

// How much of each octave stays and how much of the painting's comes, one octave per layer of the grid; a thread takes a
// cell.
KERNEL(steady_pay_back, Steadying) {
  const Level& level = p.levels[blockIdx.z];
  const int columns = cells(level.width), rows = cells(level.height), count = columns * rows;
  const int cell = blockIdx.x * blockDim.x + threadIdx.x;
  if (cell >= count) return;
  const float bounds[OCTAVES] = {1.08f, 1.04f, 1.02f, 1.0f}, amplitudes[OCTAVES] = {0.97f, 0.95f, 0.97f, 1.0f};
  float most = bounds[0], enough = amplitudes[0];
#pragma unroll
  for (int k = 1; k < OCTAVES; k++)
    if (int(blockIdx.z) == k) most = bounds[k], enough = amplitudes[k];
  const int x = cell % columns, y = cell / columns;
  const float has = smoothed(level.energies, columns, rows, x, y) + NO_TEXTURE;
  const float painted = smoothed(level.energies + count, columns, rows, x, y) + NO_TEXTURE;
  const float common = smoothed(level.energies + 2 * count, columns, rows, x, y);
  float usual = painted;
  if (p.known) {
    const int side = CELL << blockIdx.z;
    const int pixel = inside(x * side + side / 2, p.width), line = inside(y * side + side / 2, p.height);
    const size_t centre = size_t(line) * p.width + pixel;
    const float trust = p.trust[size_t(line / 2) * half_of(p.width) + pixel / 2];
    const float there_x = float(x) + p.u[centre] / float(side), there_y = float(y) + p.v[centre] / float(side);
    usual += 0.9f * trust * (at_place(level.usual, columns, rows, there_x, there_y) - painted);
  }
  level.next_usual[cell] = usual;
  const float wanted = within(has, enough * enough * fminf(usual, painted), fmaxf(usual, painted));
  const float gain = within(sqrtf(wanted / has), 0.8f, most);
  // wanted = gain^2 has + 2 gain share common + share^2 painted; nothing is missing where the gain suffices.
  const float half = gain * common, missing = fmaxf(wanted - gain * gain * has, 0.0f);
  level.repair[cell] = gain;
  level.repair[count + cell] = within((sqrtf(half * half + painted * missing) - half) / painted, 0.0f, 1.0f);
}

// Gain and share of an octave at a pixel of the coarser one, where a cell is half as wide.
DEVICE float2 repair_coarser(const Level& level, int x, int y) {
  const int columns = cells(level.width), rows = cells(level.height);
  return {between<CELL / 2>(level.repair, columns, rows, x, y),
          between<CELL / 2>(level.repair + columns * rows, columns, rows, x, y)};
}

// The same at a pixel of its own, by the step up from there that the pictures take too.
DEVICE float2 repair_at(const Level& level, int x, int y) {
  const int column = x / 2, other = inside(x % 2 ? column + 1 : column - 1, half_of(level.width));
  const int row = y / 2, other_row = inside(y % 2 ? row + 1 : row - 1, half_of(level.height));
  const float2 a = repair_coarser(level, column, row), b = repair_coarser(level, column, other_row);
  const float2 c = repair_coarser(level, other, row), d = repair_coarser(level, other, other_row);
  return {Doubled::mix(Doubled::mix(a.x, b.x), Doubled::mix(c.x, d.x)), Doubled::mix(Doubled::mix(a.y, b.y), Doubled::mix(c.y, d.y))};
}

// The squares of the painting's finest octave at a pixel and its neighbours in the row; at the ends of a row its own.
DEVICE float texture_near(const Level& full, const Level& half, int x, int y) {
  const int reach = x >= 2 && x + 2 < full.width ? 2 : 0;
  float sum = 0;
  for (int there = x - reach; there <= x + reach; there++) {
    const float octave = full.painting[size_t(y) * full.width + there] - Doubled(half.width, half.height, there, y).of(half.painting);
    sum += octave * octave;
  }
  return sum;
}

// What the coarsest picture carries: where the light changes, or a place is painted in another colour for good, it follows
// the painting. A pixel of it is a cell of the full size.
KERNEL(steady_base, Steadying) {
  const Level& base = p.levels[OCTAVES];
  const int at = blockIdx.x * blockDim.x + threadIdx.x, count = base.width * base.height;
  if (at >= count) return;
  const float2 repair = repair_coarser(p.levels[OCTAVES - 1], at % base.width, at / base.width);
  const float lost[3] = {p.lost[at], p.lost[count + at], p.lost[2 * count + at]};
  const float square = mean_square(lost[0], lost[1], lost[2]), light = p.light[at] * p.light[at];
  const float take = fmaxf(light / (light + 2.0f * 2.0f), square / (square + 25.0f * 25.0f));
  const float kept = 1.0f - repair.x;
  const float2 blend = base.blend_colour[at], painting = base.painting_colour[at];
  base.carry[at] = kept * base.blend[at] - repair.y * base.painting[at] + take * lost[0];
  base.carry_colour[at] = {kept * blend.x - repair.y * painting.x + take * lost[1], kept * blend.y - repair.y * painting.y + take * lost[2]};
}

// What an octave carries to the next finer one; at half size colour is done. A block takes 32 x 8 pixels.
KERNEL(steady_carry, Steadying) {
  const Level &fine = p.levels[p.octave], &coarse = p.levels[p.octave + 1];
  const int x = blockIdx.x * 32 + threadIdx.x % 32, y = blockIdx.y * 8 + threadIdx.x / 32;
  if (x >= fine.width || y >= fine.height) return;
  const float2 own = repair_at(fine, x, y), finer = repair_coarser(p.levels[p.octave - 1], x, y);
  const float2 rest = {own.x - finer.x, own.y - finer.y}, of_colour = p.octave > 1 ? rest : own;
  const Doubled carried(coarse.width, coarse.height, x, y);
  const size_t at = size_t(y) * fine.width + x;
  fine.carry[at] = carried.of(coarse.carry) + rest.x * fine.blend[at] + rest.y * fine.painting[at];
  const float2 colour = carried.of(coarse.carry_colour), blend = fine.blend_colour[at], painting = fine.painting_colour[at];
  fine.carry_colour[at] = {colour.x + of_colour.x * blend.x + of_colour.y * painting.x,
                           colour.y + of_colour.x * blend.y + of_colour.y * painting.y};
}

DEVICE unsigned char nearest(float value) { return (unsigned char)int(within(value, 0.0f, 255.0f) + 0.5f); }

// The corrected picture: what stands where the painting is flat fades, luma takes the blend's place and becomes the history,
// and the pixels are written, by words where a block has 256 of them.
KERNEL(steady_finish, Steadying) {
  SHARED_MEMORY(bytes);
  const Level &full = p.levels[0], &half = p.levels[1];
  const size_t pixels = size_t(p.width) * p.height, begin = size_t(blockIdx.x) * 256, at = begin + threadIdx.x;
  if (at < pixels) {
    const int x = int(at % p.width), y = int(at / p.width);
    const float2 repair = repair_at(full, x, y);
    const Doubled carried(half.width, half.height, x, y);
    const float blend = full.blend[at], fade = 0.1f / (1.0f + texture_near(full, half, x, y));
    const float corrected = repair.x * blend + repair.y * full.painting[at] + carried.of(half.carry);
    const float luma = within(corrected - fade * (blend - carried.of(half.blend)), 0.0f, 255.0f);
    const float2 colour = carried.of(half.carry_colour);
    full.blend[at] = luma;
    unsigned char* const own = bytes + 3 * threadIdx.x;
    own[0] = nearest(luma + colour.y);
    own[1] = nearest(green_of(luma, colour.x, colour.y));
    own[2] = nearest(luma + colour.x);
  }
  wait_for_block();
  if (begin + 256 <= pixels) {
    if (threadIdx.x < 192) reinterpret_cast<unsigned*>(p.picture + 3 * begin)[threadIdx.x] = reinterpret_cast<const unsigned*>(bytes)[threadIdx.x];
  } else if (at < pixels) {
#pragma unroll
    for (int k = 0; k < 3; k++) p.picture[3 * at + k] = bytes[3 * threadIdx.x + k];
  }
}
