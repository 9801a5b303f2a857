// conv2d, conv_data_grad and conv_filter_grad by oneDNN: any kernel, stride, dilation, groups, padding and bias.
#include <cstring>

#include "kernels.h"
#include "primitives.h"

namespace native {
namespace {

struct Sizes {
  int64_t batch, channels, height, width, outputs, kernel_height, kernel_width, out_height, out_width;
  int64_t strides[2], padding[2], dilation[2], groups;
  bool has_bias, channels_last;

  Key Identity(Operation direction) const {
    return {direction,     batch,     channels,  height,     width,      outputs,     kernel_height,
            kernel_width,  out_height, out_width, strides[0], strides[1], padding[0],  padding[1],
            dilation[0],   dilation[1], groups,   has_bias,   channels_last};
  }
};

Sizes SizesOf(Context* ctx, const ShapeView& in, const ShapeView& weight, const ShapeView& out, bool has_bias) {
  const auto& strides = ctx->Attr<std::vector<int32_t>>("strides");
  const auto& padding = ctx->Attr<std::vector<int32_t>>("padding_before");
  const auto& dilation = ctx->Attr<std::vector<int32_t>>("dilation_rate");
  return {in.At(0),      in.At(1),      in.At(2),  in.At(3),  out.At(1),
          weight.At(2),  weight.At(3),  out.At(2), out.At(3), {strides.at(0), strides.at(1)},
          {padding.at(0), padding.at(1)}, {dilation.at(0), dilation.at(1)}, ctx->Attr<int32_t>("groups"),
          has_bias, IsChannelsLast(ctx)};
}

// Implementations for the caller's layout that are many times slower than those with a layout of oneDNN's own.
bool IsSlow(const char* implementation) {
  return std::strstr(implementation, "ref") == implementation || std::strstr(implementation, "gemm") != nullptr;
}

// Descriptions of a convolution in one layout of images and gradients, or in oneDNN's own (any).
struct Convolution {
  const Sizes& s;
  Dims in{s.batch, s.channels, s.height, s.width}, out{s.batch, s.outputs, s.out_height, s.out_width};
  Dims weight = s.groups == 1
      ? Dims{s.outputs, s.channels, s.kernel_height, s.kernel_width}
      : Dims{s.groups, s.outputs / s.groups, s.channels / s.groups, s.kernel_height, s.kernel_width};
  Dims strides{s.strides[0], s.strides[1]}, dilation{s.dilation[0] - 1, s.dilation[1] - 1};
  Dims before{s.padding[0], s.padding[1]};
  Dims after{After(0, s.out_height, s.height, s.kernel_height), After(1, s.out_width, s.width, s.kernel_width)};
  dnnl::primitive_attr attributes = Attributes();
  const dnnl::algorithm direct = dnnl::algorithm::convolution_direct;

  int64_t After(int axis, int64_t out_size, int64_t in_size, int64_t kernel) const {
    return (out_size - 1) * s.strides[axis] + (kernel - 1) * s.dilation[axis] + 1 - in_size - s.padding[axis];
  }
  Tag layout() const { return s.channels_last ? Tag::nhwc : Tag::nchw; }
  memory::desc bias() const { return s.has_bias ? Plain({s.outputs}, Tag::a) : memory::desc(); }
  memory::desc plain_weight() const { return Plain(weight, s.groups == 1 ? Tag::oihw : Tag::goihw); }
  memory::desc images(Tag tag) const { return Plain(in, tag); }
  memory::desc results(Tag tag) const { return Plain(out, tag); }
  memory::desc any_weight() const { return Plain(weight, Tag::any); }

  dnnl::convolution_forward::primitive_desc Forward(Tag tag) const {
    return {Engine(), dnnl::prop_kind::forward_training, direct, images(tag), any_weight(), bias(), results(tag),
            strides, dilation, before, after, attributes};
  }
  dnnl::convolution_backward_data::primitive_desc Data(Tag tag) const {
    return {Engine(), direct, images(tag), any_weight(), results(tag), strides, dilation, before, after,
            Forward(tag), attributes};
  }
  dnnl::convolution_backward_weights::primitive_desc Filter(Tag tag) const {
    return {Engine(), direct, images(tag), any_weight(), results(tag), strides, dilation, before, after,
            Forward(tag), attributes};
  }
};

// `describe(tag)` in the caller's layout if oneDNN is quick in it, else in its own.
template <typename F>
auto Described(const Convolution& convolution, F describe) {
  auto own = describe(convolution.layout());
  if (!IsSlow(own.impl_info_str())) { return own; }
  auto any = describe(Tag::any);
  return IsSlow(any.impl_info_str()) ? own : any;
}

std::shared_ptr<const Primitive> Made(Operation direction, const Sizes& sizes) {
  return CachedPrimitive(sizes.Identity(direction), [&]() -> Primitive {
    const Convolution c{sizes};
    const auto images = c.images(c.layout()), results = c.results(c.layout()), weight = c.plain_weight();
    if (direction == kForward) {
      const auto d = Described(c, [&](Tag tag) { return c.Forward(tag); });
      std::vector<Primitive::End> ends{{DNNL_ARG_SRC, images, d.src_desc()},
                                       {DNNL_ARG_WEIGHTS, weight, d.weights_desc()},
                                       {DNNL_ARG_DST, results, d.dst_desc(), true}};
      if (sizes.has_bias) { ends.push_back({DNNL_ARG_BIAS, d.bias_desc(), d.bias_desc()}); }
      return Primitive(dnnl::convolution_forward(d), d.scratchpad_desc(), ends);
    }
    if (direction == kData) {
      const auto d = Described(c, [&](Tag tag) { return c.Data(tag); });
      return Primitive(dnnl::convolution_backward_data(d), d.scratchpad_desc(),
                       {{DNNL_ARG_DIFF_DST, results, d.diff_dst_desc()},
                        {DNNL_ARG_WEIGHTS, weight, d.weights_desc()},
                        {DNNL_ARG_DIFF_SRC, images, d.diff_src_desc(), true}});
    }
    const auto d = Described(c, [&](Tag tag) { return c.Filter(tag); });
    return Primitive(dnnl::convolution_backward_weights(d), d.scratchpad_desc(),
                     {{DNNL_ARG_DIFF_DST, results, d.diff_dst_desc()},
                      {DNNL_ARG_SRC, images, d.src_desc()},
                      {DNNL_ARG_DIFF_WEIGHTS, weight, d.diff_weights_desc(), true}});
  });
}

class Conv2d final : public Kernel {
  void Compute(Context* ctx) const override {
    const auto *in = ctx->Tensor4ArgNameAndIndex("in", 0), *weight = ctx->Tensor4ArgNameAndIndex("weight", 0);
    auto* out = ctx->Tensor4ArgNameAndIndex("out", 0);
    if (out->shape_view().elem_cnt() == 0) { return; }
    const float* bias = Input(ctx, "bias");
    const Sizes sizes = SizesOf(ctx, in->shape_view(), weight->shape_view(), out->shape_view(), bias != nullptr);
    const auto primitive = Made(kForward, sizes);
    bias ? primitive->Run({in->dptr(), weight->dptr(), out->mut_dptr(), bias})
         : primitive->Run({in->dptr(), weight->dptr(), out->mut_dptr()});
  }
};

class ConvDataGrad final : public Kernel {
  void Compute(Context* ctx) const override {
    const auto *dy = ctx->Tensor4ArgNameAndIndex("dy", 0), *filter = ctx->Tensor4ArgNameAndIndex("filter", 0);
    auto* dx = ctx->Tensor4ArgNameAndIndex("dx", 0);
    if (dx->shape_view().elem_cnt() == 0) { return; }
    const Sizes sizes = SizesOf(ctx, dx->shape_view(), filter->shape_view(), dy->shape_view(), false);
    Made(kData, sizes)->Run({dy->dptr(), filter->dptr(), dx->mut_dptr()});
  }
};

class ConvFilterGrad final : public Kernel {
  void Compute(Context* ctx) const override {
    const auto *dy = ctx->Tensor4ArgNameAndIndex("dy", 0), *x = ctx->Tensor4ArgNameAndIndex("x", 0);
    auto* diff = ctx->Tensor4ArgNameAndIndex("filter_diff", 0);
    const Sizes sizes = SizesOf(ctx, x->shape_view(), diff->shape_view(), dy->shape_view(), false);
    if (dy->shape_view().elem_cnt() == 0) { return StoreZeros(ctx, "filter_diff"); }
    Made(kFilter, sizes)->Run({dy->dptr(), x->dptr(), diff->mut_dptr()});
  }
};

}  // namespace

void RegisterConvolution() {
  const auto channels_first = user_op::HobAttr<std::string>("data_format") == std::string("channels_first");
  const auto plane = user_op::HobAttr<int32_t>("num_spatial_dims") == 2;
  for (const char* op : {"conv2d", "conv_data_grad", "conv_filter_grad"}) { RegisterOp(ChannelsLastOp(op)); }
  // What is to be added to a convolution's output, which OneFlow's compiler never asks for, is left to OneFlow's own.
  const auto adds_nothing = user_op::HobInputSize("_add_to_output") == 0;
  for (const std::string prefix : {"", kChannelsLast}) {
    Register<Conv2d>(prefix + "conv2d", OnCpu("in") && channels_first && adds_nothing);
    Register<ConvDataGrad>(prefix + "conv_data_grad", OnCpu("dy") && channels_first && plane && adds_nothing);
    Register<ConvFilterGrad>(prefix + "conv_filter_grad", OnCpu("dy") && channels_first && plane);
  }
}

}  // namespace native
