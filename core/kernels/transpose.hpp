// Turning a matrix around.
#pragma once

#include "core/kernels/register_tile.hpp"

namespace tandem {

// GCC warns that a vector type loses its alignment as a template's argument; PacketBlock holds it as an array, which keeps it.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wignored-attributes"
using Square = Eigen::internal::PacketBlock<Packet, packet_size>;
#pragma GCC diagnostic pop

// out[c out_step + r] = in[r in_step + c] for r < rows, c < columns; squares of one packet by one packet within registers.
inline void transpose(const real* in, Index in_step, Index rows, Index columns, real* out, Index out_step) {
  using namespace Eigen::internal;
  const Index square_rows = rows / packet_size * packet_size, square_columns = columns / packet_size * packet_size;
  for (Index r = 0; r < square_rows; r += packet_size)
    for (Index c = 0; c < square_columns; c += packet_size) {
      Square square;
      for (Index i = 0; i < packet_size; ++i) square.packet[i] = ploadu<Packet>(in + (r + i) * in_step + c);
      ptranspose(square);
      for (Index i = 0; i < packet_size; ++i) pstoreu(out + (c + i) * out_step + r, square.packet[i]);
    }
  for (Index r = 0; r < rows; ++r)
    for (Index c = r < square_rows ? square_columns : 0; c < columns; ++c) out[c * out_step + r] = in[r * in_step + c];
}

}  // namespace tandem
