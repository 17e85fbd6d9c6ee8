// Collectives under way: what is done with a Plan over MPI.
#pragma once

#include <functional>
#include <memory>

#include "parallel/collectives/plan.hpp"
#include "parallel/mpi/communicator.hpp"

namespace tandem {

// Asks `done` until it says yes, offering the core to other ranks in between.
void wait_until(const std::function<bool()>& done);

// A collective under way, for overlap with computation. Open MPI has no progress thread, so somebody has to call progress()
// between other work; the trainer does after each layer's gradient.
//
// Several may be under way at once. Every rank starts them in the same order and waits for them in the same order: wait()
// steps one operation only, so two ranks that each wait for the operation the other neglects would wait for ever. progress()
// may be called in any order. The values belong to the operation until it is done, and it must be done before it is
// destroyed.
class [[nodiscard]] Collective {
 public:
  virtual ~Collective() = default;

  // Does what can be done without waiting for another rank; true when the collective is complete on this rank.
  virtual bool progress() = 0;

  // wait_until(progress)
  void wait();
};

// Collectives under way at the same time need different tags. `values` and `comm` must outlive the operation.
std::unique_ptr<Collective> start(Plan plan, std::span<real> values, const Communicator& comm, int tag = 0);
void run(Plan plan, std::span<real> values, const Communicator& comm);
void run(Algorithm algorithm, std::span<real> values, const Communicator& comm);

// For plans that only copy: values of any type, as bytes.
void run_bytes(Plan plan, std::span<std::byte> bytes, const Communicator& comm);

}  // namespace tandem
