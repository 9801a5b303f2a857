// PReLU and its gradient.
#include <algorithm>
#include <vector>

#include "kernels.h"

namespace native {
namespace {

std::vector<float> Slopes(Context* ctx, int64_t channels) {
  const auto* alpha = ctx->Tensor4ArgNameAndIndex("alpha", 0);
  const int64_t size = alpha->shape_view().elem_cnt();
  std::vector<float> slopes(channels);
  for (int64_t c = 0; c < channels; ++c) { slopes[c] = alpha->dptr<float>()[size == 1 ? 0 : c]; }
  return slopes;
}

class Prelu final : public Kernel {
  void Compute(Context* ctx) const override {
    const View view = ViewOf(ctx->Tensor4ArgNameAndIndex("x", 0)->shape_view(), IsChannelsLast(ctx));
    loops().prelu(view, Slopes(ctx, view.channels).data(), Input(ctx, "x"), Output(ctx, "y"));
  }
};

class PreluGrad final : public Kernel {
  void Compute(Context* ctx) const override {
    const View view = ViewOf(ctx->Tensor4ArgNameAndIndex("x", 0)->shape_view(), IsChannelsLast(ctx));
    std::vector<double> sums(view.channels);
    loops().prelu_gradient(view, Slopes(ctx, view.channels).data(), Input(ctx, "x"), Input(ctx, "dy"),
                           Output(ctx, "dx"), sums.data());
    auto* diff = ctx->Tensor4ArgNameAndIndex("alpha_diff", 0);
    const int64_t size = diff->shape_view().elem_cnt();
    std::vector<double> totals(size);
    for (int64_t c = 0; c < view.channels; ++c) { totals[size == 1 ? 0 : c] += sums[c]; }
    std::copy_n(totals.data(), size, diff->mut_dptr<float>());
  }
};

}  // namespace

void RegisterActivation() {
  for (const char* op : {"prelu", "prelu_grad"}) { RegisterOp(ChannelsLastOp(op)); }
  for (const std::string prefix : {"", kChannelsLast}) {
    Register<Prelu>(prefix + "prelu", OnCpu("y"));
    Register<PreluGrad>(prefix + "prelu_grad", OnCpu("dx"));
  }
}

}  // namespace native
