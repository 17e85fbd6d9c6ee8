#include "parallel/mpi/watch/journal.hpp"

#include <unistd.h>

namespace tandem::watch {

namespace {

Page* shared = nullptr;
thread_local bool is_writer = false;
std::uint64_t receives_posted = 0;

void count_message(Page& mine, Channels& table, GroupId group, int peer, int tag, std::uint64_t* number = nullptr) {
  if (group == unknown_group || peer < 0) return;
  Channel* const c = channel(table, group, peer, tag);
  if (c == nullptr) return mine.unsure.store(true);
  ++c->count;
  if (number != nullptr) *number = c->count;
}

void begin_send(Operation& o) {
  if (Page* const mine = page()) count_message(*mine, mine->sent, o.group, o.peer, o.tag, &o.number);
}

// `source`: rank in the communicator
void count_received(Page& mine, const Comm& comm, int source, int tag) {
  if (source >= 0) count_message(mine, mine.received, comm.id, comm.world_rank(source), tag);
}

bool is_message(const Operation& o) { return o.role == Role::send || o.role == Role::receive || o.role == Role::probe; }

Operation message(Name call, Role role, std::int64_t bytes, int peer, int tag, MPI_Comm handle) {
  if (page() == nullptr) return {};
  const Comm& comm = comm_of(key_of(handle));
  return {.bytes = bytes,
          .group = comm.id,
          .comm = &comm,
          .peer = comm.world_rank(peer),
          .tag = tag == MPI_ANY_TAG ? any_tag : tag,
          .call = call,
          .role = comm.id == unknown_group ? Role::unknown : role};
}

// Says that the rank waits for these, from this epoch to the next.
void wait_for(Page& mine, std::span<const MPI_Request> requests) {
  const std::uint64_t epoch = mine.epoch.load(std::memory_order_relaxed);
  for (const MPI_Request request : requests)
    if (Operation* const o = request == MPI_REQUEST_NULL ? nullptr : find_request(mine, key_of(request)); o != nullptr && o->active)
      o->waited = epoch;
}

void enter(Page& mine, State state) { mine.state.store(state, std::memory_order_release); }

void polled(Page& mine) {
  mine.polls.store(mine.polls.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  enter(mine, State::polling);
}

}  // namespace

void take_page(Page* page_on_board) {
  is_writer = true;
  shared = page_on_board;
  shared->process = getpid();
  shared->thread = gettid();
}

Page* page() {
  if (is_writer || shared == nullptr) return shared;
  shared->unsure = true;
  return nullptr;
}

std::int64_t bytes_of(int n, MPI_Datatype type) {
  int size = 0;
  if (type == MPI_DATATYPE_NULL || PMPI_Type_size(type, &size) != MPI_SUCCESS) return -1;
  return std::int64_t{n} * size;
}

Operation sending_later(Name call, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm) {
  return message(call, Role::send, bytes_of(n, type), to, tag, comm);
}

Operation sending(Name call, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm) {
  Operation o = sending_later(call, n, type, to, tag, comm);
  begin_send(o);
  return o;
}

Operation receiving(Name call, int n, MPI_Datatype type, int from, int tag, MPI_Comm comm) {
  Operation o = message(call, Role::receive, bytes_of(n, type), from, tag, comm);
  if (page() != nullptr) o.number = ++receives_posted;
  return o;
}

Operation probing(Name call, int from, int tag, MPI_Comm comm) { return message(call, Role::probe, -1, from, tag, comm); }

Operation gathering(Name call, const Comm& comm, int root, std::int64_t bytes) {
  if (page() == nullptr) return {};
  Operation o{.bytes = bytes, .group = comm.id, .comm = &comm, .root = root < 0 ? -1 : comm.world_rank(root), .call = call};
  if (Group* const group = comm.group) {
    o.role = Role::collective;
    group->last[(group->count + 1) % remembered_collectives] = {.call = call, .root = o.root, .bytes = bytes};
    o.number = ++group->count;
  }
  return o;
}

void remember(std::uint64_t request, Operation o) {
  moved();
  Page* const mine = page();
  if (mine == nullptr || (is_message(o) && o.peer == nobody)) return;  // MPI_PROC_NULL: complete at once
  o.key = request;
  if (add_request(*mine, o) == nullptr) mine->unsure = true;
}

void prepare(std::uint64_t persistent, Operation operation) {
  operation.persistent = true, operation.active = false;
  remember(persistent, operation);
}

void start(std::uint64_t persistent) {
  moved();
  Page* const mine = page();
  Operation* const o = mine == nullptr ? nullptr : find_request(*mine, persistent);
  if (o == nullptr) return;
  o->active = true;
  if (o->role == Role::send) begin_send(*o);
  if (o->role == Role::receive) o->number = ++receives_posted;
}

void forget(std::uint64_t request) {
  moved();
  Page* const mine = page();
  if (Operation* const o = mine == nullptr ? nullptr : find_request(*mine, request)) remove_request(*mine, o);
}

void completed(std::uint64_t request, const MPI_Status& status) {
  moved();
  Page* const mine = page();
  Operation* const o = mine == nullptr ? nullptr : find_request(*mine, request);
  if (o == nullptr || !o->active) return;
  if (o->role == Role::receive) count_received(*mine, *o->comm, status.MPI_SOURCE, status.MPI_TAG);
  if (o->persistent)
    o->active = false;
  else
    remove_request(*mine, o);
}

void message_taken(MPI_Comm comm, const MPI_Status& status) {
  if (Page* const mine = page()) count_received(*mine, comm_of(key_of(comm)), status.MPI_SOURCE, status.MPI_TAG);
}

void moved() {
  Page* const mine = page();
  if (mine == nullptr) return;
  mine->state.store(State::outside, std::memory_order_relaxed);
  mine->epoch.store(mine->epoch.load(std::memory_order_relaxed) + 1, std::memory_order_release);  // nobody else writes it
}

void asked_in_vain(Name call, bool all, std::span<const MPI_Request> requests) {
  Page* const mine = page();
  if (mine == nullptr) return;
  mine->call = call, mine->all = all;
  wait_for(*mine, requests);
  polled(*mine);
}

void asked_in_vain(const Operation& operation) {
  Page* const mine = page();
  if (mine == nullptr) return;
  mine->call = operation.call, mine->all = false;
  Operation* const place = operation.key == 0 ? &mine->own[0] : find_request(*mine, operation.key);
  if (place == nullptr) return;
  *place = operation;
  place->waited = mine->epoch.load(std::memory_order_relaxed);
  polled(*mine);
}

Blocked::Blocked(Name call, std::initializer_list<Operation> operations) {
  moved();
  Page* const mine = page();
  if (mine == nullptr) return;
  mine->call = call, mine->all = true;
  const std::uint64_t epoch = mine->epoch.load(std::memory_order_relaxed);
  for (std::size_t i = 0; const Operation& o : operations) {
    mine->own[i] = o;
    mine->own[i++].waited = is_message(o) && o.peer == nobody ? 0 : epoch;
  }
  enter(*mine, State::blocked);
}

Blocked::Blocked(Name call, bool all, std::span<const MPI_Request> requests) {
  moved();
  Page* const mine = page();
  if (mine == nullptr) return;
  mine->call = call, mine->all = all;
  wait_for(*mine, requests);
  enter(*mine, State::blocked);
}

}  // namespace tandem::watch
