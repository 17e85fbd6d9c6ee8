#include "parallel/data/replicas.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "nn/layers.hpp"
#include "tests/support.hpp"

using namespace tandem;

TEST_CASE("replicas: equal ones pass; one changed bit is found and named on every rank, with layer, rank and value") {
  const Communicator world = Communicator::world();
  const int p = world.size(), r = world.rank();
  const ProcessGrid grid(world);
  Sequential net;
  net.add_named<Linear>("hidden", 3, 4).add_named<BatchNorm>("norm", 4);
  initialise(net, 1);
  CHECK_NOTHROW(require_equal_replicas(net, grid, "at the start"));
  if (p == 1) return;

  Tensor bias = net.parameters()[1].variable.value();
  if (r == p - 1) bias[2] = std::nextafter(bias[2], real(1));
  const std::string words = error_of([&] { require_equal_replicas(net, grid, "after step 7"); });
  CHECK(words.find("replicas differ after step 7: value 2 of 'hidden.bias' is ") == 0);
  CHECK(words.find(fmt::format("on rank {}, but 0 on rank 0", p - 1)) != std::string::npos);

  if (r == p - 1) bias[2] = 0;
  CHECK_NOTHROW(require_equal_replicas(net, grid, "once mended"));
  if (r == 1) net.buffers()[0].values[0] = -0.0;  // the sign of a zero counts
  CHECK(error_of([&] { require_equal_replicas(net, grid, "now"); }).find("'norm.running_mean' is -0 on rank 1, but 0 on rank 0") != std::string::npos);
}

TEST_CASE("replicas: on a grid the ranks are those of the world, and all of them throw the same") {
  const Communicator world = Communicator::world();
  if (world.size() != 4) return;
  const int r = world.rank();
  Sequential net;
  net.add_named<Linear>("hidden", 3, 4);
  initialise(net, 1);
  {
    const ProcessGrid grid(world, {.data = 2, .pipeline = 2});
    if (r == 3) net.parameters()[0].variable.value()[5] = 9;
    CHECK(error_of([&] { require_equal_replicas(net, grid, "now"); }).find("value 5 of 'hidden.weight' is 9 on rank 3, but ") != std::string::npos);
    CHECK(error_of([&] { require_equal_replicas(net, grid, "now"); }).find("on rank 2") != std::string::npos);
    initialise(net, 1);
  }
  // What a tensor group keeps whole must be alike, too.
  const ProcessGrid grid(world, {.data = 2, .tensor = 2});
  CHECK_NOTHROW(require_equal_replicas(net, grid, "now"));
  if (r % 2 == 1) net.parameters()[1].variable.value()[0] = 7;  // alike over the data axis
  CHECK(error_of([&] { require_equal_replicas(net, grid, "now"); }).find("value 0 of 'hidden.bias' is 7 on rank 1, but 0 on rank 0") != std::string::npos);
}
