// The rows of class centers: what steps see of them, and stochastic gradient descent.
#include <cmath>

#include "threads.h"

namespace native {
namespace {

constexpr float kEpsilon = 1e-12f;  // as heads/stores/host.py

float InverseLength(const float* w, int64_t size) {
  float squares = 0;
#pragma omp simd reduction(+ : squares)
  for (int64_t i = 0; i < size; ++i) { squares += w[i] * w[i]; }
  return 1.0f / std::max(std::sqrt(squares), kEpsilon);
}

void Write(const Centers& of, const float* w, float* out) {
  for (int64_t at = 0; at < of.vectors * of.width; at += of.width) {
    const float inverse = of.unit ? InverseLength(w + at, of.unit) : 1.0f;
#pragma omp simd
    for (int64_t i = 0; i < of.unit; ++i) { out[at + i] = w[at + i] * inverse; }
    std::copy(w + at + of.unit, w + at + of.width, out + at + of.unit);
  }
}

// The gradient of w, if that of w / |w| is g: g / |w| - w (g . w) / |w|^3.
struct ThroughLength {
  float inverse, along;

  ThroughLength(const float* w, const float* g, int64_t size) {
    float product = 0;
#pragma omp simd reduction(+ : product)
    for (int64_t i = 0; i < size; ++i) { product += g[i] * w[i]; }
    inverse = InverseLength(w, size);
    along = product * inverse * inverse * inverse;
  }
};

// w -= rate * v - rate * decay * w (if that is decoupled), v = momentum * v + the gradient.
template <bool kUnit>
void Descend(const Sgd& sgd, int64_t size, const ThroughLength& length, const float* g, float* w, float* v) {
  const float decay = sgd.decoupled ? 0 : sgd.decay, shrink = sgd.decoupled ? 1 - sgd.rate * sgd.decay : 1;
  const auto gradient = [&](int64_t i) {
    return (kUnit ? g[i] * length.inverse - w[i] * length.along : g[i]) + w[i] * decay;
  };
  if (v == nullptr) {
#pragma omp simd
    for (int64_t i = 0; i < size; ++i) { w[i] = w[i] * shrink - gradient(i) * sgd.rate; }
    return;
  }
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) {
    const float next = v[i] * sgd.momentum + gradient(i);
    v[i] = next;
    w[i] = w[i] * shrink - next * sgd.rate;
  }
}

void Take(const Centers& of, const float* weight, const int64_t* rows, int64_t count, float* out) {
  const int64_t size = of.vectors * of.width;
#pragma omp parallel for num_threads(Threads(count * size)) schedule(static)
  for (int64_t r = 0; r < count; ++r) { Write(of, weight + (rows ? rows[r] : r) * size, out + r * size); }
}

void Train(const Centers& of, const Sgd& sgd, float* weight, float* momentum, const int64_t* rows, int64_t count,
           const float* gradient, float* out) {
  const int64_t size = of.vectors * of.width;
#pragma omp parallel for num_threads(Threads(count * size)) schedule(static)
  for (int64_t r = 0; r < count; ++r) {
    const int64_t row = (rows ? rows[r] : r) * size;
    for (int64_t at = 0; at < size; at += of.width) {
      const float* g = gradient + r * size + at;
      float *w = weight + row + at, *v = momentum ? momentum + row + at : nullptr;
      const ThroughLength length(w, g, of.unit);
      Descend<true>(sgd, of.unit, length, g, w, v);
      Descend<false>(sgd, of.width - of.unit, length, g + of.unit, w + of.unit, v ? v + of.unit : nullptr);
    }
    if (out) { Write(of, weight + row, out + r * size); }
  }
}

}  // namespace

const CenterLoops NATIVE_OF_CPU(kCenterLoops) = {Take, Train};
}  // namespace native
