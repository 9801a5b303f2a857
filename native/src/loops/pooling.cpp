// Pooling of images with their channels last.
#include <limits>

#include "threads.h"

namespace native {
namespace {

// `f(row, column, from)` for the pixels of one window; from: how far the pixel is in an image (H, W, C).
template <typename F>
inline void EachPixel(const Windows& w, int64_t out_row, int64_t out_column, F f) {
  for (int64_t row = w.rows.begin[out_row]; row < w.rows.end[out_row]; row += w.rows.step) {
    for (int64_t column = w.columns.begin[out_column]; column < w.columns.end[out_column]; column += w.columns.step) {
      f(row * w.columns.size + column);
    }
  }
}

// `f(image, row, column, to)` for each pixel of all results, of which `to` is the number; images in shares.
template <typename F>
void EachWindow(const Windows& w, F f) {
  const int64_t pixels = w.rows.count * w.columns.count;
#pragma omp parallel for num_threads(Threads(w.batch * pixels * w.channels)) schedule(static)
  for (int64_t image = 0; image < w.batch; ++image) {
    for (int64_t pixel = 0; pixel < pixels; ++pixel) {
      f(image, pixel / w.columns.count, pixel % w.columns.count, image * pixels + pixel);
    }
  }
}

int64_t ImageSize(const Windows& w) { return w.rows.size * w.columns.size * w.channels; }

void Max(const Windows& w, const float* x, float* y, int64_t* places) {
  const int64_t channels = w.channels;
  EachWindow(w, [&](int64_t image, int64_t row, int64_t column, int64_t to) {
    const float* from = x + image * ImageSize(w);
    float* best = y + to * channels;
    int64_t* place = places + to * channels;
    std::fill_n(best, channels, -std::numeric_limits<float>::infinity());
    std::fill_n(place, channels, w.rows.begin[row] * w.columns.size + w.columns.begin[column]);
    EachPixel(w, row, column, [&](int64_t pixel) {
      const float* values = from + pixel * channels;
#pragma omp simd
      for (int64_t c = 0; c < channels; ++c) {
        const bool better = values[c] > best[c] || values[c] != values[c];
        best[c] = better ? values[c] : best[c];
        place[c] = better ? pixel : place[c];
      }
    });
  });
}

void MaxGradient(const Windows& w, const float* dy, const int64_t* places, float* dx) {
  std::fill_n(dx, w.batch * ImageSize(w), 0.0f);
  EachWindow(w, [&](int64_t image, int64_t, int64_t, int64_t to) {
    float* into = dx + image * ImageSize(w);
    for (int64_t i = to * w.channels, c = 0; c < w.channels; ++c, ++i) { into[places[i] * w.channels + c] += dy[i]; }
  });
}

void Average(const Windows& w, const float* scale, const float* x, float* y) {
  const int64_t channels = w.channels;
  EachWindow(w, [&](int64_t image, int64_t row, int64_t column, int64_t to) {
    const float *from = x + image * ImageSize(w), factor = scale[row * w.columns.count + column];
    float* sums = y + to * channels;
    std::fill_n(sums, channels, 0.0f);
    EachPixel(w, row, column, [&](int64_t pixel) {
      const float* values = from + pixel * channels;
#pragma omp simd
      for (int64_t c = 0; c < channels; ++c) { sums[c] += values[c]; }
    });
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c) { sums[c] *= factor; }
  });
}

void AverageGradient(const Windows& w, const float* scale, const float* dy, float* dx) {
  const int64_t channels = w.channels;
  std::fill_n(dx, w.batch * ImageSize(w), 0.0f);
  EachWindow(w, [&](int64_t image, int64_t row, int64_t column, int64_t to) {
    const float *from = dy + to * channels, factor = scale[row * w.columns.count + column];
    float* into = dx + image * ImageSize(w);
    EachPixel(w, row, column, [&](int64_t pixel) {
      float* values = into + pixel * channels;
#pragma omp simd
      for (int64_t c = 0; c < channels; ++c) { values[c] += factor * from[c]; }
    });
  });
}

}  // namespace

const PoolingLoops NATIVE_OF_CPU(kPoolingLoops) = {Max, MaxGradient, Average, AverageGradient};

}  // namespace native
