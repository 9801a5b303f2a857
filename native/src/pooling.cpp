// max_pool_2d, avg_pool_2d, adaptive_avg_pool2d and their gradients, with channels last.
#include <algorithm>
#include <vector>

#include "kernels.h"

namespace native {
namespace {

// Windows along one axis, and how many places each has, of which those in the padding may count.
struct AxisWindows {
  int64_t size = 0, step = 1;
  std::vector<int64_t> begin, end, places;

  // Those at a stride. places: with the padding of both sides, if that is counted.
  AxisWindows(int64_t size, int64_t count, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation,
              bool count_padding)
      : size(size), step(dilation) {
    for (int64_t i = 0; i < count; ++i) {
      const int64_t first = i * stride - padding, last = first + (kernel - 1) * dilation + 1;
      const int64_t skipped = first < 0 ? (-first + dilation - 1) / dilation * dilation : 0;
      begin.push_back(first + skipped);
      end.push_back(std::min(last, size));
      places.push_back(count_padding ? std::min(last, size + padding) - first : end[i] - begin[i]);
    }
  }
  // As many as needed to cover the axis in equal parts.
  AxisWindows(int64_t size, int64_t count) : size(size) {
    for (int64_t i = 0; i < count; ++i) {
      begin.push_back(i * size / count);
      end.push_back(((i + 1) * size + count - 1) / count);
      places.push_back(end[i] - begin[i]);
    }
  }
  Windows::Axis View() const { return {size, int64_t(begin.size()), step, begin.data(), end.data()}; }
};

struct Pooling {
  AxisWindows rows, columns;
  int64_t batch, channels;

  Windows View() const { return {batch, channels, rows.View(), columns.View()}; }
  // What the sum of each window is multiplied by for its average.
  std::vector<float> Scale(int64_t divisor) const {
    std::vector<float> scale;
    for (const int64_t r : rows.places) {
      for (const int64_t c : columns.places) { scale.push_back(1.0 / (divisor ? divisor : r * c)); }
    }
    return scale;
  }
};

// x, y: the names of the tensors with the larger and the smaller images.
Pooling PoolingOf(Context* ctx, const char* x_name, const char* y_name, bool is_max) {
  const auto x = ctx->Tensor4ArgNameAndIndex(x_name, 0)->shape_view();
  const auto y = ctx->Tensor4ArgNameAndIndex(y_name, 0)->shape_view();
  const auto& kernel = ctx->Attr<std::vector<int32_t>>("kernel_size");
  const auto& stride = ctx->Attr<std::vector<int32_t>>("stride");
  const auto& padding = ctx->Attr<std::vector<int32_t>>("padding");
  const auto dilation = is_max ? ctx->Attr<std::vector<int32_t>>("dilation") : std::vector<int32_t>{1, 1};
  const bool counted = !is_max && ctx->Attr<bool>("count_include_pad");
  const auto along = [&](int i) {
    return AxisWindows(x.At(2 + i), y.At(2 + i), kernel[i], stride[i], padding[i], dilation[i], counted);
  };
  return {along(0), along(1), x.At(0), x.At(1)};
}

Pooling AdaptivePoolingOf(Context* ctx, const char* x_name, const char* y_name) {
  const auto x = ctx->Tensor4ArgNameAndIndex(x_name, 0)->shape_view();
  const auto y = ctx->Tensor4ArgNameAndIndex(y_name, 0)->shape_view();
  return {AxisWindows(x.At(2), y.At(2)), AxisWindows(x.At(3), y.At(3)), x.At(0), x.At(1)};
}

class MaxPool final : public Kernel {
  void Compute(Context* ctx) const override {
    const Pooling pooling = PoolingOf(ctx, "x", "y", true);
    pooling_loops().max(pooling.View(), Input(ctx, "x"), Output(ctx, "y"),
                        ctx->Tensor4ArgNameAndIndex("indice", 0)->mut_dptr<int64_t>());
  }
};

class MaxPoolGrad final : public Kernel {
  void Compute(Context* ctx) const override {
    const Pooling pooling = PoolingOf(ctx, "dx", "dy", true);
    pooling_loops().max_gradient(pooling.View(), Input(ctx, "dy"),
                                 ctx->Tensor4ArgNameAndIndex("indice", 0)->dptr<int64_t>(), Output(ctx, "dx"));
  }
};

class AvgPool final : public Kernel {
  void Compute(Context* ctx) const override {
    const Pooling pooling = PoolingOf(ctx, "x", "y", false);
    const auto scale = pooling.Scale(ctx->Attr<int32_t>("divisor_override"));
    pooling_loops().average(pooling.View(), scale.data(), Input(ctx, "x"), Output(ctx, "y"));
  }
};

class AvgPoolGrad final : public Kernel {
  void Compute(Context* ctx) const override {
    const Pooling pooling = PoolingOf(ctx, "dx", "dy", false);
    const auto scale = pooling.Scale(ctx->Attr<int32_t>("divisor_override"));
    pooling_loops().average_gradient(pooling.View(), scale.data(), Input(ctx, "dy"), Output(ctx, "dx"));
  }
};

class AdaptiveAvgPool final : public Kernel {
  void Compute(Context* ctx) const override {
    const Pooling pooling = AdaptivePoolingOf(ctx, "x", "y");
    pooling_loops().average(pooling.View(), pooling.Scale(0).data(), Input(ctx, "x"), Output(ctx, "y"));
  }
};

class AdaptiveAvgPoolGrad final : public Kernel {
  void Compute(Context* ctx) const override {
    const Pooling pooling = AdaptivePoolingOf(ctx, "dx", "dy");
    pooling_loops().average_gradient(pooling.View(), pooling.Scale(0).data(), Input(ctx, "dy"), Output(ctx, "dx"));
  }
};

template <typename K>
void RegisterChannelsLast(const std::string& op, const char* tensor) {
  RegisterOp(ChannelsLastOp(op));
  Register<K>(kChannelsLast + op, OnCpu(tensor));
}

}  // namespace

void RegisterPooling() {
  RegisterChannelsLast<MaxPool>("max_pool_2d", "x");
  RegisterChannelsLast<MaxPoolGrad>("max_pool_2d_grad", "dy");
  RegisterChannelsLast<AvgPool>("avg_pool_2d", "x");
  RegisterChannelsLast<AvgPoolGrad>("avg_pool_2d_grad", "dy");
  RegisterChannelsLast<AdaptiveAvgPool>("adaptive_avg_pool2d", "x");
  RegisterChannelsLast<AdaptiveAvgPoolGrad>("adaptive_avg_pool2d_grad", "dy");
}

}  // namespace native
