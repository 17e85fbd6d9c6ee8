// db = sum over all pixels of dz, gathered strip by strip while the strips of dz are in the cache for something else.
//
// Pixels are added in order within a strip, then strips in order: the same bits on any number of threads.
#pragma once

#include <algorithm>

#include "core/memory.hpp"

namespace tandem {

class BiasGradient {
 public:
  BiasGradient(Index strips, Index channels) : strips_(strips), channels_(channels), sums_(count_of(strips * channels)) {}

  // Different strips may be summed at the same time.
  void sum(Index strip, const real* dz, Index pixels) const {
    real* const sum = sums_.data() + strip * channels_;
    std::fill_n(sum, channels_, real{0});
    for (Index p = 0; p < pixels; ++p, dz += channels_)
      for (Index c = 0; c < channels_; ++c) sum[c] += dz[c];
  }

  void write(real* db) const {
    std::fill_n(db, channels_, real{0});
    for (Index strip = 0; strip < strips_; ++strip)
      for (Index c = 0; c < channels_; ++c) db[c] += sums_[count_of(strip * channels_ + c)];
  }

 private:
  Index strips_, channels_;
  Scratch<real> sums_;
};

}  // namespace tandem
