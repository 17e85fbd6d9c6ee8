#include <sched.h>

#include "parallel/collectives/collectives.hpp"

namespace tandem {

// Ranks may share a core (oversubscription). Spinning without end would then keep the core from the very rank we wait for,
// so after a short spin, for the common case that the others are nearly there, we offer the core at every turn.
void Allreduce::wait() {
  constexpr int short_spin = 100;
  for (int turns = 0; !progress(); ++turns)
    if (turns > short_spin) sched_yield();
}

}  // namespace tandem
