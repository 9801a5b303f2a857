// LayerNorm, softmax and GELU.
#include <cmath>

#include "exponential.h"
#include "threads.h"

namespace native {
namespace {

// For u = |x| / sqrt(2) and e = e^(-u u): erf(u), to 1.5e-7 (Abramowitz and Stegun, 7.1.26).
inline float Erf(float u, float e) {
  const float t = 1.0f / (1.0f + 0.3275911f * u);
  return 1.0f - ((((1.061405429f * t - 1.453152027f) * t + 1.421413741f) * t - 0.284496736f) * t + 0.254829592f) * t * e;
}

template <typename F>
void Rows(int64_t rows, int64_t size, F f) {
#pragma omp parallel for num_threads(Threads(rows * size)) schedule(static)
  for (int64_t r = 0; r < rows; ++r) { f(r, r * size); }
}

void LayerNorm(int64_t rows, int64_t size, double epsilon, const float* x, const float* gamma, const float* beta,
               float* y, float* mean, float* inverse) {
  Rows(rows, size, [&](int64_t r, int64_t at) {
    const float *in = x + at, origin = in[0];
    float *out = y + at, sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < size; ++i) { sum += in[i] - origin; }
    const float middle = origin + sum / size;
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < size; ++i) { squares += (in[i] - middle) * (in[i] - middle); }
    const float scale = 1.0 / std::sqrt(squares / double(size) + epsilon);
    mean[r] = middle;
    inverse[r] = scale;
    if (gamma == nullptr && beta == nullptr) {
#pragma omp simd
      for (int64_t i = 0; i < size; ++i) { out[i] = (in[i] - middle) * scale; }
      return;
    }
    if (gamma == nullptr || beta == nullptr) {
      for (int64_t i = 0; i < size; ++i) {
        out[i] = (in[i] - middle) * scale * (gamma ? gamma[i] : 1.0f) + (beta ? beta[i] : 0.0f);
      }
      return;
    }
#pragma omp simd
    for (int64_t i = 0; i < size; ++i) { out[i] = (in[i] - middle) * scale * gamma[i] + beta[i]; }
  });
}

// With g = dy * gamma and h = (x - mean) * inverse: dx = inverse * (g - mean(g) - h * mean(g * h)).
template <bool kGamma, bool kAdd>
void LayerNormGradientAs(int64_t rows, int64_t size, const float* x, const float* dy, const float* mean,
                         const float* inverse, const float* gamma, const float* addend, float* dx) {
  Rows(rows, size, [&](int64_t r, int64_t at) {
    const float middle = mean[r], scale = inverse[r];
    float sum = 0, product = 0;
#pragma omp simd reduction(+ : sum, product)
    for (int64_t i = 0; i < size; ++i) {
      const float g = kGamma ? dy[at + i] * gamma[i] : dy[at + i];
      sum += g;
      product += g * (x[at + i] - middle);
    }
    const float average = sum / size, along = product * scale * scale / size;
#pragma omp simd
    for (int64_t i = 0; i < size; ++i) {
      const float g = kGamma ? dy[at + i] * gamma[i] : dy[at + i];
      const float d = (g - average - (x[at + i] - middle) * along) * scale;
      dx[at + i] = kAdd ? d + addend[at + i] : d;
    }
  });
}

void LayerNormGradient(int64_t rows, int64_t size, const float* x, const float* dy, const float* mean,
                       const float* inverse, const float* gamma, const float* addend, float* dx) {
  const auto chosen = gamma ? (addend ? LayerNormGradientAs<true, true> : LayerNormGradientAs<true, false>)
                            : (addend ? LayerNormGradientAs<false, true> : LayerNormGradientAs<false, false>);
  chosen(rows, size, x, dy, mean, inverse, gamma, addend, dx);
}

void LayerNormParameters(int64_t rows, int64_t size, const float* x, const float* dy, const float* mean,
                         const float* inverse, double* gammas, double* betas) {
  std::vector<double> totals(2 * size);
  SumRows<2>(View{rows, size, 1}, totals.data(), [&](Range range, float* part) {
    float *gamma = part, *beta = part + size;
    for (int64_t r = range.begin; r < range.end; ++r) {
      const float *xs = x + r * size, *dys = dy + r * size, middle = mean[r], scale = inverse[r];
#pragma omp simd
      for (int64_t i = 0; i < size; ++i) {
        gamma[i] += dys[i] * ((xs[i] - middle) * scale);
        beta[i] += dys[i];
      }
    }
  });
  std::copy_n(totals.data(), size, gammas);
  std::copy_n(totals.data() + size, size, betas);
}

// The largest of some numbers, in lanes of their own: a maximum of floats is no reduction that compilers vectorize.
inline float Largest(int64_t size, const float* x) {
  constexpr int kLanes = 16;
  float lanes[kLanes], largest = x[0];
  std::fill_n(lanes, kLanes, x[0]);
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) { lanes[lane] = lanes[lane] < x[i + lane] ? x[i + lane] : lanes[lane]; }
  }
  for (; i < size; ++i) { largest = std::max(largest, x[i]); }
  return std::max(largest, *std::max_element(lanes, lanes + kLanes));
}

void Softmax(int64_t rows, int64_t size, const float* x, float* y) {
  Rows(rows, size, [&](int64_t, int64_t at) {
    const float *in = x + at, highest = Largest(size, in);
    float *out = y + at, sum = 0;
#pragma omp simd
    for (int64_t i = 0; i < size; ++i) { out[i] = Exp(in[i] - highest); }
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < size; ++i) { sum += out[i]; }
    const float scale = 1.0f / sum;
#pragma omp simd
    for (int64_t i = 0; i < size; ++i) { out[i] *= scale; }
  });
}

void SoftmaxGradient(int64_t rows, int64_t size, const float* y, const float* dy, float* dx) {
  Rows(rows, size, [&](int64_t, int64_t at) {
    const float *values = y + at, *gradient = dy + at;
    float *to = dx + at, sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < size; ++i) { sum += values[i] * gradient[i]; }
#pragma omp simd
    for (int64_t i = 0; i < size; ++i) { to[i] = (gradient[i] - sum) * values[i]; }
  });
}

void ExpLoop(int64_t size, const float* x, float* y) {
#pragma omp parallel for simd num_threads(Threads(size)) schedule(static)
  for (int64_t i = 0; i < size; ++i) { y[i] = Exp(x[i]); }
}

// x * P(x), P(x): the share of a normal distribution below x.
void Gelu(int64_t size, const float* x, float* y) {
#pragma omp parallel for simd num_threads(Threads(size)) schedule(static)
  for (int64_t i = 0; i < size; ++i) {
    const float u = std::fabs(x[i]) * 0.70710678f, erf = Erf(u, Exp(-u * u));
    y[i] = 0.5f * x[i] * (1.0f + (x[i] < 0 ? -erf : erf));
  }
}

void GeluGradient(int64_t size, const float* x, const float* dy, float* dx) {
#pragma omp parallel for simd num_threads(Threads(size)) schedule(static)
  for (int64_t i = 0; i < size; ++i) {
    const float u = std::fabs(x[i]) * 0.70710678f, e = Exp(-u * u), erf = Erf(u, e);
    dx[i] = dy[i] * (0.5f * (1.0f + (x[i] < 0 ? -erf : erf)) + x[i] * 0.39894228f * e);
  }
}

}  // namespace

const RowLoops NATIVE_OF_CPU(kRowLoops) = {LayerNorm, LayerNormGradient, LayerNormParameters, Softmax,
                                           SoftmaxGradient, ExpLoop, Gelu, GeluGradient};

}  // namespace native
