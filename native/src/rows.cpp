// layer_norm and its gradients, softmax, exp, gelu. OneFlow has no layer_norm for CPUs, only its shapes.
#include <algorithm>
#include <vector>

#include "kernels.h"

namespace native {
namespace {

// x as (rows, size), normalized from the axis on that an attribute names.
struct Rows {
  int64_t rows, size;

  Rows(const ShapeView& shape, int64_t axis) {
    const int64_t begin = axis < 0 ? axis + shape.NumAxes() : axis;
    rows = begin == 0 ? 1 : shape.Count(0, begin);
    size = shape.Count(begin);
  }
};

Rows LastAxis(const ShapeView& shape) { return Rows(shape, -1); }

class LayerNorm final : public Kernel {
  void Compute(Context* ctx) const override {
    const Rows of(ctx->Tensor4ArgNameAndIndex("x", 0)->shape_view(), ctx->Attr<int64_t>("begin_norm_axis"));
    row_loops().layer_norm(of.rows, of.size, ctx->Attr<double>("epsilon"), Input(ctx, "x"), Input(ctx, "gamma"),
                           Input(ctx, "beta"), Output(ctx, "y"), Output(ctx, "mean"), Output(ctx, "inv_variance"));
  }
};

class LayerNormGrad final : public Kernel {
  void Compute(Context* ctx) const override {
    const Rows of(ctx->Tensor4ArgNameAndIndex("x", 0)->shape_view(), ctx->Attr<int64_t>("begin_norm_axis"));
    row_loops().layer_norm_gradient(of.rows, of.size, Input(ctx, "x"), Input(ctx, "dy"), Input(ctx, "mean"),
                                    Input(ctx, "inv_variance"), Input(ctx, "gamma"), Input(ctx, "_add_to_output"),
                                    Output(ctx, "dx"));
  }
};

class LayerNormParamGrad final : public Kernel {
  void Compute(Context* ctx) const override {
    const Rows of(ctx->Tensor4ArgNameAndIndex("x", 0)->shape_view(), ctx->Attr<int64_t>("begin_params_axis"));
    std::vector<double> gammas(of.size), betas(of.size);
    row_loops().layer_norm_parameters(of.rows, of.size, Input(ctx, "x"), Input(ctx, "dy"), Input(ctx, "mean"),
                                      Input(ctx, "inv_variance"), gammas.data(), betas.data());
    if (ctx->has_output("gamma_diff", 0)) { std::copy_n(gammas.data(), of.size, Output(ctx, "gamma_diff")); }
    if (ctx->has_output("beta_diff", 0)) { std::copy_n(betas.data(), of.size, Output(ctx, "beta_diff")); }
  }
};

class Softmax final : public Kernel {
  void Compute(Context* ctx) const override {
    const Rows of = LastAxis(ctx->Tensor4ArgNameAndIndex("in", 0)->shape_view());
    row_loops().softmax(of.rows, of.size, Input(ctx, "in"), Output(ctx, "out"));
  }
};

class SoftmaxGrad final : public Kernel {
  void Compute(Context* ctx) const override {
    const Rows of = LastAxis(ctx->Tensor4ArgNameAndIndex("y", 0)->shape_view());
    row_loops().softmax_gradient(of.rows, of.size, Input(ctx, "y"), Input(ctx, "dy"), Output(ctx, "dx"));
  }
};

class Exponential final : public Kernel {
  void Compute(Context* ctx) const override {
    row_loops().exp(ctx->Tensor4ArgNameAndIndex("x", 0)->shape_view().elem_cnt(), Input(ctx, "x"), Output(ctx, "y"));
  }
};

class Gelu final : public Kernel {
  void Compute(Context* ctx) const override {
    const int64_t size = ctx->Tensor4ArgNameAndIndex("in", 0)->shape_view().elem_cnt();
    row_loops().gelu(size, Input(ctx, "in"), Output(ctx, "out"));
  }
};

class GeluGrad final : public Kernel {
  void Compute(Context* ctx) const override {
    const int64_t size = ctx->Tensor4ArgNameAndIndex("x", 0)->shape_view().elem_cnt();
    row_loops().gelu_gradient(size, Input(ctx, "x"), Input(ctx, "dy"), Output(ctx, "dx"));
  }
};

}  // namespace

void RegisterRows() {
  Register<LayerNorm>("layer_norm", OnCpu("x"));
  Register<LayerNormGrad>("layer_norm_grad", OnCpu("dy"));
  Register<LayerNormParamGrad>("layer_norm_param_grad", OnCpu("dy"));
  Register<Softmax>("softmax", OnCpu("in"));
  Register<SoftmaxGrad>("softmax_grad", OnCpu("dy"));
  Register<Exponential>("exp", OnCpu("x"));
  Register<Gelu>("gelu", OnCpu("in"));
  Register<GeluGrad>("gelu_grad", OnCpu("dy"));
}

}  // namespace native
