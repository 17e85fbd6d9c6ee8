// A training step on data that stay where they are: what the benchmarks of the engine and of data parallelism time.
//
// There is no reading, decoding or augmenting here: every step sees the same random batch. What is left is what the engine
// is answerable for: forward, backward, the sum over ranks, the update.
#pragma once

#include <algorithm>
#include <memory>
#include <numeric>
#include <string_view>
#include <vector>

#include "core/median.hpp"
#include "core/random.hpp"
#include "nn/models.hpp"
#include "parallel/trainer.hpp"

namespace tandem {

// A model, the images that it takes, what it learns, and what one image costs.
struct Workload {
  std::shared_ptr<Sequential> model;
  Shape image;
  Loss loss;
  // Multiplications and additions of the training step of one image by the definition, of convolutions and matrix products
  // alone: the forward pass, and as many again for each of the two gradients.
  double operations = 0;
};

// 2 per weight and per place where it is used; `sides`: the side length of each convolution's square output, in order.
inline double training_operations(const Module& model, const std::vector<Index>& sides) {
  double forward = 0;
  auto side = sides.begin();
  for (const Parameter& p : model.parameters()) {
    const Shape& shape = p.variable.shape();
    if (shape.rank() == 4) {
      require(side != sides.end(), "workload: '{}' is one convolution more than the {} known", p.name, sides.size());
      forward += 2.0 * static_cast<double>(shape.size() * *side * *side);
      ++side;
    } else if (shape.rank() == 2) {
      forward += 2.0 * static_cast<double>(shape.size());
    }
  }
  return 3 * forward;
}

inline constexpr int workload_classes = 10;

// A hundred layers y = tanh(w x + b) of one number each: next to no arithmetic, so its time is the engine's overhead. All w
// start at 1; with random ones the gradient would be below what a float can hold long before it is back at the first layer.
inline Workload deep100() {
  auto net = std::make_shared<Sequential>();
  for (int i = 0; i < 100; ++i) net->add<Linear>(1, 1, constant_init(1)).add<Tanh>();
  const Loss to_zero = [](const Variable& output, std::span<const std::int32_t>) {
    return LossPart{.sum = squared_error_sum(output, Tensor::zeros(output.shape())),
                    .weight = static_cast<real>(output.shape()[0])};
  };
  return {net, {1}, to_zero, training_operations(*net, {})};
}

// Every pixel of an image has the image's label.
inline LossPart pixel_loss(const Variable& logits, std::span<const std::int32_t> labels) {
  const Index pixels = logits.shape()[1] * logits.shape()[2];
  std::vector<std::int32_t> of_pixels;
  for (const std::int32_t label : labels) of_pixels.insert(of_pixels.end(), count_of(pixels), label);
  return classification_loss()(reshape(logits, {logits.shape()[0] * pixels, logits.shape()[3]}), of_pixels);
}

// The models by name, for ten classes unless said. UsageError for another name.
inline Workload workload(std::string_view name) {
  const Shape tile{64, 64, 3}, digit{28, 28, 1};
  const auto made = [](std::shared_ptr<Sequential> model, const Shape& image, const std::vector<Index>& sides = {}) {
    return Workload{model, image, classification_loss(), training_operations(*model, sides)};
  };
  if (name == "deep100") return deep100();
  if (name == "cnn") return made(cnn(tile, workload_classes), tile, {64, 64, 32, 32, 16, 16});
  if (name == "resnet") return made(resnet(tile, workload_classes), tile, {32, 32, 16, 16, 16, 8, 8, 8, 4, 4});
  // Eight equal layers: a balanced pipeline for any number of stages that divides them.
  if (name == "even") {
    auto net = std::make_shared<Sequential>();
    for (int i = 0; i < 8; ++i) net->add<Conv2d>(32, 32, ConvOptions{.epilogue = {.relu = true}});
    net->add<GlobalAveragePool>().add<Linear>(32, workload_classes);
    return made(net, {16, 16, 32}, std::vector<Index>(8, 16));
  }
  if (name == "unet") return {unet(tile, workload_classes), tile, pixel_loss, training_operations(*unet(tile, workload_classes), {64, 32, 16, 32, 64, 64})};
  if (name == "mlp") return made(make_model(name, tile, workload_classes), tile);  // classify's
  if (name == "mlp784") return made(mlp(digit, {512, 512}, workload_classes), digit);
  // Deep and narrow, so that everything but arithmetic shows: the net of ShallowSpeed (Siboehm, 2022).
  if (name == "shallow") return made(mlp(digit, {128, 127, 126, 125, 124, 123}, workload_classes), digit);
  if (name == "mlp10m") return made(mlp(digit, {2048, 2048, 2048}, workload_classes), digit);  // ten million parameters
  throw UsageError(fmt::format("there is no model '{}'; there are cnn, resnet, even, unet, mlp, mlp784, shallow, mlp10m and deep100", name));
}

// The rows of a global batch of `size` images that belong to the micro-batches `mine` of M.
inline Batch resident_batch(const Shape& image, std::int64_t size, std::int64_t micro_batches, Range mine) {
  const auto row = [&](std::int64_t micro) { return part(size, micro, micro_batches).begin; };
  Batch batch{.global_size = size};
  const std::int64_t first = row(mine.begin), count = row(mine.end) - first;
  batch.x = Tensor(batch_shape(count, image));
  batch.samples.resize(static_cast<std::size_t>(count));
  std::iota(batch.samples.begin(), batch.samples.end(), first);
  for (std::int64_t i = 0; i < count; ++i) {
    Random random(1, mix(hash("resident image"), static_cast<std::uint64_t>(first + i)));
    for (real& v : batch.x.rows(i, i + 1).values()) v = static_cast<real>(random.normal());
    batch.labels.push_back(static_cast<std::int32_t>((first + i) % workload_classes));
  }
  for (std::int64_t m = mine.begin; m < mine.end; ++m) batch.micro_batches.push_back({row(m) - first, row(m + 1) - first});
  return batch;
}

// A model in training on its resident batch. `comm` must outlive it. Collective.
class ResidentTraining {
 public:
  ResidentTraining(std::string_view model, std::int64_t batch, std::int64_t micro_batches, const Communicator& comm)
      : grid_(comm),
        workload_(workload(model)),
        optimizer_(initialised(*workload_.model).parameters(), {.momentum = real(0.9), .nesterov = true}),
        trainer_(*workload_.model, optimizer_, workload_.loss, grid_, {.micro_batches = micro_batches}),
        parameters_(workload_.model->parameters()),
        batch_(resident_batch(workload_.image, batch, micro_batches, trainer_.my_micro_batches())) {}

  void step() {
    trainer_.step(batch_, 0.001);  // small: random labels can only be learnt by heart
    ++batch_.step;
  }

  // Forward and backward of this rank's micro-batches alone: nothing is summed, gradients are dropped.
  void gradients() {
    for (const Range& rows : batch_.micro_batches) {
      const auto begin = static_cast<std::size_t>(rows.begin), size = static_cast<std::size_t>(rows.size());
      const Context context{.training = true, .samples = std::span(batch_.samples).subspan(begin, size)};
      const Variable output = workload_.model->forward(batch_.x.rows(rows.begin, rows.end), context);
      backward(workload_.loss(output, std::span(batch_.labels).subspan(begin, size)).sum);
      for (Parameter& p : parameters_) p.variable.set_gradient({});
    }
  }

  const Workload& what() const { return workload_; }
  double waited() const { return trainer_.waited(); }

 private:
  static Module& initialised(Module& model) {
    initialise(model, 1);
    return model;
  }

  ProcessGrid grid_;
  Workload workload_;
  Sgd optimizer_;
  Trainer trainer_;
  std::vector<Parameter> parameters_;
  Batch batch_;
};

}  // namespace tandem
