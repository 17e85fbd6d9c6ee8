// Checkpoints: a run that was stopped and resumed is a run that was never stopped; and files that do not fit change nothing.
#include "nn/checkpoint.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>

#include "core/file.hpp"
#include "nn/layers.hpp"
#include "nn/safetensors.hpp"
#include "tests/support.hpp"

namespace tandem {
namespace {

namespace fs = std::filesystem;

// A small network with everything that a checkpoint holds: parameters, buffers, moments. Batch and masks follow from the step.
struct Run {
  Sequential net;
  std::unique_ptr<Optimizer> optimizer;

  explicit Run(std::string_view optimizer_name = "adam", Index hidden = 8, std::uint64_t seed = 1) {
    net.add_named<Linear>("hidden", 5, hidden).add_named<BatchNorm>("norm", hidden).add_named<Relu>("relu");
    net.add_named<Dropout>("drop", 0.3).add_named<Linear>("head", hidden, 3);
    initialise(net, seed);
    optimizer = make_optimizer(optimizer_name, net.parameters(), real(0.01));
  }

  void step() {
    const std::int64_t t = optimizer->steps();
    const std::vector<std::int64_t> samples{4 * t, 4 * t + 1, 4 * t + 2, 4 * t + 3};
    const std::vector<std::int32_t> labels{0, 2, 1, 2};
    const Context context{.training = true, .seed = 9, .step = t, .samples = samples};
    const Variable x(random_tensor({4, 5}, static_cast<std::uint64_t>(t)));
    backward(cross_entropy_sum(net.forward(x, context), labels));
    for (Module* module : net.modules()) {
      std::vector<real> part(static_cast<std::size_t>(module->statistics_size()));
      module->take_statistics(part);
      if (!part.empty()) module->commit_statistics(part);
    }
    optimizer->step(0.05);
    for (Parameter& p : net.parameters()) p.variable.set_gradient({});
  }
  void steps(int count) {
    for (int i = 0; i < count; ++i) step();
  }

  // Of parameters, buffers and moments.
  std::uint64_t fingerprint() const {
    std::uint64_t h = weights_hash(net);
    for (const Buffer& b : optimizer->state())
      h = mix(h, hash({reinterpret_cast<const char*>(b.values.data()), b.values.values().size_bytes()}));
    return mix(h, static_cast<std::uint64_t>(optimizer->steps()));
  }
};

TEST_CASE("checkpoint: save, load and go on equals never stopped, bit for bit") {
  const Folder folder;
  const fs::path file = folder.path / "run.safetensors";
  for (const char* const name : {"sgd", "adam", "adamw"}) {
    Run whole(name);
    whole.steps(5);
    save_checkpoint(file, whole.net, whole.optimizer.get(), {});
    const std::uint64_t at_five = whole.fingerprint();
    whole.steps(4);

    Run resumed(name, 8, 77);  // another start, which loading overwrites
    resumed.steps(2);
    load_checkpoint(file, resumed.net, resumed.optimizer.get());
    CHECK(resumed.fingerprint() == at_five);
    resumed.steps(4);
    CHECK(resumed.fingerprint() == whole.fingerprint());

    // Negative control: without the moments and the step, the run takes another way.
    Run forgetful(name);
    load_checkpoint(file, forgetful.net, nullptr);
    forgetful.steps(4);
    CHECK(forgetful.fingerprint() != whole.fingerprint());
  }
}

TEST_CASE("checkpoint: what the program writes beside the tensors comes back, with the step") {
  const Folder folder;
  Run run;
  run.steps(3);
  save_checkpoint(folder.path / "c", run.net, run.optimizer.get(), {{"seed", "12"}, {"classes", "a\nb"}});
  const Metadata metadata = checkpoint_metadata(folder.path / "c");
  CHECK(metadata.at("seed") == "12");
  CHECK(metadata.at("classes") == "a\nb");
  CHECK(metadata.at("step") == "3");
}

TEST_CASE("checkpoint: saved without an optimiser it serves for evaluation, not for going on") {
  const Folder folder;
  const fs::path file = folder.path / "c";
  Run run, other("adam", 8, 2);
  save_checkpoint(file, run.net, nullptr, {});
  load_checkpoint(file, other.net, nullptr);
  CHECK(weights_hash(other.net) == weights_hash(run.net));
  CHECK(error_of([&] { load_checkpoint(file, other.net, other.optimizer.get()); }) ==
        file.string() + ": holds no 'optimizer.mean.hidden.weight'; it is a checkpoint of another model or optimiser");
}

// Loads `file` into a fresh run: the error's text, once it is sure that nothing was changed.
std::string refusal(const fs::path& file, std::string_view optimizer = "adam", Index hidden = 8) {
  Run run(optimizer, hidden, 5);
  run.steps(1);
  const std::uint64_t before = run.fingerprint();
  const std::string error = error_of([&] { load_checkpoint(file, run.net, run.optimizer.get()); });
  CHECK((run.fingerprint() == before) == (error != "no error"));
  return error;
}

TEST_CASE("checkpoint: of another model or optimiser: the error names file and tensor, and nothing is changed") {
  const Folder folder;
  const fs::path file = folder.path / "run.safetensors";
  const std::string name = file.string();
  Run run;
  run.steps(2);
  save_checkpoint(file, run.net, run.optimizer.get(), {});
  const TensorArchive good = read_safetensors(file);
  CHECK(refusal(file) == "no error");

  CHECK(refusal(file, "adam", 6) == name + ": 'model.hidden.weight' is [8,5], the model wants [6,5]");
  CHECK(refusal(file, "sgd") ==
        name + ": holds no 'optimizer.momentum.hidden.weight'; it is a checkpoint of another model or optimiser");

  const auto refused = [&](const auto& change) {
    TensorArchive changed = good;
    change(changed);
    write_safetensors(file, changed);
    return refusal(file);
  };
  CHECK(refused([](TensorArchive& a) { a.tensors.erase("buffer.norm.running_mean"); }) ==
        name + ": holds no 'buffer.norm.running_mean'; it is a checkpoint of another model or optimiser");
  CHECK(refused([](TensorArchive& a) { a.tensors.emplace("model.tail.bias", Tensor({3})); }) ==
        name + ": holds 'model.tail.bias'; it is a checkpoint of another model or optimiser");
  CHECK(refused([](TensorArchive& a) { a.tensors.emplace("optimizer.max.head.bias", Tensor({3})); }) ==
        name + ": holds 'optimizer.max.head.bias'; it is a checkpoint of another model or optimiser");
  // The last tensor of all in the order of checking: those before it fit.
  CHECK(refused([](TensorArchive& a) {
          a.tensors.at("optimizer.square.head.bias") = Tensor({1, 3});
        }) == name + ": 'optimizer.square.head.bias' is [1,3], the model wants [3]");
  CHECK(refused([](TensorArchive& a) { a.metadata["step"] = "-2"; }) == name + ": step '-2' is no number");
  CHECK(refused([](TensorArchive& a) { a.metadata.erase("step"); }) == name + ": step '' is no number");
  CHECK(refused([](TensorArchive& a) { a.metadata.erase("kind"); }) ==
        name + ": a safetensors file, but not a checkpoint of Tandem");
  CHECK(refused([](TensorArchive&) {}) == "no error");
}

TEST_CASE(
    "checkpoint: a file cut at any place, an empty one and a missing one are refused by name, and nothing is changed") {
  const Folder folder;
  const fs::path file = folder.path / "run.safetensors";
  Run run;
  run.steps(1);
  save_checkpoint(file, run.net, run.optimizer.get(), {});
  const std::string bytes = read_file(file);
  for (const std::size_t kept : {std::size_t{0}, std::size_t{7}, std::size_t{100}, bytes.size() / 2, bytes.size() - 1}) {
    write_file(file, bytes.substr(0, kept));
    CAPTURE(kept);
    CHECK(refusal(file).starts_with("read '" + file.string() + "': "));
  }
  CHECK(refusal(folder.path / "nowhere").starts_with("read '" + (folder.path / "nowhere").string() + "': "));
}

TEST_CASE("checkpoint: what cannot be written leaves the earlier file as it was") {
  const Folder folder;
  const fs::path file = folder.path / "run.safetensors";
  Run run;
  save_checkpoint(file, run.net, run.optimizer.get(), {});
  const std::string before = read_file(file);
  run.steps(1);
  CHECK(error_of([&] {
          save_checkpoint(file, run.net, run.optimizer.get(), {{"class", "\xff"}});
        }).find(file.string()) != std::string::npos);
  CHECK(read_file(file) == before);
  CHECK(error_of([&] {
          save_checkpoint(folder.path / "no" / "c", run.net, nullptr, {});
        }).find((folder.path / "no" / "c").string()) != std::string::npos);
}

}  // namespace
}  // namespace tandem
