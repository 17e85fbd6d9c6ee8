// The shared-window allreduce: each rank sums its slice of everybody's values and writes the sum to everybody.
//
//   p=2        before              rank 0 sums the left half,        after
//                                  rank 1 the right half
//     part 0   [ a0 | b0 ]         a0+a1 -> part 0, part 1           [ a0+a1 | b0+b1 ]
//     part 1   [ a1 | b1 ]         b0+b1 -> part 0, part 1           [ a0+a1 | b0+b1 ]
//
//   rank 0   write gradients, ready=t . wait for all ready . sum slice 0, done=t . wait for all reduced
//   rank 1   write gradients,   ready=t . wait for all ready . sum slice 1, done=t . wait for all reduced
//
// This is reduce-scatter and allgather as in the ring, without copying into messages and out again: every value is read once
// and every sum written p times, n bytes of each per rank. The slice is walked in blocks that stay in the first-level cache
// between the reading and the p writings.
//
// Why the flags suffice. A release store of ready=t after the gradients, read by an acquire load, makes the gradients
// visible. Nobody touches rank q's values in round t before ready(q)=t, nor after done=t of the last rank; and q waits
// for exactly that before it calls the sum its own. The next round counts t+1, so a flag is never taken back.
//
// Source: Hoefler et al., "MPI + MPI: a new hybrid approach to parallel programming with MPI plus shared memory", Computing
// 95(12), 2013, for the windows; MPI 4.0, section 12.4, for their (unified) memory model.
#include "parallel/collectives/shared_window.hpp"

#include <algorithm>
#include <exception>
#include <memory>
#include <string_view>

#include "core/error.hpp"
#include "core/memory.hpp"
#include "parallel/collectives/sum.hpp"
#include "parallel/mpi/error.hpp"
#include "parallel/mpi/memory_wait.hpp"

namespace tandem {

namespace {

static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "flags shared by processes cannot hide a lock");

// Slices begin on a cache line of the window: two ranks that write into one line would pass it back and forth.
constexpr std::size_t line = memory_alignment / sizeof(real);

// A block of the sum and of two terms fit a first-level cache of 32 KiB, so that the writes find their lines there.
// Seen on two ranks of a busy machine, 1 to 16 MB: 4 to 16 KiB are alike, longer blocks looked slower; so did the other plan, in
// which a rank writes its sums to its own part only and the others fetch them from there.
constexpr std::size_t block = 8192 / sizeof(real);

std::size_t round_up(std::size_t n, std::size_t unit) { return (n + unit - 1) / unit * unit; }

Piece slice(Piece whole, int k, int p) {
  const auto parts = static_cast<std::size_t>(p);
  const auto cut = [&](std::size_t i) {
    if (i == 0) return whole.begin;
    return std::min(whole.end, round_up(whole.begin + whole.size() * i / parts, line));
  };
  return {cut(static_cast<std::size_t>(k)), cut(static_cast<std::size_t>(k) + 1)};
}

// Every rank must say the same, or the ranks would disagree on where things lie.
void require_agreement(std::size_t mine, std::string_view what, const Communicator& comm) {
  const std::uint64_t both[2] = {mine, ~std::uint64_t{mine}};  // the largest of ~x is ~ of the smallest x
  std::uint64_t largest[2];
  mpi_check(MPI_Allreduce(both, largest, 2, MPI_UINT64_T, MPI_MAX, comm.handle()), "MPI_Allreduce");
  require(largest[0] == ~largest[1], "shared window: the ranks ask for {} to {} {}", ~largest[1], largest[0], what);
}

}  // namespace

SharedWindow::SharedWindow(const Communicator& comm, std::size_t count, int buckets)
    : comm_(comm),
      count_(count),
      rounds_(static_cast<std::size_t>(buckets)),
      exceptions_at_birth_(std::uncaught_exceptions()) {
  require_agreement(count, "values", comm);
  require_agreement(rounds_.size(), "buckets", comm);
  require(comm.split_by_node().size() == comm.size(), "shared window: the {} ranks are not all on one host", comm.size());

  // Each rank's memory:   ... 64 | flags of bucket 0, 1, ... | values ...    The first pages of each rank's part are put
  // near its own core because it writes them first ("noncontig" lets MPI place the parts on pages of their own).
  const std::size_t flag_bytes = rounds_.size() * sizeof(Flags);
  const auto bytes = static_cast<MPI_Aint>(memory_alignment + flag_bytes + count * sizeof(real));
  MPI_Info info = MPI_INFO_NULL;
  mpi_check(MPI_Info_create(&info), "MPI_Info_create");
  mpi_check(MPI_Info_set(info, "alloc_shared_noncontig", "true"), "MPI_Info_set");
  void* base = nullptr;
  mpi_check(MPI_Win_allocate_shared(bytes, 1, info, comm.handle(), static_cast<void*>(&base), &window_),
            fmt::format("MPI_Win_allocate_shared({} bytes for each of {} ranks: is there so much shared memory?)", bytes,
                        comm.size()));
  mpi_check(MPI_Info_free(&info), "MPI_Info_free");
  mpi_check(MPI_Win_set_errhandler(window_, MPI_ERRORS_RETURN), "MPI_Win_set_errhandler");
  mpi_check(MPI_Win_lock_all(MPI_MODE_NOCHECK, window_), "MPI_Win_lock_all");

  for (int rank = 0; rank < comm.size(); ++rank) {
    MPI_Aint size = 0;
    int unit = 0;
    mpi_check(MPI_Win_shared_query(window_, rank, &size, &unit, static_cast<void*>(&base)), "MPI_Win_shared_query");
    // The same rounding in every process: they map the same pages, perhaps elsewhere, but each page begins on 64 bytes.
    auto* start = reinterpret_cast<std::byte*>(round_up(reinterpret_cast<std::uintptr_t>(base), memory_alignment));
    flags_.emplace_back(reinterpret_cast<Flags*>(start), rounds_.size());
    parts_.emplace_back(reinterpret_cast<real*>(start + flag_bytes), count);
  }
  std::ranges::uninitialized_default_construct(flags_[static_cast<std::size_t>(comm.rank())]);
  std::ranges::fill(mine(), real{0});
  comm.barrier();
}

// Collective, so not for a rank that an exception unwinds: it would wait for ranks that will not come.
SharedWindow::~SharedWindow() {
  if (std::uncaught_exceptions() > exceptions_at_birth_) return;
  MPI_Win_unlock_all(window_);
  MPI_Win_free(&window_);
}

// One sum or broadcast: announce, wait until the values needed are there, do my part, wait until all have done theirs.
class WindowRound final : public Collective {
 public:
  WindowRound(SharedWindow& window, bool sums, Piece range, std::size_t bucket)
      : window_(window), sums_(sums), range_(range), bucket_(bucket), round_(++window.rounds_[bucket]) {
    my_flags().ready.store(round_, std::memory_order_release);
  }

  bool progress() override {
    if (!done_ && all_reached(&SharedWindow::Flags::ready)) {
      if (sums_)
        reduce(slice(range_, window_.comm_.rank(), window_.comm_.size()));
      else if (window_.comm_.rank() != 0)
        std::ranges::copy(of_rank(0, range_), of_rank(window_.comm_.rank(), range_).begin());
      my_flags().done.store(round_, std::memory_order_release);
      done_ = true;
    }
    const bool complete = done_ && all_reached(&SharedWindow::Flags::done);
    const MemoryWait wait{.key = this, .comm = window_.comm_.handle(), .round = round_, .is_missing = is_missing};
    MPI_Pcontrol(memory_wait, &wait);
    if (!complete) poke_mpi();
    return complete;
  }

 private:
  SharedWindow::Flags& my_flags() { return window_.flags_[static_cast<std::size_t>(window_.comm_.rank())][bucket_]; }

  std::span<real> of_rank(int rank, Piece range) const {
    return window_.parts_[static_cast<std::size_t>(rank)].subspan(range.begin, range.size());
  }

  using Flag = std::atomic<std::uint64_t> SharedWindow::Flags::*;

  bool reached(std::span<SharedWindow::Flags> flags, Flag flag) const {
    return (flags[bucket_].*flag).load(std::memory_order_acquire) >= round_;
  }

  bool all_reached(Flag flag) const {
    return std::ranges::all_of(window_.flags_, [&](auto flags) { return reached(flags, flag); });
  }

  static bool is_missing(const void* self, int rank) {
    const auto& round = *static_cast<const WindowRound*>(self);
    return !round.reached(round.window_.flags_[static_cast<std::size_t>(rank)],
                          round.done_ ? &SharedWindow::Flags::done : &SharedWindow::Flags::ready);
  }

  void reduce(Piece mine) {
    const std::size_t p = window_.parts_.size();
    if (p == 1) return;
    const Scratch<> sum(std::min(block, mine.end - mine.begin));
    std::vector<std::span<const real>> terms(p);
    for (std::size_t begin = mine.begin; begin < mine.end; begin += block) {
      const std::size_t n = std::min(block, mine.end - begin);
      for (std::size_t rank = 0; rank < p; ++rank) terms[rank] = window_.parts_[rank].subspan(begin, n);
      tree_sum(sum.first(n), terms);
      for (const std::span<real> part : window_.parts_) std::ranges::copy(sum.first(n), part.begin() + begin);
    }
  }

  // We wait on memory, outside MPI. A rank that still has to finish a long message with us would never do so, and never come
  // here, if we did not give MPI a chance to answer it. Nobody shall count this as a probe (PMPI): we want no message.
  void poke_mpi() const {
    int found = 0;
    mpi_check(PMPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, window_.comm_.handle(), &found, MPI_STATUS_IGNORE), "MPI_Iprobe");
  }

  SharedWindow& window_;
  bool sums_;
  Piece range_;
  std::size_t bucket_;
  std::uint64_t round_;
  bool done_ = false;  // my part is
};

std::unique_ptr<Collective> SharedWindow::start_round(bool sums, std::size_t offset, std::size_t length, int bucket) {
  require(offset <= count_ && length <= count_ - offset, "shared window: values {} to {} of {}", offset, offset + length,
          count_);
  require(bucket >= 0 && bucket < std::ssize(rounds_), "shared window: no bucket {} among {}", bucket, rounds_.size());
  const auto b = static_cast<std::size_t>(bucket);
  for (const auto flags : flags_)
    require(flags[b].done.load(std::memory_order_acquire) >= rounds_[b],
            "shared window: bucket {} is started again before its last round was waited for", bucket);
  return std::make_unique<WindowRound>(*this, sums, Piece{offset, offset + length}, b);
}

std::unique_ptr<Collective> SharedWindow::start(std::size_t offset, std::size_t length, int bucket) {
  return start_round(true, offset, length, bucket);
}

std::unique_ptr<Collective> SharedWindow::start_broadcast(std::size_t offset, std::size_t length, int bucket) {
  return start_round(false, offset, length, bucket);
}

}  // namespace tandem
