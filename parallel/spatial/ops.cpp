#include "parallel/spatial/ops.hpp"

#include <limits>
#include <memory>

namespace tandem {
namespace {

// y = sum of the ranks' x, on every rank. Its adjoint is itself: each rank's x is in all ranks' y.
Variable group_sum(const Variable& x, const Communicator& comm) {
  const auto sum = [&comm](Tensor values) {
    allreduce(values.values(), comm);
    return values;
  };
  return record("group_sum", sum(x.value().clone()), {{x, [sum](const Tensor& dy) { return sum(dy.clone()); }}});
}

// What an average over whole windows must be multiplied by to be one over the pixels inside the image, for each pixel of my result:
// size / lines inside, along each axis that is split; along the others the kernel knows what is inside.
Tensor per_pixel_inside(const ImageSplit& in, const ImageSplit& out, const Window& w) {
  const auto along = [](const AxisSplit& axis, Index i, Window1d v) {
    const Index first = i * v.stride - v.pad;
    const Index inside = std::min(first + v.size, axis.length()) - std::max<Index>(first, 0);
    return axis.parts() > 1 ? static_cast<real>(v.size) / static_cast<real>(inside) : real{1};
  };
  const Range rows = out.my_rows(), columns = out.my_columns();
  Tensor factor({1, rows.size(), columns.size(), 1});
  real* to = factor.data();
  for (Index i = rows.begin; i < rows.end; ++i)
    for (Index j = columns.begin; j < columns.end; ++j)
      *to++ = along(in.rows(), i, {w.height, w.stride_h, w.pad_h}) * along(in.columns(), j, {w.width, w.stride_w, w.pad_w});
  return factor;
}

}  // namespace

SplitImage conv2d(const SplitImage& x, const Variable& W, const Variable& b, Window window, Epilogue epilogue) {
  x.split.check("conv2d", x.part.shape());
  require(W.shape().rank() == 4, "conv2d: W is {}; expected [kh,kw,c,out]", W.shape());
  window.height = W.shape()[0], window.width = W.shape()[1];
  const ImageSplit out = x.split.after(window);
  const bool pools_after = epilogue.max_pool && !out.cuts_are_multiples_of(2);
  if (pools_after) epilogue.max_pool = false;

  const auto halo = std::make_shared<const Halo>(x.part.value(), x.split, window);
  const MadeImage image{.make = [halo, own = x.part.value()] { return halo->extend(own); },
                        .back = [halo](Tensor gradient) { return halo->give_back(std::move(gradient)); }};
  const SplitImage y{conv2d(x.part, image, W, b, without_halo(x.split, window), epilogue),
                     epilogue.max_pool ? out.after(Window::square(2, 2)) : out};
  return pools_after ? max_pool(y, Window::square(2, 2)) : y;
}

// Beyond the image stands what never wins.
SplitImage max_pool(const SplitImage& x, const Window& window) {
  x.split.check("max_pool", x.part.shape());
  const Variable seen = halo_exchange(x.part, x.split, window, -std::numeric_limits<real>::infinity());
  return {max_pool(seen, without_halo(x.split, window)), x.split.after(window)};
}

// Beyond the image stand zeros; along split axes the kernel has counted them as pixels, which is put right afterwards.
SplitImage average_pool(const SplitImage& x, const Window& window) {
  x.split.check("average_pool", x.part.shape());
  const ImageSplit out = x.split.after(window);
  const Window inner = without_halo(x.split, window);
  Variable y = average_pool(halo_exchange(x.part, x.split, window), inner);
  if (inner.pad_h == window.pad_h && inner.pad_w == window.pad_w) return {y, out};
  return {y * Variable(per_pixel_inside(x.split, out, window)), out};
}

SplitImage upsample(const SplitImage& x, Index factor) {
  x.split.check("upsample", x.part.shape());
  return {upsample(x.part, factor), x.split.upsampled(factor)};
}

SplitImage concat(const std::vector<SplitImage>& parts) {
  require(!parts.empty(), "concat: of nothing");
  std::vector<Variable> values;
  for (const SplitImage& x : parts) {
    require(x.split == parts[0].split,
            "concat: one image is split {}, another {}; cut the image at multiples of all strides together (total_stride)",
            parts[0].split.str(), x.split.str());
    values.push_back(x.part);
  }
  return {concat(values, -1), parts[0].split};
}

SharedBatch shared_batch(const SplitImage& x) {
  x.split.check("batch_norm", x.part.shape());
  return {.rows = x.part.shape()[0] * x.split.pixels(),
          .sum = [&comm = x.split.comm()](std::span<real> values) { allreduce(values, comm); }};
}

Variable global_average_pool(const SplitImage& x) {
  x.split.check("global_average_pool", x.part.shape());
  const Index mine = x.split.my_rows().size() * x.split.my_columns().size();
  const real share = static_cast<real>(mine) / static_cast<real>(x.split.pixels());
  return group_sum(scale(global_average_pool(x.part), share), x.split.comm());
}

// Each rank puts its pixels among zeros, and the sum has all of them; backward the sum of the gradients is cut.
//
//     rank 0   a a . .      rank 1   . . b b       sum   a a b b
//
// The sum sends p log2 p times the image in all, where an allgather would send p - 1 times; behind a network's pools images are small.
Variable whole(const SplitImage& x) {
  x.split.check("whole", x.part.shape());
  const Range rows = x.split.my_rows(), columns = x.split.my_columns();
  const std::vector<Padding> around{
      {}, {rows.begin, x.split.rows().length() - rows.end}, {columns.begin, x.split.columns().length() - columns.end}, {}};
  return group_sum(pad(x.part, around), x.split.comm());
}

Variable counted_once(const Variable& loss, const Communicator& comm) { return comm.rank() == 0 ? loss : scale(loss, 0); }

}  // namespace tandem
