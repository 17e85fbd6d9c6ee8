// How the gradients of the replicas become one update: who sums what, who keeps what, who updates what.
//
//     bytes a rank keeps between steps, P parameters as floats, Adam, N ranks                    values sent by a rank in a step
//                 parameters   gradients   moments    together                                   (mean over ranks)
//     stage 0     4 P          4 P         8 P        16 P              gradient_buckets.hpp      2 P (N-1)/N
//     stage 1     4 P          4 P         8 P/N      8 P + 8 P/N       sharded.hpp               2 P (N-1)/N
//     stage 2     4 P          4 P/N       8 P/N      4 P + 12 P/N      sharded.hpp               2 P (N-1)/N
//     stage 3     4 P/N        4 P/N       8 P/N      16 P/N            sharded.hpp               3 P (N-1)/N   (*)
//     (*) with one micro-batch a rank; with m of them (2 m + 1) P (N-1)/N
//
// A step, as the trainer goes through it:
//
//     begin_step()
//     for each micro-batch    forward, backward, end_pass(); a rank that has none: idle_pass()
//       a gradient is there     give(i, sum over my micro-batches), and progress() now and then
//     finish()                owned() have their gradients, summed over the replicas
//     optimizer.step()        changes owned()
//     publish()               the model has the new values
//
// All gradients of a step are cut into buckets. Backward runs from the last layer to the first, so parameters are laid out in *reverse*
// order: the first bucket holds what is ready first, and its sum is under way while the earlier layers are still computing.
//
//     backward   | layer 9 | layer 8 | layer 7 | layer 6 | layer 5 |  ...
//     bucket 0             |<------ sum ------>|
//     bucket 1                                 |<------ sum ------>|  ...
//
// Buckets start in order on every rank, whatever the order in which gradients become ready; else two ranks could wait for each
// other's other bucket.
//
// Sources: Li et al., "PyTorch Distributed", VLDB 2020, section 3.2 (buckets); Rajbhandari et al., "ZeRO", SC 2020, section 5 (stages).
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "parallel/collectives/run.hpp"
#include "parallel/data/buckets.hpp"

namespace tandem {

class GradientExchange {
 public:
  GradientExchange(const GradientExchange&) = delete;
  GradientExchange& operator=(const GradientExchange&) = delete;
  virtual ~GradientExchange() = default;

  // What this rank's optimiser updates: whole parameters, or pieces of them (Parameter::stretch). Make the optimiser from these.
  const std::vector<Parameter>& owned() const { return owned_; }
  virtual bool sharded() const { return false; }     // whether replicas own different things

  // A slot for each parameter, and one more for the numbers that the trainer sums along: loss, weights, statistics.
  std::size_t totals_slot() const { return layout_.places.size() - 1; }
  virtual Tensor slot(std::size_t i) = 0;            // where a sum lies; that of the totals, after finish(), is all ranks'
  // This rank's sum for slot i; not defined() where there was none, which counts as -0, the one number that changes nothing when it is
  // added, not even the sign of a zero. Starts the slot's bucket once that is full and all before it have been started.
  void give(std::size_t i, Tensor sum);
  void progress();                                   // moves what is under way; call it between layers

  virtual void begin_step() {}
  virtual void end_pass() {}
  virtual bool one_pass_at_a_time() const { return false; }  // whether a micro-batch must have gone back before the next one goes forward
  virtual void idle_pass() {}                        // takes the place of forward and backward where the other replicas need a partner
  void finish();                                     // waits for every bucket; every slot must have been given
  void publish();

  // After a step, before the model is evaluated, saved or looked at. Collective over the replicas. What the caller changes in the
  // parameters then, on all replicas alike, counts in the next step.
  virtual void make_whole() {}

  virtual std::string_view algorithm() const = 0;
  virtual bool keeps_rank_tree() const = 0;          // whether sums have the bits of the rank tree (collectives.hpp)
  virtual std::size_t gradient_bytes() const = 0;    // kept between steps
  double waited() const { return waited_; }          // seconds in which this rank waited for others, all steps together

 protected:
  GradientExchange(std::vector<Parameter> parameters, BucketLayout layout);

  virtual bool keep(std::size_t /*slot*/, const Tensor& /*sum*/) { return false; }  // instead of a copy in slot(i)
  virtual std::unique_ptr<Collective> start(std::size_t bucket) = 0;  // null: nothing to sum
  virtual void summed(std::size_t /*bucket*/) {}
  virtual void send_values() {}

  void own(Parameter parameter, Tensor gradient);    // where finish() finds its gradient
  void move_owned_gradient(std::size_t i, Tensor gradient) { owned_gradients_[i] = std::move(gradient); }
  std::size_t under_way() const;                     // buckets
  void wait(const std::function<bool()>& done);      // wait_until(done), and everything under way moves on meanwhile

  std::vector<Parameter> parameters_;
  BucketLayout layout_;

 private:
  std::vector<Parameter> owned_;
  std::vector<Tensor> owned_gradients_;
  std::vector<std::size_t> missing_;                 // by bucket: slots that are not ready in this step
  std::vector<std::unique_ptr<Collective>> sums_;    // by bucket
  std::size_t started_ = 0;
  double waited_ = 0;
};

}  // namespace tandem
