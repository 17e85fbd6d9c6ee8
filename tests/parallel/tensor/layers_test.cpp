// Column, row and split layers against the serial layers. With whole numbers every sum is exact in any order, so equality is asked for.
#include "parallel/tensor/column.hpp"
#include "parallel/tensor/row.hpp"
#include "tests/parallel/tensor/support.hpp"

using namespace tandem;

namespace {

constexpr Epilogue with_relu{.relu = true};
using Layers = std::shared_ptr<Sequential>;

Layers layers(const std::vector<std::shared_ptr<Module>>& all) {
  auto net = std::make_shared<Sequential>();
  for (const auto& layer : all) net->append(std::to_string(net->size()), layer);
  return net;
}

void set_whole_numbers(Module& model) {
  std::uint64_t stream = 1;
  for (Parameter& p : model.parameters()) p.variable.value().copy_from(whole_numbers(p.variable.shape(), stream++));
}

// One forward and backward of both; y, dx and every gradient must be equal. `x` is the whole; the split model takes it as `input`.
void check_against(Module& serial, Module& split, const Tensor& x, const Communicator& group, Layout input = Layout::whole,
                   Layout output = Layout::whole, double tolerance = 0) {
  assign_parts(split, serial);
  const auto part = [&](const Tensor& t, Layout layout) { return layout == Layout::split ? own_part(t, t.rank() - 1, group) : t.clone(); };
  const Context training{.training = true};
  const Variable x_serial(x.clone(), true), x_split(part(x, input), true);
  const Variable y_serial = serial.forward(x_serial, training), y_split = split.forward(x_split, training);
  CHECK(largest_difference(y_split.value(), part(y_serial.value(), output)) <= tolerance);

  const Tensor dy = whole_numbers(y_serial.shape(), 99);
  backward(y_serial, dy);
  backward(y_split, part(dy, output));
  CHECK(largest_difference(x_split.gradient(), part(x_serial.gradient(), input)) <= tolerance);
  const std::vector<Parameter> expected = serial.parameters(), got = split.parameters();
  REQUIRE(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    CAPTURE(got[i].name);
    CHECK(got[i].name == expected[i].name);
    const Tensor gradient = gather_whole(got[i].variable.gradient(), got[i].slice, group);
    CHECK(largest_difference(gradient, expected[i].variable.gradient()) <= tolerance);
    if (!got[i].slice) CHECK(agrees(got[i].variable.gradient(), group));
    Variable(expected[i].variable).set_gradient({});  // the serial layer may be compared once more
  }
}

}  // namespace

TEST_CASE("tensor: column linear, row linear and the pair are the serial layers, for every width") {
  const Communicator world = Communicator::world();
  const Index p = world.size();
  for (const Index width : {p, p + 1, 2 * p - 1, Index{16}}) {
    for (const Index n : {1, 5}) {
      CAPTURE(width);
      const Tensor x = whole_numbers({n, 6}), wide = whole_numbers({n, width});
      Linear column(6, width, he_normal(), with_relu), row(width, 7, he_normal(), with_relu);
      set_whole_numbers(column);
      set_whole_numbers(row);
      ColumnLinear split(6, width, world, Layout::split, he_normal(), with_relu);
      ColumnLinear gathered(6, width, world, Layout::whole, he_normal(), with_relu);
      RowLinear summed(width, 7, world, he_normal(), with_relu);
      check_against(column, split, x, world, Layout::whole, Layout::split);
      check_against(column, gathered, x, world);
      check_against(row, summed, wide, world, Layout::split, Layout::whole);
    }
    const Layers serial = layers({std::make_shared<Linear>(6, width, he_normal(), with_relu), std::make_shared<Linear>(width, 7)});
    const Layers pair = layers({std::make_shared<ColumnLinear>(6, width, world, Layout::split, he_normal(), with_relu),
                                std::make_shared<RowLinear>(width, 7, world)});
    set_whole_numbers(*serial);
    check_against(*serial, *pair, whole_numbers({4, 6}), world);
  }
}

TEST_CASE("tensor: column conv2d, row conv2d and the pair are the serial layers, with every epilogue, stride and width") {
  const Communicator world = Communicator::world();
  const Index p = world.size();
  for (const Index width : {p, p + 1, Index{32}})
    for (const ConvOptions& options : {ConvOptions{}, ConvOptions{.bias = false}, ConvOptions{.kernel = 4, .stride = 2, .pad = 1},
                                       ConvOptions{.kernel = 1, .pad = 0, .epilogue = {.relu = true}},
                                       ConvOptions{.epilogue = {.relu = true, .max_pool = true}}}) {
      CAPTURE(width);
      CAPTURE(options.kernel);
      const Tensor x = whole_numbers({2, 7, 6, 3}), wide = whole_numbers({2, 7, 6, width});
      Conv2d column(3, width, options), row(width, 5, options);
      set_whole_numbers(column);
      set_whole_numbers(row);
      ColumnConv2d split(3, width, world, Layout::split, options), gathered(3, width, world, Layout::whole, options);
      RowConv2d summed(width, 5, world, options);
      check_against(column, split, x, world, Layout::whole, Layout::split);
      check_against(column, gathered, x, world);
      check_against(row, summed, wide, world, Layout::split, Layout::whole);
    }
  const Layers serial = layers({std::make_shared<Conv2d>(3, 17), std::make_shared<Relu>(), std::make_shared<Conv2d>(17, 4)});
  const Layers pair = layers({std::make_shared<ColumnConv2d>(3, 17, world), std::make_shared<Relu>(),
                              std::make_shared<RowConv2d>(17, 4, world)});
  set_whole_numbers(*serial);
  check_against(*serial, *pair, whole_numbers({2, 5, 6, 3}), world);
}

TEST_CASE("tensor: batch normalisation of split channels is that of the whole, running statistics too") {
  const Communicator world = Communicator::world();
  const Index p = world.size(), rows = 3 * 4 * 4;
  for (const Index channels : {p, p + 1, Index{19}})
    for (const Layout result : {Layout::split, Layout::whole}) {
      BatchNorm serial(channels, {.relu = true, .max_pool = true});
      SplitBatchNorm split(channels, world, result, {.relu = true, .max_pool = true});
      // Sums of `rows` terms of size up to 10, should a kernel cut them elsewhere for another number of channels.
      const double tolerance = static_cast<double>(rows) * epsilon;
      check_against(serial, split, random_tensor({3, 4, 4, channels}), world, Layout::split, result, 10 * tolerance);
      for (BatchNorm* norm : std::initializer_list<BatchNorm*>{&serial, &split}) {
        std::vector<real> part(static_cast<std::size_t>(norm->statistics_size()));
        norm->take_statistics(part);
        norm->commit_statistics(part);
      }
      for (std::size_t i = 0; i < 2; ++i) {
        CHECK(largest_difference(gather_whole(split.buffers()[i], world), serial.buffers()[i].values) <= tolerance);
        CHECK(largest_difference(serial.buffers()[i].values, Tensor::full({channels}, static_cast<real>(i))) > 1e-3);  // they moved
      }
    }
}

TEST_CASE("tensor: a seed means the same weights, split or not; a slice drawn as a matrix of its own would differ") {
  const Communicator world = Communicator::world();
  const Layers serial = layers({std::make_shared<Linear>(6, 11), std::make_shared<Linear>(11, 9, glorot_uniform())});
  const Layers split = layers({std::make_shared<ColumnLinear>(6, 11, world),
                               std::make_shared<RowLinear>(11, 9, world, glorot_uniform())});
  initialise(*serial, 3);
  initialise(*split, 3);
  for (std::size_t i = 0; i < 4; ++i)
    CHECK(same_bits(gather_whole(split->parameters()[i], world), serial->parameters()[i].variable.value()));

  if (world.size() == 1) return;
  // As its own matrix: every rank would draw the same rows. (Of a row layer even the scale, 2 / fan_in, would be another.)
  const Index w = own_extent(11, world);
  const Layers own = layers({std::make_shared<Linear>(6, w), std::make_shared<Linear>(w, 9)});
  initialise(*own, 3);
  const auto whole = [&](std::size_t i, int axis, Index n) {
    return gather_slices(own->parameters()[i].variable.value(), axis, n, world);
  };
  CHECK_FALSE(same_bits(whole(0, 0, 11), serial->parameters()[0].variable.value()));
  CHECK_FALSE(same_bits(whole(2, 1, 11), serial->parameters()[2].variable.value()));
}

TEST_CASE("tensor: negative controls: an input gradient that is not summed, a bias that counts p times") {
  const Communicator world = Communicator::world();
  if (world.size() == 1) return;
  const Tensor W = whole_numbers({10, 9}, 1), b = Tensor::full({10}, 1), x = whole_numbers({3, 9}, 2), dy = whole_numbers({3, 10}, 3);
  const Variable serial_x(x.clone(), true), lonely_x(x.clone(), true);
  const Variable serial = linear(serial_x, Variable(W), Variable(b));
  backward(serial, dy);

  backward(linear(lonely_x, Variable(own_part(W, 0, world)), Variable(own_part(b, 0, world))), own_part(dy, 1, world));
  CHECK_FALSE(equal(lonely_x.gradient(), serial_x.gradient()));

  const Variable biased = sum_over_group(linear(Variable(own_part(x, 1, world)), Variable(own_part(W, 1, world)), Variable(b)), world);
  CHECK(largest_difference(biased.value(), serial.value()) == world.size() - 1);
}

TEST_CASE("tensor: a pair costs one allreduce forward and one backward") {
  const Communicator world = Communicator::world();
  const int p = world.size();
  const Layers pair = layers({std::make_shared<ColumnLinear>(6, 100, world), std::make_shared<RowLinear>(100, 7, world)});
  initialise(*pair, 1);
  const Variable x(random_tensor({5, 6}), true);
  Variable y;
  CHECK(traffic_of(world, [&] { y = pair->forward(x, {}); }) == allreduce_traffic(p, bytes(5 * 7)));
  CHECK(traffic_of(world, [&] { backward(y, random_tensor({5, 7})); }) == allreduce_traffic(p, bytes(5 * 6)));
}

TEST_CASE("tensor: layers with fewer channels than ranks are refused by name") {
  const Communicator world = Communicator::world();
  const Index few = world.size() - 1;
  if (few == 0) return;
  CHECK_THROWS_WITH_AS(ColumnLinear(4, few, world), doctest::Contains("column linear"), Error);
  CHECK_THROWS_WITH_AS(RowLinear(few, 4, world), doctest::Contains("row linear"), Error);
  CHECK_THROWS_WITH_AS(ColumnConv2d(4, few, world), doctest::Contains("column conv2d"), Error);
  CHECK_THROWS_WITH_AS(RowConv2d(few, 4, world), doctest::Contains("row conv2d"), Error);
  CHECK_THROWS_WITH_AS(SplitBatchNorm(few, world), doctest::Contains("batch norm"), Error);
}
