// Loops over numbers (loops/*.cpp), compiled once for each kind of CPU, and chosen when the library is loaded.
#pragma once
#include <cstdint>

namespace native {

// A tensor as (outer, channels, inner): (B, C, H * W) if channels come first, (B * H * W, C, 1) if they come last.
struct View {
  int64_t outer, channels, inner;
  int64_t size() const { return outer * channels * inner; }
  int64_t count() const { return outer * inner; }  // numbers of one channel
};

enum class Activation { kNone, kPrelu, kClip, kHardswish, kSilu };

// y = activation((x - mean) * scale + shift + addend), for each channel; the addend may be null.
// kPrelu: y = z > 0 ? z : slope * z. kClip: y = min(max(z, low), high). kHardswish: y = z min(max(z + 3, 0), 6) / 6.
// kSilu: y = z / (1 + e^-z).
struct Normalizing {
  const float *mean, *scale, *shift;  // (C,) each
  const float* slope = nullptr;       // (C,), of kPrelu
  float low = 0, high = 0;            // of kClip
  Activation activation = Activation::kNone;
};

struct Loops {
  // mean (C,): of each channel; squares (C,): sums of the squared differences from it.
  void (*statistics)(View, const float* x, float* mean, double* squares);
  void (*normalize)(View, const Normalizing&, const float* x, const float* addend, float* y);
  // With dz, the gradient before the activation: sums (C,) of dz, products (C,) of dz * (x - mean), slopes (C,) of
  // dy * z where z <= 0 (kPrelu alone; may be null otherwise).
  void (*gradient_sums)(View, const Normalizing&, const float* x, const float* dy, double* sums, double* products,
                        double* slopes);
  // dx = (dz - average - (x - mean) * along) * scale; average, along: (C,). dx may be dy.
  void (*normalize_gradient)(View, const Normalizing&, const float* x, const float* dy, const float* average,
                             const float* along, float* dx);
  void (*prelu)(View, const float* slope, const float* x, float* y);
  // dx may be dy. slopes (C,): sums of dy * x where x <= 0.
  void (*prelu_gradient)(View, const float* slope, const float* x, const float* dy, float* dx, double* slopes);
};

// Of rows (rows, size) in memory one behind the other: LayerNorm over a row, and softmax.
struct RowLoops {
  // y = (x - mean) * inverse * gamma + beta; mean, inverse (rows,): of each row, inverse = 1 / sqrt(variance + epsilon).
  // gamma, beta (size,): may be null, for 1 and 0.
  void (*layer_norm)(int64_t rows, int64_t size, double epsilon, const float* x, const float* gamma, const float* beta,
                     float* y, float* mean, float* inverse);
  // dx, plus addend if that is not null. gamma may be null. dx may be dy or addend.
  void (*layer_norm_gradient)(int64_t rows, int64_t size, const float* x, const float* dy, const float* mean,
                              const float* inverse, const float* gamma, const float* addend, float* dx);
  // gammas, betas (size,): the gradients of gamma and beta.
  void (*layer_norm_parameters)(int64_t rows, int64_t size, const float* x, const float* dy, const float* mean,
                                const float* inverse, double* gammas, double* betas);
  void (*softmax)(int64_t rows, int64_t size, const float* x, float* y);
  void (*softmax_gradient)(int64_t rows, int64_t size, const float* y, const float* dy, float* dx);
  void (*exp)(int64_t size, const float* x, float* y);
  void (*gelu)(int64_t size, const float* x, float* y);
  void (*gelu_gradient)(int64_t size, const float* x, const float* dy, float* dx);
};

// Axes of nested loops, and how far a step along each goes in two tensors: 0 where a tensor has one number for all.
constexpr int kAxes = 8;
struct Nest {
  int axes;  // at least 1
  int64_t sizes[kAxes], x[kAxes], y[kAxes];
};

enum class Binary { kAdd, kSub, kMul, kSecond, kEqual };  // kSecond: y alone, spread over the shape of x

struct BroadcastLoops {
  // z = x op y; z has one number for each of the nest, in its order.
  void (*binary)(Binary, const Nest&, const float* x, const float* y, float* z);  // not kEqual
  void (*equal)(const Nest&, const int32_t* x, const int32_t* y, bool* z);
  // sums, of `size` zeros, become those of x over what of the nest falls on each, by the steps `y`.
  void (*sums)(const Nest&, int64_t size, const float* x, float* sums);
};

// Of images (B, H, W, C): what each pixel of the result, one of out_rows x out_columns, is made of: the pixels
// {begin, begin + step, ...} below end along either axis.
struct Windows {
  struct Axis {
    int64_t size, count, step;
    const int64_t *begin, *end;  // (count,)
  };
  int64_t batch, channels;
  Axis rows, columns;
};

struct PoolingLoops {
  // places, of y's shape: row * columns.size + column of the number that was taken.
  void (*max)(const Windows&, const float* x, float* y, int64_t* places);
  void (*max_gradient)(const Windows&, const float* dy, const int64_t* places, float* dx);
  // y = scale * the sum of a window; scale (rows.count, columns.count).
  void (*average)(const Windows&, const float* scale, const float* x, float* y);
  void (*average_gradient)(const Windows&, const float* scale, const float* dy, float* dx);
};

// What updates of parameters have in common: g = gradient * scale + l1 * sign(w) + l2 * w is what a step is made of, and
// w also loses rate * decay * w.
struct Update {
  float rate, scale, l1, l2, decay;
};

struct AdamNumbers {
  float beta1, beta2, epsilon, correction1, correction2;
};

// Of tensors of `size` numbers. A result may be one of what it is made of.
struct FlatLoops {
  void (*sum)(int64_t size, int count, const float* const* terms, float* sum);  // of at least two; only the first may
                                                                                // be `sum`
  void (*clip)(int64_t size, float low, float high, const float* x, float* y);
  void (*clip_gradient)(int64_t size, float low, float high, const float* x, const float* dy, float* dx);
  // Rows of so many bytes, a step from each other.
  void (*copy)(int64_t rows, int64_t bytes, const char* x, int64_t x_step, char* y, int64_t y_step);
  // momentum = beta * momentum + share * g; w loses rate * momentum, or rate * (g + beta * momentum).
  void (*momentum)(const Update&, float beta, float share, bool nesterov, int64_t size, const float* gradient,
                   float* weight, float* momentum);
  // m and v are running means of g and g^2; w loses rate * (m / correction1) / (sqrt(v / correction2) + epsilon).
  void (*adam)(const Update&, const AdamNumbers&, int64_t size, const float* gradient, float* weight, float* m,
               float* v);
};

// Class centers, a row (vectors, width) for each class. Steps see the first `unit` numbers of each vector at length 1,
// and the others as they are. Known to native/centers.py.
struct Centers {
  int64_t vectors, width, unit;
};

// Stochastic gradient descent as optim/sgd.py writes it. Known to native/centers.py.
struct Sgd {
  float rate, momentum, decay;
  int32_t decoupled;
};

// rows: which of `weight` and `momentum`, or null for the first `count`.
struct CenterLoops {
  // out (count, vectors, width): rows as steps see them.
  void (*take)(const Centers&, const float* weight, const int64_t* rows, int64_t count, float* out);
  // gradient (count, vectors, width): of what steps see; momentum may be null; out: as above, afterwards, or null.
  void (*train)(const Centers&, const Sgd&, float* weight, float* momentum, const int64_t* rows, int64_t count,
                const float* gradient, float* out);
};

bool HasAvx512();
template <typename L>
const L& OfThisCpu(const L& avx2, const L& avx512) {
  return HasAvx512() ? avx512 : avx2;
}

extern const Loops kLoopsAvx2, kLoopsAvx512;
extern const RowLoops kRowLoopsAvx2, kRowLoopsAvx512;
extern const BroadcastLoops kBroadcastLoopsAvx2, kBroadcastLoopsAvx512;
extern const PoolingLoops kPoolingLoopsAvx2, kPoolingLoopsAvx512;
extern const FlatLoops kFlatLoopsAvx2, kFlatLoopsAvx512;
extern const CenterLoops kCenterLoopsAvx2, kCenterLoopsAvx512;

inline const Loops& loops() { return OfThisCpu(kLoopsAvx2, kLoopsAvx512); }
inline const RowLoops& row_loops() { return OfThisCpu(kRowLoopsAvx2, kRowLoopsAvx512); }
inline const BroadcastLoops& broadcast_loops() { return OfThisCpu(kBroadcastLoopsAvx2, kBroadcastLoopsAvx512); }
inline const PoolingLoops& pooling_loops() { return OfThisCpu(kPoolingLoopsAvx2, kPoolingLoopsAvx512); }
inline const FlatLoops& flat_loops() { return OfThisCpu(kFlatLoopsAvx2, kFlatLoopsAvx512); }
inline const CenterLoops& center_loops() { return OfThisCpu(kCenterLoopsAvx2, kCenterLoopsAvx512); }

}  // namespace native
