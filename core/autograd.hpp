// Reverse-mode automatic differentiation.
//
// Every operation computes its value and records, for each input, a *pullback*: the function that turns the gradient of the
// output into the gradient of that input. The records form a graph from the result back to the leaves (parameters and data):
//
//       x ----+                                    value flows right when the operation runs,
//             linear --- relu --- ... --- loss     gradient flows left when backward() walks the graph
//       W ----+
//
// For y = f(x) with loss L, the pullback maps dL/dy to dL/dx = (df/dx)^T dL/dy; the Jacobian itself is never formed. One
// backward pass costs about two forward passes, however many parameters there are.
//
// Source: Griewank and Walther, "Evaluating Derivatives", 2nd ed., SIAM 2008, chapter 3.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "core/tensor.hpp"

namespace tandem {

struct Node;

// A value in the graph: a handle, cheap to copy.
class Variable {
 public:
  Variable() = default;
  Variable(Tensor value, bool needs_gradient = false);  // a leaf: data, or a parameter when it needs a gradient

  const Tensor& value() const;
  Tensor& value();               // optimisers update a leaf in place
  const Tensor& gradient() const;  // of a leaf, after backward(); not defined() if none arrived
  void set_gradient(Tensor gradient);
  bool needs_gradient() const;
  bool is_leaf() const;
  bool defined() const { return node_ != nullptr; }
  const Shape& shape() const { return value().shape(); }
  std::string_view op() const;   // the name given to record(); "leaf" for a leaf

  friend bool operator==(const Variable& a, const Variable& b) { return a.node_ == b.node_; }

 private:
  Node& node() const;  // throws Error if there is none

  friend Variable record(std::string_view op, Tensor y, std::span<struct Edge> edges, double operations);
  friend class GraphWalk;
  friend struct Node;
  friend struct std::hash<Variable>;
  std::shared_ptr<Node> node_;
};

// dL/dy -> dL/dx. It captures the tensors that it needs, never its own output Variable (a cycle that would not be freed).
using Pullback = std::function<Tensor(const Tensor& dy)>;

struct Edge {
  Variable input;
  Pullback pullback;  // one per input, so that the derivative stands beside what it is the derivative of
};

struct Node {
  std::string_view op = "leaf";
  Tensor value;
  Tensor gradient;          // of a leaf; of an inner node only while backward() passes through
  std::vector<Edge> edges;  // empty for a leaf, and after backward() has used them
  int profile_row = -1;     // where its time is booked, if it was recorded under a Profile
  int uses = 0;             // edges that lead here and wait for a backward() under way; 0 at other times
  bool is_leaf = true, needs_gradient = false;

  ~Node();                  // releases long chains without recursion
};

// Makes the node of an operation's result and moves the edges into it, except that those to inputs that need no gradient are
// dropped together with what they captured. An operation of fixed inputs writes its edges in place:
//
//   return record("multiply", y, {{a, [B](const Tensor& dy) { return dy * B; }}, {b, [A](const Tensor& dy) { return dy * A; }}});
//
// `operations`: the multiplications and additions of a product, for the profiler. The gradient of each factor takes as many; an
// input of one axis is no factor but a bias, and takes none.
Variable record(std::string_view op, Tensor y, std::span<Edge> edges, double operations = 0);
template <std::size_t n>
Variable record(std::string_view op, Tensor y, Edge (&&edges)[n], double operations = 0) {
  return record(op, std::move(y), std::span<Edge>(edges), operations);
}

// While one lives on this thread, record() keeps no edges: evaluation costs no memory.
class NoGradient {
 public:
  NoGradient();
  ~NoGradient();
  NoGradient(const NoGradient&) = delete;
  NoGradient& operator=(const NoGradient&) = delete;

 private:
  bool before_;
};

using LeafReady = std::function<void(const Variable& leaf)>;

// Gradients of leaves that backward() was asked to leave for later. Zero-bubble pipelining sends the activation gradient to the
// previous stage first and fills its idle time with run().
class DeferredGradients {
 public:
  void run(const LeafReady& leaf_ready = {});
  bool empty() const { return work_.empty(); }

 private:
  friend class GraphWalk;
  struct Item { std::string_view op; int profile_row; Edge edge; Tensor dy; bool last; };
  std::vector<Item> work_;
};

struct BackwardOptions {
  LeafReady leaf_ready = {};                 // called once per leaf, as soon as its gradient is complete
  DeferredGradients* deferred = nullptr;     // leaf gradients go here, except those of `not_deferred`
  std::vector<Variable> not_deferred = {};   // e.g. the activation that a pipeline stage received
};

// Adds dL/d(leaf) to the gradient of every leaf that needs one, given dy = dL/dy (1 when omitted; y is then one value).
// Each node is visited once, after everything that uses it; its edges and what they captured are released at once.
// Throws Error on a wrong shape of dy or of a pullback's result, and when the graph was already used up; then this one is too.
void backward(const Variable& y, const BackwardOptions& options = {});
void backward(const Variable& y, Tensor dy, const BackwardOptions& options = {});

}  // namespace tandem

template <>
struct std::hash<tandem::Variable> {
  std::size_t operator()(const tandem::Variable& v) const { return std::hash<tandem::Node*>{}(v.node_.get()); }
};
