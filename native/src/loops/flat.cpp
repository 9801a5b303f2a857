// Sums, limits and copies of tensors of one shape, and the updates of parameters: numbers one behind the other.
#include <cmath>
#include <cstring>

#include "threads.h"

namespace native {
namespace {

// `f(begin, end)` for the share of each thread.
template <typename F>
void Shares(int64_t size, F f) {
  const int threads = Threads(size);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int thread = 0; thread < threads; ++thread) {
    const Range own = Share(size, thread, threads);
    f(own.begin, own.end);
  }
}

void Sum(int64_t size, int count, const float* const* terms, float* sum) {
  Shares(size, [=](int64_t begin, int64_t end) {
    const float *first = terms[0], *second = terms[1];
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) { sum[i] = first[i] + second[i]; }
    for (int term = 2; term < count; ++term) {
      const float* next = terms[term];
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) { sum[i] += next[i]; }
    }
  });
}

// NaN stays NaN.
void Clip(int64_t size, float low, float high, const float* x, float* y) {
  Shares(size, [=](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) {
      const float z = x[i] < low ? low : x[i];
      y[i] = high < z ? high : z;
    }
  });
}

void ClipGradient(int64_t size, float low, float high, const float* x, const float* dy, float* dx) {
  Shares(size, [=](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) { dx[i] = (x[i] < low) | (x[i] > high) ? 0.0f : dy[i]; }  // || would branch
  });
}

void Copy(int64_t rows, int64_t bytes, const char* x, int64_t x_step, char* y, int64_t y_step) {
  const int threads = Threads(rows * bytes / int64_t(sizeof(float)));
  // One long row is shared as well: then the threads take parts of it.
  const int64_t parts = rows < threads ? threads : 1;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int thread = 0; thread < threads; ++thread) {
    const Range own = parts == 1 ? Share(rows, thread, threads) : Range{0, rows};
    const Range part = parts == 1 ? Range{0, bytes} : Share(bytes, thread, threads);
    for (int64_t row = own.begin; row < own.end; ++row) {
      std::memcpy(y + row * y_step + part.begin, x + row * x_step + part.begin, part.end - part.begin);
    }
  }
}

inline float Regularized(const Update& of, float gradient, float weight) {
  return gradient * of.scale + of.l1 * ((weight >= 0) - (weight <= 0)) + of.l2 * weight;
}

template <bool kNesterov>
void MomentumAs(const Update& of, float beta, float share, int64_t size, const float* gradient, float* weight,
                float* momentum) {
  Shares(size, [=](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) {
      const float g = Regularized(of, gradient[i], weight[i]), next = beta * momentum[i] + share * g;
      momentum[i] = next;
      const float step = kNesterov ? g + beta * next : next;
      weight[i] = weight[i] - of.rate * step - of.rate * of.decay * weight[i];
    }
  });
}

void Momentum(const Update& of, float beta, float share, bool nesterov, int64_t size, const float* gradient,
              float* weight, float* momentum) {
  (nesterov ? MomentumAs<true> : MomentumAs<false>)(of, beta, share, size, gradient, weight, momentum);
}

void Adam(const Update& of, const AdamNumbers& adam, int64_t size, const float* gradient, float* weight, float* m,
          float* v) {
  const float root = std::sqrt(adam.correction2), step = of.rate / adam.correction1;
  Shares(size, [=](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) {
      const float g = Regularized(of, gradient[i], weight[i]);
      const float next_m = adam.beta1 * m[i] + (1 - adam.beta1) * g;
      const float next_v = adam.beta2 * v[i] + (1 - adam.beta2) * g * g;
      m[i] = next_m;
      v[i] = next_v;
      const float size_of = std::sqrt(next_v) / root + adam.epsilon;
      weight[i] = weight[i] - step * (next_m / size_of) - of.rate * of.decay * weight[i];
    }
  });
}

}  // namespace

const FlatLoops NATIVE_OF_CPU(kFlatLoops) = {Sum, Clip, ClipGradient, Copy, Momentum, Adam};

}  // namespace native
