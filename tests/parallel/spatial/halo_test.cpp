// Where cuts are, and what travels across them.
#include "parallel/spatial/halo.hpp"

#include "tests/parallel/pmpi_count.hpp"
#include "tests/parallel/spatial/support.hpp"

using namespace tandem;

namespace {

const std::vector<Window> windows{Window::square(3, 1, 1), Window::square(5, 1, 2), Window::square(3, 2, 1), Window::square(4, 2, 1),
                                  Window::square(2, 2),    Window::square(3, 1),    Window::square(1, 2),    {.height = 3, .width = 2, .pad_h = 1}};

// What a rank's windows look at, cut out of the whole image with padding all around.
Tensor seen(const Tensor& image, const ImageSplit& split, const Window& w) {
  const Index far = 16;
  const Variable wide = pad(Variable(image), {{}, {far, far}, {far, far}, {}});
  const auto range = [&](const AxisSplit& axis, int i, Window1d v) {
    if (axis.parts() == 1) return Range{0, axis.length()};
    const Range result = axis.after(v).part(i);
    return Range{result.begin * v.stride - v.pad, (result.end - 1) * v.stride - v.pad + v.size};
  };
  const Range rows = range(split.rows(), split.grid_row(), {w.height, w.stride_h, w.pad_h});
  const Range columns = range(split.columns(), split.grid_column(), {w.width, w.stride_w, w.pad_w});
  return slice(slice(wide, 1, far + rows.begin, far + rows.end), 2, far + columns.begin, far + columns.end).value();
}

double dot(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  double sum = 0;
  for (Index i = 0; i < a.size(); ++i) sum += double{a[i]} * double{b[i]};
  return sum;
}

}  // namespace

TEST_CASE("axis split: parts follow each other, cover the axis, and a window's result belongs to whom its middle belongs") {
  CHECK(AxisSplit("rows", 10, 3).str() == "0|3|6|10");
  CHECK(AxisSplit("rows", 10, 2, 4).str() == "0|4|10");
  CHECK(AxisSplit("rows", 7, 1).str() == "0|7");
  const AxisSplit ten("rows", 10, 3);
  CHECK(ten.after({3, 1, 1}) == ten);
  CHECK(ten.margin(1, {3, 1, 1}) == Margin{1, 1});
  CHECK(ten.after({2, 2, 0}).str() == "0|2|3|5");
  CHECK(ten.margin(0, {2, 2, 0}) == Margin{0, 1});
  CHECK(ten.margin(1, {2, 2, 0}) == Margin{-1, 0});
  CHECK(ten.after({3, 1, 0}).str() == "0|2|5|8");
  CHECK(AxisSplit("rows", 16, 4, 4).after({2, 2, 0}).upsampled(2) == AxisSplit("rows", 16, 4, 4));
  for (const Index length : {8, 9, 13, 31})
    for (const int parts : {1, 2, 3, 4})
      for (const Window1d w : {Window1d{3, 1, 1}, {3, 2, 1}, {4, 2, 1}, {2, 2, 0}, {1, 1, 0}}) {
        const AxisSplit in("rows", length, parts), out = in.after(w);
        for (Index i = 0; i < out.length(); ++i)
          for (int r = 0; r < parts; ++r) {
            const Index middle = std::min(i * w.stride - w.pad + (w.size - 1) / 2, length - 1);
            const Range mine = in.part(r), result = out.part(r);
            CHECK((result.begin <= i && i < result.end) == (mine.begin <= middle && middle < mine.end));
          }
      }
}

TEST_CASE("axis split: what cannot work is refused, with numbers and a way out") {
  CHECK(error_of([] { AxisSplit("rows", 3, 4); }).find("use at most 3 ranks") != std::string::npos);
  CHECK(error_of([] { AxisSplit("rows", 30, 4, 8); }).find("3 whole units of 8") != std::string::npos);
  const AxisSplit four("rows", 4, 4);
  CHECK(error_of([&] { four.margin(1, {5, 1, 2}); }).find("looks 2 rows into the part of rank 0, which has only 1") != std::string::npos);
  CHECK(error_of([&] { four.after({2, 2, 0}); }).find("would have none") != std::string::npos);
  CHECK(error_of([&] { four.after({7, 1, 0}); }) != "no error");
  const auto world = Communicator::world();
  CHECK(error_of([&] { ImageSplit(64, 64, {world.size(), 2}, world); }).find("the product must be") != std::string::npos);
}

TEST_CASE("halo: every rank sees what its windows look at, corners included, and zeros beyond the image") {
  const auto world = Communicator::world();
  for (const RankGrid grid : grids(world.size()))
    for (const Index images : {1, 2})
      for (const Window& w : windows) {
        const ImageSplit split(33, 29, grid, world);
        const Tensor image = whole_numbers({images, 33, 29, 3});
        const Variable y = halo_exchange(Variable(split.mine(image)), split, w);
        CHECK(same_bits(y.value(), seen(image, split, w)));
      }
}

TEST_CASE("halo: backward is the exact adjoint, <y, H x> == <H^T y, x> over all ranks") {
  const auto world = Communicator::world();
  for (const RankGrid grid : grids(world.size()))
    for (const Index images : {1, 2})
      for (const Window& w : windows) {
        const ImageSplit split(33, 29, grid, world);
        const Variable x(split.mine(whole_numbers({images, 33, 29, 3})), true);
        const Variable Hx = halo_exchange(x, split, w);
        const Tensor y = whole_numbers(Hx.shape(), static_cast<std::uint64_t>(world.rank()));
        backward(Hx, y);
        CHECK(sum_over_ranks(dot(y, Hx.value()), world) == sum_over_ranks(dot(x.gradient(), x.value()), world));
        CHECK(same_bits(y, whole_numbers(Hx.shape(), static_cast<std::uint64_t>(world.rank()))));  // dy is not ours to change
      }
}

TEST_CASE("halo: a backward that does not add what comes back is no adjoint") {
  const auto world = Communicator::world();
  if (world.size() == 1) return;
  const ImageSplit split(33, 29, {world.size(), 1}, world);
  const Variable x(split.mine(whole_numbers({1, 33, 29, 3})), true);
  const Variable Hx = halo_exchange(x, split, Window::square(3, 1, 1));
  backward(Hx, Tensor::full(Hx.shape(), 1));
  // The sum of all gradients is the number of places where a pixel is seen: border rows count twice.
  const Index border_rows = 2 * (world.size() - 1);
  CHECK(sum_over_ranks(dot(x.gradient(), Tensor::full(x.shape(), 1)), world) == (33 + border_rows) * 29 * 3);
  CHECK(33 * 29 * 3 != (33 + border_rows) * 29 * 3);
}

TEST_CASE("halo: messages and bytes at MPI's door are the formula's, forward and backward") {
  const auto world = Communicator::world();
  for (const RankGrid grid : grids(world.size()))
    for (const Window& w : windows) {
      const ImageSplit split(33, 29, grid, world);
      const Variable x(split.mine(whole_numbers({2, 33, 29, 3})), true);
      Variable y;
      CHECK(traffic_of(world, [&] { y = halo_exchange(x, split, w); }) == halo_traffic(split, w, 2, 3));
      CHECK(traffic_of(world, [&] { backward(y, Tensor::zeros(y.shape())); }) == halo_traffic(split, w, 2, 3));
    }
  // By hand: bands of a 3x3 window exchange one row of 29 pixels each way across each of p - 1 cuts.
  const auto p = static_cast<std::size_t>(world.size());
  const ImageSplit bands(33, 29, {world.size(), 1}, world);
  CHECK(halo_traffic(bands, Window::square(3, 1, 1), 2, 3) == Traffic{2 * (p - 1), 2 * (p - 1) * 2 * 29 * 3 * sizeof(real)});
  if (p == 4) {  // blocks: a row of 14 or 15 pixels each way in both columns, a column of 16 or 17 and one more pixel each way
    const ImageSplit blocks(33, 29, {2, 2}, world);
    CHECK(halo_traffic(blocks, Window::square(3, 1, 1), 1, 1) == Traffic{8, (2 * 29 + 2 * (33 + 4)) * sizeof(real)});
  }
}

TEST_CASE("halo: a part thinner than the halo is refused on every rank, before anything is sent") {
  const auto world = Communicator::world();
  if (world.size() == 1) return;
  const Index height = world.size();  // one row each
  const ImageSplit split(height, 8, {world.size(), 1}, world);
  const Variable x(Tensor::zeros({1, 1, 8, 2}));
  const Traffic sent = traffic_of(world, [&] {
    CHECK(error_of([&] { halo_exchange(x, split, Window::square(5, 1, 2)); }).find("use fewer ranks") != std::string::npos);
  });
  CHECK(sent == Traffic{0, 0});
}
