// The operations: a table of contents. Each stands in ops/*.cpp with its derivative beside it.
//
// Notation: x input, y result, dy the gradient dL/dy of a scalar loss L. A batch of images is [n,h,w,c]. All operations throw
// Error with the shapes they got when those do not fit. Adding one: its function in ops/, a line here, a row in the table of
// tests/gradients/gradients_test.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/autograd.hpp"
#include "core/kernels/epilogue.hpp"

namespace tandem {

// --- arithmetic.cpp: elementwise; shapes broadcast as in NumPy: aligned at the last axis, an extent of 1 repeats ------------
Variable operator+(const Variable& a, const Variable& b);
Variable operator-(const Variable& a, const Variable& b);
Variable operator*(const Variable& a, const Variable& b);
Variable operator/(const Variable& a, const Variable& b);
Variable operator-(const Variable& x);
Variable scale(const Variable& x, real factor);                              // y = factor x

// --- linear.cpp ---------------------------------------------------------------------------------------------------------------
Variable matmul(const Variable& A, const Variable& B);                       // A B         A [m,k]  B [k,n]
Variable matmul_nt(const Variable& A, const Variable& B);                    // A B^T       A [m,k]  B [n,k]
Variable matmul_tn(const Variable& A, const Variable& B);                    // A^T B       A [k,m]  B [k,n]
Variable matmul_tt(const Variable& A, const Variable& B);                    // A^T B^T     A [k,m]  B [n,k]
// x W^T + 1 b^T      x [n,in]  W [out,in]  b [out]; the epilogue may be a relu
Variable linear(const Variable& x, const Variable& W, const Variable& b, Epilogue epilogue = {});

// --- conv2d.cpp ---------------------------------------------------------------------------------------------------------------
struct Window {                       // a sliding window: kernel extent, step, rows and columns of padding on each side
  Index height = 1, width = 1;
  Index stride_h = 1, stride_w = 1;
  Index pad_h = 0, pad_w = 0;
  static Window square(Index size, Index stride = 1, Index pad = 0) { return {size, size, stride, stride, pad, pad}; }
};
// y[n,i,j,o] = b[o] + sum x[n, i s - p + u, j s - p + v, c] W[u,v,c,o]      x [n,h,w,c]  W [kh,kw,c,o]  b [o] or undefined
// The window's height and width are W's. The epilogue (kernels/epilogue.hpp) is applied to y: {.relu = true, .max_pool = true} gives
// the same bits as max_pool(relu(y), 2x2), without a trip through memory for each.
Variable conv2d(const Variable& x, const Variable& W, const Variable& b, Window window = {}, Epilogue epilogue = {});
// The same of an image that is made from x, say x with its neighbours' pixels around it. It is made when it is read, forward and once
// more for dW, and only x is kept: `make` gives the image, `back` turns its gradient, which is its own to overwrite, into that of x.
struct MadeImage { std::function<Tensor()> make; std::function<Tensor(Tensor gradient)> back; };
Variable conv2d(const Variable& x, const MadeImage& image, const Variable& W, const Variable& b, Window window = {}, Epilogue epilogue = {});

// --- pool.cpp: x [n,h,w,c] ------------------------------------------------------------------------------------------------------
Variable max_pool(const Variable& x, const Window& window);                  // the largest; the first of equals gets the gradient
Variable average_pool(const Variable& x, const Window& window);              // mean over the pixels inside the image
Variable global_average_pool(const Variable& x);                             // [n,h,w,c] -> [n,c]
Variable upsample(const Variable& x, Index factor = 2);                      // each pixel becomes factor x factor equal ones

// --- activation.cpp -------------------------------------------------------------------------------------------------------------
Variable relu(const Variable& x);                                            // max(x, 0), derivative 0 at 0
Variable leaky_relu(const Variable& x, real slope = real(0.01));             // x if x > 0 else slope x
Variable sigmoid(const Variable& x);                                         // 1 / (1 + e^-x)
Variable tanh(const Variable& x);

// --- norm.cpp -------------------------------------------------------------------------------------------------------------------
// Over all axes but the last: y = gamma (x - mean) / sqrt(variance + epsilon) + beta; variance with 1/n. Normalising over a
// single row is an error. `statistics`, if given, receives mean [c], variance [c] and n.
struct BatchStatistics { Tensor mean, variance; Index rows = 0; };
// A batch of which x holds only a part: its rows in all, and a function that replaces values by their sums over all who hold a part. Then
// mean, variance and dx are those of the whole batch; dgamma and dbeta are the part that comes from x.
struct SharedBatch { Index rows = 0; std::function<void(std::span<real>)> sum = {}; };
Variable batch_norm(const Variable& x, const Variable& gamma, const Variable& beta, real epsilon, BatchStatistics* statistics,
                    Epilogue epilogue = {}, const SharedBatch& shared = {});
// The same with mean and variance given (evaluation).
Variable normalise(const Variable& x, const Tensor& mean, const Tensor& variance, const Variable& gamma, const Variable& beta,
                   real epsilon, Epilogue epilogue = {});

// --- dropout.cpp ----------------------------------------------------------------------------------------------------------------
// Each value becomes 0 with probability p, else x / (1 - p). Entry i of the first axis draws from Random(seed, streams[i]).
Variable dropout(const Variable& x, double p, std::uint64_t seed, std::span<const std::uint64_t> streams);

// --- softmax.cpp: logits [n,k] ----------------------------------------------------------------------------------------------------
Variable log_softmax(const Variable& x);                                     // x - log sum_k e^x
struct CrossEntropyOptions {
  std::span<const real> class_weights = {};   // w_k, 1 where omitted
  real smoothing = 0;                         // s: the target is (1-s) at the label plus s/k everywhere
  std::int32_t ignored_label = -1;            // rows with this label count nothing
};
// The *sum* over rows of -(1-s) w_label log p_label - s/k sum_k w_k log p_k, where p = softmax(logits).
Variable cross_entropy_sum(const Variable& logits, std::span<const std::int32_t> labels, const CrossEntropyOptions& options = {});
// What to divide that sum by for the mean: the sum over rows of w_label.
real cross_entropy_weight(std::span<const std::int32_t> labels, const CrossEntropyOptions& options = {});
real class_weight(const CrossEntropyOptions& options, Index label);          // w_label
// Error that names the first label or option that does not fit `classes`.
void check_labels(std::span<const std::int32_t> labels, Index classes, const CrossEntropyOptions& options);
Variable squared_error_sum(const Variable& x, const Tensor& target);         // sum (x - target)^2
Variable mean_squared_error(const Variable& x, const Tensor& target);        // the same divided by the number of values

// --- reduce.cpp -------------------------------------------------------------------------------------------------------------------
Variable sum(const Variable& x);                                             // all values -> []
Variable mean(const Variable& x);
Variable sum(const Variable& x, int axis);                                   // the axis disappears
Variable mean(const Variable& x, int axis);
Variable max(const Variable& x, int axis);                                   // the first of equals gets the gradient

// --- shape.cpp --------------------------------------------------------------------------------------------------------------------
Variable reshape(const Variable& x, const Shape& shape);                     // same values in the same order
Variable flatten(const Variable& x);                                         // [n, ...] -> [n, rest]
Variable permute(const Variable& x, const std::vector<int>& axes);           // axis i of y is axis axes[i] of x
Variable concat(const std::vector<Variable>& parts, int axis);
Variable slice(const Variable& x, int axis, Index begin, Index end);
struct Padding { Index before = 0, after = 0; };
Variable pad(const Variable& x, const std::vector<Padding>& padding, real value = 0);  // one Padding per axis

}  // namespace tandem
