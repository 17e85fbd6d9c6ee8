// The board: one page a rank, in memory that all ranks of a host share. A rank writes on its own page only.
//
//   board   [ page of rank 0 | page of rank 1 | ... ]
//
//   page    state                  outside MPI, blocked in a call, polling (Test again and again), finished
//           epoch                  counts the rank's progress: two looks that see the same number saw no progress between them
//           operations             messages and collectives under way: what each is, and in which epoch the rank waits for it
//           sent, received         how many messages went each way, by peer, communicator and tag
//           groups                 each communicator: its ranks, and the last collective calls made on it
//           stack                  where in the program the rank waits, once it has been asked
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

namespace tandem::watch {

// Enough for what students and tests do. A rank that needs more is `unsure`, hence not judged: it raises no false alarm.
inline constexpr std::size_t most_ranks = 256, most_operations = 512, most_channels = 4096, most_groups = 128;
inline constexpr std::size_t remembered_collectives = 16, most_frames = 24;

using Members = std::bitset<most_ranks>;  // by rank in MPI_COMM_WORLD, as all ranks on the board
using GroupId = std::uint64_t;            // of a communicator or window: the same on all its ranks
inline constexpr GroupId unknown_group = 0, world_group = 1;
inline constexpr int anyone = -1, any_tag = -1, nobody = -2;

// The name of a call. By value, since an address means nothing to another process.
struct Name {
  char text[32] = {};
  constexpr Name() = default;
  template <std::size_t n>
  constexpr Name(const char (&name)[n]) {
    static_assert(n <= sizeof text);
    for (std::size_t i = 0; i < n; ++i) text[i] = name[i];
  }
  bool operator==(const Name&) const = default;
};

enum class State : int { outside, blocked, polling, finalized, exited };

// What an operation waits for.
enum class Role : std::uint16_t {
  unknown,     // something that the watch does not understand: it never claims that this cannot come
  send,        // that `peer` receives it
  receive,     // a message of `peer`
  probe,       // the same, but the message stays
  collective,  // all members of the group
  window       // each rank in `missing`: a sum in shared memory, see shared_window.hpp
};

struct Comm;

struct Operation {
  std::uint64_t key = 0;     // the MPI_Request; 0: this place is free
  std::uint64_t waited = 0;  // the epoch in which the rank waits for it
  std::uint64_t number = 0;  // send: of its channel; receive: in order of posting; collective, window: of its group
  std::int64_t bytes = -1;   // -1: not known, or need not be equal on all ranks
  GroupId group = unknown_group;
  const Comm* comm = nullptr;  // means something to the rank itself only
  Members missing;
  int peer = nobody, tag = any_tag, root = -1;
  Name call;
  Role role = Role::unknown;
  bool persistent = false, active = true;
};

struct Channel {
  GroupId group = unknown_group;
  int peer = 0, tag = 0;
  std::uint64_t count = 0;  // 0: this place is free
};
using Channels = std::array<Channel, most_channels>;

struct Event {  // a collective call
  Name call;
  int root = -1;
  std::int64_t bytes = -1;
};

struct Group {
  GroupId id = unknown_group;
  Members members;
  std::array<char, 32> name{};                       // that of MPI_Comm_set_name
  std::uint64_t count = 0;                           // collective calls
  std::array<Event, remembered_collectives> last{};  // call number n at n % remembered_collectives
};

// A place in a program: which file was loaded there, and how far into it.
struct Place {
  std::uint64_t offset = 0;
  std::array<char, 240> module{};
  std::array<char, 120> function{};  // where the loader knows it
};

struct Page {
  std::atomic<std::uint64_t> epoch{0}, polls{0};
  std::atomic<State> state{State::outside};
  std::atomic<pid_t> process{0}, thread{0};  // the thread that called MPI_Init
  std::atomic<bool> unsure{false};  // the page may not be complete: a table is full, a message was cancelled, other threads call MPI
  Name call;                        // the last one that blocked, or that asked in vain
  bool all = false;                 // it waits for all its operations, else for any one

  std::atomic<bool> answered{false};  // the stack is there
  std::uint32_t frames = 0;
  std::array<Place, most_frames> stack{};

  std::array<Operation, 2> own{};  // of a blocking call
  std::array<Operation, most_operations> requests{};
  Channels sent{}, received{};
  std::array<Group, most_groups> groups{};
};

// The hash tables of a page: a key lies at its home, or at the next free place after it.
Operation* find_request(Page& page, std::uint64_t key);
Operation* add_request(Page& page, const Operation& operation);  // null: no room
void remove_request(Page& page, Operation* operation);
Channel* channel(Channels& table, GroupId group, int peer, int tag);  // null: no room

}  // namespace tandem::watch
