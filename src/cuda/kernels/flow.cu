// Motion on the card (src/temporal/flow): pyramids, the search for patches, and what is handed out.
//
// All steps are the processor's, in single precision; `refine.cu` has the refinement. The search keeps even the processor's
// order: a patch needs the patch beside it and the one before it, so that all patches of an anti-diagonal of the grid can be
// matched at once, and the processor's eight stripes of the grid, across which nothing is handed on, make eight blocks of
// threads in each direction. So both find the same motion but for rounding.
#include "flow.cuh"

// The finest level of the present picture: mean luma of squares. A block of this and the next two makes 32 x 8 pixels.
KERNEL(flow_shrink, Flow) {
  const FlowLevel& own = p.levels[0];
  const int x = blockIdx.x * 32 + threadIdx.x % 32, y = blockIdx.y * 8 + threadIdx.x / 32;
  if (x >= own.width || y >= own.height) return;
  int sum = 0;
  for (int row = 0; row < p.factor; row++) {
    const unsigned char* const line = p.picture + 3 * size_t(inside(y * p.factor + row, p.height)) * p.width;
    for (int column = 0; column < p.factor; column++) sum += input_luma(line + 3 * inside(x * p.factor + column, p.width));
  }
  own.image[p.now][size_t(y) * own.width + x] = float(sum) * (1.0f / float(p.factor * p.factor));
}

// The present picture at half the size; an odd last row or column counts twice.
KERNEL(flow_halve, Flow) {
  const FlowLevel &fine = p.levels[p.level - 1], &own = p.levels[p.level];
  const int x = blockIdx.x * 32 + threadIdx.x % 32, y = blockIdx.y * 8 + threadIdx.x / 32;
  if (x >= own.width || y >= own.height) return;
  const float* const upper = fine.image[p.now] + size_t(2 * y) * fine.width;
  const float* const lower = fine.image[p.now] + size_t(inside(2 * y + 1, fine.height)) * fine.width;
  const int even = 2 * x, odd = inside(2 * x + 1, fine.width);
  own.image[p.now][size_t(y) * own.width + x] = ((upper[even] + lower[even]) + (upper[odd] + lower[odd])) * 0.25f;
}

// Blurs the present picture by 1 2 1 both ways; one level per layer of the grid.
KERNEL(flow_smooth, Flow) {
  const FlowLevel& own = p.levels[blockIdx.z];
  const int x = int(blockIdx.x * 32 + threadIdx.x % 32) - 1, y = int(blockIdx.y * 8 + threadIdx.x / 32) - 1;
  if (x > own.width || y > own.height) return;
  const float* const image = own.image[p.now];
  const float* const above = image + size_t(inside(y - 1, own.height)) * own.width;
  const float* const here = image + size_t(inside(y, own.height)) * own.width;
  const float* const below = image + size_t(inside(y + 1, own.height)) * own.width;
  float columns[3];
#pragma unroll
  for (int k = 0; k < 3; k++) {
    const int at = inside(x + k - 1, own.width);
    columns[k] = (above[at] + below[at]) + (here[at] + here[at]);
  }
  const float sum = (columns[0] + columns[2]) + (columns[1] + columns[1]);
  own.smooth[p.now][size_t(y + 1) * (own.width + 2) + x + 1] = sum * (1.0f / 16.0f);
}

// Motions nearer than this, in pixels, are not tried one after the other.
#define SAME 0.05f
// A step shorter than this, in pixels squared, is the last.
#define SHORT_STEP (0.02f * 0.02f)
// Added to the diagonal of the Hessian, grey levels squared over 64 pixels.
#define DAMPING 500.0f
#define AREA float(PATCH * PATCH)

// The sum over the eight columns of a patch, which eight threads hold; all of them get it.
DEVICE float over_columns(float value) {
  value += exchange(value, 4);
  value += exchange(value, 2);
  return value + exchange(value, 1);
}

// The error of a patch at one place, and the Gauss-Newton step from there.
struct Probe {
  float error;
  float2 motion, step;
};

// A column of a patch of the template, ready to be compared.
struct Matcher {
  float values[PATCH], gx[PATCH], gy[PATCH];
  float mean_x, mean_y, xx, xy, yy;
  int x, y, lane;

  DEVICE Matcher(const Blurred& picture, int x, int y, int lane) : x(x), y(y), lane(lane) {
    const int stride = picture.width + 2;
    const float* const first = picture.row(y) + picture.column(x + lane);
    float sum_x = 0, sum_y = 0, sum_xx = 0, sum_xy = 0, sum_yy = 0;
#pragma unroll
    for (int row = 0; row < PATCH; row++) {
      const float* const at = first + row * stride;
      values[row] = at[0];
      gx[row] = (at[1] - at[-1]) * 0.5f;
      gy[row] = (at[stride] - at[-stride]) * 0.5f;
      sum_x += gx[row], sum_y += gy[row];
      sum_xx += gx[row] * gx[row], sum_xy += gx[row] * gy[row], sum_yy += gy[row] * gy[row];
    }
    sum_x = over_columns(sum_x), sum_y = over_columns(sum_y);
    const float a = over_columns(sum_xx) - sum_x * sum_x / AREA + DAMPING;
    const float b = over_columns(sum_xy) - sum_x * sum_y / AREA;
    const float c = over_columns(sum_yy) - sum_y * sum_y / AREA + DAMPING;
    const float scale = 1.0f / (a * c - b * b);
    mean_x = sum_x / AREA, mean_y = sum_y / AREA;
    xx = c * scale, xy = -b * scale, yy = a * scale;
  }

  // Compares the patch with what lies at a motion; all threads of a warp do it together.
  DEVICE Probe probe(const Blurred& target, float2 motion) const {
    const Place across(within(float(x) + motion.x, -OUTSIDE, float(target.width)));
    const Place down(within(float(y) + motion.y, -OUTSIDE, float(target.height)));
    const int left = target.column(across.at + lane), right = target.column(across.at + lane + 1);
    const float* row = target.row(down.at);
    float upper = mixed(row[left], row[right], across.fraction);
    float sum = 0, squares = 0, along_x = 0, along_y = 0;
#pragma unroll
    for (int k = 0; k < PATCH; k++) {
      row = target.row(down.at + k + 1);
      const float lower = mixed(row[left], row[right], across.fraction);
      const float difference = mixed(upper, lower, down.fraction) - values[k];
      sum += difference;
      squares += difference * difference;
      along_x += difference * gx[k];
      along_y += difference * gy[k];
      upper = lower;
    }
    sum = over_columns(sum);
    const float bx = over_columns(along_x) - sum * mean_x, by = over_columns(along_y) - sum * mean_y;
    return {over_columns(squares) - sum * sum / AREA, motion, {xx * bx + xy * by, xy * bx + yy * by}};
  }

  // Gauss-Newton from a probe, as long as the error falls; all threads of a warp do it together.
  DEVICE float2 descend(const Blurred& target, const Probe& start, int steps, bool going) const {
    Probe best = start;
    for (int step = 0; step < steps; step++) {
      const float2 motion = {best.motion.x - best.step.x, best.motion.y - best.step.y};
      const float away_x = motion.x - start.motion.x, away_y = motion.y - start.motion.y;
      if (going && away_x * away_x + away_y * away_y > AREA) {
        // A patch that runs further than its own size has lost itself.
        best.motion = start.motion;
        going = false;
      } else if (going && best.step.x * best.step.x + best.step.y * best.step.y < SHORT_STEP) {
        best.motion = motion;
        going = false;
      }
      if (!warp_has(going)) break;
      const Probe next = probe(target, motion);
      going = going && next.error < best.error;
      if (going) best = next;
    }
    return best.motion;
  }
};

// Stripes of the grid, across which nothing is handed on.
#define STRIPES 8

// The motion of the patches; a block takes a stripe of the grid in one direction, eight threads a patch.
KERNEL(flow_search, Flow) {
  SHARED_MEMORY(space);
  const FlowLevel& level = p.levels[p.level];
  const int direction = blockIdx.z, lane = threadIdx.x % PATCH, groups = blockDim.x / PATCH;
  const int first = blockIdx.x * p.rows / STRIPES, count = int(blockIdx.x + 1) * p.rows / STRIPES - first;
  if (count == 0) return;
  const Blurred picture(level, direction == 0 ? p.now : 1 - p.now), target(level, direction == 0 ? 1 - p.now : p.now);
  float2* const patches = p.patches + size_t(direction) * p.rows * p.columns;
  // What was found on the last two anti-diagonals, by rows.
  float2* const found = reinterpret_cast<float2*>(space);
  for (int sweep = 0; sweep < 2; sweep++) {
    for (int diagonal = 0; diagonal < p.columns + count - 1; diagonal++) {
      const float2* const before = found + (diagonal + 1) % 2 * count;
      for (int first_row = 0; first_row < count; first_row += groups) {
        // Rows and columns in the order of the sweep.
        const int row = first_row + int(threadIdx.x) / PATCH, column = diagonal - row;
        const bool mine = row < count && column >= 0 && column < p.columns;
        if (!warp_has(mine)) continue;
        const int own_row = inside(first + (sweep == 0 ? row : count - 1 - row), p.rows);
        const int own_column = inside(sweep == 0 ? column : p.columns - 1 - column, p.columns);
        const int x = patch_start(own_column, p.spacing, level.width), y = patch_start(own_row, p.spacing, level.height);
        const Matcher matcher(picture, x, y, lane);
        float2 own = {0, 0};
        if (sweep != 0) {
          own = patches[own_row * p.columns + own_column];
        } else if (p.coarser) {
          const int width = half_of(level.width), height = half_of(level.height);
          const Enlarged coarser(width, height, 2, x + PATCH / 2, y + PATCH / 2);
          own = coarser.of(p.from + size_t(direction) * width * height);
          own = {2.0f * own.x, 2.0f * own.y};
        }
        Probe best = matcher.probe(target, own);
#pragma unroll 1
        for (int neighbour = 0; neighbour < 2; neighbour++) {
          bool differs = mine && (neighbour == 0 ? column : row) > 0;
          const float2 other = differs ? before[row - neighbour] : own;
          differs = differs && fabsf(other.x - best.motion.x) + fabsf(other.y - best.motion.y) > SAME;
          if (!warp_has(differs)) continue;
          const Probe probe = matcher.probe(target, other);
          if (differs && probe.error < best.error) best = probe;
        }
        const float2 motion = matcher.descend(target, best, p.steps, mine);
        if (mine && lane == 0) {
          found[diagonal % 2 * count + row] = motion;
          patches[own_row * p.columns + own_column] = motion;
        }
      }
      wait_for_block();
    }
  }
}

// From the motion of patches to that of pixels, each trusting the patches that explain its own value; one direction per
// layer of the grid.
KERNEL(flow_densify, Flow) {
  const FlowLevel& level = p.levels[p.level];
  const int x = blockIdx.x * 32 + threadIdx.x % 32, y = blockIdx.y * 8 + threadIdx.x / 32, direction = blockIdx.z;
  if (x >= level.width || y >= level.height) return;
  const Blurred picture(level, direction == 0 ? p.now : 1 - p.now), target(level, direction == 0 ? 1 - p.now : p.now);
  const float own = picture.row(y)[picture.column(x)];
  const float2* const patches = p.patches + size_t(direction) * p.rows * p.columns;
  const int first_row = y < PATCH ? 0 : (y - PATCH) / p.spacing + 1, first_column = x < PATCH ? 0 : (x - PATCH) / p.spacing + 1;
  float u = 0, v = 0, weights = 0;
  for (int row = first_row; row < p.rows; row++) {
    const int top = patch_start(row, p.spacing, level.height);
    if (top > y) break;
    for (int column = first_column; column < p.columns; column++) {
      const int left = patch_start(column, p.spacing, level.width);
      if (left > x) break;
      const float2 motion = patches[row * p.columns + column];
      const Place across(within(float(left) + motion.x, -OUTSIDE, float(level.width)));
      const Place down(within(float(top) + motion.y, -OUTSIDE, float(level.height)));
      const int before = target.column(across.at + x - left), behind = target.column(across.at + x - left + 1);
      const float* const above = target.row(down.at + y - top);
      const float* const below = target.row(down.at + y - top + 1);
      const float upper = mixed(above[before], above[behind], across.fraction);
      const float lower = mixed(below[before], below[behind], across.fraction);
      const float weight = 1.0f / fmaxf(fabsf(mixed(upper, lower, down.fraction) - own), 1.0f);
      u += weight * motion.x, v += weight * motion.y, weights += weight;
    }
  }
  const float inverse = 1.0f / weights;
  p.to[(size_t(direction) * level.height + y) * level.width + x] = {u * inverse, v * inverse};
}

// Ratios above this are held to it, so that a gross contradiction does not spread.
#define GROSS 2.0f

// How far the two directions contradict each other, at the finest level.
KERNEL(flow_disagreement, Flow) {
  const FlowLevel& level = p.levels[0];
  const int x = blockIdx.x * 32 + threadIdx.x % 32, y = blockIdx.y * 8 + threadIdx.x / 32;
  if (x >= level.width || y >= level.height) return;
  const size_t at = size_t(y) * level.width + x;
  const float2 back = p.from[at];
  const float2* const forward = p.from + size_t(level.width) * level.height;
  const float right = within(float(x) + back.x, 0.0f, float(level.width - 1) - 1e-3f);
  const float below = within(float(y) + back.y, 0.0f, float(level.height - 1) - 1e-3f);
  const int column = int(right), row = int(below);
  const float2* const corner = forward + size_t(row) * level.width + column;
  const float2 upper = mixed(corner[0], corner[1], right - float(column));
  const float2 lower = mixed(corner[level.width], corner[level.width + 1], right - float(column));
  const float2 forth = mixed(upper, lower, below - float(row));
  const float du = back.x + forth.x, dv = back.y + forth.y;
  const float lengths = forth.x * forth.x + (forth.y * forth.y + (back.x * back.x + back.y * back.y));
  const float limit = lengths * 0.01f + 0.5f / float(p.factor * p.factor);
  p.disagreement[at] = fminf((du * du + dv * dv) / limit, GROSS);
}

// The motion at the size of the picture, where it is consistent, and what the processor wants to know of both. A block makes
// 32 x 8 pixels.
KERNEL(flow_hand_out, Flow) {
  SHARED_MEMORY(space);
  const FlowLevel& level = p.levels[0];
  const int x = blockIdx.x * 32 + threadIdx.x % 32, y = blockIdx.y * 8 + threadIdx.x / 32;
  float count[1] = {0};
  if (x < p.width && y < p.height) {
    const Enlarged place(level.width, level.height, p.factor, x, y);
    const float2 motion = place.of(p.from);
    const float u = motion.x * float(p.factor), v = motion.y * float(p.factor);
    const float from_x = float(x) + u, from_y = float(y) + v;
    const bool from_inside = from_x >= 0 && from_x <= float(p.width - 1) && from_y >= 0 && from_y <= float(p.height - 1);
    const bool consistent = from_inside && place.of(p.disagreement) <= 1.0f;
    const size_t at = size_t(y) * p.width + x;
    p.u[at] = u, p.v[at] = v;
    p.consistent[at] = consistent;
    count[0] = float(consistent);
    const int step = p.sample_step, begin = step / 2;
    if (x % step == begin && y % step == begin) {
      const int columns = (p.width - begin + step - 1) / step;
      p.samples[y / step * columns + x / step] = consistent ? float2{from_x, from_y} : float2{NAN, NAN};
    }
  }
  block_sums(count, reinterpret_cast<float*>(space));
  if (threadIdx.x == 0) p.counts[blockIdx.y * gridDim.x + blockIdx.x] = count[0];
}
