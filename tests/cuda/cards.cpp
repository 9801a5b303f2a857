// Answers OneFlow that this machine has cards, so that a step can be compiled for CUDA on a machine without one.
//
// nn.Graph picks the layout and the data type of every tensor while it compiles, before anything runs on a card. But it
// refuses a placement on cards that are not there. Loaded first (LD_PRELOAD), this library answers the two questions
// about devices in the place of OneFlow's own functions: how many cards there are, and for one of them. The card it
// gives is the CPU, so tensors "on a card" can be created and no kernel can run on them.
//
// ONEFLOW_LIBRARY is the path of OneFlow's library, defined by the compiler's command line. The names below are those
// of OneFlow 0.9.0 (oneflow/core/ep/include/device_manager_registry.h).
#include <dlfcn.h>

#include <cstddef>
#include <memory>

namespace oneflow {

enum DeviceType : int { kCPU = 1, kCUDA = 2 };

namespace ep {

class Device;

class DeviceManagerRegistry {
 public:
  size_t GetDeviceCount(DeviceType type);
  std::shared_ptr<Device> GetDevice(DeviceType type, size_t index);
};

namespace {

constexpr size_t kCards = 8;

// OneFlow's own function: Python loads its library apart from all others, so RTLD_NEXT does not see it.
void* Original(const char* name) {
  static void* library = dlopen(ONEFLOW_LIBRARY, RTLD_NOLOAD | RTLD_LAZY);
  return dlsym(library, name);
}

}  // namespace

size_t DeviceManagerRegistry::GetDeviceCount(DeviceType type) {
  using Function = size_t (*)(DeviceManagerRegistry*, DeviceType);
  static auto original =
      reinterpret_cast<Function>(Original("_ZN7oneflow2ep21DeviceManagerRegistry14GetDeviceCountENS_10DeviceTypeE"));
  return type == kCUDA ? kCards : original(this, type);
}

std::shared_ptr<Device> DeviceManagerRegistry::GetDevice(DeviceType type, size_t index) {
  using Function = std::shared_ptr<Device> (*)(DeviceManagerRegistry*, DeviceType, size_t);
  static auto original =
      reinterpret_cast<Function>(Original("_ZN7oneflow2ep21DeviceManagerRegistry9GetDeviceENS_10DeviceTypeEm"));
  return type == kCUDA ? original(this, kCPU, 0) : original(this, type, index);
}

}  // namespace ep
}  // namespace oneflow
