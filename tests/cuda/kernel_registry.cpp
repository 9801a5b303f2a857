// Asks OneFlow's own registry whether the operators of a job have kernels for their device and data types.
//
// OneFlow looks a kernel up only when it starts the job, on a card; an operator without a kernel for float16 compiles.
// The registry is filled when OneFlow's library is loaded, for every device, so it can be asked without a card.
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "oneflow/core/common/device_type.h"
#include "oneflow/core/framework/user_op_conf.h"
#include "oneflow/core/framework/user_op_registry_manager.h"
#include "oneflow/core/job/job.pb.h"

namespace google {

// What OneFlow's headers call of glog, which its library keeps to itself: a failed check prints its place and aborts.
std::ostream& LogMessage::stream() { return std::cerr; }
LogMessageFatal::LogMessageFatal(const char* file, int line) : LogMessage(file, line) {
  std::cerr << file << ":" << line << ": ";
}
LogMessageFatal::~LogMessageFatal() {
  std::cerr << std::endl;
  std::abort();
}
LogMessage::LogMessage(const char*, int) {}
LogMessage::~LogMessage() {}

}  // namespace google

namespace oneflow {
namespace {

using Ends = std::vector<std::pair<std::string, int32_t>>;
using BlobDescs = google::protobuf::Map<std::string, BlobDescProto>;

// What the conditions of kernels look at: the device, the tensors' descriptions and the attributes of an operator.
class Question final : public user_op::KernelRegContext {
 public:
  Question(const OperatorConf& op, DeviceType device, const BlobDescs& descs) : device_(device), conf_(op) {
    parallel_.set_parallel_id(0);
    parallel_.set_parallel_num(1);
    Read(op.user_conf().input(), descs, &inputs_);
    Read(op.user_conf().output(), descs, &outputs_);
  }

  DeviceType device_type() const override { return device_; }
  const ParallelContext& parallel_ctx() const override { return parallel_; }
  const Ends& inputs() const override { return inputs_; }
  const Ends& outputs() const override { return outputs_; }
  const user_op::UserOpConfWrapper& user_op_conf() const override { return conf_; }

  const user_op::TensorDesc* TensorDesc4ArgNameAndIndex(const std::string& name, int32_t index) const override {
    const auto found = descs_.find({name, index});
    return found == descs_.end() ? nullptr : &found->second;
  }

 protected:
  const std::shared_ptr<const user_op::AttrVal>& Attr4Name(const std::string& name) const override {
    return conf_.Attr4Name(name);
  }

 private:
  template<typename Arguments>
  void Read(const Arguments& arguments, const BlobDescs& descs, Ends* ends) {
    for (const auto& argument : arguments) {
      for (int32_t i = 0; i < argument.second.s_size(); ++i) {
        ends->emplace_back(argument.first, i);
        const auto desc = descs.find(argument.second.s(i));
        if (desc != descs.end()) { descs_.emplace(ends->back(), user_op::NaiveTensorDesc(desc->second)); }
      }
    }
  }

  const DeviceType device_;
  const user_op::UserOpConfWrapper conf_;
  ParallelContext parallel_;
  Ends inputs_, outputs_;
  std::map<std::pair<std::string, int32_t>, user_op::NaiveTensorDesc> descs_;
};

bool HasKernel(const OperatorConf& op, const BlobDescs& descs) {
  const DeviceType device = op.device_tag() == "cuda" ? DeviceType::kCUDA : DeviceType::kCPU;
  const Question question(op, device, descs);
  const auto found = user_op::UserOpRegistryMgr::Get().IsOpKernelRegistered(op.user_conf().op_type_name(), question);
  return found.IsOk() && found.GetOrThrow();
}

}  // namespace
}  // namespace oneflow

// job: a serialized Job of `size` bytes; the device_tag of each operator and the descriptions of all tensors are filled
// in. Returns the names of its operators without a kernel, a line each, valid until the next call; null if the job
// cannot be read. Only what OneFlow calls user operators has kernels in this registry.
extern "C" const char* operators_without_kernel(const char* job, int size) {
  static std::string names;
  names.clear();
  oneflow::Job parsed;
  if (!parsed.ParseFromArray(job, size)) { return nullptr; }
  for (const oneflow::OperatorConf& op : parsed.net().op()) {
    if (op.has_user_conf() && !oneflow::HasKernel(op, parsed.helper().lbn2logical_blob_desc())) {
      names += op.name() + "\n";
    }
  }
  return names.c_str();
}
