// Texts and single numbers: reports, settings and timings. Called a few times a run, so written for clarity alone.
#include <cstdint>

#include "parallel/collectives/collectives.hpp"
#include "parallel/mpi/error.hpp"

namespace tandem {

std::vector<std::string> gather_text(const std::string& text, const Communicator& comm) {
  std::uint64_t length = text.size();
  if (comm.rank() != 0) {
    comm.send(std::span(&length, 1), 0);
    comm.send(text, 0);
    return {};
  }
  std::vector<std::string> texts{text};
  for (int rank = 1; rank < comm.size(); ++rank) {
    comm.receive(std::span(&length, 1), rank);
    texts.emplace_back(length, ' ');
    comm.receive(texts.back(), rank);
  }
  return texts;
}

std::string broadcast_text(const std::string& text, int root, const Communicator& comm) {
  std::uint64_t length = text.size();
  broadcast(std::span(&length, 1), root, comm);
  std::string copy = text;
  copy.resize(length);
  broadcast(copy, root, comm);
  return copy;
}

double max_over_ranks(double value, const Communicator& comm) {
  double largest = value;
  mpi_check(MPI_Allreduce(&value, &largest, 1, MPI_DOUBLE, MPI_MAX, comm.handle()), "MPI_Allreduce");
  return largest;
}

}  // namespace tandem
