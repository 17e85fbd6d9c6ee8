// What a training step keeps in memory, as the pool (core/memory.hpp) counts it.
#pragma once

#include <cstddef>
#include <string>

namespace tandem {

// Bytes of one rank. Blocks are counted as the pool hands them out, up to a quarter more than was asked for.
struct StepMemory {
  std::size_t parameters = 0, optimizer = 0, gradients = 0;  // values alone, kept from step to step
  std::size_t between_steps = 0;  // all that lives between two steps: these three, data that wait, statistics
  std::size_t peak = 0;           // the most that lived within a step
  std::size_t scratch = 0;        // of the peak: work areas of kernels
  std::size_t held = 0;           // what the pool has from the system, for this and earlier peaks
  std::size_t huge_pages = 0;     // bytes of the process in huge pages
};

// One line each, in megabytes. What the peak has beyond the state and work areas are activations and gradients on their way.
std::string memory_table(const StepMemory& memory);

}  // namespace tandem
