#include "nn/module.hpp"

#include <algorithm>
#include <utility>

#include "core/ops.hpp"

namespace tandem {
namespace {

std::string join(const std::string& path, const std::string& name) { return path.empty() ? name : path + "." + name; }

// A dot would make "a.b" ambiguous: parameter b of child a, or one named so.
void check_name(std::string_view what, std::string_view name) {
  require(!name.empty() && name.find('.') == name.npos, "module: a {} cannot be named '{}'", what, name);
}

}  // namespace

std::vector<Parameter> Module::parameters() const {
  std::vector<Parameter> all;
  const auto collect = [&](auto&& self, const Module& module, const std::string& path) -> void {
    for (Parameter p : module.parameters_) {
      p.name = join(path, p.name);
      all.push_back(std::move(p));
    }
    for (const auto& child : module.children_) self(self, *child, join(path, child->name_));
  };
  collect(collect, *this, "");
  return all;
}

std::vector<Buffer> Module::buffers() const {
  std::vector<Buffer> all;
  const auto collect = [&](auto&& self, const Module& module, const std::string& path) -> void {
    for (const Buffer& b : module.buffers_) all.push_back({join(path, b.name), b.values, b.slice, b.stretch});
    for (const auto& child : module.children_) self(self, *child, join(path, child->name_));
  };
  collect(collect, *this, "");
  return all;
}

std::vector<Module*> Module::modules() {
  std::vector<Module*> all{this};
  for (const auto& child : children_) std::ranges::copy(child->modules(), std::back_inserter(all));
  return all;
}

Variable Module::add_parameter(std::string name, Shape shape, Initialiser initialise, std::optional<Slice> slice) {
  check_name("parameter", name);
  for (const Parameter& other : parameters_) require(other.name != name, "module: two parameters are named '{}'", name);
  Variable variable(Tensor::zeros(shape), true);
  parameters_.push_back({std::move(name), variable, std::move(initialise), slice});
  return variable;
}

Tensor Module::add_buffer(std::string name, Tensor values, std::optional<Slice> slice) {
  check_name("buffer", name);
  for (const Buffer& other : buffers_) require(other.name != name, "module: two buffers are named '{}'", name);
  buffers_.push_back({std::move(name), values, slice});
  return values;
}

void Module::add_child(std::string name, std::shared_ptr<Module> child) {
  check_name("child", name);
  for (const auto& other : children_) require(other->name_ != name, "module: two children are named '{}'", name);
  require(child != nullptr, "module: child '{}' is null", name);
  adopt(*child, std::move(name));
  children_.push_back(std::move(child));
}

void Module::replace_child(std::size_t i, std::shared_ptr<Module> child) {
  require(i < children_.size(), "module '{}': no child {} among {}", path_, i, children_.size());
  Module& old = *children_[i];
  if (child.get() == &old) return;
  require(child != nullptr, "module: child '{}' is null", old.name_);
  adopt(*child, old.name_);
  old.leave();
  children_[i] = std::move(child);
}

std::vector<NamedModule> Module::release_children() {
  std::vector<NamedModule> released;
  for (auto& child : std::exchange(children_, {})) {
    released.push_back({child->name_, child});
    child->leave();
  }
  return released;
}

void Module::leave() {
  name_.clear();
  set_path("");
}

void Module::adopt(Module& child, std::string name) {
  require(child.name_.empty(), "module: child '{}' already stands elsewhere as '{}'; its parameters would be listed twice", name,
          child.path_);
  child.name_ = std::move(name);
  child.set_path(join(path_, child.name_));
}

void Module::set_path(std::string path) {
  path_ = std::move(path);
  for (const auto& child : children_) child->set_path(join(path_, child->name_));
}

Tensor take(const Tensor& whole, const Slice& slice, Index extent) {
  const NoGradient no_gradient;
  return tandem::slice(Variable(whole), slice.axis, slice.begin, slice.begin + extent).value();
}

Shape whole_shape(Shape part, const Slice& slice) {
  part[slice.axis] = slice.whole;
  return part;
}

Shape whole_shape(const Buffer& part) {
  const Shape shape = part.stretch ? part.stretch->of : part.values.shape();
  return part.slice ? whole_shape(shape, *part.slice) : shape;
}

void take(Buffer& part, const Tensor& whole) {
  const Shape shape = part.stretch ? part.stretch->of : part.values.shape();
  Tensor mine = part.slice ? take(whole, *part.slice, shape[part.slice->axis]) : whole;
  if (part.stretch) mine = mine.reshape({mine.size()}).rows(part.stretch->begin, part.stretch->begin + part.values.size());
  part.values.copy_from(mine.reshape(part.values.shape()));
}

void initialise(Module& model, std::uint64_t seed) {
  for (Parameter& p : model.parameters()) {
    const Random random(seed, mix(hash("initialise"), hash(p.name)));
    Tensor& values = p.variable.value();
    if (!p.slice) {
      p.initialise(values, random);
    } else {
      Tensor whole(whole_shape(values.shape(), *p.slice));
      p.initialise(whole, random);
      values.copy_from(take(whole, *p.slice, values.dim(p.slice->axis)));
    }
  }
}

Index parameter_count(const Module& model) {
  Index count = 0;
  for (const Parameter& p : model.parameters()) count += p.variable.value().size();
  return count;
}

std::uint64_t weights_hash(const Module& model) {
  std::vector<std::pair<std::string, Tensor>> all;
  for (const Parameter& p : model.parameters()) all.emplace_back(p.name, p.variable.value());
  for (const Buffer& b : model.buffers()) all.emplace_back(b.name, b.values);
  std::ranges::sort(all, {}, &std::pair<std::string, Tensor>::first);
  std::uint64_t h = hash_start;
  for (const auto& [name, values] : all) {
    h = hash(name, h);
    h = hash({reinterpret_cast<const char*>(values.data()), static_cast<std::size_t>(values.size()) * sizeof(real)}, h);
  }
  return h;
}

std::string hex(std::uint64_t hash) { return fmt::format("{:016x}", hash); }

}  // namespace tandem
