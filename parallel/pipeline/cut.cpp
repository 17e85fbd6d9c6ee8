#include "parallel/pipeline/cut.hpp"

#include <typeinfo>

#include "core/error.hpp"
#include "core/ops.hpp"

namespace tandem {

bool is_block(const Module& m) { return typeid(m) == typeid(Residual) || typeid(m) == typeid(Skip); }

namespace {

bool opens(const Module& m) { return is_block(m) || typeid(m) == typeid(Sequential); }

void add_steps(Module& parent, std::vector<Step>& steps) {
  for (std::size_t i = 0; i < parent.children().size(); ++i) {
    Module& child = *parent.children()[i];
    const bool adds = typeid(child) == typeid(Residual), joins = typeid(child) == typeid(Skip);
    if (adds || joins) steps.push_back({.kind = Step::Kind::save});
    if (adds || joins || typeid(child) == typeid(Sequential))
      add_steps(child, steps);
    else
      steps.push_back({.kind = Step::Kind::layer, .parent = &parent, .child = i});
    if (adds || joins) steps.push_back({.kind = adds ? Step::Kind::add : Step::Kind::concat});
  }
}

Shape without_rows(const Shape& batch) { return Shape(std::span(batch.begin() + 1, batch.end())); }

}  // namespace

std::vector<Step> steps_of(Module& model) {
  std::vector<Step> steps;
  add_steps(model, steps);
  return steps;
}

std::int64_t step_count(const Module& m) {
  if (!opens(m)) return 1;
  std::int64_t count = is_block(m) ? 2 : 0;
  for (const auto& child : m.children()) count += step_count(*child);
  return count;
}

std::vector<Range> steps_of_layers(const Module& model, const std::vector<Range>& layers) {
  std::vector<std::int64_t> begin{0};
  for (const auto& child : model.children()) begin.push_back(begin.back() + step_count(*child));
  std::vector<Range> steps;
  for (const Range& range : layers) {
    require(range.begin >= 0 && range.begin <= range.end && range.end < std::ssize(begin), "pipeline: a stage of layers {} to {}, the model has {}",
            range.begin, range.end, begin.size() - 1);
    steps.push_back({begin[static_cast<std::size_t>(range.begin)], begin[static_cast<std::size_t>(range.end)]});
  }
  return steps;
}

Carried run_steps(std::span<const Step> steps, Carried carried, const Context& context) {
  auto& [x, saved] = carried;
  for (const Step& step : steps) {
    switch (step.kind) {
      case Step::Kind::layer: x = step.layer().run(x, context); break;
      case Step::Kind::save: saved.push_back(x); break;
      case Step::Kind::add:
      case Step::Kind::concat:
        x = step.kind == Step::Kind::add ? saved.back() + x : concat({saved.back(), x}, -1);
        saved.pop_back();
    }
  }
  return carried;
}

CarriedShapes shapes_of(const Carried& carried) {
  CarriedShapes shapes{without_rows(carried.x.shape())};
  for (const Variable& s : carried.saved) shapes.push_back(without_rows(s.shape()));
  return shapes;
}

Index values_of(const CarriedShapes& shapes) {
  Index values = 0;
  for (const Shape& shape : shapes) values += shape.size();
  return values;
}

Variable pack(const Carried& carried) {
  if (carried.saved.empty()) return carried.x;
  std::vector<Variable> parts{flatten(carried.x)};
  for (const Variable& s : carried.saved) parts.push_back(flatten(s));
  return concat(parts, 1);
}

Carried unpack(const Variable& message, const CarriedShapes& shapes) {
  if (shapes.size() == 1) return {.x = message};
  const Index rows = message.shape()[0];
  std::vector<Variable> parts;
  Index begin = 0;
  for (const Shape& shape : shapes) {
    parts.push_back(reshape(slice(message, 1, begin, begin + shape.size()), batch_shape(rows, shape)));
    begin += shape.size();
  }
  return {.x = parts.front(), .saved = {parts.begin() + 1, parts.end()}};
}

Shape message_shape(Index rows, const CarriedShapes& shapes) {
  return shapes.size() == 1 ? batch_shape(rows, shapes[0]) : Shape{rows, values_of(shapes)};
}

}  // namespace tandem
