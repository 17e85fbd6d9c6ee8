// Turning a matrix around.
#pragma once

#include "core/kernels/register_tile.hpp"

namespace tandem {

// GCC warns that a vector type loses its alignment as a template's argument; PacketBlock holds it as an array, which keeps it.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wignored-attributes"
using Square = Eigen::internal::PacketBlock<Packet, packet_size>;
#pragma GCC diagnostic pop

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
      if (there == packet_size)
        for (Index i = 0; i < packet_size; ++i) square.packet[i] = ploadu<Packet>(in + (r + i) * in_step + c);
      else
        for (Index i = 0; i < packet_size; ++i) square.packet[i] = i < there ? ploadu<Packet>(in + (r + i) * in_step + c) : pzero(Packet{});
      ptranspose(square);
      for (Index i = 0; i < packet_size; ++i) pstoreu(out + (c + i) * out_step + r, square.packet[i]);
    }
  for (Index r = squares * packet_size; r < rows; ++r)
    for (Index c = 0; c < columns; ++c) out[c * out_step + r] = in[r * in_step + c];
}

}  // namespace tandem
