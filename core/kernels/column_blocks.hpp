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
#include "core/memory.hpp"

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
inline void pack(const real* M, Index row_step, Index column_step, Index rows, Index columns, real* B, Index first,
                 Index total_rows) {
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

// add_tiles() of register_tile.hpp for one block of columns. B, start and C point at the block.
template <class Offsets>
void add_block(const real* A, Offsets step, Index steps, const Right& B, const real* start, const ColumnBlock& block, real* C,
               const Rows<Offsets>& rows) {
  if (block.stored == tile_columns)
    add_tiles<2>(A, step, steps, B, start, block.columns, C, rows);
  else
    add_tiles<1>(A, step, steps, B, start, block.columns, C, rows);
}
inline void add_block(const real* A, const Index* step, Index steps, const real* packed, const real* start,
                      const ColumnBlock& block, real* C, const Rows<>& rows) {
  add_block<const Index*>(A, step, steps, Right{.values = packed, .step = block.stored}, start, block, C, rows);
}

// Tiles [begin, end) of a result, numbered down the rows of its first block of columns, then of the next: calls
// run(block, first, last) for the tiles [first, last) of each block among them.
template <class Run>
void for_tile_runs(Index begin, Index end, Index row_tiles, const Run& run) {
  for (Index next; begin < end; begin = next) {
    const Index block = begin / row_tiles;
    next = std::min(end, (block + 1) * row_tiles);
    run(block, begin - block * row_tiles, next - block * row_tiles);
  }
}

// EqualSteps as a table, where others are tables too.
inline Scratch<Index> equal_steps(Index count, Index step) {
  Scratch<Index> table(count_of(count));
  for (Index i = 0; i < count; ++i) table[count_of(i)] = i * step;
  return table;
}

}  // namespace tandem
