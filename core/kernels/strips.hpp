// The left matrix of a convolution: images with a border of zeros, cut into strips and seen through pixels and taps.
//
// A batch is worked on strip by strip: some rows of one image, or a few whole images if they are small. A strip of the
// source is copied once, with its border of zeros, so that no inner loop has to ask whether it stands at an edge:
//
//      source                       padded copy of rows 2-3 of the output, 3x3 kernel, border 1
//      . . . . . .
//      a b c d e f                  0 a b c d e f 0
//      g h i j k l        ->        0 g h i j k l 0        output pixel 0 meets the taps 0 a b, 0 g h, 0 m n
//      m n o p q r                  0 m n o p q r 0
//      s t u v w x                  0 s t u v w x 0
//
// In the copy, moving the output pixel and moving the tap (u,v,c) move the address independently of each other: the
// number that pixel p meets at tap k stands at pixel[p] + tap[k]. These two tables are the same for all strips.
#pragma once

#include "core/kernels/epilogue.hpp"
#include "core/memory.hpp"

namespace tandem {

// Tap (u,v) of output pixel (i,j) is source pixel (first_h + i stride_h + u, first_w + j stride_w + v); zero outside the
// image.
struct TapWindow {
  Index height, width, channels;  // of the source
  Index first_h, first_w;         // where tap (0,0) of output pixel (0,0) stands; may be outside
  Index stride_h, stride_w;
  Index taps_h, taps_w;
  Index out_height, out_width;

  Index taps() const { return taps_h * taps_w * channels; }
};

// Squares of side x side pixels, side by side over an image [height,width,channels]; the last may reach beyond its edge.
inline TapWindow squares(Index height, Index width, Index channels, Index side) {
  return {.height = height,
          .width = width,
          .channels = channels,
          .first_h = 0,
          .first_w = 0,
          .stride_h = side,
          .stride_w = side,
          .taps_h = side,
          .taps_w = side,
          .out_height = divide_up(height, side),
          .out_width = divide_up(width, side)};
}

struct Strip {
  Index image, images;  // the first one, and how many
  Index row, rows;      // of the output
  Index pixels;         // of the output, in all rows and images
};

class Strips {
 public:
  // Strips of about `pixels` output pixels; a multiple of `row_multiple` rows of an image, as far as it has them.
  Strips(const TapWindow& window, Index images, Index pixels, Index row_multiple = 1);

  Index count() const { return count_; }
  Strip operator[](Index i) const;

  // Of the largest strip: its output pixels, and the numbers in its padded copy.
  Index most_pixels() const { return group_ * rows_ * window_.out_width; }
  Index size() const { return group_ * image_size(); }

  void copy_padded(const Strip& strip, const PixelRows& source, real* padded) const;

  Scratch<Index> pixel_offsets() const;
  Scratch<Index> tap_offsets() const;
  Index row_size() const { return in_width() * window_.channels; }  // numbers in a row of the padded copy

  // Where the pixels of a strip stand in an array with these distances between neighbours. Image by image and row by row, so
  // that smaller strips use the beginning of the table: they lack whole images or, with one image, whole rows.
  Scratch<Index> pixel_table(Index image_step, Index row_step, Index column_step) const;

 private:
  Index in_height() const;
  Index in_width() const;
  Index image_size() const { return in_height() * in_width() * window_.channels; }

  TapWindow window_;
  Index images_;
  Index group_;      // images of a strip
  Index rows_;       // rows of a strip
  Index per_group_;  // strips that a group of images is cut into; 1 if group_ > 1
  Index count_;
};

}  // namespace tandem
