// What the machine can do at most, measured: the two lines of the roofline. Work of f operations on b bytes takes at least the
// longer of f / flops and b / bandwidth seconds.
//
// Source: Williams, Waterman and Patterson, "Roofline", CACM 52 (2009).
#pragma once

namespace tandem {

struct Machine {
  double flops;      // fused multiply-adds count two, a second
  double bandwidth;  // bytes a second to and from memory
};

// Best of several, with thread_count() threads; takes about half a second.
Machine measure_machine();

}  // namespace tandem
