// What an optimiser does with its vectors, and the losses on the pixels themselves.
//
// A vector is the planes R, G and B of a canvas, 0..255, in single precision. The loss network takes pixels B, G, R with the
// mean taken off, four halves each.
#include "convolution.cuh"

enum Change { COPY = 0, ADD_SCALED = 1, SCALE = 2, MULTIPLY = 3, ADD_SQUARE = 4, ROOT_OF_RATIO = 5, ADAM = 6 };

struct VectorChange {
  float* to;
  float* x;
  float* y;
  const float* z;
  // Of Adam: the rate, and the root that corrects the mean square.
  float first, second;
  int count, what;
};

KERNEL(vector_change, VectorChange) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= p.count) return;
  switch (p.what) {
    case COPY: p.to[i] = p.x != nullptr ? p.x[i] : 0.0f; break;
    case ADD_SCALED: p.to[i] += p.first * p.x[i]; break;
    case SCALE: p.to[i] *= p.first; break;
    case MULTIPLY: p.to[i] *= p.first * p.x[i]; break;
    case ADD_SQUARE: p.to[i] = p.first * p.to[i] + p.second * p.x[i] * p.x[i]; break;
    case ROOT_OF_RATIO: p.to[i] = sqrtf((p.x[i] + p.first) / (p.y[i] + p.second)); break;
    case ADAM: {
      const float slope = p.z[i];
      const float mean = p.x[i] = 0.9f * p.x[i] + (1 - 0.9f) * slope;
      const float square = p.y[i] = 0.999f * p.y[i] + (1 - 0.999f) * slope * slope;
      p.to[i] -= p.first * mean / (sqrtf(square) / p.second + 1e-8f);
    }
  }
}

enum Sums { DOT = 0, PLAIN = 1, DOT_OF_SQUARE = 2 };

// Numbers that a thread sums up.
#define SUMMED 16

struct VectorSum {
  const float* a;
  const float* b;
  // One number of each block.
  float* parts;
  int count, what;
};

KERNEL(vector_sum, VectorSum) {
  SHARED_MEMORY(space);
  float total = 0;
#pragma unroll
  for (int k = 0; k < SUMMED; k++) {
    const int i = (blockIdx.x * SUMMED + k) * blockDim.x + threadIdx.x;
    if (i >= p.count) break;
    const float a = p.a[i];
    total += p.what == DOT ? a * p.b[i] : p.what == PLAIN ? a : a * a * p.b[i];
  }
  total = block_sum(total, reinterpret_cast<float*>(space));
  if (threadIdx.x == 0) p.parts[blockIdx.x] = total;
}

struct Canvas {
  float* planes;
  // [pixel][4], what the loss network takes or gives.
  unsigned short* pixels;
  float* gradient;
  // What the canvas is drawn to, and how strongly, one plane; null: nothing.
  const float* target;
  const float* confidence;
  // Sums of each block: of differences between neighbours and of what is out of range, or of differences to the target.
  float* parts;
  // Mean red, green and blue.
  float mean[3];
  // What the gradient of the network is multiplied by.
  float factor;
  // Of differences between neighbours, of what is out of range, and of differences to the target.
  float variation, range, temporal;
  int width, height;
  // Whether the gradient begins here.
  int begin;
};

// The canvas as the loss network takes it.
KERNEL(canvas_take, Canvas) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x, plane = p.width * p.height;
  if (i >= plane) return;
  const float red = p.planes[i] - p.mean[0], green = p.planes[i + plane] - p.mean[1], blue = p.planes[i + 2 * plane] - p.mean[2];
  reinterpret_cast<uint2*>(p.pixels)[i] = uint2{pack(blue, green), pack(red, 0.0f)};
}

// The gradient that the loss network gives, as planes.
KERNEL(canvas_give, Canvas) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x, plane = p.width * p.height;
  if (i >= plane) return;
  const uint2 pixel = reinterpret_cast<const uint2*>(p.pixels)[i];
  const float2 first = unpack(pixel.x), second = unpack(pixel.y);
  p.gradient[i] = second.x * p.factor;
  p.gradient[i + plane] = first.y * p.factor;
  p.gradient[i + 2 * plane] = first.x * p.factor;
}

// The losses on pixels, and their gradients: without a target the difference of neighbours and what is out of range.
KERNEL(canvas_losses, Canvas) {
  SHARED_MEMORY(space);
  const int i = blockIdx.x * blockDim.x + threadIdx.x, plane = p.width * p.height;
  float sum = 0, outside_sum = 0;
  if (i < 3 * plane) {
    const float here = p.planes[i];
    const int at = i % plane, x = at % p.width, y = at / p.width;
    float slope = p.begin ? 0.0f : p.gradient[i];
    if (p.target != nullptr) {
      const float apart = here - p.target[i], trust = p.confidence[at];
      slope += 2 * p.temporal * trust * apart;
      sum = trust * apart * apart;
    } else {
      float apart = 0;
      if (x + 1 < p.width) {
        const float right = p.planes[i + 1] - here;
        apart -= right;
        sum += right * right;
      }
      if (y + 1 < p.height) {
        const float below = p.planes[i + p.width] - here;
        apart -= below;
        sum += below * below;
      }
      if (x > 0) apart += here - p.planes[i - 1];
      if (y > 0) apart += here - p.planes[i - p.width];
      const float outside = here - fminf(fmaxf(here, 0.0f), 255.0f);
      slope += 2 * p.variation * apart + 2 * p.range * outside;
      outside_sum = outside * outside;
    }
    p.gradient[i] = slope;
  }
  sum = block_sum(sum, reinterpret_cast<float*>(space));
  outside_sum = block_sum(outside_sum, reinterpret_cast<float*>(space));
  if (threadIdx.x == 0) p.parts[2 * blockIdx.x] = sum, p.parts[2 * blockIdx.x + 1] = outside_sum;
}
