// Which pixels of an image each rank has: bands of rows, or blocks of a grid of ranks. The images of a batch are all cut alike.
//
//   bands, {.rows = 4}          blocks, {.rows = 2, .columns = 2}         rank = row of the grid * columns + column
//     +-----------+               +-----+-----+
//     |     0     |               |     |     |
//     +-----------+               |  0  |  1  |        For a halo of one line on each side all ranks together send, of an N x N image,
//     |     1     |               +-----+-----+          bands    2 N (p - 1) pixels, in 2 (p - 1) messages
//     +-----------+               |     |     |          blocks   4 N (sqrt p - 1), in 4 (p - sqrt p)
//     |     2     |               |  2  |  3  |        so on 4 ranks blocks send 4 N (and the corners) instead of 6 N, in 8 messages instead of 6. Bands
//     +-----------+               +-----+-----+        are the simpler and need no copy where their rows are sent (halo.hpp).
//     |     3     |
//     +-----------+
//
// Sources: Dryden et al., "Improving Strong-Scaling of CNN Training by Exploiting Finer-Grained Parallelism", IPDPS 2019; Jin et al.,
// "Spatially Parallel Convolutions", ICLR workshop 2018.
#pragma once

#include "parallel/mpi/communicator.hpp"
#include "parallel/spatial/axis_split.hpp"

namespace tandem {

struct RankGrid {
  int rows = 1, columns = 1;
};

class ImageSplit {
 public:
  // `comm` has rows * columns ranks, must outlive the split and everything made with it, and carries no other messages meanwhile.
  // Cuts are multiples of `multiple` (axis_split.hpp); total_stride(model) of spatial_parallel.hpp is a good one.
  // Errors: a grid of another number of ranks than comm's, an axis with too few pixels.
  ImageSplit(Index height, Index width, RankGrid ranks, const Communicator& comm, Index multiple = 1);

  const Communicator& comm() const { return *comm_; }
  const AxisSplit& rows() const { return rows_; }
  const AxisSplit& columns() const { return columns_; }
  int grid_row() const { return comm_->rank() / columns_.parts(); }
  int grid_column() const { return comm_->rank() % columns_.parts(); }
  Range my_rows() const { return rows_.part(grid_row()); }
  Range my_columns() const { return columns_.part(grid_column()); }
  Index pixels() const { return rows_.length() * columns_.length(); }
  bool cuts_are_multiples_of(Index n) const { return rows_.cuts_are_multiples_of(n) && columns_.cuts_are_multiples_of(n); }

  ImageSplit after(const Window& window) const;  // of the result of a convolution or pool
  ImageSplit upsampled(Index factor) const;

  Tensor mine(const Tensor& images) const;  // my pixels of [n,height,width,c]
  void check(std::string_view op, const Shape& x) const;  // Error unless x is [n, my rows, my columns, c]

  bool operator==(const ImageSplit& other) const { return rows_ == other.rows_ && columns_ == other.columns_; }
  std::string str() const;  // "0|3|6 x 0|8": row cuts x column cuts

 private:
  ImageSplit(AxisSplit rows, AxisSplit columns, const Communicator& comm)
      : rows_(std::move(rows)), columns_(std::move(columns)), comm_(&comm) {}

  AxisSplit rows_, columns_;
  const Communicator* comm_;
};

}  // namespace tandem
