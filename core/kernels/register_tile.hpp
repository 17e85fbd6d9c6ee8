// The one hand-written inner loop: a small matrix product whose result lives in registers while it grows.
//
//   C[c_row[r] + :] = start[:] + sum over t of A[a_row[r] + step[t]] B[t,:]        ":" is one to eight packets wide
//
//             B[t]  |bbbbbbbbbbbbbbbb|bbbbbbbbbbbbbbbb|     two packets (vector registers), read once for all rows
//                     *                *
//   A[a_row[0] + step[t]] ->  |cccccccccccccccc|cccccccccccccccc|     one number of A, copied to every lane, times both
//   A[a_row[1] + step[t]] ->  |cccccccccccccccc|cccccccccccccccc|
//      ...                     tile_rows x 2 sums that wait for nobody: enough to hide the latency of an addition
//
// A need not be stored as a matrix: its element (r,t) stands at a_row[r] + step[t]. That is how a convolution becomes a matrix
// product without copying each pixel once per tap ("im2col"; direct_conv.cpp says which pixels and taps), and how A^T is read
// without being turned around. B is packed, so that it streams, or
// read where it stands if its rows are whole packets.
//
// Every number of C is one chain of fused multiply-adds over t = 0, 1, ..., then one addition. The chain does not know in
// which tile or row the number stands, so the way work is cut into tiles and dealt to threads cannot change a bit.
//
// Cost: 2 steps tile_rows columns operations. With AVX-512 a step is 16 fused multiply-adds for 11 loads, so that the
// multipliers are the limit: 84 % of their peak for 32 steps, 94 % for 128 and more (benchmarks/kernels/).
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <array>

#include "core/real.hpp"

namespace tandem {

// The widest vector of this build: 16 floats with AVX-512, 8 with AVX2, 4 with NEON or SSE; half as many doubles.
using Packet = Eigen::internal::packet_traits<real>::type;
inline constexpr Index packet_size = Eigen::internal::packet_traits<real>::size;
inline constexpr Index tile_columns = 2 * packet_size;

// Of 16 vector registers 12 hold sums, two a row of B, one a number of A. Of 32 only 16 hold sums: that is enough to hide
// the latency, a strip of an image seldom divides by more than 8 pixels, and 8 addresses fit the general registers.
inline constexpr Index tile_rows = EIGEN_ARCH_DEFAULT_NUMBER_OF_REGISTERS >= 32 ? 8 : 6;

// a b + c, rounded once where the instruction set can (the build turns off silent contraction, so this says it).
inline Packet fused_multiply_add(Packet a, Packet b, Packet c) { return Eigen::internal::pmadd(a, b, c); }

// 0, step, 2 step, ... where a table of offsets could stand: rows or terms that are equally far apart.
struct EqualSteps {
  Index step, first = 0;
  Index operator[](Index i) const { return first + i * step; }
  EqualSteps operator+(Index i) const { return {.step = step, .first = first + i * step}; }
};

// Where the rows of A and C begin: in tables, or at equal steps.
template <class Offsets = const Index*>
struct Rows {
  Offsets a, c;
  Index count;
};

// The right matrix [steps, packets * packet_size]: its row t begins at values + t step.
struct Right {
  const real* values;
  Index step;
};

// The formula above for one tile of `rows` rows and some packets of columns, of which the first `columns` are stored. `start`
// is null to add to what C holds.
template <int packets, int rows, class Offsets>
inline void add_tile(const real* A, Offsets A_row, Offsets step, Index steps, const Right& B, const real* start,
                     Index columns, real* C, Offsets C_row) {
  using namespace Eigen::internal;
  std::array<const real*, rows> a;
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) a[static_cast<std::size_t>(r)] = A + A_row[r];
  Packet sum[rows][packets];
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < packets; ++v) sum[r][v] = pzero(Packet{});

  const real* row = B.values;
  for (Index t = 0; t < steps; ++t, row += B.step) {
    Packet b[packets];
#pragma GCC unroll 8
    for (int v = 0; v < packets; ++v) b[v] = ploadu<Packet>(row + v * packet_size);
    const Index offset = step[t];
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      const Packet value = pset1<Packet>(a[static_cast<std::size_t>(r)][offset]);
#pragma GCC unroll 8
      for (int v = 0; v < packets; ++v) sum[r][v] = fused_multiply_add(value, b[v], sum[r][v]);
    }
  }

#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
    real* const c = C + C_row[r];
    if (columns == packets * packet_size) {
#pragma GCC unroll 8
      for (int v = 0; v < packets; ++v)
        pstoreu(c + v * packet_size, padd(ploadu<Packet>((start ? start : c) + v * packet_size), sum[r][v]));
    } else {
      alignas(64) real whole[packets * packet_size];
#pragma GCC unroll 8
      for (int v = 0; v < packets; ++v) pstore(whole + v * packet_size, sum[r][v]);
      for (Index o = 0; o < columns; ++o) c[o] = (start ? start : c)[o] + whole[o];
    }
  }
}

// Tile by tile down the rows; the last tile has as many rows as are left.
template <int packets, int rows = tile_rows, class Offsets>
[[gnu::noinline]] void add_tiles(const real* A, Offsets step, Index steps, const Right& B, const real* start, Index columns,
                                 real* C, const Rows<Offsets>& all) {
  Index first = 0;
  for (; first + rows <= all.count; first += rows)
    add_tile<packets, rows>(A, all.a + first, step, steps, B, start, columns, C, all.c + first);
  if constexpr (rows > 1)
    if (first < all.count)
      add_tiles<packets, rows - 1>(A, step, steps, B, start, columns, C,
                                   {.a = all.a + first, .c = all.c + first, .count = all.count - first});
}

}  // namespace tandem
