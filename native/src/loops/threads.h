// What the files of loops share. Each is compiled with -DNATIVE_CPU=Avx2 and with -DNATIVE_CPU=Avx512, and the flags of
// each.
//
// Sums go in float over a few hundred numbers and on in double. Threads take fixed shares, and their sums are added in
// order, so that the same number of threads gives the same bits.
#pragma once
#include <omp.h>

#include <algorithm>
#include <vector>

#include "../loops.h"

#define NATIVE_JOIN(name, cpu) name##cpu
#define NATIVE_JOINED(name, cpu) NATIVE_JOIN(name, cpu)
#define NATIVE_OF_CPU(name) NATIVE_JOINED(name, NATIVE_CPU)  // kLoops becomes kLoopsAvx2

namespace native {
namespace {  // a copy for each file: the linker must not take one that was compiled for another CPU

constexpr int64_t kSmall = 1 << 14;   // numbers that are not worth a second thread
constexpr int64_t kRowsAtOnce = 128;  // of which the sums are float

struct Range {
  int64_t begin, end;
};

Range Share(int64_t size, int64_t part, int64_t parts) { return {size * part / parts, size * (part + 1) / parts}; }

int Threads(int64_t numbers) { return numbers < kSmall ? 1 : omp_get_max_threads(); }

// `add_rows(range, float sums (kSums, C))` adds those rows to sums; totals (kSums, C) gets all of them.
template <int kSums, typename F>
void SumRows(const View& view, double* totals, F add_rows) {
  const int64_t channels = view.channels;
  const int threads = Threads(view.size());
  std::vector<double> shares(threads * kSums * channels);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int thread = 0; thread < threads; ++thread) {
    double* share = shares.data() + thread * kSums * channels;
    std::vector<float> part(kSums * channels);
    const Range own = Share(view.outer, thread, threads);
    for (int64_t begin = own.begin; begin < own.end; begin += kRowsAtOnce) {
      std::fill(part.begin(), part.end(), 0.0f);
      add_rows(Range{begin, std::min(begin + kRowsAtOnce, own.end)}, part.data());
      for (int64_t i = 0; i < kSums * channels; ++i) { share[i] += part[i]; }
    }
  }
  std::fill(totals, totals + kSums * channels, 0.0);
  for (int thread = 0; thread < threads; ++thread) {
    for (int64_t i = 0; i < kSums * channels; ++i) { totals[i] += shares[thread * kSums * channels + i]; }
  }
}

// `f(channel, plane)` for all planes of a channel in one thread; plane: where its (inner,) numbers begin.
template <typename F>
void EachChannel(const View& view, F f) {
#pragma omp parallel for num_threads(Threads(view.size())) schedule(static)
  for (int64_t c = 0; c < view.channels; ++c) {
    for (int64_t b = 0; b < view.outer; ++b) { f(c, (b * view.channels + c) * view.inner); }
  }
}

template <typename F>
void EachRow(const View& view, F f) {
#pragma omp parallel for num_threads(Threads(view.size())) schedule(static)
  for (int64_t r = 0; r < view.outer; ++r) { f(r * view.channels); }
}

}  // namespace
}  // namespace native
