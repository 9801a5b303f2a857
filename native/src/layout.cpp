// "to_channels_last" and "to_channels_first": the same tensor (B, C, H, W) or (B, groups, C, H, W), its channels moved in
// memory.
#include "kernels.h"
#include "primitives.h"

namespace native {
namespace {

class ChangeLayout final : public Kernel {
  void Compute(Context* ctx) const override {
    const auto* x = ctx->Tensor4ArgNameAndIndex("in", 0);
    auto* y = ctx->Tensor4ArgNameAndIndex("out", 0);
    const bool to_last = ctx->op_type_name() == "to_channels_last";
    const auto s = x->shape_view();
    const int64_t axes = s.NumAxes();
    const Dims dims{s.At(0), s.Count(1, axes - 2), s.At(axes - 2), s.At(axes - 1)};
    const auto first = Plain(dims, Tag::nchw), last = Plain(dims, Tag::nhwc);
    memory from(to_last ? first : last, Engine(), const_cast<void*>(x->dptr()));
    memory to(to_last ? last : first, Engine(), y->mut_dptr());
    dnnl::reorder(from, to).execute(Stream(), from, to);
  }
};

}  // namespace

void RegisterLayout() {
  for (const char* name : {"to_channels_last", "to_channels_first"}) {
    user_op::OpRegistryResult op = *user_op::UserOpRegistryMgr::Get().GetOpRegistryResult("identity");
    op.op_type_name = name;
    op.op_def.set_name(name);
    op.get_sbp_fn = [](user_op::SbpContext* ctx) -> Maybe<void> {
      ctx->NewBuilder().Split(ctx->inputs(), 0).Split(ctx->outputs(), 0).Build();
      return Maybe<void>::Ok();
    };
    RegisterOp(op);
    Register<ChangeLayout>(name, OnCpu("in"));
  }
}

}  // namespace native
