// add_n, clip_by_scalar, narrow, what only copies, and the updates of SGD and Adam: OneFlow has them on one thread.
#include <cstring>
#include <vector>

#include "kernels.h"

namespace native {
namespace {

int64_t Count(const user_op::Tensor* tensor) { return tensor->shape_view().elem_cnt(); }
int64_t Bytes(const user_op::Tensor* tensor) { return Count(tensor) * GetSizeOfDataType(tensor->data_type()); }

class AddN final : public Kernel {
  void Compute(Context* ctx) const override {
    std::vector<const float*> terms;
    for (const auto& end : ctx->inputs()) {
      terms.push_back(ctx->Tensor4ArgNameAndIndex(end.first, end.second)->dptr<float>());
    }
    auto* out = ctx->Tensor4ArgNameAndIndex("out", 0);
    flat_loops().sum(Count(out), terms.size(), terms.data(), out->mut_dptr<float>());
  }
};

class Clip final : public Kernel {
  void Compute(Context* ctx) const override {
    flat_loops().clip(Count(ctx->Tensor4ArgNameAndIndex("x", 0)), ctx->Attr<double>("floating_min"),
                      ctx->Attr<double>("floating_max"), Input(ctx, "x"), Output(ctx, "y"));
  }
};

class ClipGrad final : public Kernel {
  void Compute(Context* ctx) const override {
    flat_loops().clip_gradient(Count(ctx->Tensor4ArgNameAndIndex("x", 0)), ctx->Attr<double>("floating_min"),
                               ctx->Attr<double>("floating_max"), Input(ctx, "x"), Input(ctx, "dy"),
                               Output(ctx, "dx"));
  }
};

// A part of a tensor along an axis: bytes of the part and of the whole in each of `rows`, and where the part begins.
struct Piece {
  int64_t rows, part, whole, begin;

  Piece(Context* ctx, const user_op::Tensor* of_part, const user_op::Tensor* of_whole) {
    const auto axis = ctx->Attr<int64_t>("dim"), start = ctx->Attr<int64_t>("start");
    const ShapeView& shape = of_whole->shape_view();
    rows = shape.Count(0, axis);
    const int64_t one = shape.Count(axis + 1) * GetSizeOfDataType(of_whole->data_type());
    part = of_part->shape_view().At(axis) * one;
    whole = shape.At(axis) * one;
    begin = start * one;
  }
};

class Narrow final : public Kernel {
  void Compute(Context* ctx) const override {
    const auto* in = ctx->Tensor4ArgNameAndIndex("in", 0);
    auto* out = ctx->Tensor4ArgNameAndIndex("out", 0);
    const Piece of(ctx, out, in);
    flat_loops().copy(of.rows, of.part, in->dptr<char>() + of.begin, of.whole, out->mut_dptr<char>(), of.part);
  }
};

class NarrowGrad final : public Kernel {
  void Compute(Context* ctx) const override {
    const auto* dy = ctx->Tensor4ArgNameAndIndex("dy", 0);
    auto* dx = ctx->Tensor4ArgNameAndIndex("dx", 0);
    const Piece of(ctx, dy, dx);
    char* to = dx->mut_dptr<char>();
    std::memset(to, 0, Bytes(dx));
    flat_loops().copy(of.rows, of.part, dy->dptr<char>(), of.part, to + of.begin, of.whole);
  }
};

class Copy final : public Kernel {
  void Compute(Context* ctx) const override {
    const auto* in = ctx->Tensor4ArgNameAndIndex("in", 0);
    auto* out = ctx->Tensor4ArgNameAndIndex("out", 0);
    if (Count(in) == 0) {  // as OneFlow's own does it, though the backward pass alone could have such shapes
      std::memset(out->mut_dptr<char>(), 0, Bytes(out));
      return;
    }
    flat_loops().copy(1, Bytes(in), in->dptr<char>(), Bytes(in), out->mut_dptr<char>(), Bytes(in));
  }
};

float Number(Context* ctx, const char* name, float otherwise) {
  return ctx->has_input(name, 0) ? *Input(ctx, name) : otherwise;
}

bool IsSkipped(Context* ctx) {
  return ctx->has_input("skip_if", 0) && *ctx->Tensor4ArgNameAndIndex("skip_if", 0)->dptr<int64_t>() != 0;
}

Update UpdateOf(Context* ctx) {
  Update of;
  of.rate = Number(ctx, "learning_rate", ctx->Attr<float>("learning_rate_val"));
  of.rate *= ctx->Attr<float>("learning_rate_scale");
  of.scale = float(ctx->Attr<double>("scale")) * Number(ctx, "scale_by_tensor", 1.0f);
  of.l1 = ctx->Attr<float>("l1");
  of.l2 = ctx->Attr<float>("l2");
  of.decay = ctx->Attr<float>("weight_decay");
  return of;
}

// Operators without an output, which OneFlow would take for having empty ones.
class UpdateKernel : public Kernel {
 public:
  bool AlwaysComputeWhenAllOutputsEmpty() const override { return true; }
};

class MomentumUpdate final : public UpdateKernel {
  void Compute(Context* ctx) const override {
    if (IsSkipped(ctx)) { return; }
    flat_loops().momentum(UpdateOf(ctx), ctx->Attr<float>("beta"), 1.0f - ctx->Attr<float>("dampening"),
                          ctx->Attr<bool>("nesterov"), Count(ctx->Tensor4ArgNameAndIndex("model", 0)),
                          Input(ctx, "model_diff"), Output(ctx, "model"), Output(ctx, "momentum"));
  }
};

class AdamUpdate final : public UpdateKernel {
  void Compute(Context* ctx) const override {
    if (IsSkipped(ctx)) { return; }
    AdamNumbers adam;
    adam.beta1 = ctx->Attr<float>("beta1");
    adam.beta2 = ctx->Attr<float>("beta2");
    adam.epsilon = ctx->Attr<float>("epsilon");
    adam.correction1 = Number(ctx, "bias_correction1", ctx->Attr<float>("bias_correction1_val"));
    adam.correction2 = Number(ctx, "bias_correction2", ctx->Attr<float>("bias_correction2_val"));
    flat_loops().adam(UpdateOf(ctx), adam, Count(ctx->Tensor4ArgNameAndIndex("model", 0)), Input(ctx, "model_diff"),
                      Output(ctx, "model"), Output(ctx, "m"), Output(ctx, "v"));
  }
};

auto OfFloats() { return OnCpu("model") && user_op::HobDataType("model_diff", 0) == DataType::kFloat; }

}  // namespace

void RegisterFlat() {
  Register<AddN>("add_n", OnCpu("out") && user_op::HobInputSize("in") >= 2);
  Register<Clip>("clip_by_scalar", OnCpu("y"));
  Register<ClipGrad>("clip_by_scalar_grad", OnCpu("dx"));
  const auto on_cpu = user_op::HobDeviceType() == DeviceType::kCPU;
  Register<Narrow>("narrow", on_cpu);
  Register<NarrowGrad>("narrow_grad", on_cpu);
  for (const char* op : {"reshape", "reshape_like", "expand_dims", "squeeze"}) { Register<Copy>(op, on_cpu); }
  Register<MomentumUpdate>("momentum_update", OfFloats() && user_op::HobAttr<bool>("maximize") == false);
  Register<AdamUpdate>("adam_update", OfFloats() && user_op::HobAttr<bool>("amsgrad") == false &&
                                          user_op::HobInputSize("model_copy") == 0);
}

}  // namespace native
