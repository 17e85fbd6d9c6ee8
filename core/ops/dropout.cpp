// Dropout: Srivastava et al., JMLR 15 (2014).
#include "core/kernels/elementwise.hpp"
#include "core/ops.hpp"
#include "core/random.hpp"

namespace tandem {

Variable dropout(const Variable& x, double p, std::uint64_t seed, std::span<const std::uint64_t> streams) {
  require(p >= 0 && p < 1, "dropout: probability {} is not in [0,1)", p);
  const Tensor& values = x.value();
  require(values.rank() >= 1 && values.dim(0) == static_cast<Index>(streams.size()), "dropout: {} streams for x {}", streams.size(),
          values.shape());
  // factor = 0 or 1/(1-p); the expectation of y is x
  Tensor factor(values.shape());
  const Index each = values.dim(0) ? values.size() / values.dim(0) : 0;
  const auto threshold = static_cast<std::uint64_t>(p * 0x1p32);
  const real keep = static_cast<real>(1 / (1 - p));
  for_blocks(values.dim(0), 1, [&](Index i, Index) {
    Random random(seed, streams[static_cast<std::size_t>(i)]);
    for (Index j = i * each; j < (i + 1) * each; ++j) factor[j] = random.bits() < threshold ? 0 : keep;
  });
  const auto times = [](real v, real f) { return v * f; };
  return record("dropout", map(values, factor, times), {{x, [factor, times](const Tensor& dy) { return map(dy, factor, times); }}});
}

}  // namespace tandem
