// Registers everything when OneFlow loads the library.
#include "kernels.h"
#include "primitives.h"

namespace native {

bool HasAvx512() {
  static const bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                          __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
  return has;
}

namespace {

struct Registration {
  Registration() {
    RegisterConvolution();
    RegisterNormalization();
    RegisterActivation();
    RegisterLayout();
    RegisterRows();
    RegisterMatmul();
    RegisterBroadcast();
    RegisterPooling();
    RegisterConcatenation();
  }
} registration;

}  // namespace
}  // namespace native

// For Python (native/library.py).
extern "C" __attribute__((visibility("default"))) int64_t native_scratch_bytes() { return native::ScratchBytes(); }
