// What a step of training would take under a scheme, from what was measured without any.
//
// One copy of the model is a pipeline of p ranks (p = 1: serial); its schedule is simulated (pipeline/simulate.hpp) with these costs. r: rows of
// a micro-batch, the batch / M; m: micro-batches of a replica that has most; layers as the profile knows them at r rows.
//
//     forward of a stage    sum over its layers of forward(r)                             last stage: and of the loss
//     backward              sum of backward_input(r) + backward_weight(r)                 first stage: as measured, where the first layer needs no
//                           + (m-1)/m adding up of gradients                              gradient of its input
//     recompute             sum of forward(r)
//     hop                   to a rank of the same node the receiver copies: it is busy for message(n) - message(0), after message(0) of latency;
//                           between nodes message(n) passes while it works. n = r * values passed on
//     reduce                data axis, what is left of the sum after the last backward: end_last - end of backward, where bucket k
//                           is summed from max(ready_k, end_(k-1)) on if nodes exchange messages, and all of it if ranks of one node add in shared
//                           memory or pass messages, since their own cores do that
//     update                sum of update; the new parameters to all (stage 1, 2)
//
//     tensor axis           the share tensor_share of a layer's time is divided by the ranks; each split layer's sum, an allreduce of activations,
//                           is added to forward and to backward
//     spatial axis          the share spatial_share is divided, halos are exchanged with two neighbours, and the image is gathered where layers need
//                           the whole of it
//     sharding              stage 1: update / N, reduce-scatter and a gather of parameters; stage 2: the same, gradients kept in pieces; stage 3: a gather
//                           of each layer's parameters before its forward and before its backward, of every micro-batch
//
// The time of a sum over a group: in shared memory if it is one node's, else as the trainer chooses. If c ranks of a node send to other nodes at
// once, they share its link: c times as long per byte.
//
// What it leaves out: waiting because ranks are never quite equally fast; messages that disturb computation on the same core; the start of a step.
// So it is a little low, and lowest where messages are many and short.
//
// Exact (the tests count them at MPI's door): bytes and messages of pipeline and data axes. Those of the tensor and spatial axes are estimates.
#pragma once

#include <vector>

#include "nn/data.hpp"
#include "parallel/cost_profile.hpp"
#include "parallel/pipeline/simulate.hpp"
#include "parallel/scheme.hpp"

namespace tandem {

// Bytes of a rank.
struct MemoryNeed {
  double parameters = 0, gradients = 0, moments = 0;  // as in the table of data/exchange.hpp
  double passing = 0;      // sums of the fixed tree that wait for their partner (pairwise_sum.hpp); sharded: buckets and layers under way
  double activations = 0;  // most at a time: kept for backward by all micro-batches under way, and what a layer needs while it runs

  double total() const { return parameters + gradients + moments + passing + activations; }
};

struct Prediction {
  Seconds step = 0;
  double images_per_second = 0;
  Traffic traffic;                    // of a step, all ranks together

  // step = computing + bubble + exposed_communication
  Seconds computing = 0;              // mean over the ranks
  Seconds bubble = 0;                 // waiting that the schedule makes even if messages cost no time
  Seconds exposed_communication = 0;  // how much shorter the step would be if messages cost no time
  double idle_share = 0;              // 1 - computing / step

  MemoryNeed memory;                  // of the rank that needs most
  std::vector<Range> stages;          // the layers of each; interleaved: of each chunk
  Timeline timeline;                  // of the first copy of the model; the others do the same
};

// The schedule of one replica with `micro_batches` of its own.
Schedule schedule_of(const Scheme& scheme, int micro_batches);

// The layers of each stage: balanced by forward + backward at the rows of the scheme's micro-batches.
std::vector<Range> stages_of(const ModelProfile& model, const Scheme& scheme, std::int64_t batch);

// A step on a global batch of `batch` rows. UsageError: what check(scheme) refuses; more stages than layers; no rows.
Prediction predict(const CostProfile& profile, const Scheme& scheme, std::int64_t batch);
Prediction predict(const CostProfile& profile, const Scheme& scheme, std::int64_t batch, const std::vector<Range>& stages);

}  // namespace tandem
