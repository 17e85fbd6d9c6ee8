#include "nn/models.hpp"

namespace tandem {
namespace {

constexpr Epilogue with_relu{.relu = true};

void check(std::string_view model, const Shape& image, Index least_side) {
  require(image.rank() == 3 && image[0] >= least_side && image[1] >= least_side,
          "{}: an image is {}; expected [height,width,channels] of at least {}x{} pixels", model, image, least_side, least_side);
}

std::shared_ptr<Sequential> conv_norm(Index in, Index out, Epilogue epilogue, ConvOptions options = {}) {
  options.bias = false;
  auto block = std::make_shared<Sequential>();
  block->add_named<Conv2d>("conv", in, out, options).add_named<BatchNorm>("norm", out, epilogue);
  return block;
}

}  // namespace

std::shared_ptr<Sequential> mlp(const Shape& image, const std::vector<Index>& hidden, int classes) {
  auto net = std::make_shared<Sequential>();
  net->add_named<Flatten>("flatten");
  Index width = image.size();
  for (std::size_t i = 0; i < hidden.size(); ++i) {
    net->add_named<Linear>(fmt::format("hidden{}", i + 1), width, hidden[i], he_normal(), with_relu);
    width = hidden[i];
  }
  net->add_named<Linear>("head", width, classes, glorot_uniform());
  return net;
}

std::shared_ptr<Sequential> cnn(const Shape& image, int classes) {
  check("cnn", image, 8);
  auto net = std::make_shared<Sequential>();
  Index channels = image[2], number = 0;
  for (const Index width : {32, 64, 128}) {
    for (int i = 0; i < 2; ++i) {
      ++number;
      const Epilogue epilogue{.relu = true, .max_pool = i == 1};
      net->add_named<Conv2d>(fmt::format("conv{}", number), channels, width, ConvOptions{.epilogue = epilogue});
      channels = width;
    }
  }
  net->add_named<Flatten>("flatten")
      .add_named<Linear>("hidden", (image[0] / 8) * (image[1] / 8) * channels, 256, he_normal(), with_relu)
      .add_named<Linear>("head", 256, classes, glorot_uniform());
  return net;
}

std::shared_ptr<Sequential> resnet(const Shape& image, int classes) {
  check("resnet", image, 16);
  auto net = std::make_shared<Sequential>();
  net->append("stem", conv_norm(image[2], 16, with_relu, {.kernel = 4, .stride = 2, .pad = 1}));
  Index channels = 16;
  for (const Index width : {32, 64, 128}) {
    auto body = std::make_shared<Sequential>();
    body->append("first", conv_norm(width, width, with_relu)).append("second", conv_norm(width, width, with_relu));
    net->append(fmt::format("widen{}", width), conv_norm(channels, width, {.relu = true, .max_pool = true}))
        .add_named<Residual>(fmt::format("block{}", width), body);
    channels = width;
  }
  net->add_named<GlobalAveragePool>("average").add_named<Linear>("head", channels, classes, glorot_uniform());
  return net;
}

std::shared_ptr<Sequential> unet(const Shape& image, int classes, Index width) {
  check("unet", image, 4);
  require(image[0] % 4 == 0 && image[1] % 4 == 0, "unet: an image is {}; height and width must be multiples of 4", image);
  const ConvOptions conv{.epilogue = with_relu};
  auto lowest = std::make_shared<Sequential>();
  lowest->add_named<MaxPool>("pool", Window::square(2, 2))
      .add_named<Conv2d>("middle", 2 * width, 2 * width, conv)
      .add_named<Upsample>("up");
  auto lower = std::make_shared<Sequential>();
  lower->add_named<MaxPool>("pool", Window::square(2, 2))
      .add_named<Conv2d>("encode2", width, 2 * width, conv)
      .add_named<Skip>("past", lowest)
      .add_named<Conv2d>("decode2", 4 * width, width, conv)
      .add_named<Upsample>("up");
  auto net = std::make_shared<Sequential>();
  net->add_named<Conv2d>("encode1", image[2], width, conv)
      .add_named<Skip>("past", lower)
      .add_named<Conv2d>("decode1", 2 * width, width, conv)
      .add_named<Conv2d>("head", width, classes, ConvOptions{.kernel = 1, .pad = 0}, glorot_uniform());
  return net;
}

std::shared_ptr<Sequential> make_model(std::string_view name, const Shape& image, int classes) {
  if (name == "mlp") return mlp(image, {256, 128}, classes);
  if (name == "cnn") return cnn(image, classes);
  if (name == "resnet") return resnet(image, classes);
  throw UsageError(fmt::format("there is no model '{}'; there are mlp, cnn and resnet", name));
}

}  // namespace tandem
