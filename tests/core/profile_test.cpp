// The profiler: its books balance, and keeping them changes nothing.
#include "core/profile.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <thread>

#include "core/ops.hpp"
#include "tests/support.hpp"

namespace tandem {
namespace {

using namespace std::chrono_literals;

const ProfileRow& row_of(const Profile& profile, std::string_view scope, std::string_view op) {
  for (const ProfileRow& row : profile.rows())
    if (row.scope == scope && row.op == op) return row;
  fail("no row for '{}' in '{}'", op, scope);
}

Cost sum(const Profile& profile) {
  Cost sum;
  for (const ProfileRow& row : profile.rows()) (sum += row.forward) += row.backward;
  return sum;
}

// y = relu(conv(x)) W^T + b on x [2,6,6,3] with a 3x3 kernel, no padding, 4 channels; then 64 numbers to 5.
struct Network {
  Variable x{random_tensor({2, 6, 6, 3}, 1)}, K{random_tensor({3, 3, 3, 4}, 2), true}, W{random_tensor({5, 64}, 3), true};
  Variable k{random_tensor({4}, 4), true}, b{random_tensor({5}, 5), true};

  void step() {
    const Variable h = [&] {
      const ProfileScope scope("conv");
      return relu(conv2d(x, K, k));
    }();
    const ProfileScope scope("head");
    backward(sum(linear(flatten(h), W, b)));
  }
  static constexpr double conv_operations = 2.0 * 2 * 4 * 4 * 4 * 3 * 3 * 3, linear_operations = 2.0 * 2 * 64 * 5;
};

TEST_CASE("profile: the accounts add up to the whole time, to the nanosecond") {
  Profile profile;
  const auto start = std::chrono::steady_clock::now();
  for (int step = 0; step < 3; ++step) {
    const Profiling on(&profile);
    Network().step();
    std::this_thread::sleep_for(2ms);
  }
  CHECK(sum(profile).time == profile.total());
  CHECK(profile.total() <= std::chrono::steady_clock::now() - start);
  CHECK(row_of(profile, "", "other").forward.time >= 6ms);  // what is in no operation and no scope: the sleep
  CHECK(row_of(profile, "conv", "conv2d").forward.time < profile.total());
}

TEST_CASE("profile: operations and bytes are those of the definition") {
  Profile profile;
  {
    const Profiling on(&profile);
    for (int step = 0; step < 3; ++step) Network().step();
  }
  const ProfileRow& conv = row_of(profile, "conv", "conv2d");
  CHECK(conv.forward.calls == 3);
  CHECK(conv.forward.operations == 3 * Network::conv_operations);
  CHECK(conv.forward.bytes == 3 * sizeof(real) * (2 * 6 * 6 * 3 + 3 * 3 * 3 * 4 + 4 + 2 * 4 * 4 * 4));
  CHECK(conv.backward.calls == 3 * 2);                               // kernel and bias; x is data
  CHECK(conv.backward.operations == 3 * Network::conv_operations);   // of the kernel alone
  const ProfileRow& linear = row_of(profile, "head", "linear");
  CHECK(linear.forward.operations == 3 * Network::linear_operations);
  CHECK(linear.backward.operations == 3 * 2 * Network::linear_operations);  // x and W
  const ProfileRow& relu = row_of(profile, "conv", "relu");
  CHECK(relu.backward.operations == 0);
  CHECK(relu.backward.bytes == 3 * sizeof(real) * 2 * (2 * 4 * 4 * 4));  // dy and dx
}

TEST_CASE("profile: a pullback is charged to the scope in which its operation ran, wherever backward runs") {
  Profile profile;
  const Variable x(Tensor::scalar(2), true);
  {
    const Profiling on(&profile);
    Variable y;
    {
      const ProfileScope outer("outer");
      const ProfileScope inner("inner");
      y = record("slow", Tensor::scalar(1), {{x, [](const Tensor& dy) {
        std::this_thread::sleep_for(3ms);
        return dy;
      }}});
    }
    y = scale(y, 2);
    backward(y);
  }
  CHECK(row_of(profile, "inner", "slow").backward.time >= 3ms);
  CHECK(row_of(profile, "", "scale").backward.calls == 1);
  CHECK(error_of([&] { row_of(profile, "", "slow"); }) == "no row for 'slow' in ''");
}

TEST_CASE("profile: postponed gradients are charged like others") {
  Profile profile;
  {
    const Profiling on(&profile);
    const Network network;
    DeferredGradients deferred;
    backward(sum(linear(flatten(network.x), Variable(random_tensor({5, 108}), true), network.b)), {.deferred = &deferred});
    CHECK(row_of(profile, "", "linear").backward.calls == 0);
    deferred.run();
  }
  CHECK(row_of(profile, "", "linear").backward.calls == 2);
  CHECK(sum(profile).time == profile.total());
}

TEST_CASE("profile: nothing is noted when off, on another thread, or under a null profile") {
  Profile profile;
  Network().step();
  {
    const Profiling on(&profile);
    {
      const Profiling off(nullptr);
      Network().step();
    }
    std::jthread([] { Network().step(); }).join();
  }
  CHECK(sum(profile).calls == 0);
  CHECK(Profile::current() == nullptr);
  const Profiling on(&profile);  // negative control
  Network().step();
  CHECK(sum(profile).calls > 0);
}

TEST_CASE("profile: the gradients have the same bits with and without") {
  const auto gradient = [](Profile* profile) {
    Network network;
    const Profiling on(profile);
    network.step();
    return network.K.gradient();
  };
  Profile profile;
  CHECK(same_bits(gradient(&profile), gradient(nullptr)));
  CHECK(sum(profile).calls > 0);
}

}  // namespace
}  // namespace tandem
