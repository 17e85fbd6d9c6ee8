#include "parallel/tensor/tensor_parallel.hpp"

#include <typeinfo>

#include "parallel/pipeline/stage.hpp"
#include "parallel/tensor/column.hpp"
#include "parallel/tensor/row.hpp"

namespace tandem {
namespace {

template <class... Layers>
bool is_one_of(const Module& module) {
  return ((typeid(module) == typeid(Layers)) || ...);
}

bool is_container(const Module& module) {
  return dynamic_cast<const Sequential*>(&module) || dynamic_cast<const Residual*>(&module) || is_one_of<PipelineStages>(module);
}

class Walk {
 public:
  std::vector<TensorAssignment> plan(Module& model) {
    require(is_container(model), "tensor parallel: the model is neither Sequential, Residual nor a stage; put it into a Sequential");
    inside(model);
    make_whole();
    return std::move(plan_);
  }

 private:
  void inside(Module& module) {
    if (const auto* stages = dynamic_cast<const PipelineStages*>(&module)) return inside(*stages);
    const bool residual = dynamic_cast<const Residual*>(&module) != nullptr;
    if (residual) make_whole();  // x is also added to the result
    for (std::size_t i = 0; i < module.children().size(); ++i) visit(module, i);
    if (residual) make_whole();
  }

  // What leaves a stage is whole, and so is what goes past a block that lies on several.
  void inside(const PipelineStages& stages) {
    for (const PipelineStages::Chunk& chunk : stages.chunks()) {
      for (const Step& step : chunk.steps) {
        if (step.kind == Step::Kind::layer)
          visit(*step.parent, step.child);
        else
          make_whole();
      }
      make_whole();
    }
  }

  void visit(Module& parent, std::size_t i) {
    Module& layer = *parent.children()[i];
    if (is_container(layer)) {
      inside(layer);
    } else if (is_one_of<Conv2d, Linear>(layer)) {
      plan_.push_back({&parent, i, split_ ? TensorRole::row : TensorRole::column, split_ ? Layout::whole : Layout::split});
      split_ = !split_;
    } else if (is_one_of<BatchNorm>(layer)) {
      if (split_) plan_.push_back({&parent, i, TensorRole::split_norm, Layout::split});
    } else if (!is_one_of<Relu, LeakyRelu, Sigmoid, Tanh, MaxPool, AveragePool, GlobalAveragePool>(layer)) {
      make_whole();
    }
  }

  // What was split last has parameters: it came into the plan.
  void make_whole() {
    if (split_) plan_.back().result = Layout::whole;
    split_ = false;
  }

  std::vector<TensorAssignment> plan_;
  bool split_ = false;
};

const Initialiser& weight_initialiser(const std::vector<Parameter>& parameters) { return parameters.front().initialise; }

// The layer that takes the old one's place, with its part of the old values.
std::shared_ptr<Module> made_parallel(const Module& old, TensorRole role, Layout result, const Communicator& group) {
  const std::vector<Parameter> parameters = old.parameters();
  const auto make = [&]() -> std::shared_ptr<Module> {
    if (const auto* l = dynamic_cast<const Linear*>(&old)) {
      const Initialiser& init = weight_initialiser(parameters);
      if (role == TensorRole::column) return std::make_shared<ColumnLinear>(l->in(), l->out(), group, result, init, l->epilogue());
      return std::make_shared<RowLinear>(l->in(), l->out(), group, init, l->epilogue());
    }
    if (const auto* c = dynamic_cast<const Conv2d*>(&old)) {
      const Initialiser& init = weight_initialiser(parameters);
      if (role == TensorRole::column) return std::make_shared<ColumnConv2d>(c->in(), c->out(), group, result, c->options(), init);
      return std::make_shared<RowConv2d>(c->in(), c->out(), group, c->options(), init);
    }
    const auto& b = dynamic_cast<const BatchNorm&>(old);
    return std::make_shared<SplitBatchNorm>(b.channels(), group, result, b.epilogue(), b.momentum(), b.epsilon());
  };
  std::shared_ptr<Module> made = make();
  assign_parts(*made, old);
  return made;
}

const Module& layer_of(const TensorAssignment& a) { return *a.parent->children()[a.child]; }

}  // namespace

std::vector<TensorAssignment> plan_tensor_parallel(Module& model) { return Walk().plan(model); }

std::string describe(const std::vector<TensorAssignment>& plan) {
  std::vector<std::string> words;
  for (const TensorAssignment& a : plan) {
    const char* const role = a.role == TensorRole::column ? "column" : a.role == TensorRole::row ? "row" : "split";
    const bool gathers = a.role != TensorRole::row && a.result == Layout::whole;
    words.push_back(fmt::format("{} {}{}", layer_of(a).path(), role, gathers ? "+" : ""));
  }
  return fmt::format("{}", fmt::join(words, ", "));
}

void tensor_parallel(Module& model, const Communicator& group) {
  if (group.size() == 1) return;
  const std::vector<TensorAssignment> plan = plan_tensor_parallel(model);
  std::vector<std::shared_ptr<Module>> made;
  for (const TensorAssignment& a : plan) {
    try {
      made.push_back(made_parallel(layer_of(a), a.role, a.result, group));
    } catch (const Error& error) {
      fail("'{}': {}", layer_of(a).path(), error.what());
    }
  }
  for (std::size_t i = 0; i < plan.size(); ++i) plan[i].parent->replace_child(plan[i].child, std::move(made[i]));
}

}  // namespace tandem
