// matmul, batch_matmul, broadcast_matmul, broadcast_matmul_grad_b and transpose by oneDNN.
#include <cstring>
#include <utility>

#include "kernels.h"
#include "primitives.h"

namespace native {
namespace {

// (batch, rows, columns) in memory, of which the last two may be meant the other way round.
struct Matrices {
  int64_t batch, rows, columns;
  bool transposed;

  Matrices(const ShapeView& shape, bool transposed)
      : batch(shape.NumAxes() == 2 ? 1 : shape.Count(0, shape.NumAxes() - 2)),
        rows(shape.At(shape.NumAxes() - 2)),
        columns(shape.At(shape.NumAxes() - 1)),
        transposed(transposed) {}

  // One matrix, with the rows of all.
  void Join() {
    rows *= batch;
    batch = 1;
  }
  memory::desc Description() const {
    return transposed ? memory::desc({batch, columns, rows}, memory::data_type::f32, {rows * columns, 1, columns})
                      : memory::desc({batch, rows, columns}, memory::data_type::f32, {rows * columns, columns, 1});
  }
};

// out = alpha * a @ b + addend (may be null, or out).
void Multiply(Context* ctx, const Matrices& a, const Matrices& b, const Matrices& out) {
  const double alpha = ctx->Attr<double>("alpha");
  const float* addend = Input(ctx, "_add_to_output");
  float* result = Output(ctx, "out");
  int64_t alpha_bits;
  std::memcpy(&alpha_bits, &alpha, sizeof(alpha));
  const Key key{kMatmul, a.batch, a.rows, a.columns, a.transposed, b.batch, b.rows, b.columns, b.transposed,
                alpha_bits, addend != nullptr};
  const auto primitive = CachedPrimitive(key, [&]() -> Primitive {
    dnnl::post_ops after;
    if (alpha != 1) { after.append_eltwise(dnnl::algorithm::eltwise_linear, alpha, 0); }
    if (addend != nullptr) { after.append_sum(); }
    auto attributes = Attributes();
    attributes.set_post_ops(after);
    const dnnl::matmul::primitive_desc d(Engine(), a.Description(), b.Description(), out.Description(), attributes);
    return Primitive(dnnl::matmul(d), d.scratchpad_desc(),
                     {{DNNL_ARG_SRC, d.src_desc(), d.src_desc()},
                      {DNNL_ARG_WEIGHTS, d.weights_desc(), d.weights_desc()},
                      {DNNL_ARG_DST, d.dst_desc(), d.dst_desc(), true}});
  });
  const int64_t numbers = out.batch * out.rows * out.columns;
  if (addend != nullptr && addend != result) { std::memcpy(result, addend, numbers * sizeof(float)); }
  primitive->Run({Input(ctx, "a"), Input(ctx, "b"), result});
}

const ShapeView ShapeOf(Context* ctx, const char* name) { return ctx->Tensor4ArgNameAndIndex(name, 0)->shape_view(); }

class Matmul final : public Kernel {
  void Compute(Context* ctx) const override {
    Matrices a(ShapeOf(ctx, "a"), ctx->Attr<bool>("transpose_a")), out(ShapeOf(ctx, "out"), false);
    const Matrices b(ShapeOf(ctx, "b"), ctx->Attr<bool>("transpose_b"));
    if (b.batch == 1 && !a.transposed) {
      a.Join();
      out.Join();
    }
    Multiply(ctx, a, b, out);
  }
};

// The gradient of a matrix b that all of a batch was multiplied with.
class BroadcastMatmulGradB final : public Kernel {
  void Compute(Context* ctx) const override {
    Matrices a(ShapeOf(ctx, "a"), true), b(ShapeOf(ctx, "b"), false);
    a.Join();
    b.Join();
    Multiply(ctx, a, b, Matrices(ShapeOf(ctx, "out"), false));
  }
};

class Transpose final : public Kernel {
  void Compute(Context* ctx) const override {
    const auto* in = ctx->Tensor4ArgNameAndIndex("input", 0);
    const auto shape = in->shape_view();
    const auto& order = ctx->Attr<std::vector<int32_t>>("perm");
    Dims dims, steps, plain(shape.NumAxes());
    Key key{kTranspose, shape.NumAxes()};
    for (size_t i = 0; i < order.size(); ++i) {
      dims.push_back(shape.At(order[i]));
      steps.push_back(shape.Count(order[i] + 1));
      key[2 + 2 * i] = dims[i];
      key[3 + 2 * i] = steps[i];
    }
    int64_t step = 1;
    for (int i = int(dims.size()) - 1; i >= 0; --i) {
      plain[i] = step;
      step *= dims[i];
    }
    const auto primitive = CachedPrimitive(key, [&]() -> Primitive {
      const memory::desc from(dims, memory::data_type::f32, steps), to(dims, memory::data_type::f32, plain);
      const dnnl::reorder::primitive_desc d(Engine(), from, Engine(), to, Attributes());
      return Primitive(dnnl::reorder(d), d.scratchpad_desc(), {{DNNL_ARG_FROM, from, from}, {DNNL_ARG_TO, to, to, true}});
    });
    primitive->Run({in->dptr(), Output(ctx, "output")});
  }
};

// Whether no tensor is empty, and the batch axes of a and b are the same, or those of b or of a are all 1.
bool IsSimple(const user_op::KernelRegContext& ctx) {
  const auto& a = ctx.TensorDesc4ArgNameAndIndex("a", 0)->shape();
  const auto& b = ctx.TensorDesc4ArgNameAndIndex("b", 0)->shape();
  if (a.elem_cnt() == 0 || b.elem_cnt() == 0 || a.NumAxes() < 2 || b.NumAxes() < 2) { return false; }
  const auto batch = [](const Shape& shape) { return shape.elem_cnt() / (shape.At(shape.NumAxes() - 1) * shape.At(shape.NumAxes() - 2)); };
  if (batch(a) == 1 || batch(b) == 1) { return true; }
  if (a.NumAxes() != b.NumAxes()) { return false; }
  for (int64_t axis = 0; axis < a.NumAxes() - 2; ++axis) {
    if (a.At(axis) != b.At(axis)) { return false; }
  }
  return true;
}

bool HasFewAxes(const user_op::KernelRegContext& ctx) {
  return ctx.TensorDesc4ArgNameAndIndex("input", 0)->shape().NumAxes() <= kAxes;
}

}  // namespace

void RegisterMatmul() {
  const auto simple = hob::make_custom("IsSimple", IsSimple);
  for (const char* op : {"matmul", "batch_matmul", "broadcast_matmul"}) {
    Register<Matmul>(op, OnCpu("out") && simple);
  }
  Register<BroadcastMatmulGradB>("broadcast_matmul_grad_b", OnCpu("out") && simple);
  Register<Transpose>("transpose", OnCpu("output") && hob::make_custom("HasFewAxes", HasFewAxes));
}

}  // namespace native
