// What a rank does, as it does it: the measured counterpart of simulate(), drawn by the same pictures (pipeline/draw.hpp).
//
//     Trace trace;
//     {
//       const Tracing on(&trace);                 // from here the executor, the trainer and whoever waits write into it
//       trainer.step(batch, rate);
//     }
//     const Timeline timeline = gather_timeline(trace, world);     // of all ranks, on rank 0 (gather_timeline.hpp)
//
//     rank 0   [0F0          ][0F1     ][0RECV_B0   ][0B0         ]..[0REDUCE_GRAD][0UPDATE]
//                  [0EXCHANGE]  a layer that is split over ranks waits for its neighbour: no computing, though inside an F
//
// Off, as it is by default, a span costs one test of a pointer. On, it reads the clock twice and the pool's books once.
#pragma once

#include <optional>
#include <vector>

#include "parallel/pipeline/timeline.hpp"

namespace tandem {

class Trace {
 public:
  // `shift` seconds are added to what the clock says: for tests, and where clocks of hosts are known to differ.
  explicit Trace(double shift = 0) : shift_(shift) {}

  // By begin, in seconds of this rank's steady clock; what lies inside a span comes behind it.
  const std::vector<Span>& spans() const { return spans_; }
  const std::vector<MemorySample>& memory() const { return memory_; }  // at the end of each span of computing
  void clear();                                                        // not while a span is open
  double now() const;

  // The one into which this thread writes, or null.
  static Trace* current() { return current_; }

  // Lasts as long as the object. Nothing if there is no trace.
  class [[nodiscard]] Scope;
  static Scope span(const Action& what);
  // The rank waits for others from here. An EXCHANGE if the innermost open span is one of computing; else nothing, since that span says so already.
  static Scope waiting();

 private:
  friend class Tracing;
  std::size_t begin(const Action& what);
  void end(std::size_t place);

  double shift_;
  std::vector<Span> spans_;
  std::vector<MemorySample> memory_;
  std::vector<std::size_t> open_;  // places of spans that have not ended, outermost first
  static constinit thread_local Trace* current_;
};

class [[nodiscard]] Trace::Scope {
 public:
  Scope() = default;
  Scope(Trace& trace, const Action& what) : trace_(&trace), place_(trace.begin(what)) {}
  ~Scope() {
    if (trace_) trace_->end(place_);
  }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

 private:
  Trace* trace_ = nullptr;
  std::size_t place_ = 0;
};

inline Trace::Scope Trace::span(const Action& what) { return current_ ? Scope(*current_, what) : Scope(); }

inline Trace::Scope Trace::waiting() {
  if (!current_ || current_->open_.empty()) return {};
  const Action& inside = current_->spans_[current_->open_.back()].what;
  return computes(inside.op) ? Scope(*current_, {Op::exchange, inside.stage, 0}) : Scope();
}

// While one lives, this thread writes into `trace`; null: into none.
class Tracing {
 public:
  explicit Tracing(Trace* trace);
  ~Tracing();
  Tracing(const Tracing&) = delete;
  Tracing& operator=(const Tracing&) = delete;

 private:
  Trace* before_;
};

}  // namespace tandem
