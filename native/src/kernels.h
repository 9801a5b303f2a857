// What the files of kernels share: OneFlow's kernel interface, and how a kernel is registered.
//
// A kernel under one of OneFlow's own names computes on channels first, as OneFlow does, in place of OneFlow's. Under
// "channels_last_" and that name it computes on tensors that a job calls (B, C, H, W) and that lie in memory as
// (B, H, W, C); engine/native_layout.py puts it into jobs.
#pragma once
#include <algorithm>
#include <string>

#include "loops.h"
#include "oneflow/core/framework/framework.h"

namespace native {

using namespace oneflow;
using Context = user_op::KernelComputeContext;

constexpr char kChannelsLast[] = "channels_last_";

inline const float* Input(Context* ctx, const char* name) {
  return ctx->has_input(name, 0) ? ctx->Tensor4ArgNameAndIndex(name, 0)->dptr<float>() : nullptr;
}

inline float* Output(Context* ctx, const char* name) {
  auto* tensor = ctx->Tensor4ArgNameAndIndex(name, 0);
  return tensor ? tensor->mut_dptr<float>() : nullptr;
}

// Zeros for an output that sums over no elements; nothing if the operator has no such output.
inline void StoreZeros(Context* ctx, const char* name) {
  auto* tensor = ctx->Tensor4ArgNameAndIndex(name, 0);
  if (tensor) { std::fill_n(tensor->mut_dptr<float>(), tensor->shape_view().elem_cnt(), 0.0f); }
}

inline bool IsChannelsLast(Context* ctx) { return ctx->op_type_name().rfind(kChannelsLast, 0) == 0; }

// (B, C, ...), with channels where the operator's layout has them.
inline View ViewOf(const ShapeView& shape, bool channels_last) {
  const int64_t axes = shape.NumAxes(), channels = axes > 1 ? shape.At(1) : 1;
  const int64_t inner = axes > 2 ? shape.Count(2) : 1;
  return channels_last ? View{shape.At(0) * inner, channels, 1} : View{shape.At(0), channels, inner};
}

// Base of kernels. A compiled step does not call them if all outputs are without elements, the eager mode does.
class Kernel : public user_op::OpKernel {
 public:
  bool AlwaysComputeWhenAllOutputsEmpty() const override { return false; }

 protected:
  using user_op::OpKernel::Compute;
};

inline auto OnCpu(const char* tensor) {
  return user_op::HobDeviceType() == DeviceType::kCPU && user_op::HobDataType(tensor, 0) == DataType::kFloat;
}

// No proposals to compute in place: OneFlow's compiler hears them for cards alone (TaskGraph::ForEachGpuDeviceNodes).
template <typename K, typename Condition>
void Register(const std::string& op, const Condition& condition) {
  auto registry = user_op::UserOpRegistryMgr::Get().CheckAndGetOpKernelRegistry(op);
  registry.SetCreateFn<K>().SetIsMatchedHob(condition).SetPriority(user_op::kKernelPriorityOptimized);
  CHECK_JUST(user_op::UserOpRegistryMgr::Get().Register(CHECK_JUST(registry.Finish()).GetResult()));
}

// A new operator "channels_last_OP" as OneFlow's OP is: its shapes, types and layouts over ranks. May be changed first.
inline user_op::OpRegistryResult ChannelsLastOp(const std::string& op) {
  user_op::OpRegistryResult result = *user_op::UserOpRegistryMgr::Get().GetOpRegistryResult(op);
  result.op_type_name = kChannelsLast + op;
  result.op_def.set_name(result.op_type_name);
  return result;
}

inline void RegisterOp(const user_op::OpRegistryResult& op) {
  CHECK_JUST(user_op::UserOpRegistryMgr::Get().Register(op));
}

void RegisterConvolution();
void RegisterNormalization();
void RegisterActivation();
void RegisterLayout();
void RegisterRows();
void RegisterMatmul();
void RegisterBroadcast();
void RegisterPooling();
void RegisterConcatenation();
void RegisterFlat();

}  // namespace native
