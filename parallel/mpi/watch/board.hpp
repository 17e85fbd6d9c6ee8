// The board: one page a rank, in memory that all ranks of a host share. A rank writes on its own page only.
//
//   board   [ reporter | page of rank 0 | page of rank 1 | ... ]
//
//   page    what the rank does     outside MPI, blocked in a call, polling (Test again and again), finished
//           epoch                  counts its progress: two looks that see the same number saw no progress between them
//           operations             messages and collectives under way: what each is, and in which epoch the rank waits for it
//           sent, received         how many messages went each way, by peer, communicator and tag
//           groups                 each communicator: its ranks, and the last collective calls made on it
//
// Pages are written without locks. A reader copies and then looks whether `epoch` is still the same; of a page whose epoch has stood
// still for two seconds nothing moves. All of a page is valid when it is zero, so fresh memory is an empty board.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <bitset>
#include <cstddef>
#include <cstdint>

#include "parallel/mpi/watch/calls.hpp"

namespace tandem::watch {

// Enough for what students and tests do; a rank that needs more is not judged (`Page::overflow`), so it raises no false alarm.
inline constexpr std::size_t most_ranks = 256, most_operations = 512, most_channels = 4096, most_groups = 128;
inline constexpr std::size_t remembered_collectives = 16, most_frames = 24;

using Members = std::bitset<most_ranks>;  // by rank in MPI_COMM_WORLD, as all ranks on the board
using GroupId = std::uint64_t;            // the same on all its ranks
inline constexpr GroupId unknown_group = 0, world_group = 1;
inline constexpr int anyone = -1, any_tag = -1, nobody = -2;

enum class State : int { unborn, outside, blocked, polling, finalized, exited };

// What an operation waits for.
enum class Role : std::uint16_t {
  unknown,        // something that the watch does not understand: it never claims that this cannot come
  send,           // that `peer` receives it
  receive,        // a message of `peer`
  probe,          // the same, but the message stays
  collective,     // all members of the group
  any_of_group,   // some other member of the group: one-sided synchronisation
  all_missing     // each rank in `missing`: the shared window's barrier
};

struct Operation {
  std::uint64_t key = 0;     // the MPI_Request; 0: this place is free
  std::uint64_t waited = 0;  // the epoch in which the rank waits for it
  GroupId group = unknown_group;
  std::uint64_t number = 0;  // send: of its channel; receive: in order of posting; collective: of its group; window: its round
  std::int64_t bytes = -1;   // -1: not known, or need not be equal on all ranks
  std::uintptr_t where = 0;  // return address of the call that began it
  const void* local = nullptr;  // for the rank itself
  Members missing;
  int peer = nobody, tag = any_tag, root = -1;
  Call call{};
  Role role = Role::unknown;
  bool persistent = false, active = true;
};

struct Channel {
  GroupId group = unknown_group;
  int peer = 0, tag = 0;
  std::uint64_t count = 0;  // 0: this place is free
};

struct Event {  // a collective call
  Call call{};
  int root = -1;
  std::int64_t bytes = -1;
};

struct Group {
  GroupId id = unknown_group;
  Members members;
  std::array<char, 32> name{};
  std::uint64_t count = 0;                                 // collective calls
  std::array<std::uint32_t, call_names.size()> counts{};   // of each kind
  std::array<Event, remembered_collectives> last{};        // call number n at n % remembered_collectives
};

// A place in a program: which file was loaded there, and how far into it.
struct Place {
  std::uint64_t offset = 0;
  std::array<char, 240> module{};
  std::array<char, 120> function{};  // where the loader knows it
};

struct Page {
  std::atomic<std::uint64_t> epoch{0}, polls{0}, cpu_ns{0};
  std::atomic<State> state{State::unborn};
  std::atomic<pid_t> process{0}, thread{0};  // that of its last MPI call
  std::atomic<bool> overflow{false};
  Call call{};       // the last one that blocked, or that asked in vain
  bool all = false;  // it waits for all its operations, else for any one

  std::atomic<std::uint32_t> asked{0}, answered{0};  // for the stack, see stack.hpp
  std::uint32_t frames = 0;
  std::array<Place, most_frames> stack{};

  std::array<Operation, 2> own{};  // of a blocking call
  std::array<Operation, most_operations> requests{};
  std::array<Channel, most_channels> sent{}, received{};
  std::array<Group, most_groups> groups{};
};

struct Board {
  std::atomic<pid_t> reporter{0};
  int ranks = 0;
  Page* page(int rank) { return reinterpret_cast<Page*>(this + 1) + rank; }
};
static_assert(sizeof(Board) % 8 == 0);

inline std::size_t board_bytes(int ranks) { return sizeof(Board) + static_cast<std::size_t>(ranks) * sizeof(Page); }

// The hash tables of a page: a key lies at its home, or at the next free place after it.
inline std::size_t scatter(std::uint64_t key) { return static_cast<std::size_t>((key * 0x9E3779B97F4A7C15u) >> 32); }

Operation* find_request(Page& page, std::uint64_t key);
Operation* add_request(Page& page, const Operation& operation);  // null: no room
void remove_request(Page& page, Operation* operation);
Channel* channel(std::array<Channel, most_channels>& table, GroupId group, int peer, int tag);  // null: no room

}  // namespace tandem::watch
