// Variational refinement of the motion on the card (src/temporal/flow/refine): brightness and gradients kept, motion smooth.
//
// The processor goes over its planes once for each of the ten half sweeps of the relaxation. Here one launch does all of an
// outer iteration: a block takes its tile with the ten pixels around it that ten half sweeps can reach into shared memory,
// makes weights and system there, relaxes, and writes the tile alone. Pixels near the rim of what it took come out wrong and
// are thrown away; the tile comes out as if all of the picture had been relaxed at once, as it does on the processor.
#include "flow.cuh"

// Catmull-Rom weights of four consecutive pixels, at the fraction t beyond the second.
struct Cubic {
  float weights[4];

  DEVICE Cubic(float t) {
    const float square = t * t;
    weights[0] = ((-0.5f * t + 1.0f) * t - 0.5f) * t;
    weights[1] = (1.5f * t - 2.5f) * square + 1.0f;
    weights[2] = ((-1.5f * t + 2.0f) * t + 0.5f) * t;
    weights[3] = (0.5f * t - 0.5f) * square;
  }
};

// Pixels of a block of the linearisation, and what their derivatives reach.
#define LINEAR_WIDTH 32
#define LINEAR_HEIGHT 8
#define REACH 2
#define LINEAR_PITCH (LINEAR_WIDTH + 2 * REACH)
#define LINEAR_AREA (LINEAR_PITCH * (LINEAR_HEIGHT + 2 * REACH))

// The target warped along the motion, and the data terms about it, moved to zero motion; one direction per layer of the grid.
KERNEL(flow_linearise, Flow) {
  SHARED_MEMORY(space);
  const FlowLevel& level = p.levels[p.level];
  const int width = level.width, height = level.height, direction = blockIdx.z;
  const float* const picture = level.image[direction == 0 ? p.now : 1 - p.now];
  const float* const target = level.image[direction == 0 ? 1 - p.now : p.now];
  const float2* const field = p.from + size_t(direction) * width * height;
  // Mean of template and warped target, and the latter less the former.
  float* const mean = reinterpret_cast<float*>(space);
  float* const change = mean + LINEAR_AREA;
  const int left = blockIdx.x * LINEAR_WIDTH - REACH, top = blockIdx.y * LINEAR_HEIGHT - REACH;
  for (int i = threadIdx.x; i < LINEAR_AREA; i += blockDim.x) {
    // Beyond the picture what its edge has is repeated.
    const int x = inside(left + i % LINEAR_PITCH, width), y = inside(top + i / LINEAR_PITCH, height);
    const size_t at = size_t(y) * width + x;
    const Place across(within(float(x) + field[at].x, 0.0f, float(width - 1)));
    const Place down(within(float(y) + field[at].y, 0.0f, float(height - 1)));
    const Cubic columns(across.fraction), rows(down.fraction);
    float warped = 0;
#pragma unroll
    for (int row = 0; row < 4; row++) {
      const float* const line = target + size_t(inside(down.at + row - 1, height)) * width;
      float sum = 0;
#pragma unroll
      for (int column = 0; column < 4; column++) sum += line[inside(across.at + column - 1, width)] * columns.weights[column];
      warped += sum * rows.weights[row];
    }
    mean[i] = (warped + picture[at]) * 0.5f;
    change[i] = warped - picture[at];
  }
  wait_for_block();
  const int column = threadIdx.x % LINEAR_WIDTH, row = threadIdx.x / LINEAR_WIDTH;
  const int x = left + REACH + column, y = top + REACH + row;
  if (x >= width || y >= height) return;
  const size_t at = size_t(y) * width + x;
  const float2 motion = field[at];
  const float* const m = mean + (row + REACH) * LINEAR_PITCH + column + REACH;
  const float* const c = change + (row + REACH) * LINEAR_PITCH + column + REACH;
  const int line = LINEAR_PITCH;
  const float twice = m[0] + m[0];
  const float ix = (m[1] - m[-1]) * 0.5f, iy = (m[line] - m[-line]) * 0.5f;
  const float ixx = (m[2] + m[-2] - twice) * 0.25f, iyy = (m[2 * line] + m[-2 * line] - twice) * 0.25f;
  const float ixy = ((m[line + 1] - m[line - 1]) - (m[1 - line] - m[-1 - line])) * 0.25f;
  const float ixz = (c[1] - c[-1]) * 0.5f, iyz = (c[line] - c[-line]) * 0.5f;
  // 0 where the motion leads more than a pixel outside: there is nothing to compare with.
  const float to_x = float(x) + motion.x, to_y = float(y) + motion.y;
  const float excess = fmaxf(fmaxf(-to_x, to_x - float(width - 1)), fmaxf(-to_y, to_y - float(height - 1)));
  const float share = 1.0f - within(excess, 0.0f, 1.0f);
  float4* const terms = p.terms + 2 * (size_t(direction) * width * height + at);
  terms[0] = {ix * share, iy * share, (c[0] - ix * motion.x - iy * motion.y) * share, ixx * share};
  terms[1] = {ixy * share, iyy * share, (ixz - ixx * motion.x - ixy * motion.y) * share,
              (iyz - ixy * motion.x - iyy * motion.y) * share};
}

// Pixels of a block of the relaxation, half sweeps, and the pixels that are worked on for them.
#define RELAX_WIDTH 32
#define RELAX_HEIGHT 16
#define HALF_SWEEPS 10
#define REGION_WIDTH (RELAX_WIDTH + 2 * HALF_SWEEPS)
#define REGION_HEIGHT (RELAX_HEIGHT + 2 * HALF_SWEEPS)
#define REGION (REGION_WIDTH * REGION_HEIGHT)
#define HALF_ROW (REGION_WIDTH / 2)
// Pairs of pixels side by side, one of each colour, that a thread has.
#define PAIRS ((REGION / 2 + 255) / 256)

#define OVER_RELAXATION 1.8f
// Added to squared gradients in the normalisation.
#define ZETA (0.1f * 0.1f)
// Of the robust function.
#define EPSILON (0.01f * 0.01f)

// A row holds its even columns and then its odd ones, so that a colour's neighbours lie side by side.
DEVICE int region_place(int x, int y) { return (2 * y + x % 2) * HALF_ROW + x / 2; }

// Two equations with the smoothness of the edges in them.
struct Equations {
  float inverse_u, inverse_v, coupling, side_u, side_v;

  DEVICE Equations(const Flow& p, const float4& first, const float4& second, float2 motion, float edges) {
    const float ix = first.x, iy = first.y, iz = first.z, ixx = first.w;
    const float ixy = second.x, iyy = second.y, ixz = second.z, iyz = second.w;
    const float norm = 1.0f / (ix * ix + (iy * iy + ZETA));
    const float error = ix * motion.x + (iy * motion.y + iz);
    const float weight = p.brightness * norm / sqrtf(error * error * norm + EPSILON);
    const float wx = weight * ix, wy = weight * iy;
    float uu = wx * ix + ZETA, uv = wx * iy, vv = wy * iy + ZETA;
    side_u = wx * iz, side_v = wy * iz;

    const float cross = ixy * ixy + ZETA;
    const float norm_x = 1.0f / (ixx * ixx + cross), norm_y = 1.0f / (iyy * iyy + cross);
    const float error_x = ixx * motion.x + (ixy * motion.y + ixz), error_y = ixy * motion.x + (iyy * motion.y + iyz);
    const float squares = error_x * error_x * norm_x + (error_y * error_y * norm_y + EPSILON);
    const float both = p.gradient / sqrtf(squares);
    const float weight_x = both * norm_x, weight_y = both * norm_y;
    const float wxx = weight_x * ixx, wxy = weight_x * ixy, wyx = weight_y * ixy, wyy = weight_y * iyy;
    uu = wxx * ixx + (wyx * ixy + uu);
    uv = wxx * ixy + (wyx * iyy + uv);
    vv = wxy * ixy + (wyy * iyy + vv);
    side_u = -(wxx * ixz + (wyx * iyz + side_u));
    side_v = -(wxy * ixz + (wyy * iyz + side_v));
    coupling = uv;
    inverse_u = 1.0f / (uu + edges), inverse_v = 1.0f / (vv + edges);
  }

  DEVICE Equations() : inverse_u(0), inverse_v(0), coupling(0), side_u(0), side_v(0) {}
};

// One outer iteration: robust weights of the present motion, the linear system, and its relaxation, red and black in turn;
// one direction per layer of the grid.
KERNEL(flow_relax, Flow) {
  SHARED_MEMORY(space);
  const FlowLevel& level = p.levels[p.level];
  const int width = level.width, height = level.height;
  const size_t plane = size_t(blockIdx.z) * width * height;
  const float2* const from = p.from + plane;
  const float4* const terms = p.terms + 2 * plane;
  // The unknown motion, and the weight of smoothness towards the right and downwards.
  float* const u = reinterpret_cast<float*>(space);
  float* const v = u + REGION;
  float* const smooth = v + REGION;
  const int left = int(blockIdx.x) * RELAX_WIDTH - HALF_SWEEPS, top = int(blockIdx.y) * RELAX_HEIGHT - HALF_SWEEPS;
  for (int i = threadIdx.x; i < REGION; i += blockDim.x) {
    const int x = left + i % REGION_WIDTH, y = top + i / REGION_WIDTH, at = region_place(i % REGION_WIDTH, i / REGION_WIDTH);
    const bool in_picture = x >= 0 && x < width && y >= 0 && y < height;
    const float2 motion = in_picture ? from[size_t(y) * width + x] : float2{0, 0};
    u[at] = motion.x, v[at] = motion.y;
  }
  wait_for_block();
  for (int i = threadIdx.x; i < REGION; i += blockDim.x) {
    const int column = i % REGION_WIDTH, row = i / REGION_WIDTH, x = left + column, y = top + row;
    const int at = region_place(column, row);
    // No difference beyond the picture; beyond the region it is not known, nor needed.
    const int right = x + 1 < width && column + 1 < REGION_WIDTH ? region_place(column + 1, row) : at;
    const int down = y + 1 < height && row + 1 < REGION_HEIGHT ? region_place(column, row + 1) : at;
    const float ux = u[right] - u[at], vx = v[right] - v[at], uy = u[down] - u[at], vy = v[down] - v[at];
    smooth[at] = p.smoothness / sqrtf(ux * ux + (vx * vx + (uy * uy + (vy * vy + EPSILON))));
  }
  wait_for_block();
  Equations own[PAIRS][2];
#pragma unroll
  for (int k = 0; k < PAIRS; k++) {
    const int pair = threadIdx.x + k * 256, row = pair / HALF_ROW;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int column = pair % HALF_ROW * 2 + half, x = left + column, y = top + row;
      if (row == 0 || row >= REGION_HEIGHT || column == 0 || x < 0 || x >= width || y < 0 || y >= height) continue;
      const int at = region_place(column, row);
      const float to_right = x + 1 < width ? smooth[at] : 0.0f, to_left = x > 0 ? smooth[region_place(column - 1, row)] : 0.0f;
      const float to_below = y + 1 < height ? smooth[at] : 0.0f, to_above = y > 0 ? smooth[at - REGION_WIDTH] : 0.0f;
      const float4* const term = terms + 2 * (size_t(y) * width + x);
      own[k][half] = Equations(p, term[0], term[1], {u[at], v[at]}, to_right + to_below + to_left + to_above);
    }
  }
  for (int sweep = 0; sweep < HALF_SWEEPS; sweep++) {
#pragma unroll
    for (int k = 0; k < PAIRS; k++) {
      const int pair = threadIdx.x + k * 256, row = pair / HALF_ROW, half = (row + sweep) % 2;
      const int column = pair % HALF_ROW * 2 + half, x = left + column, y = top + row;
      // The rim lacks neighbours.
      if (row == 0 || row >= REGION_HEIGHT - 1 || column == 0 || column == REGION_WIDTH - 1) continue;
      if (x < 0 || x >= width || y < 0 || y >= height) continue;
      const Equations& a = own[k][0];
      const Equations& b = own[k][1];
      const int at = region_place(column, row), above = at - REGION_WIDTH, below = at + REGION_WIDTH;
      const int right = region_place(column + 1, row), before = region_place(column - 1, row);
      const float to_right = x + 1 < width ? smooth[at] : 0.0f, to_left = x > 0 ? smooth[before] : 0.0f;
      const float to_below = y + 1 < height ? smooth[at] : 0.0f, to_above = y > 0 ? smooth[above] : 0.0f;
      const float around_u = to_below * u[below] + (to_above * u[above] + (to_right * u[right] +
                             (to_left * u[before] + (half ? b.side_u : a.side_u))));
      const float around_v = to_below * v[below] + (to_above * v[above] + (to_right * v[right] +
                             (to_left * v[before] + (half ? b.side_v : a.side_v))));
      const float coupling = half ? b.coupling : a.coupling;
      const float old_u = u[at], old_v = v[at];
      const float wanted_u = (around_u - coupling * old_v) * (half ? b.inverse_u : a.inverse_u);
      const float new_u = (wanted_u - old_u) * OVER_RELAXATION + old_u;
      const float wanted_v = (around_v - coupling * new_u) * (half ? b.inverse_v : a.inverse_v);
      u[at] = new_u, v[at] = (wanted_v - old_v) * OVER_RELAXATION + old_v;
    }
    wait_for_block();
  }
  for (int i = threadIdx.x; i < RELAX_WIDTH * RELAX_HEIGHT; i += blockDim.x) {
    const int column = i % RELAX_WIDTH + HALF_SWEEPS, row = i / RELAX_WIDTH + HALF_SWEEPS, x = left + column, y = top + row;
    if (x >= width || y >= height) continue;
    const int at = region_place(column, row);
    p.to[plane + size_t(y) * width + x] = {u[at], v[at]};
  }
}
