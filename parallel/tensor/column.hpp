// Column-parallel layers: each rank computes some of the outputs, from the whole input.
//
//   y = x W^T + 1 b^T, W [out,in] cut into rows (columns of W^T, hence the name), p = 2:
//
//     rank 0    x (whole) --> [ W_0 ] --> y_0 = first half of the outputs         forward: nothing is sent
//     rank 1    x (whole) --> [ W_1 ] --> y_1 = second half                       backward: dx = dy_0 W_0 + dy_1 W_1, an allreduce
//
// What acts on each channel alone may follow at once on the split channels: bias, relu, pooling, batch normalisation. Then comes a
// row-parallel layer (row.hpp), or the outputs are gathered (`result` = Layout::whole).
//
// Shapes with w(n) = part(n, r, p).size(), this rank's share of n:
//
//     ColumnLinear      x [n,in]       W [w(out),in]           b [w(out)]   y [n,w(out)]          or [n,out]
//     ColumnConv2d      x [n,h,w,in]   W [kh,kw,in,w(out)]     b [w(out)]   y [n,h',w',w(out)]    or [n,h',w',out]
//     SplitBatchNorm    x [...,w(c)]   gamma, beta and running statistics [w(c)]                  or [...,c]
//
// Messages, p ranks: backward allreduce_traffic(p, bytes of x) for the first two, none if x needs no gradient; forward
// ring_allgather_traffic(p, bytes of the whole y) if the result is whole. Parameters have the names of the serial layers and are drawn
// as the whole would be, so that a seed means the same weights on any number of ranks.
//
// Errors: fewer outputs than ranks. `group` must outlive the layer and the graphs it makes.
// Sources: Shoeybi et al., "Megatron-LM", 2019, section 3; for convolutions Krizhevsky, "One weird trick for parallelizing
// convolutional neural networks", 2014, section 3.
#pragma once

#include "nn/layers.hpp"
#include "parallel/tensor/group_ops.hpp"

namespace tandem {

class ColumnLinear : public Module {
 public:
  ColumnLinear(Index in, Index out, const Communicator& group, Layout result = Layout::split, Initialiser init = he_normal(),
               Epilogue epilogue = {});
  Variable forward(const Variable& x, const Context& context) override;

 private:
  const Communicator& group_;
  Index out_;
  Layout result_;
  Epilogue epilogue_;
  Variable weight_, bias_;
};

class ColumnConv2d : public Module {
 public:
  ColumnConv2d(Index in, Index out, const Communicator& group, Layout result = Layout::split, ConvOptions options = {},
               Initialiser init = he_normal());
  Variable forward(const Variable& x, const Context& context) override;

 private:
  const Communicator& group_;
  Index out_;
  Layout result_;
  ConvOptions options_;
  Variable weight_, bias_;
};

// Batch normalisation of split channels. Each channel has its own statistics, over samples and pixels that every rank of the group
// has, so nothing is sent.
class SplitBatchNorm : public BatchNorm {
 public:
  SplitBatchNorm(Index channels, const Communicator& group, Layout result = Layout::split, Epilogue epilogue = {},
                 real momentum = real(0.1), real epsilon = real(1e-5));
  Variable forward(const Variable& x, const Context& context) override;

 private:
  const Communicator& group_;
  Index whole_;
  Layout result_;
};

}  // namespace tandem
