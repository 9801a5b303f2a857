// BatchNorm, and as "channels_last_normalization" also the addition and the activation that follow it: one pass over
// memory for all, and no tensor between them. Its gradient computes the normalized values again.
#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "kernels.h"

namespace native {
namespace {

// The attributes and inputs of the operator's last part, which OneFlow's own has not.
constexpr char kActivation[] = "activation";  // "", "prelu", "relu", "clip", "hardswish" or "silu"

constexpr char kAddRelu[] = "normalization_add_relu";

std::string ActivationOf(Context* ctx) {
  if (ctx->op_type_name() == kAddRelu) { return "relu"; }
  return IsChannelsLast(ctx) ? ctx->Attr<std::string>(kActivation) : "";
}

struct Constants {  // of each channel
  std::vector<float> scale, slope;
  Normalizing normalizing;
};

// y = gamma * inverse * (x - mean) + beta, then the activation.
Constants ConstantsOf(Context* ctx, int64_t channels, const float* mean, const float* inverse, const float* beta) {
  Constants constants;
  const float* gamma = Input(ctx, "gamma");
  for (int64_t c = 0; c < channels; ++c) { constants.scale.push_back(gamma[c] * inverse[c]); }
  Normalizing& n = constants.normalizing;
  n.mean = mean;
  n.scale = constants.scale.data();
  n.shift = beta;
  const std::string activation = ActivationOf(ctx);
  if (activation == "clip") {
    n.activation = Activation::kClip;
    n.low = ctx->Attr<float>("low");
    n.high = ctx->Attr<float>("high");
  } else if (activation == "hardswish" || activation == "silu") {
    n.activation = activation == "silu" ? Activation::kSilu : Activation::kHardswish;
  } else if (activation == "relu") {
    n.activation = Activation::kPrelu;
    constants.slope.assign(channels, 0.0f);
    n.slope = constants.slope.data();
  } else if (activation == "prelu") {
    n.activation = Activation::kPrelu;
    const float* slope = Input(ctx, "slope");
    const int64_t slopes = ctx->Tensor4ArgNameAndIndex("slope", 0)->shape_view().elem_cnt();
    for (int64_t c = 0; c < channels; ++c) { constants.slope.push_back(slope[slopes == 1 ? 0 : c]); }
    n.slope = constants.slope.data();
  }
  return constants;
}

class Normalization final : public Kernel {
  void Compute(Context* ctx) const override {
    const auto* x = ctx->Tensor4ArgNameAndIndex("x", 0);
    const View view = ViewOf(x->shape_view(), IsChannelsLast(ctx));
    if (view.size() == 0) {
      for (const char* name : {"mean", "inv_variance"}) { StoreZeros(ctx, name); }
      return;
    }
    const float epsilon = ctx->Attr<float>("epsilon");
    std::vector<float> inverse(view.channels);
    const float* mean = Input(ctx, "moving_mean");
    if (ctx->Attr<bool>("training")) {
      float* own_mean = Output(ctx, "mean");
      Statistics(ctx, view, epsilon, own_mean);
      std::copy_n(Output(ctx, "inv_variance"), view.channels, inverse.data());
      mean = own_mean;
    } else {
      const float* variance = Input(ctx, "moving_variance");
      for (int64_t c = 0; c < view.channels; ++c) { inverse[c] = 1.0f / std::sqrt(variance[c] + epsilon); }
    }
    const Constants constants = ConstantsOf(ctx, view.channels, mean, inverse.data(), Input(ctx, "beta"));
    const float* addend = Input(ctx, ctx->has_input("addend", 0) ? "addend" : "_add_to_output");
    loops().normalize(view, constants.normalizing, x->dptr<float>(), addend, Output(ctx, "y"));
  }

  // Of this batch, into mean and inv_variance, and a share of them into the moving ones.
  static void Statistics(Context* ctx, const View& view, float epsilon, float* mean) {
    float* inverse = Output(ctx, "inv_variance");
    const double count = view.count();
    std::vector<double> squares(view.channels);
    loops().statistics(view, Input(ctx, "x"), mean, squares.data());
    for (int64_t c = 0; c < view.channels; ++c) { inverse[c] = 1.0 / std::sqrt(squares[c] / count + epsilon); }
    if (!ctx->has_input("moving_mean", 0)) { return; }
    float *moving_mean = Output(ctx, "moving_mean"), *moving_variance = Output(ctx, "moving_variance");
    const float momentum = ctx->Attr<float>("momentum");
    for (int64_t c = 0; c < view.channels; ++c) {
      moving_mean[c] = moving_mean[c] * momentum + mean[c] * (1 - momentum);
      moving_variance[c] = moving_variance[c] * momentum + float(squares[c] / (count - 1)) * (1 - momentum);
    }
  }
};

// sums, products: of `Loops::gradient_sums`.
void StoreGradients(Context* ctx, const View& view, const Normalizing& normalizing, const float* inverse,
                    const float* dy, const std::vector<double>& sums, const std::vector<double>& products) {
  std::vector<float> average(view.channels), along(view.channels);
  float *gamma_diff = Output(ctx, "gamma_diff"), *beta_diff = Output(ctx, "beta_diff");
  const double count = view.count();
  for (int64_t c = 0; c < view.channels; ++c) {
    gamma_diff[c] = products[c] * inverse[c];
    beta_diff[c] = sums[c];
    average[c] = sums[c] / count;
    along[c] = products[c] * inverse[c] * inverse[c] / count;
  }
  loops().normalize_gradient(view, normalizing, Input(ctx, "x"), dy, average.data(), along.data(), Output(ctx, "dx"));
}

class NormalizationGrad final : public Kernel {
  void Compute(Context* ctx) const override {
    const auto* x = ctx->Tensor4ArgNameAndIndex("x", 0);
    const View view = ViewOf(x->shape_view(), IsChannelsLast(ctx));
    const int64_t channels = view.channels;
    if (view.size() == 0) {
      for (const char* name : {"gamma_diff", "beta_diff", "slope_diff"}) { StoreZeros(ctx, name); }
      return;
    }
    const float *dy = Input(ctx, "dy"), *inverse = Input(ctx, "inv_variance");
    const std::vector<float> zeros(channels);
    const float* beta = IsChannelsLast(ctx) ? Input(ctx, "beta") : zeros.data();  // matters to activations alone
    const Constants constants = ConstantsOf(ctx, channels, Input(ctx, "mean"), inverse, beta);
    std::vector<double> sums(channels), products(channels), slopes(channels);
    loops().gradient_sums(view, constants.normalizing, x->dptr<float>(), dy, sums.data(), products.data(),
                          slopes.data());
    StoreGradients(ctx, view, constants.normalizing, inverse, dy, sums, products);
    if (ctx->has_output("slope_diff", 0)) { StoreSlopes(ctx, slopes); }
  }

  static void StoreSlopes(Context* ctx, const std::vector<double>& slopes) {
    auto* diff = ctx->Tensor4ArgNameAndIndex("slope_diff", 0);
    const int64_t size = diff->shape_view().elem_cnt();
    std::vector<double> totals(size);
    for (size_t c = 0; c < slopes.size(); ++c) { totals[size == 1 ? 0 : c] += slopes[c]; }
    std::copy_n(totals.data(), size, diff->mut_dptr<float>());
  }
};

// Of normalization_add_relu, whose gradient takes y; what it reserves space for, the sign of y, is not needed.
class NormalizationAddReluGrad final : public Kernel {
  void Compute(Context* ctx) const override {
    const View view = ViewOf(ctx->Tensor4ArgNameAndIndex("x", 0)->shape_view(), false);
    const int64_t channels = view.channels;
    std::vector<float> own(ctx->has_output("addend_diff", 0) ? 0 : view.size());
    float* dz = own.empty() ? Output(ctx, "addend_diff") : own.data();
    std::vector<double> sums(channels), products(channels), unused(channels);
    const std::vector<float> zeros(channels);
    loops().prelu_gradient(view, zeros.data(), Input(ctx, "y"), Input(ctx, "dy"), dz, unused.data());
    const float* inverse = Input(ctx, "inv_variance");
    const Constants constants = ConstantsOf(ctx, channels, Input(ctx, "mean"), inverse, zeros.data());
    loops().gradient_sums(view, constants.normalizing, Input(ctx, "x"), dz, sums.data(), products.data(), unused.data());
    StoreGradients(ctx, view, constants.normalizing, inverse, dz, sums, products);
  }
};

void AddInput(user_op::OpRegistryResult* op, const char* name) {
  auto* input = op->op_def.add_input();
  input->set_name(name);
  input->set_is_optional(true);
}

void AddActivation(user_op::OpRegistryResult* op) {
  AddInput(op, "slope");
  auto* activation = op->op_def.add_attr();
  activation->set_name(kActivation);
  activation->set_type(kAtString);
  activation->mutable_default_val()->set_at_string("");
  for (const char* name : {"low", "high"}) {
    auto* bound = op->op_def.add_attr();
    bound->set_name(name);
    bound->set_type(kAtFloat);
    bound->mutable_default_val()->set_at_float(0);
  }
}

// Images split on axis 0 with all numbers of a channel the same everywhere, and its gradients partial sums.
Maybe<void> Layouts(user_op::SbpContext* ctx) {
  static const std::set<std::string> images{"x", "y", "dy", "dx", "addend"};
  static const std::set<std::string> sums{"gamma_diff", "beta_diff", "slope_diff"};
  auto builder = ctx->NewBuilder();
  for (const auto* ends : {&ctx->inputs(), &ctx->outputs()}) {
    for (const auto& end : *ends) {
      const user_op::OpArg argument(std::string(end.first), end.second);
      if (images.count(end.first)) {
        builder.Split(argument, 0);
      } else if (sums.count(end.first)) {
        builder.PartialSum(argument);
      } else {
        builder.Broadcast(argument);
      }
    }
  }
  builder.Build();
  return Maybe<void>::Ok();
}

Maybe<void> MovingStatisticsChange(const user_op::GetInputArgModifier& modifier,
                                   const user_op::UserOpConfWrapper& conf) {
  for (const char* name : {"moving_mean", "moving_variance"}) {
    if (!conf.has_input(name, 0)) { continue; }
    modifier(name, 0)->set_is_mutable(conf.attr<bool>("training"));
    modifier(name, 0)->set_requires_grad(false);
  }
  return Maybe<void>::Ok();
}

void RegisterForwardOp() {
  auto op = ChannelsLastOp("normalization");
  AddActivation(&op);
  AddInput(&op, "addend");
  op.get_sbp_fn = Layouts;
  op.input_arg_modify_fn = MovingStatisticsChange;
  RegisterOp(op);
}

void RegisterGradientOp() {
  auto op = ChannelsLastOp("normalization_grad");
  AddActivation(&op);
  AddInput(&op, "beta");
  auto* diff = op.op_def.add_output();
  diff->set_name("slope_diff");
  diff->set_is_optional(true);
  op.get_sbp_fn = Layouts;
  const auto with_slope = [](user_op::TensorDescInferFn infer) {
    return [infer](user_op::InferContext* ctx) -> Maybe<void> {
      JUST(infer(ctx));
      if (ctx->has_output("slope_diff", 0)) { ctx->SetOutputShape("slope_diff", 0, ctx->InputShape("slope", 0)); }
      return Maybe<void>::Ok();
    };
  };
  op.logical_tensor_desc_infer_fn = with_slope(op.logical_tensor_desc_infer_fn);
  op.physical_tensor_desc_infer_fn = with_slope(op.physical_tensor_desc_infer_fn);
  const auto types = op.data_type_infer_fn;
  op.data_type_infer_fn = [types](user_op::InferContext* ctx) -> Maybe<void> {
    JUST(types(ctx));
    if (ctx->has_output("slope_diff", 0)) { ctx->SetOutputDType("slope_diff", 0, ctx->InputDType("slope", 0)); }
    return Maybe<void>::Ok();
  };
  RegisterOp(op);
}

}  // namespace

void RegisterNormalization() {
  const auto second_axis = user_op::HobAttr<int32_t>("axis") == 1;
  RegisterForwardOp();
  RegisterGradientOp();
  Register<Normalization>("normalization", OnCpu("y") && second_axis);
  Register<Normalization>("channels_last_normalization", OnCpu("y"));
  Register<Normalization>(kAddRelu, OnCpu("y") && second_axis);
  Register<NormalizationAddReluGrad>(std::string(kAddRelu) + "_grad", OnCpu("dx") && second_axis);
  Register<NormalizationGrad>("normalization_grad", OnCpu("dx") && second_axis);
  Register<NormalizationGrad>("channels_last_normalization_grad", OnCpu("dx"));
}

}  // namespace native
