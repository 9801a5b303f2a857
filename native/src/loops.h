// Loops over numbers, compiled once for each kind of CPU (loops.cpp), and chosen when the library is loaded.
#pragma once
#include <cstdint>

namespace native {

// A tensor as (outer, channels, inner): (B, C, H * W) if channels come first, (B * H * W, C, 1) if they come last.
struct View {
  int64_t outer, channels, inner;
  int64_t size() const { return outer * channels * inner; }
  int64_t count() const { return outer * inner; }  // numbers of one channel
};

enum class Activation { kNone, kPrelu, kClip };

// y = activation((x - mean) * scale + shift + addend), for each channel; the addend may be null.
// kPrelu: y = z > 0 ? z : slope * z. kClip: y = min(max(z, low), high).
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
  void (*add)(int64_t size, const float* a, const float* b, float* sum);
};

extern const Loops kLoopsAvx2, kLoopsAvx512;
const Loops& loops();  // those for this CPU

}  // namespace native
