// A collective as data: what one rank does, move by move.
//
// Every algorithm of this folder is a function (rank, ranks, count) -> Plan of a few lines. What the plan means is told once, here,
// by those who read it:
//
//     start     does the moves over MPI, and can pause between any two messages        (blocking: run)    run.hpp
//     traffic   counts what all ranks together hand to MPI
//     duration  walks along all ranks' plans with a clock
//
// so every algorithm is also nonblocking, and every formula beside an algorithm can be checked against its plan.
//
//     move {.to = 2, .out = a..b, .from = 3, .in = c..d, .add = true}
//
//       my values   | . . a a a . . c c c . . |        a..b leaves for rank 2; what rank 3 sends is added to c..d
//                         |           ^
//                         v           +
//                      rank 2       rank 3
//
// A move ends when both its messages have; the next begins then. It posts its receive before its send, so two ranks may send to
// each other whatever MPI buffers. If `duration` reaches the end of all plans, no run of them can hang: on its clock a message passes
// only while sender and receiver are both in the move that names it, and MPI is at most more lenient than that.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "core/real.hpp"
#include "parallel/cost.hpp"

namespace tandem {

// Values [begin, end).
struct Piece {
  std::size_t begin = 0, end = 0;
  std::size_t size() const { return end - begin; }
  bool operator==(const Piece&) const = default;
};

// Chunk k of `count` values in p chunks: [k count / p, (k+1) count / p). k is taken modulo p, also a negative one.
Piece chunk(std::size_t count, int k, int p);

// A cut of values into one chunk a rank, where equal chunks will not do: chunk k is [cuts[k], cuts[k+1]), k modulo the number of chunks.
using Cuts = std::vector<std::size_t>;
Cuts even_cuts(std::size_t count, int p);
Piece chunk(const Cuts& cuts, int k);
std::span<real> chunk(std::span<real> values, int k, int p);

inline constexpr int no_rank = -1;

struct Move {
  int to = no_rank;
  Piece out = {};
  int from = no_rank;
  Piece in = {};
  bool add = false;  // else what arrives replaces what is there
};
using Plan = std::vector<Move>;
using Algorithm = Plan (*)(int rank, int ranks, std::size_t count);

// Of all ranks; `value_bytes` is the size of one value.
Traffic traffic(const std::vector<Plan>& plans, std::size_t value_bytes);

// When the last rank is done, if all begin at 0. A message begins when its sender and its receiver have both come to it, and takes
// both as long as `links` says; a move's two messages pass at the same time. Error if the plans wait for each other for ever, or if
// a message has not the length that its receiver expects.
Seconds duration(const std::vector<Plan>& plans, std::size_t value_bytes, const LinkProfile& links);

// The plans of all ranks.
std::vector<Plan> plans_of_all(Algorithm algorithm, int ranks, std::size_t count);

}  // namespace tandem
