// The beginning and the end: the ranks get a board at MPI_Init, and say on it how they leave.
//
// The board is memory without a name (memfd), so nothing can be left of it. Rank 0 makes it and tells the others where its process has
// it open; they open it there.
#include <fcntl.h>
#include <mpi.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <span>
#include <thread>

#include "parallel/mpi/watch/journal.hpp"
#include "parallel/mpi/watch/stack.hpp"
#include "parallel/mpi/watch/watcher.hpp"

using namespace tandem::watch;
using namespace std::chrono_literals;

namespace {

struct Whereabouts {
  pid_t process;
  int file;
};

bool on_one_host(int ranks) {
  MPI_Comm node;
  int here = 0;
  PMPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
  PMPI_Comm_size(node, &here);
  PMPI_Comm_free(&node);
  return here == ranks;
}

// The board, the same memory on all ranks; null on all if any rank cannot have it.
Page* open_board(int rank, int ranks) {
  const std::size_t bytes = static_cast<std::size_t>(ranks) * sizeof(Page);
  Whereabouts at{.process = getpid(), .file = -1};
  if (rank == 0) {
    at.file = memfd_create("tandem-watch", MFD_CLOEXEC);
    if (at.file >= 0 && ftruncate(at.file, static_cast<off_t>(bytes)) != 0) at.file = -1;
  }
  PMPI_Bcast(&at, sizeof at, MPI_BYTE, 0, MPI_COMM_WORLD);
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%d/fd/%d", at.process, at.file);
  const int file = at.file < 0 ? -1 : open(path, O_RDWR | O_CLOEXEC);
  void* const memory = file < 0 ? MAP_FAILED : mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  int mine = memory != MAP_FAILED, all = 0;
  PMPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
  if (file >= 0) close(file);
  if (rank == 0 && at.file >= 0) close(at.file);
  return all ? static_cast<Page*>(memory) : nullptr;
}

std::span<Page> board;

// A rank that leaves main in peace but without MPI_Finalize makes mpirun end the job within milliseconds and without a word. So it
// stays for up to ten seconds while others go on: long enough to see that they wait for it, and to tell, which ends this process too.
void leave(int status, void*) {
  int finalized = 0;
  PMPI_Finalized(&finalized);
  Page* const mine = page();
  if (finalized || status != 0 || mine == nullptr || mine->process != getpid()) return;  // or a child that was forked
  mine->state = State::exited;
  const auto goes_on = [](const Page& page) { return page.state != State::exited && page.state != State::finalized; };
  for (int looks = 0; looks < 100 && std::ranges::any_of(board, goes_on); ++looks) std::this_thread::sleep_for(100ms);
}

void begin() {
  int rank = 0, ranks = 0;
  PMPI_Comm_rank(MPI_COMM_WORLD, &rank);
  PMPI_Comm_size(MPI_COMM_WORLD, &ranks);
  const char* why_not = ranks > static_cast<int>(most_ranks) ? "there are more than 256 ranks"
                        : !on_one_host(ranks) ? "the ranks are on several hosts" : nullptr;
  Page* const pages = why_not == nullptr ? open_board(rank, ranks) : nullptr;
  if (pages == nullptr) {
    if (rank == 0) std::fprintf(stderr, "tandem watch: off, since %s\n", why_not != nullptr ? why_not : "the ranks cannot share memory");
    return;
  }
  board = {pages, static_cast<std::size_t>(ranks)};
  take_page(&board[static_cast<std::size_t>(rank)]);
  begin_world();
  handle_stack_signal();
  on_exit(leave, nullptr);
  PMPI_Barrier(MPI_COMM_WORLD);  // all pages are in use from here on
  if (rank == 0) start_watching(board);
}

}  // namespace

extern "C" {

int MPI_Init(int* argc, char*** argv) {
  const int code = TANDEM_NEXT(MPI_Init)(argc, argv);
  if (code == MPI_SUCCESS) begin();
  return code;
}

int MPI_Init_thread(int* argc, char*** argv, int wanted, int* provided) {
  const int code = TANDEM_NEXT(MPI_Init_thread)(argc, argv, wanted, provided);
  if (code == MPI_SUCCESS) begin();
  return code;
}

// From here on nobody can expect anything of this rank.
int MPI_Finalize() {
  moved();
  if (Page* const mine = page()) mine->state = State::finalized;
  return TANDEM_NEXT(MPI_Finalize)();
}

}  // extern "C"
