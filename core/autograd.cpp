#include "core/autograd.hpp"

#include <algorithm>
#include <exception>
#include <utility>

#include "core/kernels/elementwise.hpp"
#include "core/profile.hpp"

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

// What an operation must at least read and write, for the profiler: nothing where the result is the input's own memory.
double bytes_moved(const Tensor& from, const Tensor& to) {
  return from.data() == to.data() ? 0 : static_cast<double>(from.values().size_bytes() + to.values().size_bytes());
}
double bytes_moved(std::span<const Edge> from, const Tensor& to) {
  auto sum = static_cast<double>(to.values().size_bytes());
  for (const Edge& edge : from) {
    const Tensor& x = edge.input.value();
    if (x.data() == to.data()) return 0;
    sum += static_cast<double>(x.values().size_bytes());
  }
  return sum;
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
bool Variable::is_leaf() const { return node().is_leaf; }
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

Variable record(std::string_view op, Tensor y, std::span<Edge> edges, double operations) {
  Variable result(std::move(y));
  Node& node = *result.node_;
  node.op = op;
  node.is_leaf = false;
  if (Profile* const profile = Profile::current())
    node.profile_row = profile->operation(op, operations, bytes_moved(edges, node.value));
  if (!recording) return result;
  node.edges.reserve(edges.size());
  for (Edge& edge : edges)
    if (edge.input.needs_gradient()) node.edges.push_back(std::move(edge));
  node.needs_gradient = !node.edges.empty();
  return result;
}

NoGradient::NoGradient() : before_(std::exchange(recording, false)) {}
NoGradient::~NoGradient() { recording = before_; }

// One walk from a result to the leaves. A node is visited when all that use it have been: its gradient is then complete.
//
//   count    uses of each node                x 2 <---- f 1 <---- y       each number: arrows that end here
//   walk     a visit takes its arrows away;     ^-------- g 1 <---'
//            a node without any is next
//
// Kahn, "Topological Sorting of Large Networks", CACM 5 (1962). The walk holds only nodes that are ready, so what it has
// passed is freed at once.
class GraphWalk {
 public:
  explicit GraphWalk(const BackwardOptions& options) : options_(options) {}

  void run(const Variable& y, Tensor dy) {
    count(*y.node_);
    accumulate(y.node_->gradient, std::move(dy));
    if (!y.is_leaf()) ready_.push_back(y);
    while (!ready_.empty()) {
      const Variable next = std::move(ready_.back());
      ready_.pop_back();
      visit(*next.node_);
    }
    if (failure_) std::rethrow_exception(failure_);
    if (y.is_leaf() && options_.leaf_ready) options_.leaf_ready(y);
  }

  static void pull(std::string_view op, int profile_row, const Edge& edge, const Tensor& dy) {
    Profile* const profile = Profile::current();
    if (profile) profile->begin_pullback();
    Tensor dx = edge.pullback(dy);
    const Shape& shape = edge.input.shape();
    require(dx.shape() == shape, "backward: {} gave a gradient {} for an input {}", op, dx.shape(), shape);
    const double moved = profile ? bytes_moved(dy, dx) : 0;
    accumulate(edge.input.node_->gradient, std::move(dx));
    if (profile) profile->end_pullback(profile_row, op, shape.rank() > 1, moved);
  }

 private:
  void count(const Node& y) {
    std::vector<const Node*> met{&y};
    while (!met.empty()) {
      const Node& user = *met.back();
      met.pop_back();
      if (!user.is_leaf && user.edges.empty())
        attempt([&] { fail("backward: the graph behind '{}' was used up by an earlier backward", user.op); });
      for (const Edge& edge : user.edges)
        if (Node& input = *edge.input.node_; input.uses++ == 0 && !input.is_leaf) met.push_back(&input);
    }
  }

  void visit(Node& node) {
    const Tensor dy = std::exchange(node.gradient, {});
    std::vector<Edge> edges = std::exchange(node.edges, {});
    for (Edge& edge : edges) {
      const bool last_use = --edge.input.node_->uses == 0, to_leaf = edge.input.is_leaf();
      attempt([&] { follow(edge, node, dy, last_use); });
      if (last_use && !to_leaf) ready_.push_back(std::move(edge.input));
    }
  }

  void follow(Edge& edge, const Node& user, const Tensor& dy, bool last_use) {
    const bool to_leaf = edge.input.is_leaf();
    if (to_leaf && options_.deferred && !std::ranges::count(options_.not_deferred, edge.input)) {
      options_.deferred->work_.push_back({user.op, user.profile_row, std::move(edge), dy, last_use});
      return;
    }
    pull(user.op, user.profile_row, edge, dy);
    if (to_leaf && last_use && options_.leaf_ready) options_.leaf_ready(edge.input);
  }

  // After the first error nothing more is computed, but the walk goes on to its end, so that all counts come back to 0.
  template <class F>
  void attempt(const F& f) {
    if (failure_) return;
    try {
      f();
    } catch (...) {
      failure_ = std::current_exception();
    }
  }

  const BackwardOptions& options_;
  std::vector<Variable> ready_;
  std::exception_ptr failure_;
};

void DeferredGradients::run(const LeafReady& leaf_ready) {
  for (const Item& item : std::exchange(work_, {})) {
    GraphWalk::pull(item.op, item.profile_row, item.edge, item.dy);
    if (item.last && leaf_ready) leaf_ready(item.edge.input);
  }
}

void backward(const Variable& y, const BackwardOptions& options) {
  require(y.value().size() == 1, "backward: the result is {}, not one value; give its gradient dy", y.shape());
  backward(y, Tensor::full(y.shape(), 1), options);
}

void backward(const Variable& y, Tensor dy, const BackwardOptions& options) {
  require(dy.shape() == y.shape(), "backward: dy is {} but y is {}", dy.shape(), y.shape());
  require(y.needs_gradient(), "backward: nothing behind this value ('{}') needs a gradient", y.op());
  GraphWalk(options).run(y, std::move(dy));
}

}  // namespace tandem
