// Every operation on a split image against the same operation on the whole: result and all gradients.
#include "tests/parallel/spatial/support.hpp"

using namespace tandem;

namespace {

using Parameters = std::vector<Variable>;

struct Case {
  std::string what;
  Shape x;
  std::vector<Shape> parameters;
  std::function<Variable(const Variable&, const Parameters&)> serial;
  std::function<SplitImage(const SplitImage&, const Parameters&)> split;
  Index terms = 0;  // 0: sums of whole numbers, equal to the last bit
  Index multiple = 1;
};

Parameters leaves(const Case& c) {
  Parameters all;
  for (std::size_t i = 0; i < c.parameters.size(); ++i) all.emplace_back(whole_numbers(c.parameters[i], i + 1), true);
  return all;
}

void check(const Case& c, RankGrid grid, const Communicator& world) {
  CAPTURE(c.what);
  CAPTURE(grid.rows);
  CAPTURE(grid.columns);
  const Tensor image = c.terms ? random_tensor(c.x) : whole_numbers(c.x);
  const Variable x(image, true);
  const Parameters w = leaves(c);
  const Variable y = c.serial(x, w);
  const Tensor dy = whole_numbers(y.shape(), 99);
  backward(y, dy);

  const ImageSplit split(c.x[1], c.x[2], grid, world, c.multiple);
  const Variable part(split.mine(image), true);
  const Parameters mine = leaves(c);
  const SplitImage result = c.split({part, split}, mine);
  backward(result.part, result.split.mine(dy));

  const auto equal = [&](const Tensor& a, const Tensor& b) { return c.terms ? close(a, b, c.terms) : std::ranges::equal(a.values(), b.values()); };
  CHECK(equal(result.part.value(), result.split.mine(y.value())));
  CHECK(equal(part.gradient(), split.mine(x.gradient())));
  for (std::size_t i = 0; i < w.size(); ++i) {
    CHECK(equal(summed(mine[i].gradient(), world), w[i].gradient()));
    if (world.size() > 1) CHECK_FALSE(equal(mine[i].gradient(), w[i].gradient()));  // each rank's own is a part of the sum
  }
}

std::vector<Case> cases() {
  std::vector<Case> all;
  const auto conv = [&](const Shape& x, const Shape& W, const Window& window) {
    for (const Epilogue e : {Epilogue{}, {.relu = true}, {.max_pool = true}, {.relu = true, .max_pool = true}})
      for (const Index multiple : {1, 2})
        all.push_back({fmt::format("conv2d {} * {} stride {} relu {} pool {} cut at multiples of {}", x, W, window.stride_h, e.relu, e.max_pool, multiple),
                       x, {W, {W[3]}},
                       [=](const Variable& v, const Parameters& p) { return conv2d(v, p[0], p[1], window, e); },
                       [=](const SplitImage& v, const Parameters& p) { return conv2d(v, p[0], p[1], window, e); }, 0, multiple});
  };
  conv({1, 37, 41, 2}, {3, 3, 2, 5}, Window::square(3, 1, 1));
  conv({2, 34, 37, 3}, {3, 3, 3, 4}, Window::square(3, 2, 1));
  conv({1, 38, 33, 2}, {4, 4, 2, 3}, Window::square(4, 2, 1));
  conv({2, 35, 32, 1}, {5, 5, 1, 2}, Window::square(5, 1, 2));
  conv({1, 33, 36, 3}, {1, 1, 3, 4}, Window::square(1));
  conv({1, 33, 35, 2}, {3, 3, 2, 2}, Window::square(3));
  conv({1, 36, 33, 16}, {3, 3, 16, 16}, Window::square(3, 1, 1));  // Winograd
  conv({1, 40, 44, 2}, {3, 2, 2, 2}, {.stride_h = 1, .stride_w = 2, .pad_h = 1});

  for (const auto& [x, w] : std::vector<std::pair<Shape, Window>>{{{2, 33, 37, 3}, Window::square(2, 2)}, {{1, 34, 33, 2}, Window::square(3, 2, 1)},
                                                                  {{1, 37, 35, 2}, Window::square(3, 3)}, {{1, 19, 33, 1}, Window::square(3, 1, 1)}}) {
    all.push_back({fmt::format("max_pool {} {} by {}", x, w.height, w.stride_h), x, {},
                   [=](const Variable& v, const Parameters&) { return max_pool(v, w); },
                   [=](const SplitImage& v, const Parameters&) { return max_pool(v, w); }});
    all.push_back({fmt::format("average_pool {} {} by {}", x, w.height, w.stride_h), x, {},
                   [=](const Variable& v, const Parameters&) { return average_pool(v, w); },
                   [=](const SplitImage& v, const Parameters&) { return average_pool(v, w); }, 9});
  }
  all.push_back({"upsample", {2, 17, 19, 3}, {}, [](const Variable& v, const Parameters&) { return upsample(v); },
                 [](const SplitImage& v, const Parameters&) { return upsample(v); }});
  all.push_back({"concat of an image with itself, pooled and upsampled", {1, 64, 68, 2}, {},
                 [](const Variable& v, const Parameters&) { return concat({v, upsample(max_pool(v, Window::square(2, 2)))}, -1); },
                 [](const SplitImage& v, const Parameters&) { return concat({v, upsample(max_pool(v, Window::square(2, 2)))}); }, 0, 2});
  // The longest sum is over the batch: 2 * 17 * 19 rows.
  all.push_back({"batch_norm", {2, 17, 19, 5}, {{5}, {5}},
                 [](const Variable& v, const Parameters& p) { return batch_norm(v, p[0], p[1], real(1e-5), nullptr, {.relu = true}); },
                 [](const SplitImage& v, const Parameters& p) {
                   return SplitImage{batch_norm(v.part, p[0], p[1], real(1e-5), nullptr, {.relu = true}, shared_batch(v)), v.split};
                 }, 2 * 17 * 19});
  return all;
}

}  // namespace

TEST_CASE("split images: every operation gives the serial one's part, forward and in every gradient") {
  const auto world = Communicator::world();
  for (const Case& c : cases())
    for (const RankGrid grid : grids(world.size(), 4)) check(c, grid, world);
}

TEST_CASE("split images: from the global average pool and whole() on, every rank has all; the loss is counted once") {
  const auto world = Communicator::world();
  for (const RankGrid grid : grids(world.size())) {
    const Tensor image = whole_numbers({2, 11, 13, 3}), target = whole_numbers({2, 3}, 1), far = whole_numbers({2, 11, 13, 3}, 2);
    const Variable x(image, true);
    const Variable mean = global_average_pool(x);
    backward(squared_error_sum(mean, target) + squared_error_sum(x, far));

    const ImageSplit split(11, 13, grid, world);
    const Variable part(split.mine(image), true);
    const SplitImage both{part, split};
    const Variable same = global_average_pool(both), all = whole(both);
    CHECK(close(same.value(), mean.value(), 11 * 13));
    CHECK(std::ranges::equal(all.value().values(), image.values()));
    backward(counted_once(squared_error_sum(same, target) + squared_error_sum(all, far), world));
    CHECK(close(part.gradient(), split.mine(x.gradient()), 11 * 13));
    if (world.size() == 1) continue;
    const Variable again(split.mine(image), true);  // a loss that every rank counts is p losses
    backward(squared_error_sum(whole({again, split}), far));
    CHECK_FALSE(close(again.gradient(), split.mine(x.gradient()), 11 * 13));
  }
}

TEST_CASE("split images, negative controls: without halo, and with statistics of the own part alone, results are others") {
  const auto world = Communicator::world();
  if (world.size() == 1) return;
  const Tensor image = random_tensor({1, 19, 17, 3});
  const ImageSplit split(19, 17, {world.size(), 1}, world);
  const Variable part(split.mine(image)), W(random_tensor({3, 3, 3, 2}, 1));
  const Window window = Window::square(3, 1, 1);
  const Tensor right = split.mine(conv2d(Variable(image), W, {}, window).value());
  CHECK(close(conv2d(SplitImage{part, split}, W, {}, window).part.value(), right, 27));
  CHECK_FALSE(close(conv2d(part, W, {}, window).value(), right, 27));  // padded with zeros where neighbours are

  const Variable gamma(Tensor::full({3}, 1)), beta(Tensor::zeros({3}));
  const Tensor normal = split.mine(batch_norm(Variable(image), gamma, beta, real(1e-5), nullptr).value());
  CHECK(close(batch_norm(part, gamma, beta, real(1e-5), nullptr, {}, shared_batch({part, split})).value(), normal, 19 * 17));
  CHECK_FALSE(close(batch_norm(part, gamma, beta, real(1e-5), nullptr).value(), normal, 19 * 17));
}

TEST_CASE("split images: batch norm reports the statistics of the whole batch on every rank") {
  const auto world = Communicator::world();
  const Tensor image = random_tensor({2, 19, 17, 3});
  const Variable gamma(Tensor::full({3}, 1)), beta(Tensor::zeros({3}));
  BatchStatistics serial, mine;
  batch_norm(Variable(image), gamma, beta, real(1e-5), &serial);
  const ImageSplit split(19, 17, {1, world.size()}, world);
  const SplitImage x{Variable(split.mine(image)), split};
  batch_norm(x.part, gamma, beta, real(1e-5), &mine, {}, shared_batch(x));
  CHECK(mine.rows == 2 * 19 * 17);
  CHECK(close(mine.mean, serial.mean, 2 * 19 * 17));
  CHECK(close(mine.variance, serial.variance, 2 * 19 * 17));
}

TEST_CASE("split images: a part of another size, or images split differently, are refused") {
  const auto world = Communicator::world();
  const ImageSplit split(32, 32, {world.size(), 1}, world);
  const Variable wrong(Tensor::zeros({1, 33, 32, 2}));
  CHECK(error_of([&] { upsample(SplitImage{wrong, split}); }).find("its part of the split") != std::string::npos);
  if (world.size() == 1) return;
  const Index odd = 2 * world.size() + 1;
  const ImageSplit cut_at_odd(odd * world.size(), 8, {world.size(), 1}, world);
  const SplitImage x{Variable(Tensor::zeros({1, odd, 8, 1})), cut_at_odd};
  CHECK(error_of([&] { concat({x, upsample(max_pool(x, Window::square(2, 2)))}); }).find("total_stride") != std::string::npos);
}
