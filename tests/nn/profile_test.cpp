// The profiler on whole networks: what it counts is what the layers say.
#include "core/profile.hpp"

#include <doctest/doctest.h>

#include "nn/models.hpp"
#include "tests/support.hpp"

namespace tandem {
namespace {

TEST_CASE("profile: a training step of the cnn has the operations of its definition, layer by layer") {
  constexpr Index images = 3;
  const std::vector<Index> sides{16, 16, 8, 8, 4, 4};  // of the six convolutions' outputs, before pooling
  const auto model = cnn({16, 16, 3}, 10);
  initialise(*model, 1);
  Profile profile;
  {
    const Profiling on(&profile);
    const Variable y = model->forward(random_tensor({images, 16, 16, 3}), {.training = true});
    backward(sum(y));
  }
  std::size_t conv = 0;
  double expected = 0, counted = 0;
  for (const Parameter& p : model->parameters()) {
    const Shape& shape = p.variable.shape();
    if (shape.rank() < 2) continue;
    const double places = shape.rank() == 4 ? static_cast<double>(sides.at(conv) * sides.at(conv)) : 1;
    const double forward = 2.0 * images * places * static_cast<double>(shape.size());
    const std::string layer = p.name.substr(0, p.name.rfind('.'));
    for (const ProfileRow& row : profile.rows()) {
      if (row.scope != layer || row.forward.operations == 0) continue;
      CAPTURE(layer);
      CHECK(row.forward.operations == forward);
      CHECK(row.backward.operations == (conv == 0 ? 1 : 2) * forward);  // the image needs no gradient
      counted += row.forward.operations + row.backward.operations;
    }
    expected += (conv == 0 ? 2 : 3) * forward;
    ++conv;
  }
  CHECK(counted == expected);
  CHECK(conv == sides.size() + 2);
}

}  // namespace
}  // namespace tandem
