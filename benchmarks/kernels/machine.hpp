// What the machine can do at most: the two lines of the roofline (kernels.hpp).
#pragma once

namespace tandem {

struct Machine {
  double flops;      // fused multiply-adds count two, a second
  double bandwidth;  // bytes a second to and from memory
};

// Best of several, with thread_count() threads; takes about half a second.
Machine measure_machine();

}  // namespace tandem
