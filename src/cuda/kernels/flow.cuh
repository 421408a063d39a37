// What motion on the card works with: the pyramids of two pictures, both directions of flow, and how planes are read between
// their pixels. The numbers are those of src/temporal/flow, which says why; the tests that compare the two fail where they
// differ.
#pragma once
#include "picture.cuh"

// Side of a patch; how far beyond the picture it may lie; the border of the processor's planes.
#define PATCH 8
#define OUTSIDE 8.0f
#define BORDER 24

// Levels of the largest picture.
#define FLOW_LEVELS 10

// One size of two pictures.
struct FlowLevel {
  // Brightness, 0..255.
  float* image[2];
  // The same blurred, with a pixel more on every side, beyond which it does not change.
  float* smooth[2];
  int width, height;
};

// Where there are two directions, that from the present picture to the one before comes first and the other behind it.
struct Flow {
  FlowLevel levels[FLOW_LEVELS];
  // The present picture as RGB.
  const unsigned char* picture;
  // Motion of the patches of the level.
  float2* patches;
  // Motion of the pixels: that of the coarser level or of the step before, and that of this step.
  const float2* from;
  float2* to;
  // The data terms of the refinement, two numbers of four a pixel.
  float4* terms;
  // Of the finest level: |there and back|^2 over what is allowed.
  float* disagreement;
  // What is handed out, at the size of the picture: motion to the one before, and whether the two directions agree.
  float* u;
  float* v;
  unsigned char* consistent;
  // Of every `sample_step`-th pixel the place in the picture before, no number where it is not known; consistent pixels,
  // one number a block.
  float2* samples;
  float* counts;
  int width, height;
  // Which of the two pictures is the present one.
  int now;
  // The level that a launch works on, and whether there is a coarser one.
  int level, coarser;
  // Pixels of the picture in one of the finest level, along each side.
  int factor;
  // The grid of patches of the level.
  int spacing, columns, rows;
  // Gauss-Newton steps at most, in each sweep.
  int steps;
  int sample_step;
  // Half the weights of the refinement's terms.
  float brightness, gradient, smoothness;
};

DEVICE int patch_start(int index, int spacing, int side) {
  const int start = index * spacing;
  return start < side - PATCH ? start : side - PATCH;
}

// The blurred picture at any place.
struct Blurred {
  const float* plane;
  int width, height;

  DEVICE Blurred(const FlowLevel& level, int picture) : plane(level.smooth[picture]), width(level.width), height(level.height) {}

  DEVICE int column(int x) const { return inside(x + 1, width + 2); }
  DEVICE const float* row(int y) const { return plane + size_t(inside(y + 1, height + 2)) * (width + 2); }
};

// The pixel before a place along one axis, and the fraction beyond it.
struct Place {
  int at;
  float fraction;

  DEVICE Place(float position) {
    // As on the processor, whose positions count from the border.
    const float counted = position + float(BORDER);
    at = int(counted);
    fraction = counted - float(at);
    at -= BORDER;
  }
};

DEVICE float mixed(float from, float to, float share) { return (to - from) * share + from; }
DEVICE float2 mixed(float2 from, float2 to, float share) { return {mixed(from.x, to.x, share), mixed(from.y, to.y, share)}; }

// A plane made larger, bilinear about pixel centres: the pixels that one of the large plane is made from.
struct Enlarged {
  size_t above, above_beside, below, below_beside;
  float down, across;

  DEVICE Enlarged(int width, int height, int factor, int x, int y) {
    const float position = fmaxf((float(y) + 0.5f) / float(factor) - 0.5f, 0.0f);
    const int upper = inside(int(position), height), lower = inside(upper + 1, height);
    down = position - float(upper);
    const int column = x / factor;
    const float step = float(2 * (x % factor) + 1) / float(2 * factor) - 0.5f;
    const int beside = inside(step < 0 ? column - 1 : column + 1, width);
    across = fabsf(step);
    above = size_t(upper) * width + column, above_beside = size_t(upper) * width + beside;
    below = size_t(lower) * width + column, below_beside = size_t(lower) * width + beside;
  }

  template <typename Value>
  DEVICE Value of(const Value* plane) const {
    const Value here = mixed(plane[above], plane[below], down);
    return mixed(here, mixed(plane[above_beside], plane[below_beside], down), across);
  }
};
