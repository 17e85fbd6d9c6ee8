// Cross-entropy of split classes against cross_entropy_sum of the whole logits.
#include "parallel/tensor/cross_entropy.hpp"

#include "core/gradcheck.hpp"
#include "tests/parallel/tensor/support.hpp"

using namespace tandem;

namespace {

struct Case {
  Index n, classes;
  real smoothing = 0, scale = 1;
  bool weighted = false, ignored = false;
};

}  // namespace

TEST_CASE("tensor: cross-entropy of split classes is that of the whole logits, loss and gradient") {
  const Communicator world = Communicator::world();
  const Index p = world.size();
  for (const Case& c : std::initializer_list<Case>{
           {4, p}, {5, p + 1}, {3, 2 * p - 1}, {6, 40, real(0.1)}, {6, 17, real(0.1), 1, true, true}, {6, 17, 1},
           {1, 9, 0, 100, true}, {0, 9}, {7, 33, real(0.2), 30, true, true}}) {
    CAPTURE(c.n);
    CAPTURE(c.classes);
    Tensor x = random_tensor({c.n, c.classes});
    for (real& v : x.values()) v *= c.scale;
    std::vector<std::int32_t> labels;
    for (Index i = 0; i < c.n; ++i) labels.push_back(c.ignored && i % 3 == 1 ? -1 : static_cast<std::int32_t>((i * 5 + 2) % c.classes));
    std::vector<real> weights;
    for (Index k = 0; k < c.classes && c.weighted; ++k) weights.push_back(static_cast<real>(1 + k % 3));
    const CrossEntropyOptions options{.class_weights = weights, .smoothing = c.smoothing};

    const Variable whole(x.clone(), true), part(own_part(x, 1, world), true);
    const Variable expected = cross_entropy_sum(whole, labels, options);
    const Variable loss = class_parallel_cross_entropy_sum(part, c.classes, labels, options, world);
    // Sums over `classes` and `n` terms; a term is a weight (at most 3) times a difference of logits (at most 8 scale).
    const double tolerance = static_cast<double>(c.classes + c.n) * 3 * 8 * static_cast<double>(c.scale) * epsilon;
    CHECK(std::abs(loss.value().item() - expected.value().item()) <= tolerance * static_cast<double>(std::max<Index>(c.n, 1)));
    CHECK(agrees(loss.value(), world));

    backward(expected, Tensor::scalar(real(0.5)));
    backward(loss, Tensor::scalar(real(0.5)));
    CHECK(largest_difference(gather_slices(part.gradient(), 1, c.classes, world), whole.gradient()) <= tolerance);
  }
}

TEST_CASE("tensor: its gradient agrees with difference quotients") {
  const Communicator world = Communicator::world();
  const std::vector<std::int32_t> labels{0, 8, 3};
  const CrossEntropyOptions options{.smoothing = real(0.1)};
  const Slice own = own_slice("test", 1, 9, world);
  // Every rank varies all logits; slice() gives zero to the others' classes, copy_to_group adds up what the ranks know.
  const auto loss = [&](const std::vector<Variable>& v) {
    const Variable mine = slice(copy_to_group(v[0], world), 1, own.begin, own.begin + own_extent(9, world));
    return class_parallel_cross_entropy_sum(mine, 9, labels, options, world);
  };
  CHECK(check_gradients(loss, {random_tensor({3, 9})}).worst < 50 * std::pow(epsilon, 2.0 / 3.0));
}

TEST_CASE("tensor: logits far apart neither overflow nor vanish; with each rank's own maximum the loss is wrong") {
  const Communicator world = Communicator::world();
  const Index p = world.size();
  // Rank r's classes lie at 300 r: e^300 is no float, and its own maximum makes each rank's sum about 1.
  Tensor x({1, 2 * p});
  for (Index k = 0; k < 2 * p; ++k) x[k] = static_cast<real>(300 * (k / 2) + k % 2);
  const std::vector<std::int32_t> labels{static_cast<std::int32_t>(2 * p - 2)};  // one below the largest
  const real right = cross_entropy_sum(Variable(x), labels).value().item();
  const real loss = class_parallel_cross_entropy_sum(Variable(own_part(x, 1, world)), 2 * p, labels, {}, world).value().item();
  CHECK(std::abs(loss - right) <= 4 * epsilon);
  CHECK(std::abs(right - std::log1p(std::exp(1.0))) <= 4 * epsilon);

  std::vector<real> total{1 + std::exp(real(-1))};  // sum of e^(x - top of this rank)
  allreduce(total, world);
  const real wrong = std::log(total[0]) + 1;
  if (p > 1) CHECK(std::abs(wrong - right) > 0.5);

  // Classes that are ruled out, even all of a rank's.
  for (Index k = 0; k + 2 < 2 * p; ++k) x[k] = -std::numeric_limits<real>::infinity();
  const real masked = class_parallel_cross_entropy_sum(Variable(own_part(x, 1, world)), 2 * p, labels, {}, world).value().item();
  CHECK(std::abs(masked - right) <= 4 * epsilon);
}

TEST_CASE("tensor: cross-entropy sends three numbers a row, however many classes") {
  const Communicator world = Communicator::world();
  const int p = world.size();
  for (const Index n : {0, 1, 6}) {
    const std::vector<std::int32_t> labels(static_cast<std::size_t>(n), 2);
    const Variable x(random_tensor({n, own_extent(1000, world)}), true);
    Variable loss;
    CHECK(traffic_of(world, [&] { loss = class_parallel_cross_entropy_sum(x, 1000, labels, {}, world); }) ==
          ring_allgather_traffic(p, bytes(p * n)) + allreduce_traffic(p, bytes(2 * n)));
    CHECK(traffic_of(world, [&] { backward(loss); }) == nothing);
  }
}

TEST_CASE("tensor: cross-entropy refuses what does not fit") {
  const Communicator world = Communicator::world();
  const Index k = own_extent(20, world);
  const auto loss = [&](Index columns, std::int32_t label, Index classes) {
    return class_parallel_cross_entropy_sum(Variable(Tensor::zeros({1, columns})), classes, std::vector<std::int32_t>{label}, {}, world);
  };
  CHECK_THROWS_WITH_AS(loss(k + 1, 0, 20), doctest::Contains("expected [1,"), Error);
  CHECK_THROWS_WITH_AS(loss(k, 20, 20), doctest::Contains("label 20"), Error);
  if (world.size() > 1) CHECK_THROWS_WITH_AS(loss(1, 0, world.size() - 1), doctest::Contains("cannot be split"), Error);
}
