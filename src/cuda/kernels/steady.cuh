// What steadying on the card works with: every plane of one size of picture, and how planes are read between their pixels.
//
// All kernels take the same argument. The numbers that decide (how much of a difference costs trust, how long a stroke
// stays) are those of src/temporal/steady, which says why; the test that compares the two fails where they differ.
#pragma once
#include "picture.cuh"

// Side of a cell, in pixels of its octave; octaves whose texture is paid back.
#define CELL 16
#define OCTAVES 4

// One size of the pyramid. Colour is B - Y and R - Y; the full size has none.
struct Level {
  float* blend;
  float* painting;
  float* carry;
  float2* blend_colour;
  float2* painting_colour;
  float2* carry_colour;
  // Per cell: mean squares of the octave in the blend and in the painting, and the mean of their product.
  float* energies;
  // Per cell: gain of the blend's octave, and share of the painting's.
  float* repair;
  // Energy of the paintings so far along the motion, and with this one.
  const float* usual;
  float* next_usual;
  int width, height;
};

// When the strokes of a cell are replaced.
struct Turn {
  float age, restless;
  int fading, unused;
};

struct Steadying {
  Level levels[OCTAVES + 1];
  // The input as RGB or its luma, and its painting as RGB, which becomes the steady picture.
  const unsigned char* input;
  unsigned char* picture;
  // The steady picture before.
  float* history;
  float2* history_colour;
  // Motion from this input to the one before, in pixels, and whether its two directions agree.
  const float* u;
  const float* v;
  const unsigned char* consistent;
  // Luma of the inputs at half size; how they differ along the motion, and how far that is known.
  float* current;
  const float* previous;
  float* difference;
  float* weight;
  // Per cell of the full size: the sums of both, and the change of the scene's light.
  float* light_sums;
  float* light;
  // At half size: for how many frames a place has been seen, before and now; trust in the history.
  float* age_before;
  float* age;
  float* trust;
  // Per cell of the full size: turns, the share of the painting where strokes are replaced, and painting less blend
  // (luma and colour).
  Turn* turns;
  float* renewal;
  float* lost;
  // Lanczos' weights of eight pixels for every 64th of a pixel.
  const float* taps;
  int width, height;
  // The octave that a launch works on, whether there is a usual energy, and whether the input is luma alone.
  int octave, known, grey;
  // Share of the painting where the history is trusted and shows the same; what of it is withheld where not.
  float mix, firmness;
};

DEVICE int cells(int pixels) { return (pixels + CELL - 1) / CELL; }

// Luma of BT.709.
DEVICE float luma_of(float red, float green, float blue) { return 0.2126f * red + 0.7152f * green + 0.0722f * blue; }

DEVICE float green_of(float y, float blue, float red) {
  return y - (0.2126f / 0.7152f) * red - (0.0722f / 0.7152f) * blue;
}

// Mean square over R, G and B.
DEVICE float mean_square(float y, float blue, float red) {
  const float r = y + red, g = green_of(y, blue, red), b = y + blue;
  return (r * r + g * g + b * b) / 3.0f;
}

// The value of a grid at a pixel, interpolated between the centres of its cells of SIDE pixels.
template <int SIDE>
DEVICE float between(const float* grid, int columns, int rows, int x, int y) {
  const float position = fmaxf((float(y) + 0.5f) / SIDE - 0.5f, 0.0f);
  const int upper = inside(int(position), rows), lower = inside(upper + 1, rows);
  const float down = fminf(position - float(upper), 1.0f);
  const int behind = x - SIDE / 2, cell = behind < 0 ? 0 : behind / SIDE;
  const int left = inside(cell, columns), right = behind < 0 ? left : inside(cell + 1, columns);
  const float across = behind < 0 ? 0.0f : (float(behind % SIDE) + 0.5f) / SIDE;
  const float* const above = grid + upper * columns;
  const float* const below = grid + lower * columns;
  const float a = above[left] + (below[left] - above[left]) * down, b = above[right] + (below[right] - above[right]) * down;
  return a + (b - a) * across;
}

// The pixels of half the size that a pixel is made from, three parts of the nearer and one of the farther.
struct Doubled {
  size_t near_above, far_above, near_below, far_below;

  DEVICE Doubled(int width, int height, int x, int y) {
    const int row = y / 2, other_row = inside(y % 2 ? row + 1 : row - 1, height);
    const int column = x / 2, other = inside(x % 2 ? column + 1 : column - 1, width);
    near_above = size_t(row) * width + column, far_above = size_t(row) * width + other;
    near_below = size_t(other_row) * width + column, far_below = size_t(other_row) * width + other;
  }

  DEVICE static float mix(float near_by, float far_off) { return 0.75f * near_by + 0.25f * far_off; }

  DEVICE float of(const float* plane) const {
    return mix(mix(plane[near_above], plane[near_below]), mix(plane[far_above], plane[far_below]));
  }

  DEVICE float2 of(const float2* plane) const {
    const float2 a = plane[near_above], b = plane[near_below], c = plane[far_above], d = plane[far_below];
    return {mix(mix(a.x, b.x), mix(c.x, d.x)), mix(mix(a.y, b.y), mix(c.y, d.y))};
  }
};
