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
    RegisterFlat();
  }
} registration;

}  // namespace
}  // namespace native

// For Python: native/library.py and native/centers.py.
#define NATIVE_EXPORT extern "C" __attribute__((visibility("default")))

NATIVE_EXPORT int64_t native_scratch_bytes() { return native::ScratchBytes(); }

NATIVE_EXPORT void native_take_centers(const native::Centers* of, const float* weight, const int64_t* rows,
                                       int64_t count, float* out) {
  native::center_loops().take(*of, weight, rows, count, out);
}

NATIVE_EXPORT void native_train_centers(const native::Centers* of, const native::Sgd* sgd, float* weight,
                                        float* momentum, const int64_t* rows, int64_t count, const float* gradient,
                                        float* out) {
  native::center_loops().train(*of, *sgd, weight, momentum, rows, count, gradient, out);
}
