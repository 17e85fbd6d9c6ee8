// The right matrix of a product, packed so that the register tile reads it as one stream.
//
// Its columns are cut into blocks of tile_columns (the last may be one packet wide), stored one after the other, each row by row:
//
//     B  | block 0 | block 1 |bl. 2|            packed:  all rows of block 0, all rows of block 1, ...
//        | row 0   |         |  00 |            columns that do not exist are zero
//        | row 1   |         |  00 |            block i begins at column_block(i).first * rows
#pragma once

#include <algorithm>

#include "core/kernels/register_tile.hpp"

namespace tandem {

struct ColumnBlock {
  Index first;    // its first column
  Index columns;  // how many exist
  Index stored;   // how many it holds, the others being zero: one or two packets
};
inline Index column_blocks(Index columns) { return divide_up(columns, tile_columns); }
inline Index packed_columns(Index columns) { return divide_up(columns, packet_size) * packet_size; }
inline ColumnBlock column_block(Index i, Index columns) {
  const Index first = i * tile_columns;
  return {.first = first,
          .columns = std::min(tile_columns, columns - first),
          .stored = std::min(tile_columns, packed_columns(columns) - first)};
}

// Writes rows [first, first + rows) of the packed matrix B, which has total_rows: B[first + k, o] = M[k row_step + o column_step].
inline void pack(const real* M, Index row_step, Index column_step, Index rows, Index columns, real* B, Index first, Index total_rows) {
  for (Index i = 0; i < column_blocks(columns); ++i) {
    const ColumnBlock block = column_block(i, columns);
    real* out = B + block.first * total_rows + first * block.stored;
    for (Index k = 0; k < rows; ++k, out += block.stored) {
      const real* in = M + k * row_step + block.first * column_step;
      if (column_step == 1)
        std::copy_n(in, block.columns, out);
      else
        for (Index o = 0; o < block.columns; ++o) out[o] = in[o * column_step];
      std::fill(out + block.columns, out + block.stored, real{0});
    }
  }
}

// The tile of rows [row, row + tile_rows), cut at `end`, for one block of columns: add_tile() of register_tile.hpp.
//
// a_of(r) and c_of(r) say where row r of the left matrix and of the result begin; B and start point at the block, c_of(r) too.
template <class A, class C>
void add_rows(Index row, Index end, const A& a_of, const C& c_of, const Index* step, Index steps, const real* B, const real* start,
              const ColumnBlock& block) {
  TileRows rows{.a = {}, .c = {}, .count = std::min(tile_rows, end - row)};
  for (Index i = 0; i < tile_rows; ++i) {
    const Index r = std::min(row + i, end - 1);
    rows.a[count_of(i)] = a_of(r);
    rows.c[count_of(i)] = c_of(r);
  }
  if (block.stored == tile_columns)
    add_tile<2>(rows, step, steps, B, start, block.columns);
  else
    add_tile<1>(rows, step, steps, B, start, block.columns);
}

}  // namespace tandem
