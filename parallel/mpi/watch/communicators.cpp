#include "parallel/mpi/watch/communicators.hpp"

#include <algorithm>
#include <atomic>
#include <deque>
#include <string_view>
#include <unordered_map>

#include "parallel/mpi/watch/journal.hpp"

namespace tandem::watch {

namespace {

// Never destroyed: a request may outlive its communicator, and a thread outlives main.
auto& comms = *new std::deque<Comm>;
auto& by_handle = *new std::unordered_map<std::uint64_t, Comm*>;
std::uint64_t last_handle = 0;  // most calls name the communicator of the call before
const Comm* last_comm = nullptr;

std::vector<int> world_ranks(MPI_Comm comm) {
  MPI_Group ranks, world;
  int n = 0;
  PMPI_Comm_group(comm, &ranks);
  PMPI_Comm_group(MPI_COMM_WORLD, &world);
  PMPI_Group_size(ranks, &n);
  std::vector<int> here(static_cast<std::size_t>(n)), there(here.size());
  for (std::size_t i = 0; i < here.size(); ++i) here[i] = static_cast<int>(i);
  PMPI_Group_translate_ranks(ranks, n, here.data(), world, there.data());
  PMPI_Group_free(&world);
  PMPI_Group_free(&ranks);
  return there;
}

void enlist(std::uint64_t handle, GroupId id, MPI_Comm comm) {
  Page* const mine = page();
  if (mine == nullptr) return;
  last_comm = nullptr;
  Comm& added = comms.emplace_back(Comm{.id = id, .world = world_ranks(comm)});
  by_handle[handle] = &added;
  const auto free = std::ranges::find(mine->groups, unknown_group, &Group::id);
  if (free == mine->groups.end() || std::ranges::any_of(added.world, [](int r) { return r < 0; })) {
    added.id = unknown_group;
    return;
  }
  *free = Group{};
  for (const int rank : added.world) free->members.set(static_cast<std::size_t>(rank));
  free->id = id;
  added.group = &*free;
}

// Rank 0 of the communicator chooses, in a way that no other choice can equal.
GroupId agree_on_id(MPI_Comm comm) {
  static std::atomic<std::uint64_t> made = 0;
  int world_rank = 0;
  PMPI_Comm_rank(MPI_COMM_WORLD, &world_rank);
  GroupId id = static_cast<GroupId>(world_rank + 1) << 32 | ++made;
  PMPI_Bcast(&id, 1, MPI_UINT64_T, 0, comm);
  return id;
}

// Collective over `comm`. `handle`: of the new communicator itself, or of a window on the ranks of `comm`.
void begin(std::uint64_t handle, MPI_Comm comm) {
  if (comm == MPI_COMM_NULL) return;
  int between_groups = 0;
  PMPI_Comm_test_inter(comm, &between_groups);
  if (!between_groups) enlist(handle, agree_on_id(comm), comm);
}

void end(std::uint64_t handle) {
  const auto found = by_handle.find(handle);
  if (page() == nullptr || found == by_handle.end()) return;
  last_comm = nullptr;
  if (found->second->group != nullptr) found->second->group->id = unknown_group;
  found->second->group = nullptr;
  by_handle.erase(found);
}

}  // namespace

int Comm::world_rank(int rank) const {
  if (rank == MPI_ANY_SOURCE) return anyone;
  return rank >= 0 && static_cast<std::size_t>(rank) < world.size() ? world[static_cast<std::size_t>(rank)] : nobody;
}

const Comm& comm_of(std::uint64_t handle) {
  static const Comm unknown;
  if (page() == nullptr) return unknown;
  if (handle == last_handle && last_comm != nullptr) return *last_comm;
  const auto found = by_handle.find(handle);
  if (found == by_handle.end()) return unknown;
  last_handle = handle, last_comm = found->second;
  return *last_comm;
}

void begin_world() {
  int rank = 0;
  PMPI_Comm_rank(MPI_COMM_WORLD, &rank);
  enlist(key_of(MPI_COMM_WORLD), world_group, MPI_COMM_WORLD);
  enlist(key_of(MPI_COMM_SELF), world_group + 1 + static_cast<GroupId>(rank), MPI_COMM_SELF);
}

}  // namespace tandem::watch

using namespace tandem::watch;

// The ranks of `comm` make `made`, a communicator or a window on `ranks`; afterwards they agree on what to call it on the board.
#define MAKE(name, made, ranks, parameters, arguments)                                         \
  extern "C" int MPI_##name parameters {                                                       \
    const Blocked in("MPI_" #name, {gathering("MPI_" #name, comm_of(key_of(comm)), -1, -1)});  \
    const int code = TANDEM_NEXT(MPI_##name) arguments;                                        \
    if (code == MPI_SUCCESS) begin(key_of(*made), ranks);                                      \
    return code;                                                                               \
  }
MAKE(Comm_dup, copy, *copy, (MPI_Comm comm, MPI_Comm* copy), (comm, copy))
MAKE(Comm_split, part, *part, (MPI_Comm comm, int colour, int key, MPI_Comm* part), (comm, colour, key, part))
MAKE(Comm_split_type, part, *part, (MPI_Comm comm, int type, int key, MPI_Info info, MPI_Comm* part), (comm, type, key, info, part))
MAKE(Comm_create, made, *made, (MPI_Comm comm, MPI_Group group, MPI_Comm* made), (comm, group, made))
MAKE(Cart_create, made, *made, (MPI_Comm comm, int n, const int* sizes, const int* rings, int reorder, MPI_Comm* made),
     (comm, n, sizes, rings, reorder, made))
MAKE(Cart_sub, made, *made, (MPI_Comm comm, const int* kept, MPI_Comm* made), (comm, kept, made))
MAKE(Win_create, window, comm, (void* base, MPI_Aint bytes, int unit, MPI_Info info, MPI_Comm comm, MPI_Win* window),
     (base, bytes, unit, info, comm, window))
MAKE(Win_allocate, window, comm, (MPI_Aint bytes, int unit, MPI_Info info, MPI_Comm comm, void* base, MPI_Win* window),
     (bytes, unit, info, comm, base, window))
MAKE(Win_allocate_shared, window, comm, (MPI_Aint bytes, int unit, MPI_Info info, MPI_Comm comm, void* base, MPI_Win* window),
     (bytes, unit, info, comm, base, window))

extern "C" {

int MPI_Comm_free(MPI_Comm* comm) {
  const std::uint64_t before = key_of(*comm);
  const Blocked in("MPI_Comm_free", {gathering("MPI_Comm_free", comm_of(before), -1, -1)});
  const int code = TANDEM_NEXT(MPI_Comm_free)(comm);
  end(before);
  return code;
}

int MPI_Win_free(MPI_Win* window) {
  const std::uint64_t before = key_of(*window);
  const Blocked in("MPI_Win_free", {gathering("MPI_Win_free", comm_of(before), -1, -1)});
  const int code = TANDEM_NEXT(MPI_Win_free)(window);
  end(before);
  return code;
}

int MPI_Win_fence(int promise, MPI_Win window) {
  const Blocked in("MPI_Win_fence", {gathering("MPI_Win_fence", comm_of(key_of(window)), -1, -1)});
  return TANDEM_NEXT(MPI_Win_fence)(promise, window);
}

int MPI_Comm_set_name(MPI_Comm comm, const char* name) {
  if (Group* const group = page() == nullptr ? nullptr : comm_of(key_of(comm)).group)
    std::string_view(name).copy(group->name.data(), group->name.size() - 1);
  return TANDEM_NEXT(MPI_Comm_set_name)(comm, name);
}

}  // extern "C"
