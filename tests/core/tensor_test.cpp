// Shapes and tensors: what is shared, what is copied, and what is refused.
#include "core/tensor.hpp"

#include <doctest/doctest.h>

#include "tests/support.hpp"

namespace tandem {
namespace {

TEST_CASE("shape: size is the product of the extents, one for no axes, zero for an empty axis") {
  CHECK(Shape{}.size() == 1);
  CHECK(Shape{2, 3, 4}.size() == 24);
  CHECK(Shape{5, 0, 7}.size() == 0);
  CHECK(Shape{1, 2, 3, 4, 5, 6}.size() == 720);
}

TEST_CASE("shape: a negative axis counts from the end; an axis that is not there is named") {
  const Shape shape{2, 3, 4};
  CHECK(shape[-1] == 4);
  CHECK(shape[-3] == shape[0]);
  CHECK(error_of([&] { return shape[3]; }) == "shape [2,3,4]: no axis 3");
  CHECK(error_of([&] { return shape[-4]; }) == "shape [2,3,4]: no axis -4");
  CHECK(error_of([] { return Shape{}[0]; }) == "shape []: no axis 0");
}

TEST_CASE("shape: negative extents, seven axes and products beyond any machine are refused with their numbers") {
  CHECK(error_of([] { return Shape{2, -3}; }) == "shape: extent -3 of axis 1 is negative");
  CHECK(error_of([] { return Shape{1, 1, 1, 1, 1, 1, 1}; }) == "shape: 7 axes given, at most 6 are supported");
  CHECK(error_of([] {
          return Shape{Index{1} << 40, Index{1} << 40}.size();
        }) == "shape [1099511627776,1099511627776]: too many elements");
  CHECK(error_of([] { Tensor({Index{1} << 30, Index{1} << 30}); }) == "shape [1073741824,1073741824]: too many elements");
}

TEST_CASE("shape: equal only with equal extents in equal order") {
  CHECK(Shape{2, 3} == Shape{2, 3});
  CHECK_FALSE(Shape{2, 3} == Shape{3, 2});
  CHECK_FALSE(Shape{2, 3} == Shape{2, 3, 1});
  CHECK_FALSE(Shape{} == Shape{1});
}

TEST_CASE("tensor: a copy names the same values, a clone has its own") {
  Tensor a({2, 2}, {1, 2, 3, 4});
  const Tensor copy = a, clone = a.clone();
  a[0] = 9;
  CHECK(copy[0] == 9);
  CHECK(clone[0] == 1);
  CHECK(clone.shape() == a.shape());
  CHECK_FALSE(Tensor().clone().defined());
}

TEST_CASE("tensor: a sole owner is one whose values no copy, row or reshaping shares") {
  Tensor a({4, 3});
  CHECK(a.sole_owner());
  {
    const Tensor copy = a;
    CHECK_FALSE(a.sole_owner());
  }
  {
    const Tensor part = a.rows(1, 2);
    CHECK_FALSE(a.sole_owner());
  }
  {
    const Tensor shaped = a.reshape({12});
    CHECK_FALSE(a.sole_owner());
  }
  CHECK(a.sole_owner());
}

TEST_CASE("tensor: reshape and rows are views in row-major order") {
  Tensor a({3, 2}, {0, 1, 2, 3, 4, 5});
  Tensor middle = a.rows(1, 3), wide = a.reshape({2, 3});
  CHECK(middle.shape() == Shape{2, 2});
  CHECK(middle[0] == 2);
  CHECK(wide.matrix()(1, 0) == 3);
  middle[0] = 7;
  CHECK(a[2] == 7);
  CHECK(wide[2] == 7);
  CHECK(a.rows(3, 3).shape() == Shape{0, 2});
  CHECK(Tensor({0, 4}).rows(0, 0).size() == 0);
}

TEST_CASE("tensor: a view keeps the values alive when the tensor it came from is gone") {
  Tensor view;
  {
    const Tensor whole({3, 2}, {0, 1, 2, 3, 4, 5});
    view = whole.rows(2, 3);
  }
  const Tensor other = Tensor::full({3, 2}, -1);  // would get the block if it had been given back
  CHECK(view[1] == 5);
}

TEST_CASE("tensor: every refusal names the shapes") {
  Tensor a({3, 2});
  CHECK(error_of([&] { a.reshape({4, 2}); }) == "reshape: [3,2] has 6 values, [4,2] needs 8");
  CHECK(error_of([&] { a.rows(2, 4); }) == "rows: [2,4) of a tensor of shape [3,2]");
  CHECK(error_of([&] { a.rows(2, 1); }) == "rows: [2,1) of a tensor of shape [3,2]");
  CHECK(error_of([&] { a.rows(-1, 1); }) == "rows: [-1,1) of a tensor of shape [3,2]");
  CHECK(error_of([] { Tensor::scalar(1).rows(0, 1); }) == "rows: [0,1) of a tensor of shape []");
  CHECK(error_of([&] { a.copy_from(Tensor({2, 3})); }) == "copy: from [2,3] to [3,2]");
  CHECK(error_of([&] { return a.item(); }) == "item: the tensor is [3,2], not one value");
  CHECK(error_of([] { Tensor({2, 2}, {1, 2, 3}); }) == "tensor: shape [2,2] needs 4 values, got 3");
  CHECK(error_of([&] { a.reshape({2, 3}); }) == "no error");
}

TEST_CASE("tensor: as a matrix the last axis gives the columns") {
  const Tensor image({2, 3, 4, 5});
  CHECK(image.matrix().rows() == 24);
  CHECK(image.matrix().cols() == 5);
  CHECK(Tensor({7}).matrix().rows() == 1);
  CHECK(Tensor::scalar(3).matrix()(0, 0) == 3);
  CHECK(Tensor({0, 5}).matrix().rows() == 0);
}

TEST_CASE("tensor: values begin on 64 bytes") {
  for (const Index n : {1, 3, 17, 1000}) CHECK(reinterpret_cast<std::uintptr_t>(Tensor({n}).data()) % memory_alignment == 0);
}

}  // namespace
}  // namespace tandem
