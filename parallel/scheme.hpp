// How a model is trained: everything one may choose without changing what is learnt.
//
//     text                          means
//     serial                        one rank
//     data=2                        two replicas, each runs half of the micro-batches
//     data=4 shard=3                four, which share out moments, gradients and parameters (data/exchange.hpp)
//     pipeline=2 1f1b               two stages; the schedule by its name (pipeline/schedule.hpp)
//     pipeline=2 interleaved v=4    four chunks of layers a rank
//     data=2,pipeline=2 zb-h1 m=16 recompute        16 micro-batches a step; stages keep their input only and run forward twice
//     tensor=2     spatial=2        split layers; split images
//
// Words stand in any order. This is what programs that compare schemes take, and what a plan prints.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "parallel/grid_shape.hpp"
#include "parallel/pipeline/schedule.hpp"

namespace tandem {

struct Scheme {
  GridShape grid = {};
  std::string schedule = "1f1b";  // of the pipeline
  int chunks = 1;                 // v, of the layers of a rank; more than 1 only in the schedule "interleaved"
  int shard = 0;                  // stage of sharding among replicas, 0 to 3
  int micro_batches = 8;          // M, of the global batch
  bool recompute = false;         // of a stage's forward, before its backward

  bool operator==(const Scheme&) const = default;
  ScheduleChoice schedule_choice() const { return {.name = schedule, .chunks = chunks}; }
  int micro_batches_of_a_rank() const { return (micro_batches + grid.data - 1) / grid.data; }  // of the one that has most
};

// What is not said is as in `defaults`. UsageError for an unknown word, a number out of range, a word said twice, and what check() refuses.
Scheme parse_scheme(std::string_view text, const Scheme& defaults = {});
std::vector<Scheme> parse_schemes(std::string_view text, const Scheme& defaults = {});  // separated by ;

// Only what differs from `defaults`, but always the grid and a pipeline's schedule. parse_scheme(to_string(s, d), d) == s.
std::string to_string(const Scheme& scheme, const Scheme& defaults = {});

// UsageError that says why if no program can run it: more replicas than micro-batches, chunks outside "interleaved", stage 3 with a pipeline ...
void check(const Scheme& scheme);

}  // namespace tandem
