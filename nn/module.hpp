// Module: a function with parameters, built from smaller ones.
//
//   Sequential net;                               parameters() lists   "0.weight" "0.bias" "2.weight" "2.bias"
//   net.add<Linear>(784, 128);                    in the order in which they were added
//   net.add<Relu>();
//   net.add<Linear>(128, 10);
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/autograd.hpp"
#include "core/random.hpp"

namespace tandem {

// What a layer may know beside its input. Random numbers are keyed by these, so that every rank, thread and micro-batch that
// meets sample 17 in step 200 drops the same values.
struct Context {
  bool training = false;
  std::uint64_t seed = 0;
  std::int64_t step = 0;
  std::span<const std::int64_t> samples = {};  // identity of each entry of the batch; needed by Dropout in training
};

// Fills a new parameter; see init.hpp. The Random is keyed by the parameter's name.
using Initialiser = std::function<void(Tensor& values, Random random)>;

// Where a part of a larger tensor begins: this rank holds entries [begin, begin + its own extent) of an axis that has `whole`
// entries. Tensor parallelism keeps parameters so (parallel/tensor).
struct Slice {
  int axis = 0;
  Index begin = 0, whole = 0;
};
Tensor take(const Tensor& whole, const Slice& slice, Index extent);  // a copy of that part
Shape whole_shape(Shape part, const Slice& slice);

// A run of a tensor's values in row-major order, kept flat: values [begin, begin + its own size) of a tensor of shape `of`. Sharded
// optimisers work on such pieces (parallel/data). Of a tensor that is a slice itself, `of` is the slice's shape.
struct Stretch {
  Index begin = 0;
  Shape of = {};
};

struct Parameter {
  std::string name;
  Variable variable;
  Initialiser initialise;            // of the whole
  std::optional<Slice> slice = {};   // none: `variable` is the whole
  std::optional<Stretch> stretch = {};
};
// State that is not learnt by gradient, such as the running mean of batch normalisation.
struct Buffer {
  std::string name;
  Tensor values;
  std::optional<Slice> slice = {};
  std::optional<Stretch> stretch = {};
};
Shape whole_shape(const Buffer& part);
void take(Buffer& part, const Tensor& whole);  // fills the part with its values of the whole

struct NamedModule;

class Module {
 public:
  Module() = default;
  Module(const Module&) = delete;             // a copy would silently share parameters
  Module& operator=(const Module&) = delete;
  virtual ~Module() = default;

  virtual Variable forward(const Variable& x, const Context& context) = 0;

  // forward() with what has been put around it, by a parallel scheme that must act before and after a layer runs. Whoever runs a child
  // calls this.
  using Around = std::function<Variable(const Variable& x, const Context& context)>;
  Variable run(const Variable& x, const Context& context) { return around_ ? around_(x, context) : forward(x, context); }
  void put_around(Around around) { around_ = std::move(around); }  // an empty one: nothing

  // Of this module and all below it, depth first, names joined by dots.
  std::vector<Parameter> parameters() const;
  std::vector<Buffer> buffers() const;
  std::vector<Module*> modules();             // itself first
  const std::string& path() const { return path_; }

  // The modules right below. One may be exchanged for another, which gets its name: so a parallel scheme takes over a finished
  // model layer by layer, and its parameters keep their names.
  const std::vector<std::shared_ptr<Module>>& children() const { return children_; }
  void replace_child(std::size_t i, std::shared_ptr<Module> child);
  std::vector<NamedModule> release_children();  // all of them; none is left here, and each may stand elsewhere

  // Statistics of the batches seen in training, to be summed over micro-batches and ranks like gradients and committed once a
  // step (see BatchNorm). `take` writes this micro-batch's part, `commit` gets the sum of all parts of the step.
  virtual Index statistics_size() const { return 0; }
  virtual void take_statistics(std::span<real> /*part*/) {}
  virtual void commit_statistics(std::span<const real> /*sum*/) {}

 protected:
  // Names are unique within their module, not empty and without dots; a child stands in one place only. Else Error.
  Variable add_parameter(std::string name, Shape shape, Initialiser initialise, std::optional<Slice> slice = {});
  Tensor add_buffer(std::string name, Tensor values, std::optional<Slice> slice = {});
  void add_child(std::string name, std::shared_ptr<Module> child);

 private:
  void adopt(Module& child, std::string name);
  void leave();
  void set_path(std::string path);

  std::string name_, path_;
  std::vector<Parameter> parameters_;
  std::vector<Buffer> buffers_;
  std::vector<std::shared_ptr<Module>> children_;
  Around around_;
};

struct NamedModule {
  std::string name;
  std::shared_ptr<Module> module;
};

// Draws every parameter from Random(seed, hash of its name): the same start on every rank, whatever the order of creation. Of a
// parameter that is a slice the whole is drawn, and the slice kept.
void initialise(Module& model, std::uint64_t seed);

// Number of learnt values.
Index parameter_count(const Module& model);

// 64-bit fingerprint of all parameters and buffers, combined in name order: equal only if every bit is. `hex` is how it prints.
std::uint64_t weights_hash(const Module& model);
std::string hex(std::uint64_t hash);  // 16 hexadecimal digits

}  // namespace tandem
