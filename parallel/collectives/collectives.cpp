#include "parallel/collectives/collectives.hpp"

#include "core/error.hpp"

namespace tandem {
namespace {

void check_root(std::string_view what, int root, const Communicator& comm) {
  require(root >= 0 && root < comm.size(), "{}: there is no rank {} among {}", what, root, comm.size());
}

}  // namespace

void allreduce(std::span<real> values, const Communicator& comm) {
  run(cheapest_allreduce(comm.size(), values.size_bytes()).plan, values, comm);
}

void broadcast_bytes(std::span<std::byte> bytes, int root, const Communicator& comm) {
  check_root("broadcast", root, comm);
  run_bytes(tree_broadcast(comm.rank(), comm.size(), bytes.size(), root), bytes, comm);
}

void reduce(std::span<real> values, int root, const Communicator& comm) {
  check_root("reduce", root, comm);
  run(tree_reduce(comm.rank(), comm.size(), values.size(), root), values, comm);
}

void scatter(std::span<real> values, int root, const Communicator& comm) {
  check_root("scatter", root, comm);
  run(flat_scatter(comm.rank(), comm.size(), values.size(), root), values, comm);
}

void gather(std::span<real> values, int root, const Communicator& comm) {
  check_root("gather", root, comm);
  run(flat_gather(comm.rank(), comm.size(), values.size(), root), values, comm);
}

void barrier(const Communicator& comm) { run(dissemination_barrier, {}, comm); }

}  // namespace tandem
