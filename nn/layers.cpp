#include "nn/layers.hpp"

#include "core/profile.hpp"

namespace tandem {

Linear::Linear(Index in, Index out, Initialiser init, Epilogue epilogue)
    : weight_(add_parameter("weight", {out, in}, std::move(init))), bias_(add_parameter("bias", {out}, constant_init(0))), epilogue_(epilogue) {}

Variable Linear::forward(const Variable& x, const Context&) { return linear(x, weight_, bias_, epilogue_); }

Conv2d::Conv2d(Index in, Index out, ConvOptions options, Initialiser init)
    : options_(options), weight_(add_parameter("weight", {options.kernel, options.kernel, in, out}, std::move(init))) {
  if (options.bias) bias_ = add_parameter("bias", {out}, constant_init(0));
}

Variable Conv2d::forward(const Variable& x, const Context&) {
  return conv2d(x, weight_, bias_, window(), options_.epilogue);
}

BatchNorm::BatchNorm(Index channels, Epilogue epilogue, real momentum, real epsilon, std::optional<Slice> slice)
    : channels_(channels),
      epilogue_(epilogue),
      momentum_(momentum),
      epsilon_(epsilon),
      gamma_(add_parameter("gamma", {channels}, constant_init(1), slice)),
      beta_(add_parameter("beta", {channels}, constant_init(0), slice)),
      running_mean_(add_buffer("running_mean", Tensor::zeros({channels}), slice)),
      running_variance_(add_buffer("running_variance", Tensor::full({channels}, 1), slice)) {}

Variable BatchNorm::forward(const Variable& x, const Context& context) {
  // A single row has no variance: a last micro-batch of one image whose maps have shrunk to one pixel. Its size depends on M and
  // the batch alone, so this choice is the same on every grid.
  const SharedBatch batch = batch_of(x);
  if (!context.training || batch.rows < 2)
    return normalise(x, running_mean_, running_variance_, gamma_, beta_, epsilon_, epilogue_);
  return batch_norm(x, gamma_, beta_, epsilon_, &latest_, epilogue_, batch);
}

Index BatchNorm::statistics_size() const { return 2 * channels_ + 1; }

void BatchNorm::take_statistics(std::span<real> part) {
  const BatchStatistics latest = std::exchange(latest_, {});  // taken once
  std::ranges::fill(part, real{0});
  if (latest.rows == 0) return;  // this layer met no data
  const auto rows = static_cast<real>(latest.rows);
  for (Index c = 0; c < channels_; ++c) {
    const auto at = static_cast<std::size_t>(c);
    part[at] = rows * latest.mean[c];
    // The unbiased estimate, with 1/(n-1): the running value shall stand for all images, not for this sample.
    part[at + static_cast<std::size_t>(channels_)] = rows * latest.variance[c] * (rows / (rows - 1));
  }
  part.back() = rows;
}

void BatchNorm::commit_statistics(std::span<const real> sum) {
  const real rows = sum.back();
  if (rows == 0) return;
  for (Index c = 0; c < channels_; ++c) {
    const auto at = static_cast<std::size_t>(c);
    const auto blend = [&](real& running, real total) { running += momentum_ * (total / rows - running); };
    blend(running_mean_[c], sum[at]);
    blend(running_variance_[c], sum[at + static_cast<std::size_t>(channels_)]);
  }
}

Variable Dropout::forward(const Variable& x, const Context& context) {
  if (!context.training || probability_ == 0) return x;
  require(x.shape().rank() >= 1 && x.shape()[0] == static_cast<Index>(context.samples.size()),
          "dropout '{}': x is {} but the context names {} samples", path(), x.shape(), context.samples.size());
  std::vector<std::uint64_t> streams;
  for (const std::int64_t sample : context.samples)
    streams.push_back(mix(hash(path()), static_cast<std::uint64_t>(sample), static_cast<std::uint64_t>(context.step)));
  return dropout(x, probability_, context.seed, streams);
}

Variable Sequential::forward(const Variable& x, const Context& context) { return run_in_order(children(), x, context); }

Variable run_in_order(const std::vector<std::shared_ptr<Module>>& layers, const Variable& x, const Context& context) {
  Variable y = x;
  for (const auto& layer : layers) {
    const ProfileScope scope(layer->path());
    y = layer->run(y, context);
  }
  return y;
}

Sequential& Sequential::append(std::string name, std::shared_ptr<Module> layer) {
  add_child(std::move(name), std::move(layer));
  return *this;
}

}  // namespace tandem
