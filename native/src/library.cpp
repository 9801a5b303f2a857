// Registers everything when OneFlow loads the library.
#include "kernels.h"
#include "primitives.h"

namespace native {

// As oneDNN chooses, so that ONEDNN_MAX_CPU_ISA=AVX2 holds for both.
bool HasAvx512() {
  constexpr int kAvx512 = static_cast<int>(dnnl::cpu_isa::avx512_core);
  static const bool has = (static_cast<int>(dnnl::get_effective_cpu_isa()) & kAvx512) == kAvx512;
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
