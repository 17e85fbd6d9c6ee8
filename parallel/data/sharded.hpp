// Stages 1 to 3: the replicas share out what they would otherwise all keep ("ZeRO": zero redundancy). Every bucket is cut into one piece
// a rank, and a rank updates its pieces alone.
//
//                        rank 0     rank 1                rank 0    rank 1               rank 0    rank 1
//     gradients          | a0 b0 |  | a1 b1 |   sum       | A    |  |    B |   update    | a    |  |    b |   gather     | a b |  | a b |
//                        backward gives all    ------->   each has its piece  ------->   new values         ------->    parameters
//
//     stage 1   moments are kept for the own piece only
//     stage 2   and gradients: a bucket's memory is given back as soon as its sum is done. At most two buckets are under way while a third
//               is being filled; before a fourth the rank waits.
//     stage 3   and parameters. A bucket is a layer of the model (a child of it, with all that is in it). Its parameters are brought
//               together before it runs, forward and backward, and dropped after:
//
//                 forward    [gather 1] layer 1 [drop] [gather 2] layer 2 [drop] ...
//                 backward                         ... [gather 2] layer 2 [drop] [gather 1] layer 1 [drop]
//
//               so that a rank holds its pieces and one layer. What the update changes need not be sent: the next forward gathers it.
//               Between steps the parameters in the model are empty ([0]) unless make_whole() has been called. In backward the gathers
//               keep the ranks in step, and gradients leave as they come if all have as many micro-batches; else they wait for the rank
//               that has most.
//
// Same bits: value by value an optimiser does the same to a piece as to the whole. Cuts lie between parameters or on the blocks of 4096
// values in which square_sums() adds, so the norm for clipping is summed from the same numbers in the same order.
//
// Where memory is not the question, stage 0 is the faster one on one host, where it sums in shared memory; this sends messages always.
//
// Source: Rajbhandari, Rasley, Ruwase, He, "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models", SC 2020, section 5.
#pragma once

#include "parallel/data/exchange.hpp"
#include "parallel/data/sharded_memory.hpp"

namespace tandem {

class ShardedExchange : public GradientExchange {
 public:
  struct Options {
    int stage = 1;
    std::size_t bucket_bytes = usual_bucket_bytes;  // of stages 1 and 2
  };

  // Takes over the memory of the model's parameters. `totals`: size of the last slot. `replicas` must outlive this. Collective.
  // Errors: stage 3 with a parameter of the model that belongs to none of its layers.
  ShardedExchange(Module& model, Index totals, const Communicator& replicas, Options options);
  ~ShardedExchange() override;

  bool sharded() const override { return true; }
  bool one_pass_at_a_time() const override { return options_.stage == 3; }
  Tensor slot(std::size_t i) override;
  void begin_step() override;
  void end_pass() override;
  void idle_pass() override;
  void make_whole() override;
  std::string_view algorithm() const override { return keeps_rank_tree() ? "reduce-scatter by halving" : "reduce-scatter by ring"; }
  bool keeps_rank_tree() const override { return ShardedMemory::keeps_rank_tree(comm_); }
  std::size_t gradient_bytes() const override { return gradients_.bytes(); }

 private:
  // What stage 3 runs by turns: a layer with parameters, and the bucket in which these are.
  struct Layer {
    Module* module;
    std::size_t bucket;
  };

  std::unique_ptr<Collective> start(std::size_t bucket) override;
  void summed(std::size_t bucket) override;
  void send_values() override;
  Variable run(std::size_t layer, const Variable& x, const Context& context);  // stage 3
  const Layer& layer_at(std::size_t turn) const { return layers_[turn < layers_.size() ? turn : 2 * layers_.size() - 1 - turn]; }
  void gather_in_turn(std::size_t turn);
  void gather(std::size_t bucket);
  void drop(std::size_t bucket);
  void show(std::size_t bucket);               // the model's parameters are those of the whole bucket

  const Communicator& comm_;
  Options options_;
  Tensor totals_;
  ShardedMemory values_, gradients_;           // by bucket; the first, of the totals, is empty here
  std::vector<std::shared_ptr<Module>> surrounded_;  // of stage 3: all layers
  std::vector<Layer> layers_;                  // of stage 3, in the order of forward
  std::size_t turn_ = 0;                       // of 2 layers_.size() gathers of a pass: the next
  bool in_step_ = false;
};

}  // namespace tandem
