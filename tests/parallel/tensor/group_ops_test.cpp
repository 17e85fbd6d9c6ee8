// The operators between whole and split activations: values, gradients, messages.
#include "parallel/tensor/group_ops.hpp"

#include "core/gradcheck.hpp"
#include "tests/parallel/tensor/support.hpp"

using namespace tandem;

namespace {

// A difference quotient is good to about h^2 = epsilon^(2/3) (gradcheck.hpp), times the size of a third derivative.
const double quotient_error = 50 * std::pow(epsilon, 2.0 / 3.0);

Tensor of_rank(int rank, const Shape& shape) { return whole_numbers(shape, 100 + static_cast<std::uint64_t>(rank)); }

Tensor sum_of_ranks(int ranks, const Shape& shape) {
  Tensor sum = Tensor::zeros(shape);
  for (int rank = 0; rank < ranks; ++rank) add_to(sum, of_rank(rank, shape));
  return sum;
}

Tensor gradient_of(const Variable& x, const Variable& y, const Tensor& dy) {
  backward(y, dy);
  return x.gradient();
}

}  // namespace

TEST_CASE("tensor: copy_to_group and sum_over_group are each other's derivative") {
  const Communicator world = Communicator::world();
  const int p = world.size();
  for (const Shape& shape : {Shape{3, 5}, Shape{1}, Shape{2, 3, 3, 7}, Shape{0, 4}, Shape{30000}}) {
    CAPTURE(shape);
    const Tensor mine = of_rank(world.rank(), shape), sum = sum_of_ranks(p, shape), whole = whole_numbers(shape);
    const Variable x(whole.clone(), true), partial(mine.clone(), true);

    const Variable copy = copy_to_group(x, world), total = sum_over_group(partial, world);
    CHECK(equal(copy.value(), whole));
    CHECK(equal(total.value(), sum));
    CHECK(equal(gradient_of(x, copy, mine), sum));
    CHECK(equal(gradient_of(partial, total, whole), whole));
    CHECK(equal(partial.value(), mine));  // inputs are not written to
  }
}

TEST_CASE("tensor: gathered channels are the whole, its gradient falls apart into the parts") {
  const Communicator world = Communicator::world();
  const int p = world.size();
  for (const Index channels : {p, p + 1, 2 * p - 1, 3 * p, 17}) {
    for (const Shape& rows : {Shape{3}, Shape{2, 3, 2}, Shape{0}}) {
      Shape shape = rows;
      shape.push_back(channels);
      CAPTURE(shape);
      const int last = shape.rank() - 1;
      const Tensor whole = random_tensor(shape, 1), dy = random_tensor(shape, 2);
      const Variable x(own_part(whole, last, world), true);
      const Variable y = gather_channels(x, channels, world);
      CHECK(same_bits(y.value(), whole));
      CHECK(same_bits(gradient_of(x, y, dy), own_part(dy, last, world)));
    }
  }
}

TEST_CASE("tensor: slices of any axis come together again") {
  const Communicator world = Communicator::world();
  const Tensor whole = random_tensor({11, 9, 10, 8});
  for (int axis = 0; axis < 4; ++axis) CHECK(same_bits(gather_slices(own_part(whole, axis, world), axis, whole.dim(axis), world), whole));
  CHECK(same_bits(gather_whole(whole, std::nullopt, world), whole));

  const Slice slice = own_slice("test", 1, 9, world);
  Buffer mine{.name = "test", .values = Tensor::zeros({11, own_extent(9, world), 10, 8}), .slice = slice};
  take(mine, whole);
  CHECK(same_bits(gather_whole(mine, world), whole));
}

TEST_CASE("tensor: the operators' gradients agree with difference quotients; without the allreduce they do not") {
  const Communicator world = Communicator::world();
  const Index inner = 9;
  const Tensor W = random_tensor({inner, 4}, 1), V = random_tensor({3, inner}, 2), x = random_tensor({2, 4}, 3);
  const Variable W_r(own_part(W, 0, world)), V_r(own_part(V, 1, world));

  // Every rank varies the same x in the same way, so all stay in step.
  const auto column_gather = [&](const std::vector<Variable>& v) {
    return gather_channels(tanh(matmul_nt(copy_to_group(v[0], world), W_r)), inner, world);
  };
  const auto column_row = [&](const std::vector<Variable>& v) {
    return tanh(sum_over_group(matmul_nt(tanh(matmul_nt(copy_to_group(v[0], world), W_r)), V_r), world));
  };
  const auto without_copy = [&](const std::vector<Variable>& v) {
    return tanh(sum_over_group(matmul_nt(tanh(matmul_nt(v[0], W_r)), V_r), world));
  };
  CHECK(check_gradients(column_gather, {x}).worst < quotient_error);
  CHECK(check_gradients(column_row, {x}).worst < quotient_error);
  if (world.size() > 1) CHECK(check_gradients(without_copy, {x}).worst > 0.1);
}

TEST_CASE("tensor: every rank gets the same bits, whatever is added") {
  const Communicator world = Communicator::world();
  for (const Index n : {Index{5}, Index{30000}}) {  // few messages, few bytes
    const Tensor x = random_tensor({n}, static_cast<std::uint64_t>(world.rank()));
    CHECK(agrees(sum_over_group(Variable(x), world).value(), world));
    if (world.size() > 1) CHECK_FALSE(agrees(x, world));  // the check can fail
  }
}

TEST_CASE("tensor: the operators send what their formulas say") {
  const Communicator world = Communicator::world();
  const int p = world.size();
  for (const Index rows : {0, 1, 7, 3000}) {
    const Index channels = p + 3;
    const Tensor whole = random_tensor({rows, channels});
    const std::size_t n = bytes(whole.size());
    const Variable x(whole.clone(), true), mine(own_part(whole, 1, world), true), data(whole.clone());
    Variable copy, sum, gathered;
    CHECK(traffic_of(world, [&] { copy = copy_to_group(x, world); }) == nothing);
    CHECK(traffic_of(world, [&] { backward(copy, whole); }) == allreduce_traffic(p, n));
    CHECK(traffic_of(world, [&] { sum = sum_over_group(x, world); }) == allreduce_traffic(p, n));
    CHECK(traffic_of(world, [&] { backward(sum, whole); }) == nothing);
    CHECK(traffic_of(world, [&] { gathered = gather_channels(mine, channels, world); }) == ring_allgather_traffic(p, n));
    CHECK(traffic_of(world, [&] { backward(gathered, whole); }) == nothing);
    CHECK_FALSE(copy_to_group(data, world).needs_gradient());
  }
}

TEST_CASE("tensor: short sums go by few messages, long ones by few bytes") {
  CHECK(allreduce_traffic(1, 1000) == nothing);
  CHECK(allreduce_traffic(4, 64) == doubling_allreduce_traffic(4, 64));
  CHECK(allreduce_traffic(4, 1 << 20) == halving_allreduce_traffic(4, 1 << 20));
  CHECK(allreduce_traffic(3, 1 << 20) == ring_allreduce_traffic(3, 1 << 20));
}

TEST_CASE("tensor: a split that leaves a rank without channels is refused, as is a part of another size") {
  const Communicator world = Communicator::world();
  const int p = world.size();
  if (p == 1) return;
  CHECK(error_of([&] { own_slice("column linear", 0, p - 1, world); }) ==
        fmt::format("column linear: {} channels cannot be split over {} ranks, some would have none; use at most {} ranks for the tensor "
                    "axis", p - 1, p, p - 1));
  CHECK_THROWS_WITH_AS(gather_channels(Variable(Tensor::zeros({2, 5})), 2 * p, world), doctest::Contains("axis 1"), Error);
}
