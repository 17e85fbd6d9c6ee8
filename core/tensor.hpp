// Tensor: a shape and its values, row-major, on shared memory.
//
// Copying a Tensor copies the handle, not the values (as in NumPy or PyTorch): both then name the same numbers. clone() copies
// the values. Images are stored NHWC: [batch, height, width, channels], so the channels of one pixel lie side by side.
//
// A Tensor knows nothing of derivatives; that is autograd.hpp's job.
#pragma once

#include <Eigen/Core>
#include <initializer_list>
#include <memory>
#include <span>

#include "core/memory.hpp"
#include "core/shape.hpp"

namespace tandem {

using Matrix = Eigen::Matrix<real, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using MatrixView = Eigen::Map<Matrix>;
using ConstMatrixView = Eigen::Map<const Matrix>;

class Tensor {
 public:
  Tensor() = default;            // no values at all: defined() is false
  explicit Tensor(Shape shape);  // values not initialised
  Tensor(Shape shape, std::initializer_list<real> values);
  Tensor(Shape shape, std::shared_ptr<real> values) : shape_(shape), size_(shape.size()), values_(std::move(values)) {}

  static Tensor zeros(Shape shape) { return full(shape, 0); }
  static Tensor full(Shape shape, real value);
  static Tensor scalar(real value) { return full({}, value); }

  bool defined() const { return values_ != nullptr; }
  const Shape& shape() const { return shape_; }
  int rank() const { return shape_.rank(); }
  Index dim(int axis) const { return shape_[axis]; }
  Index size() const { return size_; }

  real* data() { return values_.get(); }
  const real* data() const { return values_.get(); }
  std::span<real> values() { return {data(), static_cast<std::size_t>(size_)}; }
  std::span<const real> values() const { return {data(), static_cast<std::size_t>(size_)}; }
  real& operator[](Index i) { return data()[i]; }              // i-th value in row-major order, not checked
  const real& operator[](Index i) const { return data()[i]; }
  real item() const;                                           // the value of a one-element tensor

  bool sole_owner() const { return values_.use_count() == 1; }  // nobody else sees a change of the values
  Tensor clone() const;
  Tensor reshape(Shape shape) const;               // same values in the same order, shared
  Tensor rows(Index begin, Index end) const;       // entries [begin, end) of the first axis, shared
  void copy_from(const Tensor& source);            // same shape; overwrites the values
  void fill(real value);

  // The values as a matrix: the last axis gives its columns, all others its rows.
  MatrixView matrix() { return {data(), row_count(), columns()}; }
  ConstMatrixView matrix() const { return {data(), row_count(), columns()}; }
  Index columns() const { return rank() == 0 ? 1 : dim(-1); }
  Index row_count() const;

 private:
  Shape shape_{0};
  Index size_ = 0;
  std::shared_ptr<real> values_;
};

}  // namespace tandem
