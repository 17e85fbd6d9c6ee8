// Data parallelism against the serial run, parameter by parameter. The serial run is the same trainer on a communicator of one.
#include "parallel/trainer.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "core/threads.hpp"
#include "nn/layers.hpp"
#include "parallel/collectives/collectives.hpp"

using namespace tandem;

namespace {

constexpr Index side = 6, channels = 2;
constexpr int classes = 3;

// Images that are random numbers keyed by the sample, so that every rank makes the same.
class RandomImages : public Dataset {
 public:
  explicit RandomImages(std::int64_t size, real scale = 1) : size_(size), scale_(scale) {}
  std::int64_t size() const override { return size_; }
  Shape sample_shape() const override { return {side, side, channels}; }
  int classes() const override { return ::classes; }
  void load(std::span<const std::int64_t> samples, std::int64_t, Tensor& x, std::span<std::int32_t> labels) const override {
    const Index each = side * side * channels;
    for (std::size_t i = 0; i < samples.size(); ++i) {
      Random random(5, mix(hash("image"), static_cast<std::uint64_t>(samples[i])));
      for (Index j = 0; j < each; ++j) x[static_cast<Index>(i) * each + j] = scale_ * static_cast<real>(random.normal());
      labels[i] = static_cast<std::int32_t>(samples[i] % ::classes);
    }
  }

 private:
  std::int64_t size_;
  real scale_;
};

// Convolution, batch norm, dropout, linear; and a parameter that nothing uses.
class Net : public Sequential {
 public:
  Net() : unused_(add_parameter("unused", {3}, constant_init(1))) {
    add<Conv2d>(channels, 5).add<BatchNorm>(5).add<Relu>().add<MaxPool>(Window::square(2, 2)).add<Flatten>();
    add<Linear>(5 * 9, 11).add<Tanh>().add<Dropout>(0.25).add<Linear>(11, classes);
  }

 private:
  Variable unused_;
};

struct Run {
  std::int64_t samples = 37, batch = 10, micro_batches = 8;  // the last batch has 7 samples: one micro-batch is empty
  std::int64_t steps = 3 * 4;
  std::uint64_t seed = 1;
  std::string algorithm = "auto";
  std::size_t bucket_bytes = 256;                            // several buckets even for this small net
  real scale = 1;
  double clip = 0;
};

// The net after training, and its values by name.
std::vector<std::pair<std::string, Tensor>> trained(const Run& run, const Communicator& comm, std::uint64_t* fingerprint = nullptr) {
  const RandomImages data(run.samples, run.scale);
  Net net;
  initialise(net, run.seed);
  Sgd optimizer(net.parameters(), {.momentum = real(0.9), .nesterov = true});
  const ProcessGrid grid(comm);
  Trainer trainer(net, optimizer, classification_loss(), grid,
                  {.micro_batches = run.micro_batches, .seed = run.seed, .clip = run.clip,
                   .buckets = {.bucket_bytes = run.bucket_bytes, .algorithm = run.algorithm}});
  Loader loader(data, Sampler(run.samples, run.batch, run.seed),
                {.steps = run.steps, .micro_batches = run.micro_batches, .mine = trainer.my_micro_batches()});
  while (const auto batch = loader.next()) trainer.step(*batch, 0.05);

  std::vector<std::pair<std::string, Tensor>> values;
  for (const Parameter& p : net.parameters()) values.emplace_back(p.name, p.variable.value().clone());
  for (const Buffer& b : net.buffers()) values.emplace_back(b.name, b.values.clone());
  if (fingerprint) *fingerprint = weights_hash(net);
  return values;
}

double largest_difference(const Tensor& a, const Tensor& b) {
  double largest = 0;
  for (Index i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(double{a[i]} - double{b[i]}));
  return largest;
}

void check_equal_bits(const Run& run, const Communicator& world) {
  const Communicator alone = world.split(world.rank(), 0);
  const auto together = trained(run, world), serial = trained(run, alone);
  REQUIRE(together.size() == serial.size());
  for (std::size_t i = 0; i < serial.size(); ++i) {
    CAPTURE(serial[i].first);
    CHECK(std::ranges::equal(together[i].second.values(), serial[i].second.values()));
  }
}

bool in_tree(const Communicator& world, std::int64_t micro_batches = 8) {
  return std::has_single_bit(static_cast<unsigned>(world.size())) && micro_batches % world.size() == 0;
}

}  // namespace

TEST_CASE("pairwise sum: the tree is fixed by the number of leaves") {
  const auto leaf = [](real v) { return Tensor::full({1}, v); };
  const real big = real(1) / std::numeric_limits<real>::epsilon();  // big + 0.5 loses the half
  PairwiseSum sum(4);
  for (const real v : {big, real(0.5), real(0.5), -big}) sum.add(leaf(v));
  CHECK(sum.take_total().item() == (big + real(0.5)) + (real(0.5) - big));

  PairwiseSum three(3);  // 0 + (1 + 2)
  for (const real v : {big, real(0.5), real(0.5)}) three.add(leaf(v));
  CHECK(three.take_total().item() == big + 1);
  CHECK((big + real(0.5)) + real(0.5) != big + 1);  // the other order would show

  PairwiseSum skipped(4);
  skipped.add({});
  skipped.add(leaf(3));
  skipped.add({});
  skipped.add({});
  CHECK(skipped.take_total().item() == 3);

  PairwiseSum none(2);
  none.add({});
  CHECK_THROWS_AS(none.take_total(), Error);
  none.add({});
  CHECK(!none.take_total().defined());
}

TEST_CASE("pairwise sum: the halves of the tree are the ranks' own trees") {
  for (const Index leaves : {8, 12, 6}) {
    std::vector<Tensor> v;
    Random random(3, 3);
    for (Index i = 0; i < leaves; ++i) v.push_back(Tensor::full({1}, static_cast<real>(random.normal())));
    const auto sum = [&](Index begin, Index end) {
      PairwiseSum s(end - begin);
      for (Index i = begin; i < end; ++i) s.add(v[static_cast<std::size_t>(i)].clone());
      return s.take_total().item();
    };
    CHECK(sum(0, leaves) == sum(0, leaves / 2) + sum(leaves / 2, leaves));
  }
}

TEST_CASE("data parallel: every parameter and buffer has the bits of the serial run") {
  const Communicator world = Communicator::world();
  if (!in_tree(world)) return;  // the promise covers powers of two that divide M
  check_equal_bits({}, world);
  for (const char* algorithm : {"doubling", "halving", "tree", "hierarchical"}) check_equal_bits({.algorithm = algorithm}, world);
  check_equal_bits({.bucket_bytes = 1 << 20}, world);
  check_equal_bits({.samples = 64, .batch = 32}, world);
  check_equal_bits({.samples = 5, .batch = 3}, world);  // most micro-batches are empty
  check_equal_bits({.clip = 0.5}, world);
}

TEST_CASE("data parallel: a weight that is used twice gets the sum of both gradients, once") {
  // logits = (x W^T) W A^T: one W, two uses
  class Tied : public Module {
   public:
    Tied() : W_(add_parameter("W", {5, side * side * channels}, glorot_uniform())), A_(add_parameter("A", {::classes, side * side * channels}, glorot_uniform())) {}
    Variable forward(const Variable& x, const Context&) override { return matmul_nt(matmul(matmul_nt(flatten(x), W_), W_), A_); }

   private:
    Variable W_, A_;
  };
  const Communicator world = Communicator::world();
  if (!in_tree(world)) return;
  const RandomImages data(16);
  const auto train = [&](const Communicator& comm) {
    Tied net;
    initialise(net, 1);
    Sgd optimizer(net.parameters(), {});
    const ProcessGrid grid(comm);
    Trainer trainer(net, optimizer, classification_loss(), grid, {.micro_batches = 8, .buckets = {.bucket_bytes = 64}});
    Loader loader(data, Sampler(16, 16, 1), {.steps = 3, .micro_batches = 8, .mine = trainer.my_micro_batches()});
    while (const auto batch = loader.next()) trainer.step(*batch, 0.05);
    return net.parameters()[0].variable.value();
  };
  const Communicator alone = world.split(world.rank(), 0);
  const Tensor together = train(world), serial = train(alone);
  CHECK(std::ranges::equal(together.values(), serial.values()));

  // The control: it has learned something.
  Tied net;
  initialise(net, 1);
  CHECK_FALSE(std::ranges::equal(serial.values(), net.parameters()[0].variable.value().values()));
}

TEST_CASE("data parallel: the gradient's norm is that of the whole gradient, on every rank") {
  const Communicator world = Communicator::world();
  if (!in_tree(world)) return;
  const RandomImages data(8);
  const auto norm = [&](const Communicator& comm) {
    Net net;
    initialise(net, 1);
    Sgd optimizer(net.parameters(), {});
    const ProcessGrid grid(comm);
    Trainer trainer(net, optimizer, classification_loss(), grid, {.micro_batches = 8, .clip = 1e-3});
    Loader loader(data, Sampler(8, 8, 1), {.steps = 1, .micro_batches = 8, .mine = trainer.my_micro_batches()});
    return trainer.step(*loader.next(), 0.1).gradient_norm;
  };
  const Communicator alone = world.split(world.rank(), 0);
  const double together = norm(world);
  CHECK(together == norm(alone));

  // And that of the definition: gradients of the eight micro-batches added in their tree, in name order (nn/optimizer.hpp).
  Net net;
  initialise(net, 1);
  Tensor x({8, side, side, channels});
  std::vector<std::int32_t> labels(8);
  const std::vector<std::int64_t> order = Sampler(8, 8, 1).batch(0);
  data.load(order, 0, x, labels);
  std::vector<PairwiseSum> sums(net.parameters().size(), PairwiseSum(8));
  for (Index i = 0; i < 8; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const Variable logits = net.forward(x.rows(i, i + 1), {.training = true, .seed = 1, .samples = std::span(order).subspan(at, 1)});
    backward(cross_entropy_sum(logits, std::span(labels).subspan(at, 1)));
    for (std::size_t p = 0; p < sums.size(); ++p) {
      Variable w = net.parameters()[p].variable;
      sums[p].add(w.gradient());
      w.set_gradient({});
    }
  }
  std::vector<Parameter> parameters = net.parameters();
  for (std::size_t p = 0; p < sums.size(); ++p) {
    const Tensor total = sums[p].take_total();
    parameters[p].variable.set_gradient(total.defined() ? total : Tensor::zeros(parameters[p].variable.shape()));  // one is unused
  }
  CHECK(together == gradient_norm(parameters) * (1.0 / 8));
  CHECK(together > 1e-3);  // so clipping had something to do
}

TEST_CASE("data parallel: a replica that goes astray is found at the next step that is a multiple of the switch, not before") {
  const Communicator world = Communicator::world();
  if (world.size() == 1 || world.size() > 8) return;
  const RandomImages data(16);
  Net net;
  initialise(net, 1);
  Sgd optimizer(net.parameters(), {});
  const ProcessGrid grid(world);
  Trainer trainer(net, optimizer, classification_loss(), grid, {.micro_batches = 8, .check_replicas = 3});
  Loader loader(data, Sampler(16, 16, 1), {.steps = 6, .micro_batches = 8, .mine = trainer.my_micro_batches()});
  for (int step = 0; step < 3; ++step) trainer.step(*loader.next(), 0.01);  // looked at, and alike
  if (world.rank() == 1) net.parameters()[0].variable.value()[0] += real(0.125);
  for (int step = 3; step < 5; ++step) trainer.step(*loader.next(), 0.01);
  CHECK_THROWS_WITH_AS(trainer.step(*loader.next(), 0.01), doctest::Contains("replicas differ after step 5"), Error);
}

TEST_CASE("data parallel: any number of ranks and the ring come close to the serial run") {
  const Communicator world = Communicator::world();
  const Communicator alone = world.split(world.rank(), 0);
  if (world.size() > 8) return;
  const auto serial = trained({.steps = 4}, alone), other = trained({.steps = 4, .seed = 2}, alone);
  for (const char* const algorithm : {"window", "hierarchical", "naive", "tree", "ring", "doubling", "halving"}) {
    CAPTURE(algorithm);
    const auto together = trained({.steps = 4, .algorithm = algorithm}, world);
    double furthest = 0;
    for (std::size_t i = 0; i < serial.size(); ++i) {
      CAPTURE(serial[i].first);
      // Another order of at most 8 + 8 additions a step moves a sum by some epsilons; four steps let that grow a little.
      const double tolerance = 1000 * std::numeric_limits<real>::epsilon();
      CHECK(largest_difference(together[i].second, serial[i].second) < tolerance);
      furthest = std::max(furthest, largest_difference(other[i].second, serial[i].second) / tolerance);
    }
    CHECK(furthest > 100);  // the control: another start is another end
  }
}

TEST_CASE("negative controls: another M, another seed, one changed weight each change the hash") {
  const Communicator world = Communicator::world();
  if (!in_tree(world)) return;
  std::uint64_t base = 0, same = 0, other_m = 0, other_seed = 0;
  trained({}, world, &base);
  trained({}, world, &same);
  trained({.micro_batches = 16}, world, &other_m);
  trained({.seed = 2}, world, &other_seed);
  CHECK(base == same);
  CHECK(base != other_m);
  CHECK(base != other_seed);

  Net net;
  initialise(net, 1);
  const std::uint64_t before = weights_hash(net);
  real& weight = net.parameters()[2].variable.value()[0];
  weight = std::nextafter(weight, real(9));
  CHECK(weights_hash(net) != before);
}

TEST_CASE("threads do not change the bits") {
  const Communicator world = Communicator::world();
  const int before = thread_count();
  std::uint64_t one = 0, two = 0;
  set_thread_count(1);
  trained({}, world, &one);
  set_thread_count(2);
  trained({}, world, &two);
  set_thread_count(before);
  CHECK(one == two);
}

TEST_CASE("the ranks agree after every run") {
  const Communicator world = Communicator::world();
  if (world.size() > 8) return;
  std::uint64_t mine = 0;
  trained({}, world, &mine);
  std::uint64_t first = mine;
  broadcast(std::span(&first, 1), 0, world);
  CHECK(mine == first);
}

TEST_CASE("the gradient is that of the mean loss over the global batch") {
  const Communicator world = Communicator::world();
  if (world.size() > 8) return;
  // Without batch norm the result may not depend on M: one plain SGD step from the mean of all samples' gradients.
  const RandomImages data(10);
  Sequential net;
  net.add<Flatten>().add<Linear>(side * side * channels, classes);
  initialise(net, 1);
  Tensor x({10, side, side, channels});
  std::vector<std::int32_t> labels(10);
  const std::vector<std::int64_t> order = Sampler(10, 10, 1).batch(0);
  data.load(order, 0, x, labels);
  backward(scale(cross_entropy_sum(net.forward(x, {}), labels), real(0.1)));
  std::vector<Tensor> expected;
  for (Parameter& p : net.parameters()) {
    expected.push_back(map(p.variable.value(), p.variable.gradient(), [](real w, real g) { return w - real(0.5) * g; }));
    p.variable.set_gradient({});
  }

  Sgd optimizer(net.parameters(), {});
  const ProcessGrid grid(world);
  Trainer trainer(net, optimizer, classification_loss(), grid, {.micro_batches = 8, .seed = 1});
  Loader loader(data, Sampler(10, 10, 1), {.steps = 1, .micro_batches = 8, .mine = trainer.my_micro_batches()});
  const StepResult result = trainer.step(*loader.next(), 0.5);
  CHECK(result.weight == 10);
  for (std::size_t i = 0; i < expected.size(); ++i)
    // Ten terms of size one, added in two orders.
    CHECK(largest_difference(net.parameters()[i].variable.value(), expected[i]) < 20 * std::numeric_limits<real>::epsilon());
}

TEST_CASE("what cannot work is refused on every rank with the same words") {
  const Communicator world = Communicator::world();
  if (world.size() > 1) {
    CHECK_THROWS_WITH_AS(trained({.micro_batches = 1}, world), doctest::Contains("micro-batches"), UsageError);
  }
  if (world.size() <= 8) {
    CHECK_THROWS_WITH_AS(trained({.scale = std::numeric_limits<real>::infinity()}, world), doctest::Contains("the loss is"), Error);
  }
  CHECK_THROWS_WITH_AS(trained({.algorithm = "star"}, world), doctest::Contains("auto, window, hierarchical, naive, tree, ring"), UsageError);
}
