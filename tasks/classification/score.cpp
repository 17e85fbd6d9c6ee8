#include "tasks/classification/score.hpp"

#include <cmath>
#include <numeric>

#include "core/ops.hpp"
#include "core/kernels/elementwise.hpp"
#include "parallel/collectives/collectives.hpp"
#include "parallel/pipeline/stage.hpp"

namespace tandem {
namespace {

constexpr std::int64_t batch = 64;  // images at a time: enough for the kernels, little memory

struct Loaded {
  Tensor x;
  std::vector<std::int32_t> labels;
};

Loaded load(const Dataset& data, std::span<const std::int64_t> samples) {
  Loaded loaded{Tensor(batch_shape(static_cast<Index>(samples.size()), data.sample_shape())), std::vector<std::int32_t>(samples.size())};
  data.load(samples, 0, loaded.x, loaded.labels);
  return loaded;
}

}  // namespace

Score score(Module& model, const Dataset& data, const ProcessGrid& grid) {
  const NoGradient no_gradient;
  Score result{ConfusionMatrix(data.classes())};
  const Range mine = part(data.size(), grid.data().rank(), grid.data().size());
  // The ranks that share a model pass the samples on together; one of them counts.
  const bool counts = gives_output(model) && grid.tensor().rank() == 0 && grid.spatial().rank() == 0;
  double loss = 0;
  for (std::int64_t begin = mine.begin; begin < mine.end; begin += batch) {
    std::vector<std::int64_t> samples(static_cast<std::size_t>(std::min(batch, mine.end - begin)));
    std::iota(samples.begin(), samples.end(), begin);
    const Loaded loaded = load(data, samples);
    const Variable logits = model.forward(loaded.x, {});
    if (!counts) continue;
    loss += cross_entropy_sum(logits, loaded.labels).value().item();
    result.confusion.add(loaded.labels, predictions(logits.value()));
  }
  sum_over_ranks(result.confusion.counts(), grid.world());
  result.loss = sum_over_ranks(loss, grid.world()) / static_cast<double>(std::max<std::int64_t>(data.size(), 1));
  return result;
}

Tensor probabilities(Module& model, const Tensor& x) {
  const NoGradient no_gradient;
  return map(log_softmax(model.forward(x, {})).value(), [](real log_p) { return std::exp(log_p); });
}

Tensor probabilities(Module& model, const Dataset& data, std::span<const std::int64_t> samples) {
  Tensor all({static_cast<Index>(samples.size()), data.classes()});
  for (std::size_t begin = 0; begin < samples.size(); begin += batch) {
    const std::size_t size = std::min(static_cast<std::size_t>(batch), samples.size() - begin);
    const auto first = static_cast<Index>(begin);
    all.rows(first, first + static_cast<Index>(size)).copy_from(probabilities(model, load(data, samples.subspan(begin, size)).x));
  }
  return all;
}

}  // namespace tandem
