// Additions and products of tensors of different shapes, and their counterpart, sums over axes.
#include "threads.h"

namespace native {
namespace {

constexpr int64_t kSumAtOnce = 512;  // numbers of which the sum is float

// `f(row, x, y)` for each row, which is what the last axis goes along, of a share; x, y: how far it begins in each.
template <typename F>
void EachRowOf(const Nest& nest, Range rows, F f) {
  if (rows.begin == rows.end) { return; }
  int64_t index[kAxes], x = 0, y = 0, rest = rows.begin;
  for (int axis = nest.axes - 2; axis >= 0; --axis) {
    index[axis] = rest % nest.sizes[axis];
    rest /= nest.sizes[axis];
    x += index[axis] * nest.x[axis];
    y += index[axis] * nest.y[axis];
  }
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    f(row, x, y);
    for (int axis = nest.axes - 2; axis >= 0; --axis) {
      x += nest.x[axis];
      y += nest.y[axis];
      if (++index[axis] < nest.sizes[axis]) { break; }
      index[axis] = 0;
      x -= nest.sizes[axis] * nest.x[axis];
      y -= nest.sizes[axis] * nest.y[axis];
    }
  }
}

int64_t RowsOf(const Nest& nest) {
  int64_t rows = 1;
  for (int axis = 0; axis < nest.axes - 1; ++axis) { rows *= nest.sizes[axis]; }
  return rows;
}

template <Binary op, typename T>
inline auto Apply(T x, T y) {
  if constexpr (op == Binary::kAdd) { return x + y; }
  if constexpr (op == Binary::kSub) { return x - y; }
  if constexpr (op == Binary::kMul) { return x * y; }
  if constexpr (op == Binary::kSecond) { return y; }
  if constexpr (op == Binary::kEqual) { return x == y; }
}

template <Binary op, typename T, typename Z>
void BinaryAs(const Nest& nest, const T* xs, const T* ys, Z* zs) {
  const int64_t rows = RowsOf(nest), size = nest.sizes[nest.axes - 1];
  const int64_t x_step = nest.x[nest.axes - 1], y_step = nest.y[nest.axes - 1];
  const int threads = Threads(rows * size);
  // One long row is shared as well: then the threads take parts of it.
  const int64_t parts = rows < threads ? threads : 1;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int thread = 0; thread < threads; ++thread) {
    const Range part = parts == 1 ? Range{0, size} : Share(size, thread, threads);
    EachRowOf(nest, parts == 1 ? Share(rows, thread, threads) : Range{0, rows}, [&](int64_t row, int64_t x, int64_t y) {
      const T *from = xs + x, *with = ys + y;
      Z* to = zs + row * size;
      if (x_step == 1 && y_step == 1) {
#pragma omp simd
        for (int64_t i = part.begin; i < part.end; ++i) { to[i] = Apply<op>(from[i], with[i]); }
      } else if (x_step == 1 && y_step == 0) {
        const T one = with[0];
#pragma omp simd
        for (int64_t i = part.begin; i < part.end; ++i) { to[i] = Apply<op>(from[i], one); }
      } else {
        for (int64_t i = part.begin; i < part.end; ++i) { to[i] = Apply<op>(from[i * x_step], with[i * y_step]); }
      }
    });
  }
}

void BinaryLoop(Binary op, const Nest& nest, const float* x, const float* y, float* z) {
  switch (op) {
    case Binary::kAdd: return BinaryAs<Binary::kAdd>(nest, x, y, z);
    case Binary::kSub: return BinaryAs<Binary::kSub>(nest, x, y, z);
    case Binary::kMul: return BinaryAs<Binary::kMul>(nest, x, y, z);
    case Binary::kSecond: return BinaryAs<Binary::kSecond>(nest, y, y, z);  // nothing of x is read
    case Binary::kEqual: break;
  }
}

void EqualLoop(const Nest& nest, const int32_t* x, const int32_t* y, bool* z) {
  BinaryAs<Binary::kEqual>(nest, x, y, z);
}

inline double Total(const float* x, int64_t size) {
  double total = 0;
  for (int64_t begin = 0; begin < size; begin += kSumAtOnce) {
    const int64_t end = std::min(begin + kSumAtOnce, size);
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = begin; i < end; ++i) { sum += x[i]; }
    total += sum;
  }
  return total;
}

// Adds the rows of a share to `sums`.
template <typename Sum>
void AddRows(const Nest& nest, Range rows, const float* xs, Sum* sums) {
  const int64_t length = nest.sizes[nest.axes - 1];
  const bool along = nest.y[nest.axes - 1] == 0;
  EachRowOf(nest, rows, [&](int64_t, int64_t x, int64_t y) {
    const float* from = xs + x;
    Sum* to = sums + y;
    if (along) {
      *to += Total(from, length);
    } else {
#pragma omp simd
      for (int64_t i = 0; i < length; ++i) { to[i] += from[i]; }
    }
  });
}

void Sums(const Nest& nest, int64_t size, const float* xs, float* sums) {
  const int64_t rows = RowsOf(nest), length = nest.sizes[nest.axes - 1], numbers = rows * length;
  const int threads = int(std::min<int64_t>(Threads(numbers), nest.axes > 1 ? nest.sizes[0] : 1));
  // Of few numbers each, in which threads that share the first axis do not meet: no other memory is needed.
  if (numbers / size <= kSumAtOnce && (threads == 1 || nest.y[0] != 0)) {
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int thread = 0; thread < threads; ++thread) {
      const int64_t inner = threads == 1 ? 1 : rows / nest.sizes[0];
      const Range share = Share(threads == 1 ? rows : nest.sizes[0], thread, threads);
      AddRows(nest, Range{share.begin * inner, share.end * inner}, xs, sums);
    }
    return;
  }
  std::vector<double> shares(threads * size);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int thread = 0; thread < threads; ++thread) {
    AddRows(nest, Share(rows, thread, threads), xs, shares.data() + thread * size);
  }
  for (int thread = 1; thread < threads; ++thread) {
    for (int64_t i = 0; i < size; ++i) { shares[i] += shares[thread * size + i]; }
  }
  std::copy_n(shares.data(), size, sums);
}

}  // namespace

const BroadcastLoops NATIVE_OF_CPU(kBroadcastLoops) = {BinaryLoop, EqualLoop, Sums};

}  // namespace native
