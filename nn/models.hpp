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

// A small U-Net (Ronneberger, Fischer and Brox, MICCAI 2015): a class for every pixel. Gives logits [n,h,w,classes]; h and w are
// multiples of 4. Six convolutions with ReLU after all but the last; what pooling loses goes past it:
//
//   h x w        encode1 (width) ------------------------------------ + -- decode1 (width) -- head 1x1
//   h/2 x w/2       pool -- encode2 (2 width) ------------- + -- decode2 (width) -- up
//   h/4 x w/4                  pool -- middle (2 width) -- up
std::shared_ptr<Sequential> unet(const Shape& image, int classes, Index width = 16);

// "mlp" (hidden layers of 256 and 128), "cnn" or "resnet". UsageError for another name.
std::shared_ptr<Sequential> make_model(std::string_view name, const Shape& image, int classes);

}  // namespace tandem
