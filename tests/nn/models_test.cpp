// The models: shapes, sizes and costs counted by hand; and a training step that settles.
#include "nn/models.hpp"

#include <doctest/doctest.h>

#include <map>

#include "core/ops.hpp"
#include "nn/optimizer.hpp"
#include "tests/support.hpp"

namespace tandem {
namespace {

TEST_CASE("models: a batch of images becomes a row of logits each") {
  for (const char* const name : {"mlp", "cnn", "resnet"})
    for (const Shape& image : {Shape{64, 64, 3}, Shape{28, 28, 1}, Shape{17, 30, 13}}) {
      CAPTURE(name);
      const auto model = make_model(name, image, 7);
      initialise(*model, 1);
      const NoGradient off;
      CHECK(model->forward(Tensor::zeros({2, image[0], image[1], image[2]}), {}).shape() == Shape{2, 7});
      CHECK(model->forward(Tensor::zeros({0, image[0], image[1], image[2]}), {}).shape() == Shape{0, 7});
    }
}

TEST_CASE("models: numbers of parameters, counted by hand for 64x64x3 and 10 classes") {
  const Shape image{64, 64, 3};
  CHECK(parameter_count(*make_model("mlp", image, 10)) == (12288 * 256 + 256) + (256 * 128 + 128) + (128 * 10 + 10));
  const auto conv = [](Index in, Index out) { return 9 * in * out; };
  CHECK(parameter_count(*make_model("cnn", image, 10)) == conv(3, 32) + conv(32, 32) + conv(32, 64) + conv(64, 64) +
                                                              conv(64, 128) + conv(128, 128) + 2 * (32 + 64 + 128) +
                                                              (8 * 8 * 128 * 256 + 256) + (256 * 10 + 10));
  const auto stage = [&](Index in, Index out) { return conv(in, out) + 2 * conv(out, out) + 3 * 2 * out; };  // 3 batch norms
  CHECK(parameter_count(*make_model("resnet", image, 10)) ==
        (4 * 4 * 3 * 16 + 2 * 16) + stage(16, 32) + stage(32, 64) + stage(64, 128) + (128 * 10 + 10));
  CHECK(mlp(image, {}, 10)->parameters().size() == 2);  // no hidden layer: logistic regression
}

TEST_CASE("models: the U-Net gives every pixel a row of logits; parameters counted by hand") {
  const auto net = unet({12, 20, 3}, 5, 8);
  initialise(*net, 1);
  CHECK(net->forward(Tensor::zeros({2, 12, 20, 3}), {}).shape() == Shape{2, 12, 20, 5});
  CHECK(parameter_count(*net) == (27 * 8 + 8) + (72 * 16 + 16) + (144 * 16 + 16) + (288 * 8 + 8) + (144 * 8 + 8) + (8 * 5 + 5));
  CHECK(error_of([] { unet({12, 18, 3}, 5); }).find("multiples of 4") != std::string::npos);
}

TEST_CASE("models: the residual network takes about 58 million operations for a 64x64x3 image") {
  // Multiplications and additions of one forward pass: 2 * pixels of the result * size of the kernel. The stem halves 64 to
  // 32, and each stage convolves once at its entry's resolution, pools, and twice at half of it.
  const std::map<std::string, Index> side{{"stem.conv", 32},
                                          {"widen32.conv", 32},
                                          {"block32.body.first.conv", 16},
                                          {"block32.body.second.conv", 16},
                                          {"widen64.conv", 16},
                                          {"block64.body.first.conv", 8},
                                          {"block64.body.second.conv", 8},
                                          {"widen128.conv", 8},
                                          {"block128.body.first.conv", 4},
                                          {"block128.body.second.conv", 4},
                                          {"head", 1}};
  double total = 0;
  std::size_t counted = 0;
  for (const Parameter& p : resnet({64, 64, 3}, 10)->parameters()) {
    if (!p.name.ends_with(".weight")) continue;
    const Index pixels = side.at(p.name.substr(0, p.name.size() - 7));
    total += 2.0 * static_cast<double>(pixels * pixels * p.variable.value().size());
    ++counted;
  }
  CHECK(counted == side.size());
  CHECK(total == doctest::Approx(58e6).epsilon(0.02));
}

TEST_CASE(
    "models: images that are too small, or no images, are refused with their shape; unknown names with the known ones") {
  CHECK(error_of([] {
          cnn({7, 64, 3}, 10);
        }) == "cnn: an image is [7,64,3]; expected [height,width,channels] of at least 8x8 pixels");
  CHECK(error_of([] {
          resnet({64, 15, 3}, 10);
        }) == "resnet: an image is [64,15,3]; expected [height,width,channels] of at least 16x16 pixels");
  CHECK(error_of([] { resnet({64, 64}, 10); }).starts_with("resnet: an image is [64,64]; expected [height,width,channels]"));
  CHECK(error_of([] { make_model("vit", {64, 64, 3}, 10); }) == "there is no model 'vit'; there are mlp, cnn and resnet");
  for (const auto& [name, side] : {std::pair{"cnn", Index{8}}, std::pair{"resnet", Index{16}}}) {
    const auto model = make_model(name, {side, side, 3}, 10);
    CHECK(model->forward(Tensor::zeros({1, side, side, 3}), {}).shape() == Shape{1, 10});
  }
}

// One step of training on a resident batch.
real train_step(Module& model, Optimizer& optimizer, const Tensor& x, std::span<const std::int32_t> labels) {
  const Variable loss = cross_entropy_sum(model.forward(x, {.training = true}), labels);
  backward(loss);
  optimizer.step(0.002);
  for (Parameter& p : model.parameters()) p.variable.set_gradient({});
  return loss.value().item();
}

TEST_CASE("models: every parameter gets a gradient, and every one moves in one step") {
  const std::vector<std::int32_t> labels{0, 1, 2, 3};
  for (const char* const name : {"mlp", "cnn", "resnet"}) {
    const auto model = make_model(name, {16, 16, 3}, 4);
    initialise(*model, 1);
    std::map<std::string, Tensor> before;
    for (const Parameter& p : model->parameters()) before[p.name] = p.variable.value().clone();
    const auto optimizer = make_optimizer("sgd", model->parameters(), 0);
    train_step(*model, *optimizer, random_tensor({4, 16, 16, 3}), labels);
    for (const Parameter& p : model->parameters()) {
      CAPTURE(name);
      CAPTURE(p.name);
      CHECK_FALSE(same_bits(p.variable.value(), before.at(p.name)));
    }
  }
}

TEST_CASE("models: twenty steps on four images halve the loss; the same steps on 2 threads give the same bits") {
  const std::vector<std::int32_t> labels{0, 1, 2, 3};
  const Tensor x = random_tensor({4, 16, 16, 3});
  for (const char* const name : {"mlp", "cnn", "resnet"}) {
    CAPTURE(name);
    const auto trained = [&](int threads, std::uint64_t seed) {
      const Threads set(threads);
      const auto model = make_model(name, {16, 16, 3}, 4);
      initialise(*model, seed);
      const auto optimizer = make_optimizer("sgd", model->parameters(), 0);
      std::vector<real> losses;
      for (int step = 0; step < 20; ++step) losses.push_back(train_step(*model, *optimizer, x, labels));
      CHECK(losses.back() < losses.front() / 2);
      return weights_hash(*model);
    };
    const std::uint64_t serial = trained(1, 1);
    CHECK(trained(2, 1) == serial);
    CHECK(trained(1, 2) != serial);
  }
}

TEST_CASE("models: from the third step on, training asks the system for no memory and leaves none behind") {
  const std::vector<std::int32_t> labels{0, 1, 2, 3};
  const Tensor x = random_tensor({4, 16, 16, 3});
  for (const char* const name : {"mlp", "cnn", "resnet"}) {
    CAPTURE(name);
    release_cached_memory();  // that of earlier tests
    const auto model = make_model(name, {16, 16, 3}, 4);
    initialise(*model, 1);
    const auto optimizer = make_optimizer("adam", model->parameters(), 0);
    for (int step = 0; step < 2; ++step) train_step(*model, *optimizer, x, labels);
    const MemoryUse before = memory_use();
    for (int step = 0; step < 5; ++step) train_step(*model, *optimizer, x, labels);
    CHECK(memory_use().fresh == before.fresh);
    CHECK(memory_use().live == before.live);

    // Negative control: a larger batch does ask.
    const std::vector<std::int32_t> more(9, 1);
    train_step(*model, *optimizer, random_tensor({9, 16, 16, 3}), more);
    CHECK(memory_use().fresh > before.fresh);
  }
}

}  // namespace
}  // namespace tandem
