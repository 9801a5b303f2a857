#include "primitives.h"

#include <atomic>
#include <cstdlib>
#include <list>
#include <map>
#include <mutex>
#include <new>

namespace native {
namespace {

constexpr size_t kPrimitives = 512;
constexpr int kNumbers = 8;  // of scratch memory: six ends, and the primitive's own
std::atomic<int64_t> scratch_bytes{0};

struct Block {
  void* data = nullptr;
  size_t size = 0;

  void* Get(size_t bytes) {
    if (bytes > size) {
      Free();
      size = (bytes + 4095) / 4096 * 4096;
      data = std::aligned_alloc(4096, size);
      if (data == nullptr) {
        size = 0;
        throw std::bad_alloc();
      }
      scratch_bytes += size;
    }
    return data;
  }
  void Free() {
    std::free(data);
    scratch_bytes -= size;
    data = nullptr;
    size = 0;
  }
  ~Block() { Free(); }
};

}  // namespace

dnnl::engine& Engine() {
  static dnnl::engine* engine = [] {
    dnnl::set_primitive_cache_capacity(0);  // of oneDNN's own, beside which there is CachedPrimitive
    return new dnnl::engine(dnnl::engine::kind::cpu, 0);  // never ends: threads may outlive it
  }();
  return *engine;
}

dnnl::stream& Stream() {
  static thread_local dnnl::stream stream(Engine());
  return stream;
}

void* Scratch(int number, size_t bytes) {
  static thread_local Block blocks[kNumbers];
  return blocks[number].Get(bytes);
}

int64_t ScratchBytes() { return scratch_bytes; }

dnnl::primitive_attr Attributes() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

Primitive::Primitive(dnnl::primitive primitive, const memory::desc& scratchpad, std::vector<End> ends)
    : primitive_(std::move(primitive)), scratchpad_(scratchpad), ends_(std::move(ends)) {
  for (const End& end : ends_) {
    const bool same = end.caller == end.own;
    const memory::desc &from = end.is_output ? end.own : end.caller, &to = end.is_output ? end.caller : end.own;
    reorders_.push_back(
        same ? dnnl::reorder() : dnnl::reorder(dnnl::reorder::primitive_desc(Engine(), from, Engine(), to, Attributes())));
  }
}

void Primitive::Run(std::initializer_list<const void*> data) const {
  std::unordered_map<int, memory> arguments;
  std::vector<memory> callers;
  size_t i = 0;
  for (const void* pointer : data) {
    const End& end = ends_[i];
    callers.emplace_back(end.caller, Engine(), const_cast<void*>(pointer));
    if (!reorders_[i]) {
      arguments.emplace(end.argument, callers[i]);
    } else {
      memory own(end.own, Engine(), Scratch(i, end.own.get_size()));
      if (!end.is_output) { reorders_[i].execute(Stream(), callers[i], own); }
      arguments.emplace(end.argument, own);
    }
    ++i;
  }
  arguments.emplace(DNNL_ARG_SCRATCHPAD,
                    memory(scratchpad_, Engine(), Scratch(kNumbers - 1, scratchpad_.get_size())));
  primitive_.execute(Stream(), arguments);
  for (i = 0; i < ends_.size(); ++i) {
    if (ends_[i].is_output && reorders_[i]) {
      reorders_[i].execute(Stream(), arguments.at(ends_[i].argument), callers[i]);
    }
  }
}

std::shared_ptr<const Primitive> CachedPrimitive(const Key& key, const std::function<Primitive()>& make) {
  using Entry = std::pair<Key, std::shared_ptr<const Primitive>>;
  static std::mutex* mutex = new std::mutex;
  static auto* used = new std::list<Entry>;  // the last used first
  static auto* by_key = new std::map<Key, std::list<Entry>::iterator>;
  std::lock_guard<std::mutex> lock(*mutex);
  const auto known = by_key->find(key);
  if (known != by_key->end()) {
    used->splice(used->begin(), *used, known->second);
    return known->second->second;
  }
  used->emplace_front(key, std::make_shared<const Primitive>(make()));
  by_key->emplace(key, used->begin());
  if (used->size() > kPrimitives) {
    by_key->erase(used->back().first);
    used->pop_back();
  }
  return used->front().second;
}

}  // namespace native
