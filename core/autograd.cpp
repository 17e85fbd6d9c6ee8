#include "core/autograd.hpp"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "core/kernels/elementwise.hpp"

namespace tandem {
namespace {

thread_local bool recording = true;

// total += part. Adds in place only where nobody else holds the values: a pullback may return its own dy.
void accumulate(Tensor& total, Tensor part) {
  if (!total.defined())
    total = std::move(part);
  else if (total.sole_owner())
    add_to(total, part);
  else
    total = add(total, part);
}

}  // namespace

Variable::Variable(Tensor value, bool needs_gradient) : node_(std::make_shared<Node>()) {
  node_->value = std::move(value);
  node_->needs_gradient = needs_gradient;
}

Node& Variable::node() const {
  require(defined(), "autograd: this variable holds nothing");
  return *node_;
}
const Tensor& Variable::value() const { return node().value; }
Tensor& Variable::value() { return node().value; }
const Tensor& Variable::gradient() const { return node().gradient; }
void Variable::set_gradient(Tensor gradient) { node().gradient = std::move(gradient); }
bool Variable::needs_gradient() const { return node().needs_gradient; }
bool Variable::is_leaf() const { return node().op == "leaf"; }
std::string_view Variable::op() const { return node().op; }

Node::~Node() {
  // A chain of 100,000 nodes freed by recursion would overflow the stack; free it one node at a time.
  std::vector<Edge> doomed = std::move(edges);
  while (!doomed.empty()) {
    const Variable input = std::move(doomed.back().input);
    doomed.pop_back();
    if (input.node_.use_count() == 1) std::ranges::move(std::exchange(input.node_->edges, {}), std::back_inserter(doomed));
  }
}

Variable record(std::string_view op, Tensor y, std::vector<Edge> edges) {
  Variable result(std::move(y));
  result.node_->op = op;
  if (!recording) return result;
  std::erase_if(edges, [](const Edge& edge) { return !edge.input.needs_gradient(); });
  result.node_->needs_gradient = !edges.empty();
  result.node_->edges = std::move(edges);
  return result;
}

NoGradient::NoGradient() : before_(std::exchange(recording, false)) {}
NoGradient::~NoGradient() { recording = before_; }

// One walk from a result to the leaves.
class GraphWalk {
 public:
  GraphWalk(const Variable& y, const BackwardOptions& options) : options_(options) { sort(y); }

  void run(const Variable& y, Tensor dy) {
    accumulate(y.node_->gradient, std::move(dy));
    // `order_` lists inputs before users; walk it from the back, so that a node's gradient is complete when we come to it.
    for (; !order_.empty(); order_.pop_back()) visit(*order_.back().node_);
    if (y.is_leaf() && options_.leaf_ready) options_.leaf_ready(y);
  }

 private:
  // Depth-first search with an explicit stack; counts how often each node is used.
  void sort(const Variable& y) {
    std::vector<std::pair<Variable, std::size_t>> path{{y, 0}};
    while (!path.empty()) {
      auto& [user, next] = path.back();
      const std::vector<Edge>& edges = user.node_->edges;
      require(!edges.empty() || user.is_leaf(), "backward: the graph behind '{}' was used up by an earlier backward", user.op());
      if (next == edges.size()) {
        if (!user.is_leaf()) order_.push_back(std::move(user));
        path.pop_back();
        continue;
      }
      const Variable& input = edges[next++].input;
      if (uses_[input.node_.get()]++ == 0) path.emplace_back(input, 0);
    }
  }

  void visit(Node& node) {
    const Tensor dy = std::exchange(node.gradient, {});
    const std::vector<Edge> edges = std::exchange(node.edges, {});
    for (const Edge& edge : edges) {
      Node& input = *edge.input.node_;
      const bool last_use = --uses_[&input] == 0;
      if (options_.deferred && edge.input.is_leaf() && !std::ranges::count(options_.not_deferred, edge.input)) {
        options_.deferred->work_.push_back({node.op, edge.input, edge.pullback, dy, last_use});
        continue;
      }
      pull(node.op, edge.input, edge.pullback, dy);
      if (last_use && edge.input.is_leaf() && options_.leaf_ready) options_.leaf_ready(edge.input);
    }
  }

 public:
  static void pull(std::string_view op, const Variable& input, const Pullback& pullback, const Tensor& dy) {
    Tensor dx = pullback(dy);
    require(dx.shape() == input.shape(), "backward: {} gave a gradient {} for an input {}", op, dx.shape(), input.shape());
    accumulate(input.node_->gradient, std::move(dx));
  }

 private:
  const BackwardOptions& options_;
  std::vector<Variable> order_;          // inner nodes, inputs before users
  std::unordered_map<Node*, int> uses_;  // edges not walked yet that lead to a node
};

void DeferredGradients::run(const LeafReady& leaf_ready) {
  for (const Item& item : std::exchange(work_, {})) {
    GraphWalk::pull(item.op, item.leaf, item.pullback, item.dy);
    if (item.last && leaf_ready) leaf_ready(item.leaf);
  }
}

void backward(const Variable& y, const BackwardOptions& options) {
  require(y.value().size() == 1, "backward: the result is {}, not one value; give its gradient dy", y.shape());
  backward(y, Tensor::full(y.shape(), 1), options);
}

void backward(const Variable& y, Tensor dy, const BackwardOptions& options) {
  require(dy.shape() == y.shape(), "backward: dy is {} but y is {}", dy.shape(), y.shape());
  require(y.needs_gradient(), "backward: nothing behind this value ('{}') needs a gradient", y.op());
  GraphWalk walk(y, options);
  walk.run(y, std::move(dy));
}

}  // namespace tandem
