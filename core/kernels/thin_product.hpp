// Products with one or two rows, or with few terms: wide tiles.
//
// The tile of gemm.cpp is tile_rows high and two packets wide. One row fills two of its sums, and a sum waits four cycles for the
// last addition to it: two sums are a quarter of what keeps the multipliers busy. So the tile lies down, one or two rows high
// and eight packets wide, and reads B where it stands:
//
//                B[t]  |bbbb|bbbb|bbbb|bbbb|bbbb|bbbb|bbbb|bbbb|
//     A[0,t] ->        |cccc|cccc|cccc|cccc|cccc|cccc|cccc|cccc|
//     A[1,t] ->        |cccc|cccc|cccc|cccc|cccc|cccc|cccc|cccc|
//
// The same tile suits an outer product, C = a b^T, and sums of few terms: there writing C is the work, and this writes whole
// stretches of a row at once, one pair of rows after the other.
//
// A B given as its transpose (x W^T, W [out,in]) has the terms side by side where the tile wants the columns. A square of one packet
// by one packet is turned around within registers, and its rows go straight into the sums:
//
//     W  o |tttt|      o |oooo|              one chain per column, one square after the other; while a chain
//        o |tttt|  ->  o |oooo| t            waits, the processor turns the next square around, so that its
//                        sum += A[t] * row t of the turned square           shuffles are the limit, not the chains
//
// In both ways a number of C is the chain that gemm.cpp promises, for the instructions are the same in the same order.
//
// Roofline: 2 m k n operations on k n numbers of B (few rows) or m n of C (few terms): whatever level of cache they come from is
// the limit, save for the turned square, where W log2 W shuffles stand against W fused multiply-adds, W being the packet's size.
#pragma once

#include "core/kernels/epilogue.hpp"
#include "core/kernels/transpose.hpp"
#include "core/threads.hpp"

namespace tandem {

// Terms of a sum that are done at a time: 320 rows of a block of B are 20 KiB of floats with AVX2, which stay in the level-1 cache.
inline constexpr Index depth = 320;

// A sum of k terms is cut into equal parts of so many.
inline Index terms_at_once(Index k) { return std::max<Index>(1, divide_up(k, std::max<Index>(1, divide_up(k, depth)))); }

// The left factor [m,k]: element (i,t) stands at values + i row_step + t term_step.
struct LeftFactor {
  const real* values;
  Index m, row_step, term_step;
};

// The right factor [k,n] as it stands, or given as its transpose [n,k]; its stored rows are `step` apart.
struct RightFactor {
  const real* values;
  Index k, n, step;
  bool transposed;

  RightFactor from_column(Index j) const {
    return {.values = values + (transposed ? j * step : j), .k = k, .n = n - j, .step = step, .transposed = transposed};
  }
};

// What is added to every row of C, and what is done to it in the end.
struct Finish {
  const real* row;  // null: nothing
  bool relu;
};

// Columns of a wide tile: one row of eight packets keeps both multipliers busy, two rows fill 16 registers.
inline constexpr int wide_packets = tile_rows >= 8 ? 8 : 4;
inline constexpr Index thin_rows = 2, thin_terms = 2;

// C [m,n], whose rows are `step` apart, and what becomes of it.
struct Result {
  real* values;
  Index step;
  Finish finish;

  // What the sums of a tile that begins at column j are added to.
  const real* start(Index j) const {
    alignas(64) static constexpr real zeros[wide_packets * packet_size] = {};
    return finish.row ? finish.row + j : zeros;
  }
  Result from_column(Index j) const {
    return {.values = values + j, .step = step, .finish = {finish.row ? finish.row + j : nullptr, finish.relu}};
  }
};

// One packet of columns: C[r,:] = start[:] + sum over t of A[r,t] B[:,t] for a transposed B, whose rows are `step` apart.
template <int rows>
inline void add_turned_tile(const LeftFactor& A, Index terms, const real* B, Index step, const real* start, real* C, Index C_step) {
  using namespace Eigen::internal;
  Packet sum[rows];
  for (Packet& s : sum) s = pzero(Packet{});
  const real* a = A.values;
  const auto add = [&](const Packet& b) {
#pragma GCC unroll 2
    for (int r = 0; r < rows; ++r) sum[r] = fused_multiply_add(pset1<Packet>(a[r * A.row_step]), b, sum[r]);
    a += A.term_step;
  };

  const Index squares = terms / packet_size;
  for (Index s = 0; s < squares; ++s, B += packet_size) {
    const Square square = read_turned(B, step);
#pragma GCC unroll 16
    for (Index t = 0; t < packet_size; ++t) add(square.packet[t]);
  }
  alignas(64) real rest[packet_size * packet_size];
  transpose(B, step, packet_size, terms - squares * packet_size, rest, packet_size);
  for (Index t = 0; t < terms - squares * packet_size; ++t) add(pload<Packet>(rest + t * packet_size));

  for (int r = 0; r < rows; ++r, C += C_step) pstoreu(C, padd(ploadu<Packet>(start ? start : C), sum[r]));
}

// Columns [begin, end), whole packets, of `rows` rows: tiles of `packets` packets, and narrower ones for what is left.
template <int rows, int packets = wide_packets>
void add_thin(const LeftFactor& A, const RightFactor& B, Index term, Index terms, const Result& C, Index begin, Index end) {
  constexpr Index width = packets * packet_size;
  const LeftFactor a{.values = A.values + term * A.term_step, .m = rows, .row_step = A.row_step, .term_step = A.term_step};
  for (; begin + width <= end; begin += width) {
    const real* const start = term == 0 ? C.start(begin) : nullptr;
    if (packets == 1 && B.transposed)
      add_turned_tile<rows>(a, terms, B.values + begin * B.step + term, B.step, start, C.values + begin, C.step);
    else
      add_tile<packets, rows>(a.values, EqualSteps{A.row_step}, EqualSteps{A.term_step}, terms,
                              Right{.values = B.values + term * B.step + begin, .step = B.step}, start, width,
                              C.values + begin, EqualSteps{C.step});
  }
  if constexpr (packets > 1)
    if (begin < end) add_thin<rows, packets / 2>(A, B, term, terms, C, begin, end);
}

inline bool is_thin(const LeftFactor& A, const RightFactor& B) { return A.m <= thin_rows || (B.k <= thin_terms && !B.transposed); }

// C [m,n] = finish(A [m,k] B [k,n]) for all columns that fill packets; returns how many those are.
inline Index multiply_thin(const LeftFactor& A, const RightFactor& B, const Result& C) {
  const Index columns = B.n / packet_size * packet_size, most_terms = terms_at_once(B.k);
  const auto add = [&]<int rows>(Index row, Index begin, Index end) {
    const LeftFactor a{.values = A.values + row * A.row_step, .m = rows, .row_step = A.row_step, .term_step = A.term_step};
    const Result c{.values = C.values + row * C.step, .step = C.step, .finish = C.finish};
    for (Index term = 0; term < B.k || term == 0; term += most_terms) {
      const Index terms = std::min(most_terms, B.k - term);
      if (B.transposed)
        add_thin<rows, 1>(a, B, term, terms, c, begin, end);
      else
        add_thin<rows>(a, B, term, terms, c, begin, end);
    }
    if (C.finish.relu)
      for (Index r = 0; r < rows; ++r) rectify(c.values + r * C.step + begin, end - begin);
  };
  const auto add_rows = [&](Index first, Index last, Index begin, Index end) {
    for (; first + 2 <= last; first += 2) add.template operator()<2>(first, begin, end);
    if (first < last) add.template operator()<1>(first, begin, end);
  };

  if (A.m <= thin_rows)
    for_blocks(columns / packet_size, std::max<Index>(wide_packets, part_of_thread(columns / packet_size)),
               [&](Index begin, Index end) { add_rows(0, A.m, begin * packet_size, end * packet_size); });
  else
    for_blocks(A.m, part_of_thread(A.m), [&](Index first, Index last) { add_rows(first, last, 0, columns); });
  return columns;
}

}  // namespace tandem
