#include "parallel/mpi/watch/journal.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <string_view>
#include <unordered_map>

namespace tandem::watch {

namespace {

Page unseen;
Page* mine = &unseen;
std::uint64_t receives_posted = 0, comms_made = 0;
bool cancels = false;

std::deque<Comm>& all_comms() {  // never destroyed: a request may outlive its communicator, and a thread outlives main
  static auto* const comms = new std::deque<Comm>;
  return *comms;
}
std::unordered_map<MPI_Comm, Comm*>& comms_by_handle() {
  static auto* const comms = new std::unordered_map<MPI_Comm, Comm*>;
  return *comms;
}
std::unordered_map<MPI_Win, Comm*>& comms_by_window() {
  static auto* const comms = new std::unordered_map<MPI_Win, Comm*>;
  return *comms;
}
MPI_Comm last_handle = MPI_COMM_NULL;  // most calls name the communicator of the call before
Comm* last_comm = nullptr;

Comm* new_comm(GroupId id, MPI_Group ranks) {
  MPI_Group world;
  int n = 0;
  PMPI_Group_size(ranks, &n);
  std::vector<int> here(static_cast<std::size_t>(n)), there(here.size());
  for (std::size_t i = 0; i < here.size(); ++i) here[i] = static_cast<int>(i);
  PMPI_Comm_group(MPI_COMM_WORLD, &world);
  PMPI_Group_translate_ranks(ranks, n, here.data(), world, there.data());
  PMPI_Group_free(&world);

  all_comms().push_back({.id = id, .world = there, .group = nullptr});
  Comm& comm = all_comms().back();
  const auto free = std::ranges::find(mine->groups, unknown_group, &Group::id);
  if (free == mine->groups.end() || std::ranges::any_of(there, [](int r) { return r < 0; })) {
    comm.id = unknown_group;
    return &comm;
  }
  *free = Group{};
  for (const int rank : there) free->members.set(static_cast<std::size_t>(rank));
  free->id = id;
  comm.group = &*free;
  return &comm;
}

Comm* new_comm(GroupId id, MPI_Comm handle) {
  MPI_Group ranks;
  PMPI_Comm_group(handle, &ranks);
  Comm* const comm = new_comm(id, ranks);
  PMPI_Group_free(&ranks);
  return comm;
}

Comm* unknown_comm() {
  static auto* const comm = new Comm;
  return comm;
}

// Rank 0 of the communicator chooses, in a way that no other choice can equal.
GroupId agree_on_id(MPI_Comm comm) {
  int world_rank = 0;
  PMPI_Comm_rank(MPI_COMM_WORLD, &world_rank);
  GroupId id = static_cast<GroupId>(world_rank + 1) << 32 | ++comms_made;
  PMPI_Bcast(&id, 1, MPI_UINT64_T, 0, comm);
  return id;
}

bool is_intercomm(MPI_Comm comm) {
  int inter = 0;
  PMPI_Comm_test_inter(comm, &inter);
  return inter != 0;
}

void drop(Comm* comm) {
  if (comm->group != nullptr) comm->group->id = unknown_group;
  comm->group = nullptr;
}

void count_message(std::array<Channel, most_channels>& table, GroupId group, int peer, int tag, std::uint64_t* number = nullptr) {
  if (group == unknown_group || peer < 0) return;
  Channel* const c = channel(table, group, peer, tag);
  if (c == nullptr) return mine->overflow.store(true);
  ++c->count;
  if (number != nullptr) *number = c->count;
}

Operation message(Call call, Role role, std::int64_t bytes, int peer, int tag, MPI_Comm handle, std::uintptr_t where) {
  Comm* const comm = comm_of(handle);
  Operation o;
  o.group = comm->id, o.bytes = bytes, o.where = where, o.local = comm;
  o.peer = comm->world_rank(peer), o.tag = tag == MPI_ANY_TAG ? any_tag : tag;
  o.call = call, o.role = comm->id == unknown_group ? Role::unknown : role;
  return o;
}

void begin_send(Operation& o) { count_message(mine->sent, o.group, o.peer, o.tag, &o.number); }

// `source`: rank in the operation's communicator
void count_received(const Comm& comm, int source, int tag) {
  if (source >= 0 && comm.id != unknown_group) count_message(mine->received, comm.id, comm.world_rank(source), tag);
}

void enter(State state) {
  static thread_local const pid_t thread = gettid();
  mine->thread.store(thread, std::memory_order_relaxed);
  mine->state.store(state, std::memory_order_release);
}

void polled() {
  mine->polls.store(mine->polls.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  enter(State::polling);
}

}  // namespace

Page& page() { return *mine; }
void take_page(Page* shared) {
  mine = shared;
  comms_by_handle()[MPI_COMM_WORLD] = new_comm(world_group, MPI_COMM_WORLD);
  int rank = 0;
  PMPI_Comm_rank(MPI_COMM_WORLD, &rank);
  comms_by_handle()[MPI_COMM_SELF] = new_comm(world_group + 1 + static_cast<GroupId>(rank), MPI_COMM_SELF);
}

int Comm::world_rank(int rank) const {
  if (rank == MPI_ANY_SOURCE) return anyone;
  return rank >= 0 && static_cast<std::size_t>(rank) < world.size() ? world[static_cast<std::size_t>(rank)] : nobody;
}

Comm* comm_of(MPI_Comm handle) {
  if (handle == last_handle && last_comm != nullptr) return last_comm;
  const auto found = comms_by_handle().find(handle);
  if (found == comms_by_handle().end()) return unknown_comm();
  last_handle = handle, last_comm = found->second;
  return last_comm;
}

Comm* comm_of(MPI_Win window) {
  const auto found = comms_by_window().find(window);
  return found == comms_by_window().end() ? unknown_comm() : found->second;
}

void begin_comm(MPI_Comm handle) {
  last_handle = MPI_COMM_NULL;
  if (handle == MPI_COMM_NULL || is_intercomm(handle)) return;
  comms_by_handle()[handle] = new_comm(agree_on_id(handle), handle);
}

void begin_window(MPI_Win window, MPI_Comm comm) {
  if (!is_intercomm(comm)) comms_by_window()[window] = new_comm(agree_on_id(comm), comm);
}

void end_comm(MPI_Comm handle) {
  last_handle = MPI_COMM_NULL;
  if (const auto found = comms_by_handle().find(handle); found != comms_by_handle().end()) {
    drop(found->second);
    comms_by_handle().erase(found);
  }
}

void end_window(MPI_Win window) {
  if (const auto found = comms_by_window().find(window); found != comms_by_window().end()) {
    drop(found->second);
    comms_by_window().erase(found);
  }
}

void name_comm(MPI_Comm handle, const char* name) {
  if (Group* const group = comm_of(handle)->group)
    std::string_view(name).copy(group->name.data(), group->name.size() - 1);
}

std::int64_t bytes_of(int n, MPI_Datatype type) {
  int size = 0;
  if (type == MPI_DATATYPE_NULL || PMPI_Type_size(type, &size) != MPI_SUCCESS) return -1;
  return std::int64_t{n} * size;
}

Operation sending_later(Call call, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm, std::uintptr_t where) {
  return message(call, Role::send, bytes_of(n, type), to, tag, comm, where);
}

Operation sending(Call call, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm, std::uintptr_t where) {
  Operation o = sending_later(call, n, type, to, tag, comm, where);
  begin_send(o);
  return o;
}

Operation receiving(Call call, int n, MPI_Datatype type, int from, int tag, MPI_Comm comm, std::uintptr_t where) {
  Operation o = message(call, Role::receive, bytes_of(n, type), from, tag, comm, where);
  o.number = ++receives_posted;
  return o;
}

Operation probing(Call call, int from, int tag, MPI_Comm comm, std::uintptr_t where) {
  return message(call, Role::probe, -1, from, tag, comm, where);
}

Operation gathering(Call call, Comm* comm, int root, std::int64_t bytes, std::uintptr_t where) {
  Operation o;
  o.call = call, o.group = comm->id, o.bytes = bytes, o.where = where, o.local = comm;
  o.root = root < 0 ? -1 : comm->world_rank(root);
  if (Group* const group = comm->group) {
    o.role = Role::collective;
    group->last[(group->count + 1) % remembered_collectives] = {.call = call, .root = o.root, .bytes = bytes};
    o.number = ++group->count;
    ++group->counts[static_cast<std::size_t>(call)];
  }
  return o;
}

Operation one_sided(Call call, Comm* comm, std::uintptr_t where) {
  Operation o;
  o.call = call, o.group = comm->id, o.where = where, o.local = comm;
  o.role = comm->group != nullptr ? Role::any_of_group : Role::unknown;
  return o;
}

void remember(MPI_Request request, Operation o) {
  moved();
  if ((o.role == Role::send || o.role == Role::receive) && o.peer == nobody) return;  // MPI_PROC_NULL: complete at once
  o.key = reinterpret_cast<std::uint64_t>(request);
  if (add_request(*mine, o) == nullptr) mine->overflow = true;
}

void prepare(MPI_Request persistent, Operation operation) {
  operation.persistent = true, operation.active = false;
  remember(persistent, operation);
}

void start(MPI_Request persistent) {
  moved();
  Operation* const o = find_request(*mine, reinterpret_cast<std::uint64_t>(persistent));
  if (o == nullptr) return;
  o->active = true;
  if (o->role == Role::send) begin_send(*o);
  if (o->role == Role::receive) o->number = ++receives_posted;
}

void forget(MPI_Request request) {
  moved();
  if (Operation* const o = find_request(*mine, reinterpret_cast<std::uint64_t>(request))) remove_request(*mine, o);
}

void completed(MPI_Request request, const MPI_Status& status) {
  moved();
  Operation* const o = find_request(*mine, reinterpret_cast<std::uint64_t>(request));
  if (o == nullptr || !o->active) return;
  int cancelled = 0;
  if (cancels) PMPI_Test_cancelled(&status, &cancelled);
  if (o->role == Role::receive && !cancelled) {
    if (o->peer >= 0 && o->tag != any_tag)
      count_message(mine->received, o->group, o->peer, o->tag);
    else
      count_received(*static_cast<const Comm*>(o->local), status.MPI_SOURCE, status.MPI_TAG);
  }
  if (cancelled) mine->overflow = true;  // a message taken back: the counts of both sides no longer tell what is under way
  if (o->persistent)
    o->active = false;
  else
    remove_request(*mine, o);
}

void message_taken(MPI_Comm comm, const MPI_Status& status) { count_received(*comm_of(comm), status.MPI_SOURCE, status.MPI_TAG); }

void cancel_seen() { cancels = true; }

void moved() {
  mine->state.store(State::outside, std::memory_order_relaxed);
  mine->epoch.store(mine->epoch.load(std::memory_order_relaxed) + 1, std::memory_order_release);  // nobody else writes it
}

void asked_in_vain(Call call, bool all, std::span<const MPI_Request> requests) {
  mine->call = call, mine->all = all;
  const std::uint64_t epoch = mine->epoch.load(std::memory_order_relaxed);
  for (const MPI_Request request : requests)
    if (Operation* const o = request == MPI_REQUEST_NULL ? nullptr : find_request(*mine, reinterpret_cast<std::uint64_t>(request)))
      o->waited = epoch;
  polled();
}

void asked_in_vain(const Operation& probe) {
  mine->call = probe.call, mine->all = false;
  mine->own[0] = probe;
  mine->own[0].waited = mine->epoch.load(std::memory_order_relaxed);
  polled();
}

Blocked::Blocked(Call call, std::initializer_list<Operation> operations) {
  moved();
  mine->call = call, mine->all = true;
  std::size_t i = 0;
  for (const Operation& o : operations) {
    mine->own[i] = o;
    const bool for_nobody = o.peer == nobody && (o.role == Role::send || o.role == Role::receive || o.role == Role::probe);
    mine->own[i++].waited = for_nobody ? 0 : mine->epoch.load(std::memory_order_relaxed);
  }
  enter(State::blocked);
}

Blocked::Blocked(Call call, bool all, std::span<const MPI_Request> requests) {
  moved();
  mine->call = call, mine->all = all;
  const std::uint64_t epoch = mine->epoch.load(std::memory_order_relaxed);
  for (const MPI_Request request : requests)
    if (Operation* const o = request == MPI_REQUEST_NULL ? nullptr : find_request(*mine, reinterpret_cast<std::uint64_t>(request)))
      if (o->active) o->waited = epoch;
  enter(State::blocked);
}

Blocked::~Blocked() { moved(); }

}  // namespace tandem::watch
