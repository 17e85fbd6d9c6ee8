// Texts and single numbers: reports, settings and timings. Called a few times a run, so written for clarity alone.
#include <chrono>
#include <cstdint>
#include <set>
#include <sstream>
#include <thread>

#include "core/error.hpp"
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

std::vector<std::string> union_over_ranks(const std::vector<std::string>& lines, const Communicator& comm) {
  std::set<std::string> all;
  const auto add_lines = [&](const std::string& text) {
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) all.insert(line);
  };
  for (const std::string& text : gather_text(fmt::format("{}", fmt::join(lines, "\n")), comm)) add_lines(text);
  add_lines(broadcast_text(fmt::format("{}", fmt::join(all, "\n")), 0, comm));
  return {all.begin(), all.end()};
}

double max_over_ranks(double value, const Communicator& comm) {
  double largest = value;
  mpi_check(MPI_Allreduce(&value, &largest, 1, MPI_DOUBLE, MPI_MAX, comm.handle()), "MPI_Allreduce");
  return largest;
}

double sum_over_ranks(double value, const Communicator& comm) {
  double sum = value;
  mpi_check(MPI_Allreduce(&value, &sum, 1, MPI_DOUBLE, MPI_SUM, comm.handle()), "MPI_Allreduce");
  return sum;
}

void sum_over_ranks(std::span<std::int64_t> counts, const Communicator& comm) {
  mpi_check(MPI_Allreduce(MPI_IN_PLACE, counts.data(), static_cast<int>(counts.size()), MPI_INT64_T, MPI_SUM, comm.handle()),
            "MPI_Allreduce");
}

void sum_over_ranks(std::span<double> values, const Communicator& comm) {
  mpi_check(MPI_Allreduce(MPI_IN_PLACE, values.data(), static_cast<int>(values.size()), MPI_DOUBLE, MPI_SUM, comm.handle()),
            "MPI_Allreduce");
}

void on_rank_0(const Communicator& comm, const std::function<void()>& work) {
  // What happened travels as one letter and the message: ok, an Error, or a UsageError (another exit status).
  std::string outcome = "o";
  if (comm.rank() == 0) {
    try {
      work();
    } catch (const UsageError& error) {
      outcome = std::string("u") + error.what();
    } catch (const std::exception& error) {
      outcome = std::string("e") + error.what();
    }
  }
  outcome = broadcast_text(outcome, 0, comm);
  if (outcome[0] == 'u') throw UsageError(outcome.substr(1));
  if (outcome[0] == 'e') throw Error(outcome.substr(1));
}

void on_first_ranks(int count, const Communicator& comm, const std::function<void()>& work) {
  std::byte through{};
  const std::span<std::byte> news(&through, 1);
  if (comm.rank() < count) work();
  if (comm.rank() == 0)
    for (int rank = count; rank < comm.size(); ++rank) comm.send(news, rank);
  if (comm.rank() < count) return;
  Request arriving = comm.irecv(news, 0);
  while (!arriving.test()) std::this_thread::sleep_for(std::chrono::microseconds(500));
}

}  // namespace tandem
