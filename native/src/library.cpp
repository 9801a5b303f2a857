// Registers everything when OneFlow loads the library.
#include "kernels.h"
#include "primitives.h"

namespace native {

const Loops& loops() {
  static const Loops& chosen = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                                       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")
                                   ? kLoopsAvx512
                                   : kLoopsAvx2;
  return chosen;
}

namespace {

struct Registration {
  Registration() {
    RegisterConvolution();
    RegisterNormalization();
    RegisterActivation();
    RegisterLayout();
  }
} registration;

}  // namespace
}  // namespace native

// For Python (native/library.py).
extern "C" __attribute__((visibility("default"))) int64_t native_scratch_bytes() { return native::ScratchBytes(); }
