// broadcast_add, broadcast_sub, broadcast_mul, bias_add; reduce_sum and reduce_sum_like.
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

// The size of an axis counted from the last, -1.
int64_t SizeAt(const ShapeView& shape, int64_t axis) {
  const int64_t at = shape.NumAxes() + axis;
  return at < 0 ? 1 : shape.At(at);
}

Nest BroadcastNest(const ShapeView& x, const ShapeView& y, const ShapeView& z) {
  NestMaker maker;
  int64_t x_step = 1, y_step = 1;
  for (int64_t axis = -1; axis >= -z.NumAxes(); --axis) {
    const int64_t x_size = SizeAt(x, axis), y_size = SizeAt(y, axis);
    maker.Add(SizeAt(z, axis), x_size == 1 ? 0 : x_step, y_size == 1 ? 0 : y_step);
    x_step *= x_size;
    y_step *= y_size;
  }
  return maker.Made();
}

template <Binary op>
class BroadcastBinary final : public Kernel {
  void Compute(Context* ctx) const override {
    const auto *x = ctx->Tensor4ArgNameAndIndex("x", 0), *y = ctx->Tensor4ArgNameAndIndex("y", 0);
    auto* z = ctx->Tensor4ArgNameAndIndex("z", 0);
    // The loops are quickest along x; sums and products are the same either way.
    const bool turn = op != Binary::kSub && x->shape_view().elem_cnt() < y->shape_view().elem_cnt();
    const auto *wide = turn ? y : x, *narrow = turn ? x : y;
    broadcast_loops().binary(op, BroadcastNest(wide->shape_view(), narrow->shape_view(), z->shape_view()),
                             wide->dptr<float>(), narrow->dptr<float>(), z->mut_dptr<float>());
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

void SumOver(Context* ctx, const char* from, const char* to) {
  const auto* x = ctx->Tensor4ArgNameAndIndex(from, 0);
  auto* y = ctx->Tensor4ArgNameAndIndex(to, 0);
  const auto shape = x->shape_view();
  std::vector<bool> summed(shape.NumAxes());
  for (const int32_t axis : ctx->Attr<std::vector<int32_t>>("axis")) {
    summed[axis < 0 ? axis + shape.NumAxes() : axis] = true;
  }
  NestMaker maker;
  int64_t x_step = 1, y_step = 1;
  for (int64_t axis = shape.NumAxes() - 1; axis >= 0; --axis) {
    maker.Add(shape.At(axis), x_step, summed[axis] ? 0 : y_step);
    x_step *= shape.At(axis);
    if (!summed[axis]) { y_step *= shape.At(axis); }
  }
  const int64_t size = y->shape_view().elem_cnt();
  std::vector<double> totals(size);
  if (shape.elem_cnt() > 0) { broadcast_loops().sums(maker.Made(), size, x->dptr<float>(), totals.data()); }
  std::copy_n(totals.data(), size, y->mut_dptr<float>());
}

class ReduceSum final : public Kernel {
  void Compute(Context* ctx) const override { SumOver(ctx, "input_tensor", "output_tensor"); }
};

class ReduceSumLike final : public Kernel {
  void Compute(Context* ctx) const override { SumOver(ctx, "x", "y"); }
};

}  // namespace

void RegisterBroadcast() {
  Register<BroadcastBinary<Binary::kAdd>>("broadcast_add", OnCpu("z"));
  Register<BroadcastBinary<Binary::kSub>>("broadcast_sub", OnCpu("z"));
  Register<BroadcastBinary<Binary::kMul>>("broadcast_mul", OnCpu("z"));
  Register<BiasAdd>("bias_add", OnCpu("out"), "out", "a");
  Register<ReduceSum>("reduce_sum", OnCpu("output_tensor"));
  Register<ReduceSumLike>("reduce_sum_like", OnCpu("y"));
}

}  // namespace native
