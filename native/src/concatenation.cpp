// concat and split_like along the channels, with channels last: a piece of each pixel after the other.
#include <cstring>

#include "kernels.h"

namespace native {
namespace {

// Pixels of images, and of what has `channels` of them, one pixel in bytes.
int64_t Pixels(const ShapeView& images) { return images.elem_cnt() / images.At(1); }
int64_t PixelBytes(const user_op::Tensor* images) { return images->shape_view().At(1) * sizeof(float); }

class Concat final : public Kernel {
  void Compute(Context* ctx) const override {
    auto* out = ctx->Tensor4ArgNameAndIndex("out", 0);
    const int64_t pixels = Pixels(out->shape_view()), stride = PixelBytes(out);
    char* to = out->mut_dptr<char>();
    for (const auto& end : ctx->inputs()) {
      const auto* in = ctx->Tensor4ArgNameAndIndex(end.first, end.second);
      const int64_t bytes = PixelBytes(in);
      for (int64_t i = 0; i < pixels; ++i) { std::memcpy(to + i * stride, in->dptr<char>() + i * bytes, bytes); }
      to += bytes;
    }
  }
};

class SplitLike final : public Kernel {
  void Compute(Context* ctx) const override {
    const auto* in = ctx->Tensor4ArgNameAndIndex("in", 0);
    const int64_t pixels = Pixels(in->shape_view()), stride = PixelBytes(in);
    const char* from = in->dptr<char>();
    for (const auto& end : ctx->outputs()) {
      auto* out = ctx->Tensor4ArgNameAndIndex(end.first, end.second);
      const int64_t bytes = PixelBytes(out);
      for (int64_t i = 0; i < pixels; ++i) { std::memcpy(out->mut_dptr<char>() + i * bytes, from + i * stride, bytes); }
      from += bytes;
    }
  }
};

}  // namespace

void RegisterConcatenation() {
  for (const char* op : {"concat", "split_like"}) { RegisterOp(ChannelsLastOp(op)); }
  Register<Concat>(std::string(kChannelsLast) + "concat", OnCpu("out"));
  Register<SplitLike>(std::string(kChannelsLast) + "split_like", OnCpu("in"));
}

}  // namespace native
