// One model in training under a scheme, on a batch that stays where it is: what `compare` times.
#pragma once

#include <fmt/format.h>

#include <optional>

#include "benchmarks/resident.hpp"
#include "nn/checkpoint.hpp"
#include "parallel/gather_timeline.hpp"
#include "parallel/place.hpp"
#include "parallel/predict.hpp"
#include "parallel/state.hpp"

namespace tandem {

// What is trained on what: a model with made-up images of its usual size, or with the first of a dataset's.
struct Subject {
  std::string model;
  std::shared_ptr<const Dataset> images = {};

  Workload work() const {  // not initialised
    if (!images) return workload(model);
    const Shape image = images->sample_shape();
    return {.model = make_model(model, image, images->classes()), .image = image, .loss = classification_loss()};
  }
  // The rows of a global batch of `size` images that belong to the micro-batches `mine` of M.
  Batch batch(const Shape& image, std::int64_t size, std::int64_t micro_batches, Range mine) const {
    Batch batch = resident_batch(image, size, micro_batches, mine);
    if (!images || batch.samples.empty()) return batch;
    for (std::int64_t& sample : batch.samples) sample %= images->size();
    images->load(batch.samples, 0, batch.x, batch.labels);
    return batch;
  }
};

// Bytes of a rank.
struct SchemeMemory {
  double parameters = 0;   // with gradients and moments, between steps
  double activations = 0;  // most that a step has more than that
};

class SchemeTraining {
 public:
  // `layers`: of each pipeline stage. `comm`: as many ranks as the scheme has; it must outlive this. Collective.
  SchemeTraining(const Subject& subject, std::int64_t batch, const Scheme& scheme, const std::vector<Range>& layers, const Communicator& comm)
      : before_(memory_use().live), subject_(subject), comm_(comm), grid_(comm, scheme.grid), workload_(subject.work()) {
    initialise(*workload_.model, 1);
    part_ = place_on_grid(std::move(workload_.model), workload_.image, divide_up(batch, scheme.micro_batches), grid_, scheme.schedule_choice(), layers);
    auto exchange = make_exchange(*part_, grid_, scheme.shard);
    optimizer_.emplace(exchange->owned(), Sgd::Options{.momentum = real(0.9), .nesterov = true});
    trainer_.emplace(*part_, *optimizer_, workload_.loss, grid_, std::move(exchange),
                     Trainer::Options{.micro_batches = scheme.micro_batches, .recompute = scheme.recompute});
    batch_ = subject.batch(workload_.image, batch, scheme.micro_batches, trainer_->my_micro_batches());
  }

  StepResult step(double rate = 0.001) {
    const StepResult result = trainer_->step(batch_, rate);
    ++batch_.step;
    return result;
  }

  // Of a step, and of what stays. The rank that needs most. Collective.
  SchemeMemory memory() {
    const std::size_t images = batch_.x.values().size_bytes();
    reset_memory_peak();
    const std::size_t live = memory_use().live;
    step();
    const auto most = [&](std::size_t bytes) { return max_over_ranks(static_cast<double>(bytes), comm_); };
    return {.parameters = most(live - before_ - images), .activations = most(memory_use().peak - live)};
  }

  // What each rank does in a step; on rank 0 of the scheme's ranks. Collective.
  Timeline traced() {
    Trace trace;
    comm_.barrier();
    {
      const Tracing on(&trace);
      step();
    }
    return gather_timeline(trace, comm_);
  }

  // Messages of one step, all ranks together. Collective.
  Traffic traffic() {
    const Traffic before = sent_by_this_rank();
    step();
    const Traffic after = sent_by_this_rank();
    const auto all = [&](std::size_t count) { return static_cast<std::size_t>(sum_over_ranks(static_cast<double>(count), comm_)); };
    return {.messages = all(after.messages - before.messages), .bytes = all(after.bytes - before.bytes)};
  }

  // Hash of all parameters and buffers, brought together; on rank 0 of the scheme's ranks, else 0. Collective.
  std::uint64_t weights_hash() {
    trainer_->exchange().make_whole();
    const std::shared_ptr<Sequential> whole = subject_.work().model;
    gather_state(owned_parts(checkpoint_state(*part_, nullptr), grid_), comm_.rank() == 0 ? checkpoint_state(*whole, nullptr) : std::vector<Buffer>(),
                 comm_);
    return comm_.rank() == 0 ? tandem::weights_hash(*whole) : 0;
  }

  const Communicator& comm() const { return comm_; }
  bool same_bits_as_serial() const { return trainer_->same_bits_as_serial(); }

 private:
  std::size_t before_;  // live bytes, without this
  Subject subject_;
  const Communicator& comm_;
  ProcessGrid grid_;
  Workload workload_;
  std::shared_ptr<Module> part_;
  std::optional<Sgd> optimizer_;
  std::optional<Trainer> trainer_;
  Batch batch_;
};

}  // namespace tandem
