#include "parallel/gather_timeline.hpp"

#include <algorithm>
#include <array>
#include <limits>

namespace tandem {
namespace {

// A vector of this rank to rank 0, which does not know its length.
template <class T>
void send_all(const std::vector<T>& values, const Communicator& comm) {
  const std::array<std::size_t, 1> size{values.size()};
  comm.send(size, 0);
  comm.send(values, 0);
}

template <class T>
std::vector<T> receive_all(int from, const Communicator& comm) {
  std::array<std::size_t, 1> size{};
  comm.receive(size, from);
  std::vector<T> values(size[0]);
  comm.receive(values, from);
  return values;
}

void move_back(Timeline& timeline, std::size_t rank, double seconds) {
  for (Span& span : timeline.ranks[rank]) {
    span.begin -= seconds;
    span.end -= seconds;
  }
  for (MemorySample& sample : timeline.memory[rank]) sample.time -= seconds;
}

}  // namespace

std::vector<ClockOffset> clock_offsets(const Trace& trace, const Communicator& comm) {
  std::array<double, 1> time{};
  std::array<std::byte, 1> question{};
  if (comm.rank() != 0) {
    for (int round = 0; round < clock_rounds; ++round) {
      comm.receive(question, 0);
      time[0] = trace.now();
      comm.send(time, 0);
    }
    return {};
  }
  std::vector<ClockOffset> offsets(1);
  for (int rank = 1; rank < comm.size(); ++rank) {
    ClockOffset best{.bound = std::numeric_limits<double>::infinity()};
    for (int round = 0; round < clock_rounds; ++round) {
      const double begin = trace.now();
      comm.send(question, rank);
      comm.receive(time, rank);
      const double end = trace.now();
      if ((end - begin) / 2 < best.bound) best = {.seconds = time[0] - (begin + end) / 2, .bound = (end - begin) / 2};
    }
    offsets.push_back(best);
  }
  return offsets;
}

Timeline gather_timeline(const Trace& trace, const Communicator& comm) {
  const Tracing off(nullptr);  // its own messages are none of the story
  const std::vector<ClockOffset> offsets = clock_offsets(trace, comm);
  if (comm.rank() != 0) {
    send_all(trace.spans(), comm);
    send_all(trace.memory(), comm);
    return {};
  }
  Timeline timeline{.ranks = {trace.spans()}, .memory = {trace.memory()}};
  for (int rank = 1; rank < comm.size(); ++rank) {
    timeline.ranks.push_back(receive_all<Span>(rank, comm));
    timeline.memory.push_back(receive_all<MemorySample>(rank, comm));
    move_back(timeline, static_cast<std::size_t>(rank), offsets[static_cast<std::size_t>(rank)].seconds);
  }
  double first = std::numeric_limits<double>::infinity();
  for (const auto& spans : timeline.ranks)
    if (!spans.empty()) first = std::min(first, spans.front().begin);
  for (std::size_t rank = 0; rank < timeline.ranks.size(); ++rank) move_back(timeline, rank, first);
  return timeline;
}

}  // namespace tandem
