#include "core/tensor.hpp"

#include <algorithm>

namespace tandem {

Tensor::Tensor(Shape shape)
    : shape_(shape),
      size_(shape.size()),
      values_(std::static_pointer_cast<real>(take_memory(static_cast<std::size_t>(size_), sizeof(real)))) {}

Tensor::Tensor(Shape shape, std::initializer_list<real> values) : Tensor(shape) {
  require(size_ == static_cast<Index>(values.size()), "tensor: shape {} needs {} values, got {}", shape_, size_,
          values.size());
  std::ranges::copy(values, data());
}

Tensor Tensor::full(Shape shape, real value) {
  Tensor t(shape);
  t.fill(value);
  return t;
}

real Tensor::item() const {
  require(size_ == 1, "item: the tensor is {}, not one value", shape_);
  return *data();
}

Tensor Tensor::clone() const {
  if (!defined()) return {};
  Tensor copy(shape_);
  copy.copy_from(*this);
  return copy;
}

Tensor Tensor::reshape(Shape shape) const {
  require(shape.size() == size_, "reshape: {} has {} values, {} needs {}", shape_, size_, shape, shape.size());
  return {shape, values_};
}

Tensor Tensor::rows(Index begin, Index end) const {
  require(rank() >= 1 && 0 <= begin && begin <= end && end <= dim(0), "rows: [{},{}) of a tensor of shape {}", begin, end,
          shape_);
  Shape part = shape_;
  part[0] = end - begin;
  const Index stride = dim(0) ? size_ / dim(0) : 0;
  return {part, std::shared_ptr<real>(values_, values_.get() + begin * stride)};
}

Index Tensor::row_count() const {
  Index rows = 1;
  for (int axis = 0; axis + 1 < rank(); ++axis) rows *= dim(axis);
  return rows;
}

void Tensor::copy_from(const Tensor& source) {
  require(shape_ == source.shape_, "copy: from {} to {}", source.shape_, shape_);
  std::ranges::copy(source.values(), data());
}

void Tensor::fill(real value) { std::ranges::fill(values(), value); }

}  // namespace tandem
