// Row-parallel layers: each rank uses some of the inputs, and computes a part of every output's sum.
//
//   y = x W^T + 1 b^T, W [out,in] cut into columns (rows of W^T), p = 2:
//
//     rank 0    x_0 (first inputs)  --> [ W_0 ] --> x_0 W_0^T --+
//                                                               +--> sum --> + b --> epilogue --> y (whole)
//     rank 1    x_1 (other inputs)  --> [ W_1 ] --> x_1 W_1^T --+
//
// Forward: one allreduce. Backward: nothing is sent, dx_r = dy W_r is what rank r needs. The bias is whole on every rank and added
// once, after the sum: added before, it would count p times. So does everything that is not linear: relu(u) + relu(v) is not
// relu(u + v).
//
// A column-parallel layer hands over its outputs just as this layer wants its inputs: a pair costs one allreduce forward (here) and
// one backward (there), whatever its inner width.
//
// Shapes with w(n) = part(n, r, p).size(), this rank's share of n:
//
//     RowLinear    x [n,w(in)]       W [out,w(in)]          b [out]   y [n,out]
//     RowConv2d    x [n,h,w,w(in)]   W [kh,kw,w(in),out]    b [out]   y [n,h',w',out]
//
// Messages, p ranks: forward allreduce_traffic(p, bytes of y before a pool). Names and first values as in column.hpp.
//
// Errors: fewer inputs than ranks. `group` must outlive the layer and the graphs it makes.
// Sources: as column.hpp.
#pragma once

#include "nn/layers.hpp"
#include "parallel/tensor/group_ops.hpp"

namespace tandem {

class RowLinear : public Module {
 public:
  RowLinear(Index in, Index out, const Communicator& group, Initialiser init = he_normal(), Epilogue epilogue = {});
  Variable forward(const Variable& x, const Context& context) override;

 private:
  const Communicator& group_;
  Epilogue epilogue_;
  Variable weight_, bias_;
};

class RowConv2d : public Module {
 public:
  RowConv2d(Index in, Index out, const Communicator& group, ConvOptions options = {}, Initialiser init = he_normal());
  Variable forward(const Variable& x, const Context& context) override;

 private:
  const Communicator& group_;
  ConvOptions options_;
  Variable weight_, bias_;
};

}  // namespace tandem
