// Models for images [n,h,w,c]. Each takes the shape of one image and the number of classes and gives logits [n,classes].
#pragma once

#include <memory>
#include <string_view>

#include "nn/layers.hpp"

namespace tandem {

// Fully connected: pixels - hidden... - classes, ReLU between.
std::shared_ptr<Sequential> mlp(const Shape& image, const std::vector<Index>& hidden, int classes);

// Six 3x3 convolutions (32-32, 64-64, 128-128), ReLU after each, 2x2 max pooling after each pair; then 256 hidden units.
std::shared_ptr<Sequential> cnn(const Shape& image, int classes);

// A small residual network of about 58 million operations for a 64x64 image: a 4x4 stem of stride 2 to 16 channels, then three
// stages of 32, 64 and 128 channels, each a 3x3 convolution, max pooling and one residual block of two 3x3 convolutions; batch
// normalisation and ReLU throughout; global average pooling.
std::shared_ptr<Sequential> resnet(const Shape& image, int classes);

// "mlp" (hidden layers of 256 and 128), "cnn" or "resnet". UsageError for another name.
std::shared_ptr<Sequential> make_model(std::string_view name, const Shape& image, int classes);

}  // namespace tandem
