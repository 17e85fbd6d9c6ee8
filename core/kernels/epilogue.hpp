// Epilogue: what is done to a result while it is still in the cache, and how its gradient is read backwards.
//
// A convolution is nearly always followed by max(.,0), often by a maximum over 2x2 pixels. As operations of their own each would
// read and write the whole result once more, from memory that is ten times slower than the arithmetic:
//
//     convolution  z ------> relu ------> max pool -------> y              three trips to memory
//     convolution [z -- relu -- max pool] ----------------> y              one; z has never existed outside the cache
//
// Backward, dz is not stored either: whoever needs a row of it reads the row of dy through the epilogue. For the pool one byte
// a value of y is kept: which pixel of the window won (0 1 / 2 3), or that nobody did, because the relu cut all four.
//
// NaN passes the relu and wins the pool, so that a broken run shows.
#pragma once

#include <cstdint>

#include "core/real.hpp"

namespace tandem {

// max(v, 0), and the gradient before it, from the gradient after it and either side's value. Objects, not functions: handed to
// map() a function is a pointer, called for every number, and its loop is no vector loop.
inline constexpr auto rectified = [](real v) { return v <= 0 ? real{0} : v; };
inline constexpr auto passed = [](real v, real dy) { return v <= 0 ? real{0} : dy; };

struct Epilogue {
  bool relu = false;
  bool max_pool = false;  // over windows of 2x2 pixels, after the relu; an odd last row or column is dropped
};

inline constexpr std::uint8_t nobody = 4;

// Where a result goes after its epilogue. `winner` has one byte for each value of y; needed for max_pool only.
struct Output {
  real* y;
  Epilogue epilogue = {};
  std::uint8_t* winner = nullptr;
};

// The gradient dy after an epilogue, with what the forward pass left: y for a relu alone, winner for max_pool.
struct OutputGradient {
  const real* dy;
  Epilogue epilogue = {};
  const real* y = nullptr;
  const std::uint8_t* winner = nullptr;
};

// Rows of pixels of images [height,width,channels]: as they are stored, or the gradient before an epilogue.
class PixelRows {
 public:
  PixelRows(const real* stored, Index height, Index width, Index channels)
      : PixelRows(OutputGradient{stored}, height, width, channels) {}
  PixelRows(const OutputGradient& dy, Index height, Index width, Index channels)
      : dy_(dy), height_(height), width_(width), channels_(channels) {}

  // Writes pixels [w, w + pixels) of row h of an image.
  void read(Index image, Index h, Index w, Index pixels, real* out) const;

 private:
  void read_pooled(Index image, Index h, Index w, Index pixels, real* out) const;

  OutputGradient dy_;
  Index height_, width_, channels_;  // before the pool
};

// values = max(values, 0)
void rectify(real* values, Index count);

// One window of the pool: its four pixels stand at z, z + right, z + below, z + below + right, with `channels` numbers each.
void pool_window(const real* z, Index right, Index below, Index channels, bool relu, real* y, std::uint8_t* winner);

// The whole epilogue with pool for rows [first, first + rows) of an image of z, to which `z` points; two rows give one of y. `first` is
// even; `output` is the whole batch.
void pool_rows(const real* z, Index width, Index channels, Index first, Index rows, Index image, Index height,
               const Output& output);

}  // namespace tandem
