// BatchNorm, the activations after it, and additions.
#include <algorithm>
#include <type_traits>
#include <vector>

#include "../loops.h"
#include "exponential.h"
#include "threads.h"

namespace native {
namespace {

template <Activation A>
inline float Activate(float z, float slope, float low, float high) {
  if (A == Activation::kPrelu) { return z > 0 ? z : slope * z; }
  if (A == Activation::kClip) { return std::min(std::max(z, low), high); }
  if (A == Activation::kHardswish) { return z * std::min(std::max(z + 3.0f, 0.0f), 6.0f) * (1.0f / 6); }
  if (A == Activation::kSilu) { return z / (1.0f + Exp(-z)); }
  return z;
}

// The gradient before the activation, from the one after it.
template <Activation A>
inline float Deactivate(float z, float dy, float slope, float low, float high) {
  if (A == Activation::kPrelu) { return z > 0 ? dy : slope * dy; }
  if (A == Activation::kClip) { return z >= low && z <= high ? dy : 0.0f; }
  if (A == Activation::kHardswish) { return z <= -3 ? 0.0f : z >= 3 ? dy : dy * (2.0f * z + 3.0f) * (1.0f / 6); }
  if (A == Activation::kSilu) {
    const float share = 1.0f / (1.0f + Exp(-z));
    return dy * share * (1.0f + z * (1.0f - share));
  }
  return dy;
}

// Calls with the activation as a compile-time constant.
template <typename F>
void WithActivation(Activation activation, F f) {
  switch (activation) {
    case Activation::kNone: return f(std::integral_constant<Activation, Activation::kNone>());
    case Activation::kPrelu: return f(std::integral_constant<Activation, Activation::kPrelu>());
    case Activation::kClip: return f(std::integral_constant<Activation, Activation::kClip>());
    case Activation::kHardswish: return f(std::integral_constant<Activation, Activation::kHardswish>());
    case Activation::kSilu: return f(std::integral_constant<Activation, Activation::kSilu>());
  }
}

void Statistics(View view, const float* x, float* mean, double* squares) {
  const int64_t channels = view.channels, inner = view.inner, count = view.count();
  std::vector<double> totals(2 * channels);
  // Of differences from the channel's first number, so that one pass is enough.
  std::vector<float> first(channels);
  for (int64_t c = 0; c < channels; ++c) { first[c] = x[c * inner]; }
  if (inner == 1) {
    SumRows<2>(view, totals.data(), [&](Range rows, float* sums) {
      const float* origin = first.data();
      float* squared = sums + channels;
      for (int64_t r = rows.begin; r < rows.end; ++r) {
        const float* row = x + r * channels;
#pragma omp simd
        for (int64_t c = 0; c < channels; ++c) {
          const float d = row[c] - origin[c];
          sums[c] += d;
          squared[c] += d * d;
        }
      }
    });
  } else {
    EachChannel(view, [&](int64_t c, int64_t at) {
      const float origin = first[c];
      float sum = 0, squared = 0;
#pragma omp simd reduction(+ : sum, squared)
      for (int64_t i = 0; i < inner; ++i) {
        const float d = x[at + i] - origin;
        sum += d;
        squared += d * d;
      }
      totals[c] += sum;
      totals[channels + c] += squared;
    });
  }
  for (int64_t c = 0; c < channels; ++c) {
    mean[c] = first[c] + totals[c] / count;
    squares[c] = std::max(0.0, totals[channels + c] - totals[c] * totals[c] / count);
  }
}

template <Activation A, bool kAdd>
void NormalizeAs(View view, const Normalizing& n, const float* x, const float* addend, float* y) {
  const float low = n.low, high = n.high;
  if (view.inner == 1) {
    EachRow(view, [&](int64_t at) {
#pragma omp simd
      for (int64_t c = 0; c < view.channels; ++c) {
        float z = (x[at + c] - n.mean[c]) * n.scale[c] + n.shift[c];
        if (kAdd) { z += addend[at + c]; }
        y[at + c] = Activate<A>(z, A == Activation::kPrelu ? n.slope[c] : 0.0f, low, high);
      }
    });
    return;
  }
  EachChannel(view, [&](int64_t c, int64_t at) {
    const float mean = n.mean[c], scale = n.scale[c], shift = n.shift[c];
    const float slope = A == Activation::kPrelu ? n.slope[c] : 0.0f;
#pragma omp simd
    for (int64_t i = at; i < at + view.inner; ++i) {
      float z = (x[i] - mean) * scale + shift;
      if (kAdd) { z += addend[i]; }
      y[i] = Activate<A>(z, slope, low, high);
    }
  });
}

void Normalize(View view, const Normalizing& n, const float* x, const float* addend, float* y) {
  WithActivation(n.activation, [&](auto a) {
    addend ? NormalizeAs<a(), true>(view, n, x, addend, y) : NormalizeAs<a(), false>(view, n, x, addend, y);
  });
}

template <Activation A>
void GradientSumsAs(View view, const Normalizing& n, const float* x, const float* dy, double* sums, double* products,
                    double* slopes) {
  constexpr bool kSlopes = A == Activation::kPrelu;
  constexpr int kSums = kSlopes ? 3 : 2;
  const int64_t channels = view.channels, inner = view.inner;
  const float low = n.low, high = n.high;
  std::vector<double> totals(kSums * channels);
  if (inner == 1) {
    SumRows<kSums>(view, totals.data(), [&](Range rows, float* part) {
      float *sum = part, *product = part + channels, *sloped = part + (kSums - 1) * channels;
      for (int64_t r = rows.begin; r < rows.end; ++r) {
        const float *xs = x + r * channels, *dys = dy + r * channels;
#pragma omp simd
        for (int64_t c = 0; c < channels; ++c) {
          const float centered = xs[c] - n.mean[c], z = centered * n.scale[c] + n.shift[c];
          const float dz = Deactivate<A>(z, dys[c], kSlopes ? n.slope[c] : 0.0f, low, high);
          sum[c] += dz;
          product[c] += dz * centered;
          if (kSlopes) { sloped[c] += z > 0 ? 0.0f : dys[c] * z; }
        }
      }
    });
  } else {
    EachChannel(view, [&](int64_t c, int64_t at) {
      const float mean = n.mean[c], scale = n.scale[c], shift = n.shift[c], slope = kSlopes ? n.slope[c] : 0.0f;
      float sum = 0, product = 0, sloped = 0;
#pragma omp simd reduction(+ : sum, product, sloped)
      for (int64_t i = at; i < at + inner; ++i) {
        const float centered = x[i] - mean, z = centered * scale + shift;
        const float dz = Deactivate<A>(z, dy[i], slope, low, high);
        sum += dz;
        product += dz * centered;
        if (kSlopes) { sloped += z > 0 ? 0.0f : dy[i] * z; }
      }
      totals[c] += sum;
      totals[channels + c] += product;
      if (kSlopes) { totals[2 * channels + c] += sloped; }
    });
  }
  std::copy_n(totals.data(), channels, sums);
  std::copy_n(totals.data() + channels, channels, products);
  if (kSlopes) { std::copy_n(totals.data() + 2 * channels, channels, slopes); }
}

void GradientSums(View view, const Normalizing& n, const float* x, const float* dy, double* sums, double* products,
                  double* slopes) {
  WithActivation(n.activation, [&](auto a) { GradientSumsAs<a()>(view, n, x, dy, sums, products, slopes); });
}

template <Activation A>
void NormalizeGradientAs(View view, const Normalizing& n, const float* x, const float* dy, const float* average,
                         const float* along, float* dx) {
  const float low = n.low, high = n.high;
  if (view.inner == 1) {
    EachRow(view, [&](int64_t at) {
#pragma omp simd
      for (int64_t c = 0; c < view.channels; ++c) {
        const float centered = x[at + c] - n.mean[c], z = centered * n.scale[c] + n.shift[c];
        const float dz = Deactivate<A>(z, dy[at + c], A == Activation::kPrelu ? n.slope[c] : 0.0f, low, high);
        dx[at + c] = (dz - average[c] - centered * along[c]) * n.scale[c];
      }
    });
    return;
  }
  EachChannel(view, [&](int64_t c, int64_t at) {
    const float mean = n.mean[c], scale = n.scale[c], shift = n.shift[c];
    const float slope = A == Activation::kPrelu ? n.slope[c] : 0.0f, mid = average[c], tilt = along[c];
#pragma omp simd
    for (int64_t i = at; i < at + view.inner; ++i) {
      const float centered = x[i] - mean, z = centered * scale + shift;
      dx[i] = (Deactivate<A>(z, dy[i], slope, low, high) - mid - centered * tilt) * scale;
    }
  });
}

void NormalizeGradient(View view, const Normalizing& n, const float* x, const float* dy, const float* average,
                       const float* along, float* dx) {
  WithActivation(n.activation, [&](auto a) { NormalizeGradientAs<a()>(view, n, x, dy, average, along, dx); });
}

void Prelu(View view, const float* slope, const float* x, float* y) {
  if (view.inner == 1) {
    EachRow(view, [&](int64_t at) {
#pragma omp simd
      for (int64_t c = 0; c < view.channels; ++c) { y[at + c] = x[at + c] > 0 ? x[at + c] : slope[c] * x[at + c]; }
    });
    return;
  }
  EachChannel(view, [&](int64_t c, int64_t at) {
    const float factor = slope[c];
#pragma omp simd
    for (int64_t i = at; i < at + view.inner; ++i) { y[i] = x[i] > 0 ? x[i] : factor * x[i]; }
  });
}

void PreluGradient(View view, const float* slope, const float* x, const float* dy, float* dx, double* slopes) {
  const int64_t channels = view.channels;
  if (view.inner == 1) {
    SumRows<1>(view, slopes, [&](Range rows, float* sums) {
      for (int64_t at = rows.begin * channels; at < rows.end * channels; at += channels) {
#pragma omp simd
        for (int64_t c = 0; c < channels; ++c) {
          const float xi = x[at + c], di = dy[at + c];
          sums[c] += xi > 0 ? 0.0f : di * xi;
          dx[at + c] = xi > 0 ? di : slope[c] * di;
        }
      }
    });
    return;
  }
  std::fill_n(slopes, channels, 0.0);
  EachChannel(view, [&](int64_t c, int64_t at) {
    const float factor = slope[c];
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = at; i < at + view.inner; ++i) {
      const float xi = x[i], di = dy[i];
      sum += xi > 0 ? 0.0f : di * xi;
      dx[i] = xi > 0 ? di : factor * di;
    }
    slopes[c] += sum;
  });
}

}  // namespace

const Loops NATIVE_OF_CPU(kLoops) = {Statistics, Normalize, GradientSums, NormalizeGradient, Prelu, PreluGradient};

}  // namespace native
