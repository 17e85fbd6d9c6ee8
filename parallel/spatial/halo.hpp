// Halo exchange: the pixels that a window looks at beyond a rank's own come from its neighbours.
//
//   bands, a 3x3 window; forward: copies of border lines travel        backward: their gradients travel back and are added
//
//     rank 0   a a a a                         a a a a                   gradient of     a a a a         a  + b1
//              b b b b  --.               .->  b b b b                   what rank 0     b b b b
//     - - - - - - - - - - - \ - - - - - / - -  c c c c                   looked at:      c1c1c1c1  --.
//     rank 1   c c c c  --.  \--->     /       b b b b                   - - - - - - - - - - - - - - - \ - - - - - - - - -
//              d d d d     `----------'        c c c c                   rank 1's        b1b1b1b1       `->  c = c own + c1
//                                              d d d d
//
// Blocks exchange rows first, then columns *with the rows received*, so that a corner travels in two hops and no rank ever talks to the
// rank across the corner:
//
//          0 | 1        rows: 0's last row goes to 2          columns: 2's last column, with the pixel x of 0 on top, goes to 3
//          --x--          . . x                                 . . x | x       3 has got the corner x of rank 0 from rank 2
//          2 | 3          2 2 2                                 2 2 2 | 2 3 3
//
// Backward the two steps are taken back in the opposite order: columns first, with the halo rows in them, then rows.
//
// Along an axis that is not split nothing moves: the kernel pads itself there. With `outside` pixels a rank at the border of the whole
// image fills what lies beyond it.
//
// Cost for a rank of a halo of h lines before and after, images [n,.,.,c] and a part of height x width pixels:
//   rows      2 messages,  2 a + 2 h n width c sizeof(real) b       (one at the image's border)
//   columns   2 messages,  2 a + 2 h n (height + 2 h) c sizeof(real) b
// and the same again for the gradients. Receives are posted first and nothing blocks before all is posted, so no send needs a buffer.
#pragma once

#include "parallel/collectives/collectives.hpp"
#include "parallel/spatial/image_split.hpp"

namespace tandem {

// A tensor seen from one of its axes: [outer, extent, inner]. A line is one value of the middle index.
struct AxisView {
  Index outer = 1, extent = 1, inner = 1;
  AxisView(const Shape& shape, int axis);
};

// One step of an exchange, along one axis. It keeps the lines that it got, not x: extend() can be called again.
class LineExchange {
 public:
  // Lines that this rank adds to its own, and that its neighbours (-1: none, the image ends there) add to theirs.
  struct Plan {
    int axis = 1;
    Margin mine, neighbours_want;  // .before: what the neighbour before me takes of my first lines; .after likewise of my last
    int neighbour_before = -1, neighbour_after = -1;
    bool moves_nothing() const { return mine == Margin{} && neighbours_want == Margin{}; }
  };
  LineExchange(const Tensor& x, const Plan& plan, const Communicator& comm);  // sends and receives; collective

  Shape extended() const;
  // x between the lines received, written into `room`, which has extended().size() values or more and may begin with x itself.
  Tensor extend(const Tensor& x, real outside, const Tensor& room) const;
  Tensor give_back(Tensor gradient) const;             // the adjoint of construction and extend; may overwrite its argument. Collective

 private:
  Tensor interior(Tensor gradient) const;

  Plan plan_;
  const Communicator* comm_;
  Shape shape_;            // of x
  Tensor before_, after_;  // received; not defined() where nothing comes
};

// All that windows look at: rows, then columns.
class Halo {
 public:
  Halo(const Tensor& x, const ImageSplit& split, const Window& window, real outside = 0);  // collective

  Tensor extend(const Tensor& x) const;
  Tensor give_back(Tensor gradient) const;  // collective

 private:
  real outside_;  // also of the rows beyond the image that travel with the columns
  std::vector<LineExchange> steps_;
};

// The window that is left to the kernel on what a Halo gives: no padding along split axes.
Window without_halo(const ImageSplit& split, Window window);

// The same as an operation: y is x with what `window` looks at around it, `outside` beyond the image. x [n, my rows, my columns, c].
Variable halo_exchange(const Variable& x, const ImageSplit& split, const Window& window, real outside = 0);

// What all ranks together send for one exchange of [n,.,.,c], forward or backward: by the formulas above, with the true margins.
Traffic halo_traffic(const ImageSplit& split, const Window& window, Index images, Index channels);

}  // namespace tandem
