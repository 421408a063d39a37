// Steadying on the card: trust in the history, and the painting joined with it (src/temporal/steady).
//
// What the processor does strip by strip is one kernel here where a pixel needs its neighbours' results no sooner: the
// planes cross the memory bus once for what is found along the motion, once for the trust, once for the blend.
#include "steady.cuh"

// The input's luma at half size; a thread makes a pixel of a tile of 32 x 8.
KERNEL(steady_see, Steadying) {
  const int x = blockIdx.x * 32 + threadIdx.x % 32, y = blockIdx.y * 8 + threadIdx.x / 32;
  const int width = half_of(p.width);
  if (x >= width || y >= half_of(p.height)) return;
  int sum = 0;
#pragma unroll
  for (int k = 0; k < 4; k++) {
    const size_t at = size_t(inside(2 * y + k / 2, p.height)) * p.width + inside(2 * x + k % 2, p.width);
    sum += p.grey ? p.input[at] : input_luma(p.input + 3 * at);
  }
  p.current[size_t(y) * width + x] = 0.25f * float(sum);
}

// B - Y and R - Y of the sums over four pixels.
DEVICE float2 colour_of(float luma, float red, float blue) { return {0.25f * (blue - luma), 0.25f * (red - luma)}; }

// The painting becomes the history, and nothing in the input is new; a thread takes 2 x 2 pixels, a block 32 x 8 of these.
KERNEL(steady_start, Steadying) {
  const int x = blockIdx.x * 32 + threadIdx.x % 32, y = blockIdx.y * 8 + threadIdx.x / 32;
  const int width = half_of(p.width);
  if (x >= width || y >= half_of(p.height)) return;
  float luma = 0, red = 0, blue = 0;
#pragma unroll
  for (int k = 0; k < 4; k++) {
    const size_t at = size_t(inside(2 * y + k / 2, p.height)) * p.width + inside(2 * x + k % 2, p.width);
    const unsigned char* const rgb = p.picture + 3 * at;
    const float own = luma_of(rgb[0], rgb[1], rgb[2]);
    p.history[at] = own;
    luma += own, red += rgb[0], blue += rgb[2];
  }
  p.history_colour[size_t(y) * width + x] = colour_of(luma, red, blue);
  p.age[size_t(y) * width + x] = 24.0f;
}

// The value of a plane of floats between four pixels.
DEVICE float linear(const float* plane, int width, int height, float x, float y) {
  const float right = within(x, 0.0f, float(width - 1)), down = within(y, 0.0f, float(height - 1));
  const int column = inside(int(right), width - 1), row = inside(int(down), height - 1);
  const float* const above = plane + size_t(row) * width + column;
  const float* const below = above + width;
  const float across = right - float(column);
  const float top = above[0] + across * (above[1] - above[0]), bottom = below[0] + across * (below[1] - below[0]);
  return top + (down - float(row)) * (bottom - top);
}

// The input's difference to the input before along the motion and the share of consistent pixels, at half size, and the
// sums of both over cells of 8 x 8; a block takes four cells side by side.
KERNEL(steady_compare, Steadying) {
  SHARED_MEMORY(space);
  float* const sums = reinterpret_cast<float*>(space);
  const int x = blockIdx.x * 32 + threadIdx.x % 32, y = blockIdx.y * 8 + threadIdx.x / 32;
  const int width = half_of(p.width), height = half_of(p.height);
  float light = 0, weight = 0;
  if (x < width && y < height) {
    float u = 0, v = 0;
    int consistent = 0;
#pragma unroll
    for (int k = 0; k < 4; k++) {
      const size_t at = size_t(inside(2 * y + k / 2, p.height)) * p.width + inside(2 * x + k % 2, p.width);
      u += p.u[at], v += p.v[at], consistent += p.consistent[at];
    }
    const size_t at = size_t(y) * width + x;
    const float before = linear(p.previous, width, height, float(x) + 0.125f * u, float(y) + 0.125f * v);
    const float difference = p.current[at] - before;
    weight = 0.25f * float(consistent);
    light = weight * difference;
    p.difference[at] = difference;
    p.weight[at] = weight;
  }
  for (int distance = 1; distance < 8; distance *= 2) {
    light += exchange(light, distance);
    weight += exchange(weight, distance);
  }
  if (threadIdx.x % 8 == 0) {
    sums[threadIdx.x / 8] = light;
    sums[32 + threadIdx.x / 8] = weight;
  }
  wait_for_block();
  const int columns = cells(p.width), cell = blockIdx.x * 4 + threadIdx.x % 4;
  if (threadIdx.x >= 8 || cell >= columns) return;
  const float* const own = sums + threadIdx.x / 4 * 32 + threadIdx.x % 4;
  float sum = 0;
  for (int row = 0; row < 8; row++) sum += own[4 * row];
  p.light_sums[(threadIdx.x / 4 * cells(p.height) + blockIdx.y) * columns + cell] = sum;
}

// Rounds of smoothing of the light, and the side of a tile with what they reach.
#define LIGHT_ROUNDS 6
#define LIGHT_TILE (16 + 2 * LIGHT_ROUNDS)

// The change of the scene's light: both sums smoothed over their cells with (1 2 1)/4 again and again, then their
// quotient. A block makes 16 x 16 cells.
KERNEL(steady_light, Steadying) {
  SHARED_MEMORY(space);
  float* from = reinterpret_cast<float*>(space);
  float* to = from + 2 * LIGHT_TILE * LIGHT_TILE;
  const int columns = cells(p.width), rows = cells(p.height);
  const int left = int(blockIdx.x) * 16 - LIGHT_ROUNDS, top = int(blockIdx.y) * 16 - LIGHT_ROUNDS;
  for (int i = threadIdx.x; i < 2 * LIGHT_TILE * LIGHT_TILE; i += blockDim.x) {
    const int x = left + i % LIGHT_TILE, y = top + i / LIGHT_TILE % LIGHT_TILE, plane = i / (LIGHT_TILE * LIGHT_TILE);
    from[i] = p.light_sums[(plane * rows + inside(y, rows)) * columns + inside(x, columns)];
  }
  wait_for_block();
  for (int round = 0; round < LIGHT_ROUNDS; round++) {
    for (int i = threadIdx.x; i < 2 * LIGHT_TILE * LIGHT_TILE; i += blockDim.x) {
      const int x = i % LIGHT_TILE, y = i / LIGHT_TILE % LIGHT_TILE, plane = i / (LIGHT_TILE * LIGHT_TILE);
      // Beyond the grid its edge is repeated, in every round anew; what the tile does not have is not needed any more.
      float sum = 0;
#pragma unroll
      for (int row = -1; row <= 1; row++) {
        const int beside = inside(inside(top + y + row, rows) - top, LIGHT_TILE);
        const float* const line = from + (plane * LIGHT_TILE + beside) * LIGHT_TILE;
        const int before = inside(inside(left + x - 1, columns) - left, LIGHT_TILE);
        const int behind = inside(inside(left + x + 1, columns) - left, LIGHT_TILE);
        sum += (row == 0 ? 0.5f : 0.25f) * (0.25f * (line[before] + line[behind]) + 0.5f * line[x]);
      }
      to[i] = sum;
    }
    wait_for_block();
    float* const filled = to;
    to = from, from = filled;
  }
  for (int i = threadIdx.x; i < 256; i += blockDim.x) {
    const int x = int(blockIdx.x) * 16 + i % 16, y = int(blockIdx.y) * 16 + i / 16;
    if (x >= columns || y >= rows) continue;
    const int at = (i / 16 + LIGHT_ROUNDS) * LIGHT_TILE + i % 16 + LIGHT_ROUNDS;
    p.light[y * columns + x] = from[at] / (from[LIGHT_TILE * LIGHT_TILE + at] + 1e-3f);
  }
}

// 1 up to a difference of `none`, 0 from `all` on.
DEVICE float belief(float off, float none, float all) {
  const float rest = 1.0f - within((off - none) * (1.0f / (all - none)), 0.0f, 1.0f);
  return rest * rest * (3.0f - 2.0f * rest);
}

// Trust in the history at half size, less where a place has not been seen for long; a block takes 32 x 8 pixels.
KERNEL(steady_doubt, Steadying) {
  const int x = blockIdx.x * 32 + threadIdx.x % 32, y = blockIdx.y * 8 + threadIdx.x / 32;
  const int width = half_of(p.width), height = half_of(p.height);
  if (x >= width || y >= height) return;
  float around = 0;
#pragma unroll
  for (int row = -1; row <= 1; row++) {
    const float* const line = p.difference + size_t(inside(y + row, height)) * width;
    const float sum = line[inside(x - 1, width)] + 2.0f * line[x] + line[inside(x + 1, width)];
    around += row == 0 ? 2.0f * sum : sum;
  }
  const float light = between<CELL / 2>(p.light, cells(p.width), cells(p.height), x, y);
  const float off = fabsf(around * 0.0625f - light);
  const size_t at = size_t(y) * width + x, corner = size_t(2 * y) * p.width + 2 * x;
  const float weight = p.weight[at], u = p.u[corner], v = p.v[corner];
  const float from_x = float(2 * x) + u, from_y = float(2 * y) + v;
  const bool from_inside = from_x >= 0 && from_x <= float(p.width - 1) && from_y >= 0 && from_y <= float(p.height - 1);
  float trust = weight * belief(off, 8.0f, 30.0f);
  if (from_inside) trust += (1.0f - weight) * belief(off, 0.0f, 1.5f);

  const int column = int(within(float(x) + 0.5f * u + 0.5f, 0.0f, float(width - 1)));
  const int row = int(within(float(y) + 0.5f * v + 0.5f, 0.0f, float(height - 1)));
  const float age = trust < 0.5f ? 0.0f : fminf(p.age_before[size_t(row) * width + column] + 1.0f, 24.0f);
  const float ripe = within((age - 12.0f) / 12.0f, 0.0f, 1.0f);
  const float moves = within(sqrtf(u * u + v * v) - 0.5f, 0.0f, 1.0f);
  p.age[at] = age;
  p.trust[at] = trust * (0.75f + 0.25f * fmaxf(ripe, moves));
}

// Moving frames after which the strokes of a cell are replaced, and how many it takes.
#define RENEWAL 72.0f
#define FADE 6

// Which cells' strokes are replaced; a thread takes a cell.
KERNEL(steady_renew, Steadying) {
  const int at = blockIdx.x * blockDim.x + threadIdx.x, columns = cells(p.width), count = columns * cells(p.height);
  if (at >= count) return;
  Turn turn = p.turns[at];
  float share = 0;
  if (turn.fading > 0) {
    share = 1.0f / float(turn.fading);
    turn.fading--;
  } else {
    const int x = inside(at % columns * CELL + CELL / 2, p.width), y = inside(at / columns * CELL + CELL / 2, p.height);
    const size_t centre = size_t(y) * p.width + x;
    const float speed = hypotf(p.u[centre], p.v[centre]);
    turn.restless = fmaxf(turn.restless, within((speed - 0.15f) / (0.5f - 0.15f), 0.0f, 1.0f));
    const bool drifted = mean_square(p.lost[at], p.lost[count + at], p.lost[2 * count + at]) > 12.0f * 12.0f;
    turn.age += drifted ? 4.0f : turn.restless;
    if (turn.age >= RENEWAL) {
      turn.age -= RENEWAL;
      turn.fading = FADE;
      turn.restless = 0;
    }
  }
  p.turns[at] = turn;
  p.renewal[at] = share;
}

// The first of the eight pixels around a place, and which weights they have.
DEVICE int first_tap(float position, int size, int& step) {
  const float place = within(position, 0.0f, float(size - 1));
  const int before = inside(int(place), size - 1);
  step = int((place - float(before)) * 64.0f + 0.5f);
  return before - 3;
}

// The weights of eight pixels.
struct Taps {
  float weights[8];

  DEVICE Taps(const float* all, int step) {
    const float4* const two = reinterpret_cast<const float4*>(all) + 2 * step;
    const float4 a = two[0], b = two[1];
    weights[0] = a.x, weights[1] = a.y, weights[2] = a.z, weights[3] = a.w;
    weights[4] = b.x, weights[5] = b.y, weights[6] = b.z, weights[7] = b.w;
  }
};

// The history's luma between its pixels.
DEVICE float luma_before(const Steadying& p, float x, float y) {
  int across, down;
  const int left = first_tap(x, p.width, across), top = first_tap(y, p.height, down);
  const Taps columns(p.taps, across);
  const float* const rows = p.taps + 8 * down;
  float sum = 0;
  if (left >= 0 && left + 8 <= p.width && top >= 0 && top + 8 <= p.height) {
    const float* row = p.history + size_t(top) * p.width + left;
#pragma unroll 2
    for (int i = 0; i < 8; i++, row += p.width) {
      float own = 0;
#pragma unroll
      for (int j = 0; j < 8; j++) own += columns.weights[j] * row[j];
      sum += rows[i] * own;
    }
    return sum;
  }
#pragma unroll 1
  for (int i = 0; i < 8; i++) {
    const float* const row = p.history + size_t(inside(top + i, p.height)) * p.width;
    float own = 0;
#pragma unroll
    for (int j = 0; j < 8; j++) own += columns.weights[j] * row[inside(left + j, p.width)];
    sum += rows[i] * own;
  }
  return sum;
}

// Two of the eight rows (2 `part` and the next) of the history's colour between its pixels, weighted.
DEVICE float2 colour_before(const Steadying& p, float x, float y, int part) {
  const int width = half_of(p.width), height = half_of(p.height);
  int across, down;
  const int left = first_tap(x, width, across), top = first_tap(y, height, down) + 2 * part;
  const Taps columns(p.taps, across);
  float2 sum = {0, 0};
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const float2* const row = p.history_colour + size_t(inside(top + i, height)) * width;
    const float weight = p.taps[8 * down + 2 * part + i];
    float2 own = {0, 0};
#pragma unroll
    for (int j = 0; j < 8; j++) {
      const float2 pixel = row[inside(left + j, width)];
      own.x += columns.weights[j] * pixel.x;
      own.y += columns.weights[j] * pixel.y;
    }
    sum.x += weight * own.x;
    sum.y += weight * own.y;
  }
  return sum;
}

// The sum over the 2 x 2 threads of a pixel at half size; a warp is two rows of 16.
DEVICE float sum_of_four(float value) {
  value += exchange(value, 1);
  return value + exchange(value, 16);
}

// The painting taken apart into luma and colour and blended with the history; per cell the mean of what is lost. A block
// takes a cell, a thread a pixel, four threads together one of colour. Where the picture ends a thread repeats its last
// pixel and counts for nothing.
KERNEL(steady_blend, Steadying) {
  SHARED_MEMORY(space);
  const int wanted_x = blockIdx.x * CELL + threadIdx.x % CELL, wanted_y = blockIdx.y * CELL + threadIdx.x / CELL;
  const int x = inside(wanted_x, p.width), y = inside(wanted_y, p.height);
  const bool counts = x == wanted_x && y == wanted_y;
  const int width = half_of(p.width), height = half_of(p.height), columns = cells(p.width), rows = cells(p.height);
  const size_t at = size_t(y) * p.width + x;

  const unsigned char* const rgb = p.picture + 3 * at;
  const float red = rgb[0], blue = rgb[2], painted = luma_of(red, rgb[1], blue);
  const float u = p.u[at], v = p.v[at], from_x = float(x) + u, from_y = float(y) + v;
  const bool from_inside = from_x >= 0 && from_x <= float(p.width - 1) && from_y >= 0 && from_y <= float(p.height - 1);
  const float trust = from_inside ? Doubled(width, height, x, y).of(p.trust) : 0.0f;
  // Newly uncovered, or from outside: there is nothing to look up.
  const float old = trust > 0 ? luma_before(p, from_x, from_y) : painted;
  const float apart = painted - old, square = apart * apart;
  const float other = p.firmness * square / (square + 16.0f * 16.0f);
  const float mix = fmaxf(p.mix * (1.0f - other), between<CELL>(p.renewal, columns, rows, x, y));
  const float kept = (1.0f - mix) * trust;
  if (counts) {
    p.levels[0].painting[at] = painted;
    p.levels[0].blend[at] = painted - kept * apart;
  }

  const int half_x = x / 2, half_y = y / 2;
  const float2 colour = colour_of(sum_of_four(painted), sum_of_four(red), sum_of_four(blue));
  const float share = 0.25f * sum_of_four(kept);
  const float there_x = float(half_x) + 0.125f * sum_of_four(u), there_y = float(half_y) + 0.125f * sum_of_four(v);
  const float2 part = colour_before(p, there_x, there_y, threadIdx.x % 2 + threadIdx.x / CELL % 2 * 2);
  const float2 before = {sum_of_four(part.x), sum_of_four(part.y)};
  const float2 gone = {share * (colour.x - before.x), share * (colour.y - before.y)};
  const bool first = counts && x % 2 == 0 && y % 2 == 0;
  if (first) {
    const size_t place = size_t(half_y) * width + half_x;
    p.levels[1].painting_colour[place] = colour;
    p.levels[1].blend_colour[place] = {colour.x - gone.x, colour.y - gone.y};
  }
  float lost[3] = {counts ? kept * apart : 0.0f, first ? gone.x : 0.0f, first ? gone.y : 0.0f};
  block_sums(lost, reinterpret_cast<float*>(space));
  if (threadIdx.x != 0) return;
  const int wide = p.width - int(blockIdx.x) * CELL, tall = p.height - int(blockIdx.y) * CELL;
  const int across = wide < CELL ? wide : CELL, down = tall < CELL ? tall : CELL;
  const int cell = blockIdx.y * columns + blockIdx.x, count = columns * rows;
  p.lost[cell] = lost[0] / float(across * down);
  p.lost[count + cell] = lost[1] / float(half_of(across) * half_of(down));
  p.lost[2 * count + cell] = lost[2] / float(half_of(across) * half_of(down));
}
