#include "parallel/mpi/watch/stack.hpp"

#include <dlfcn.h>
#include <execinfo.h>
#include <link.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "parallel/mpi/watch/journal.hpp"

namespace tandem::watch {

namespace {

// `module`: null if no file was loaded at this address.
Place place_of(void* return_address, const link_map*& module) {
  Place place;
  Dl_info info{};
  link_map* found = nullptr;
  auto* const call = static_cast<char*>(return_address) - 1;  // the return address lies behind it, perhaps in the next line
  if (dladdr1(call, &info, reinterpret_cast<void**>(&found), RTLD_DL_LINKMAP) == 0) found = nullptr;
  module = found;
  if (module == nullptr) return place;
  place.offset = reinterpret_cast<std::uintptr_t>(call) - module->l_addr;
  const std::string_view file = module->l_name == nullptr ? "" : module->l_name;
  if (!file.empty()) file.copy(place.module.data(), place.module.size() - 1);
  else if (readlink("/proc/self/exe", place.module.data(), place.module.size() - 1) < 0) module = nullptr;
  if (info.dli_sname != nullptr) std::string_view(info.dli_sname).copy(place.function.data(), place.function.size() - 1);
  return place;
}

// From the innermost outwards, the stack is   [ this handler | signal | MPI | our MPI_Recv | the program ]   or, if the signal comes
// between two calls of MPI_Test,   [ this handler | signal | the program ].   Only the program is of interest.
void write_stack(int) {
  const int error = errno;
  if (Page* const mine = page(); mine != nullptr) {
    constexpr int most_addresses = 64;
    void* addresses[most_addresses];
    const int n = backtrace(addresses, most_addresses);
    const link_map *ours = nullptr, *module = nullptr;
    int program = 0;
    for (int i = 0; i < n; ++i) {
      place_of(addresses[i], module);
      if (i == 0) ours = module;
      if (module == ours) program = i == 0 ? 2 : i + 1;
    }
    mine->frames = 0;
    for (int i = program; i < n && mine->frames < most_frames; ++i)
      if (const Place place = place_of(addresses[i], module); module != nullptr) mine->stack[mine->frames++] = place;
    mine->answered.store(true, std::memory_order_release);
  }
  errno = error;
}

}  // namespace

void handle_stack_signal() {
  void* one[1];
  backtrace(one, 1);  // loads what it needs, so that it allocates nothing in the handler
  struct sigaction action {};
  action.sa_handler = write_stack;
  action.sa_flags = SA_RESTART;
  sigaction(SIGURG, &action, nullptr);
}

void ask_for_stack(Page& page) {
  page.answered = false;
  syscall(SYS_tgkill, page.process.load(), page.thread.load(), SIGURG);
}

}  // namespace tandem::watch
