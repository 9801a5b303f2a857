// broadcast_add, broadcast_sub, broadcast_mul, broadcast_equal, broadcast_like, bias_add; reduce_sum and reduce_sum_like.
#include <algorithm>
#include <vector>

#include "kernels.h"

namespace native {
namespace {

// Sizes of axes and, for two tensors, the steps along each; neighboring axes are one where both tensors go on evenly.
class NestMaker {
 public:
  // Axes are added from the last to the first.
  void Add(int64_t size, int64_t x, int64_t y) {
    if (size == 1) { return; }
    if (count_ > 0 && x == size_[count_ - 1] * x_[count_ - 1] && y == size_[count_ - 1] * y_[count_ - 1]) {
      size_[count_ - 1] *= size;
      return;
    }
    CHECK_LT(count_, kAxes);
    size_[count_] = size;
    x_[count_] = x;
    y_[count_++] = y;
  }

  Nest Made() const {
    Nest nest{std::max(count_, 1), {1}, {1}, {1}};
    for (int i = 0; i < count_; ++i) {
      nest.sizes[count_ - 1 - i] = size_[i];
      nest.x[count_ - 1 - i] = x_[i];
      nest.y[count_ - 1 - i] = y_[i];
    }
    return nest;
  }

 private:
  int count_ = 0;
  int64_t size_[kAxes], x_[kAxes], y_[kAxes];
};

// Sizes of the axes in the order of memory. Images may have several axes of channels, (B, groups, C, H, W).
std::vector<int64_t> SizesOf(Context* ctx, const ShapeView& shape) {
  std::vector<int64_t> sizes;
  for (int64_t axis = 0; axis < shape.NumAxes(); ++axis) { sizes.push_back(shape.At(axis)); }
  if (IsChannelsLast(ctx)) { std::rotate(sizes.begin() + 1, sizes.end() - 2, sizes.end()); }
  return sizes;
}

// Axes, of an attribute, that are summed or repeated, in the order of memory.
std::vector<bool> ChosenAxes(Context* ctx, const char* name, int64_t axes) {
  std::vector<bool> chosen(axes);
  for (const int32_t axis : ctx->Attr<std::vector<int32_t>>(name)) { chosen[axis < 0 ? axis + axes : axis] = true; }
  if (IsChannelsLast(ctx)) { std::rotate(chosen.begin() + 1, chosen.end() - 2, chosen.end()); }
  return chosen;
}

Nest BroadcastNest(const std::vector<int64_t>& x, const std::vector<int64_t>& y, const std::vector<int64_t>& z) {
  const auto size_at = [](const std::vector<int64_t>& sizes, size_t from_last) {
    return from_last < sizes.size() ? sizes[sizes.size() - 1 - from_last] : 1;
  };
  NestMaker maker;
  int64_t x_step = 1, y_step = 1;
  for (size_t i = 0; i < z.size(); ++i) {
    const int64_t x_size = size_at(x, i), y_size = size_at(y, i);
    maker.Add(size_at(z, i), x_size == 1 ? 0 : x_step, y_size == 1 ? 0 : y_step);
    x_step *= x_size;
    y_step *= y_size;
  }
  return maker.Made();
}

// Steps along all axes of the first tensor, and along those of the second, which has not the `missing` ones.
Nest NestWithout(const std::vector<int64_t>& sizes, const std::vector<bool>& missing) {
  NestMaker maker;
  int64_t x_step = 1, y_step = 1;
  for (int64_t axis = int64_t(sizes.size()) - 1; axis >= 0; --axis) {
    maker.Add(sizes[axis], x_step, missing[axis] ? 0 : y_step);
    x_step *= sizes[axis];
    if (!missing[axis]) { y_step *= sizes[axis]; }
  }
  return maker.Made();
}

Nest BroadcastNestOf(Context* ctx, const user_op::Tensor* x, const user_op::Tensor* y, const user_op::Tensor* z) {
  const auto sizes = [&](const user_op::Tensor* tensor) { return SizesOf(ctx, tensor->shape_view()); };
  return BroadcastNest(sizes(x), sizes(y), sizes(z));
}

template <Binary op>
class BroadcastBinary final : public Kernel {
  void Compute(Context* ctx) const override {
    const auto *x = ctx->Tensor4ArgNameAndIndex("x", 0), *y = ctx->Tensor4ArgNameAndIndex("y", 0);
    auto* z = ctx->Tensor4ArgNameAndIndex("z", 0);
    // The loops are quickest along x; sums and products are the same either way.
    const bool turn = op != Binary::kSub && x->shape_view().elem_cnt() < y->shape_view().elem_cnt();
    const auto *wide = turn ? y : x, *narrow = turn ? x : y;
    broadcast_loops().binary(op, BroadcastNestOf(ctx, wide, narrow, z), wide->dptr<float>(), narrow->dptr<float>(),
                             z->mut_dptr<float>());
  }
};

// Of int32: which class of a step's sample is an image's own.
class BroadcastEqual final : public Kernel {
  void Compute(Context* ctx) const override {
    const auto *x = ctx->Tensor4ArgNameAndIndex("x", 0), *y = ctx->Tensor4ArgNameAndIndex("y", 0);
    auto* z = ctx->Tensor4ArgNameAndIndex("z", 0);
    const bool turn = x->shape_view().elem_cnt() < y->shape_view().elem_cnt();
    const auto *wide = turn ? y : x, *narrow = turn ? x : y;
    broadcast_loops().equal(BroadcastNestOf(ctx, wide, narrow, z), wide->dptr<int32_t>(), narrow->dptr<int32_t>(),
                            z->mut_dptr<bool>());
  }
};

class BiasAdd final : public Kernel {
  void Compute(Context* ctx) const override {
    const auto* a = ctx->Tensor4ArgNameAndIndex("a", 0);
    const auto shape = a->shape_view();
    const int64_t axis = ctx->Attr<int32_t>("axis"), inner = shape.Count(axis + 1), channels = shape.At(axis);
    NestMaker maker;
    maker.Add(inner, 1, 0);
    maker.Add(channels, inner, 1);
    maker.Add(shape.Count(0, axis), inner * channels, 0);
    broadcast_loops().binary(Binary::kAdd, maker.Made(), a->dptr<float>(), Input(ctx, "b"), Output(ctx, "out"));
  }
};

class BroadcastLike final : public Kernel {
  void Compute(Context* ctx) const override {
    const auto sizes = SizesOf(ctx, ctx->Tensor4ArgNameAndIndex("y", 0)->shape_view());
    auto repeated = ChosenAxes(ctx, "broadcast_axes", sizes.size());
    const auto x = ctx->Tensor4ArgNameAndIndex("x", 0)->shape_view();
    if (x.elem_cnt() == 1) { std::fill(repeated.begin(), repeated.end(), true); }  // then it may name no axes
    broadcast_loops().binary(Binary::kSecond, NestWithout(sizes, repeated), nullptr, Input(ctx, "x"), Output(ctx, "y"));
  }
};

void SumOver(Context* ctx, const char* from, const char* to) {
  const auto* x = ctx->Tensor4ArgNameAndIndex(from, 0);
  auto* y = ctx->Tensor4ArgNameAndIndex(to, 0);
  const auto sizes = SizesOf(ctx, x->shape_view());
  const Nest nest = NestWithout(sizes, ChosenAxes(ctx, "axis", sizes.size()));
  const int64_t size = y->shape_view().elem_cnt();
  std::fill_n(y->mut_dptr<float>(), size, 0.0f);
  if (x->shape_view().elem_cnt() == 0) { return; }
  broadcast_loops().sums(nest, size, x->dptr<float>(), y->mut_dptr<float>());
}

class ReduceSum final : public Kernel {
  void Compute(Context* ctx) const override { SumOver(ctx, "input_tensor", "output_tensor"); }
};

class ReduceSumLike final : public Kernel {
  void Compute(Context* ctx) const override { SumOver(ctx, "x", "y"); }
};

}  // namespace

void RegisterBroadcast() {
  for (const char* op : {"broadcast_mul", "broadcast_like", "reduce_sum", "reduce_sum_like"}) {
    RegisterOp(ChannelsLastOp(op));
  }
  for (const std::string prefix : {"", kChannelsLast}) {
    Register<BroadcastBinary<Binary::kMul>>(prefix + "broadcast_mul", OnCpu("z"));
    Register<BroadcastLike>(prefix + "broadcast_like", OnCpu("y"));
    Register<ReduceSum>(prefix + "reduce_sum", OnCpu("output_tensor"));
    Register<ReduceSumLike>(prefix + "reduce_sum_like", OnCpu("y"));
  }
  Register<BroadcastBinary<Binary::kAdd>>("broadcast_add", OnCpu("z"));
  Register<BroadcastBinary<Binary::kSub>>("broadcast_sub", OnCpu("z"));
  Register<BroadcastEqual>("broadcast_equal", user_op::HobDeviceType() == DeviceType::kCPU
                                                  && user_op::HobDataType("x", 0) == DataType::kInt32);
  Register<BiasAdd>("bias_add", OnCpu("out"));
}

}  // namespace native
