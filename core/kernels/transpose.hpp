// Turning a matrix around.
#pragma once

#include <cstring>
#include <utility>

#include "core/kernels/register_tile.hpp"

namespace tandem {

// GCC warns that a vector type loses its alignment as a template's argument; PacketBlock holds it as an array, which keeps it.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wignored-attributes"
using Square = Eigen::internal::PacketBlock<Packet, packet_size>;
#pragma GCC diagnostic pop

// The lanes of a and b, those of b counted on from those of a: the l-th of the result is number lane(l).
template <class Out, class In, class Lane>
inline Out shuffle(const In& a, const In& b, Lane lane) {
  return [&]<int... l>(std::integer_sequence<int, l...>) {
    return static_cast<Out>(__builtin_shufflevector(a, b, lane(l)...));
  }(std::make_integer_sequence<int, packet_size>{});
}

// Swaps, in squares of 2 distance x 2 distance numbers, the upper right quarter with the lower left; then the same within quarters.
template <int distance>
inline void swap_quarters(Square& s) {
  if constexpr (distance > 0) {
#pragma GCC unroll 16
    for (int i = 0; i < packet_size; ++i) {
      if (i & distance) continue;
      const Packet a = s.packet[i], b = s.packet[i + distance];
      s.packet[i] = shuffle<Packet>(a, b, [](int l) { return l & distance ? packet_size + l - distance : l; });
      s.packet[i + distance] = shuffle<Packet>(a, b, [](int l) { return l & distance ? packet_size + l : l + distance; });
    }
    swap_quarters<distance / 2>(s);
  }
}

// packet[c][r] = in[r in_step + c], a square turned around. The largest quarters are swapped by reading half packets from where they
// belong, which costs no shuffle; log2(packet_size) - 1 shuffles of each packet are left.
inline Square read_turned(const real* in, Index in_step) {
  constexpr int half = packet_size / 2;
  using Half [[gnu::vector_size(half * sizeof(real))]] = real;
  const auto read = [&](Index r, Index c) {
    Half values;
    std::memcpy(&values, in + r * in_step + c, sizeof values);
    return values;
  };
  Square s;
#pragma GCC unroll 8
  for (int r = 0; r < half; ++r)
#pragma GCC unroll 2
    for (int c = 0; c <= half; c += half)
      s.packet[r + c] = shuffle<Packet>(read(r, c), read(r + half, c), [](int l) { return l; });
  swap_quarters<half / 2>(s);
  return s;
}

// out[c out_step + r] = in[r in_step + c] for r < rows, c < columns; squares of one packet by one packet within registers. The last square
// begins where it ends with the matrix, and writes some numbers twice. Rows that fill no square are filled up with zeros, if
// out_step has room for them.
inline void transpose(const real* in, Index in_step, Index rows, Index columns, real* out, Index out_step) {
  using namespace Eigen::internal;
  const bool room = out_step >= divide_up(rows, packet_size) * packet_size;
  const Index squares = columns < packet_size ? 0 : room ? divide_up(rows, packet_size) : rows / packet_size;
  for (Index r = 0; r < squares * packet_size; r += packet_size)
    for (Index begin = 0; begin < columns; begin += packet_size) {
      const Index c = std::min(begin, columns - packet_size), there = std::min(packet_size, rows - r);
      Square square;
      if (there == packet_size) {
        square = read_turned(in + r * in_step + c, in_step);
      } else {
        for (Index i = 0; i < packet_size; ++i) square.packet[i] = i < there ? ploadu<Packet>(in + (r + i) * in_step + c) : pzero(Packet{});
        ptranspose(square);
      }
      for (Index i = 0; i < packet_size; ++i) pstoreu(out + (c + i) * out_step + r, square.packet[i]);
    }
  for (Index r = squares * packet_size; r < rows; ++r)
    for (Index c = 0; c < columns; ++c) out[c * out_step + r] = in[r * in_step + c];
}

}  // namespace tandem
