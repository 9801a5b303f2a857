// oneDNN: primitives that are made once for each shape, and the scratch memory they compute in.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <vector>

#include "dnnl.hpp"

namespace native {

using dnnl::memory;
using Dims = memory::dims;
using Tag = memory::format_tag;

dnnl::engine& Engine();
dnnl::stream& Stream();  // of this thread

// Memory of this thread that grows to what a kernel needs; valid until the next `Scratch` with the same number.
void* Scratch(int number, size_t bytes);
int64_t ScratchBytes();  // of all threads together

inline memory::desc Plain(const Dims& dims, Tag tag) { return memory::desc(dims, memory::data_type::f32, tag); }

// A primitive with all that its calls share. The ends of a call lie in the caller's layouts; what the primitive wants
// otherwise is copied into scratch memory, or out of it.
class Primitive {
 public:
  struct End {
    int argument;            // DNNL_ARG_...
    memory::desc caller, own;
    bool is_output = false;
  };

  Primitive(dnnl::primitive primitive, const memory::desc& scratchpad, std::vector<End> ends);

  // data: of each end, in order.
  void Run(std::initializer_list<const void*> data) const;

 private:
  dnnl::primitive primitive_;
  memory::desc scratchpad_;
  std::vector<End> ends_;
  std::vector<dnnl::reorder> reorders_;  // one an end; empty where the layouts agree
};

// The primitive for a key: what it is and its sizes. `make` makes it the first time. Those not used for longest are
// dropped beyond a fixed number.
using Key = std::array<int64_t, 20>;
enum Operation : int64_t { kForward, kData, kFilter, kMatmul, kTranspose };  // first of a key
std::shared_ptr<const Primitive> CachedPrimitive(const Key& key, const std::function<Primitive()>& make);

// Attributes that every primitive is made with.
dnnl::primitive_attr Attributes();

}  // namespace native
