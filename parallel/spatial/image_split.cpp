#include "parallel/spatial/image_split.hpp"

#include "nn/module.hpp"

namespace tandem {

ImageSplit::ImageSplit(Index height, Index width, RankGrid ranks, const Communicator& comm, Index multiple)
    : rows_("rows", height, ranks.rows, multiple), columns_("columns", width, ranks.columns, multiple), comm_(&comm) {
  require(ranks.rows * ranks.columns == comm.size(), "split: a grid of {}x{} ranks for {} ranks; the product must be {}", ranks.rows,
          ranks.columns, comm.size(), comm.size());
}

ImageSplit ImageSplit::after(const Window& w) const {
  return {rows_.after({w.height, w.stride_h, w.pad_h}), columns_.after({w.width, w.stride_w, w.pad_w}), *comm_};
}

ImageSplit ImageSplit::upsampled(Index factor) const { return {rows_.upsampled(factor), columns_.upsampled(factor), *comm_}; }

Tensor ImageSplit::mine(const Tensor& images) const {
  require(images.rank() == 4 && images.dim(1) == rows_.length() && images.dim(2) == columns_.length(),
          "split: images {} for a split of {}x{} pixels", images.shape(), rows_.length(), columns_.length());
  return take(take(images, {.axis = 1, .begin = my_rows().begin}, my_rows().size()), {.axis = 2, .begin = my_columns().begin},
              my_columns().size());
}

void ImageSplit::check(std::string_view op, const Shape& x) const {
  require(x.rank() == 4 && x[1] == my_rows().size() && x[2] == my_columns().size(),
          "{}: x is {} on rank {} of {}; expected [n,{},{},c], its part of the split {}", op, x, comm_->rank(), comm_->size(),
          my_rows().size(), my_columns().size(), str());
}

std::string ImageSplit::str() const { return rows_.str() + " x " + columns_.str(); }

}  // namespace tandem
