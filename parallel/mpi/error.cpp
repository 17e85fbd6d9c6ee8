#include "parallel/mpi/error.hpp"

#include <array>

#include "core/error.hpp"

namespace tandem {

void mpi_check(int code, std::string_view call) {
  if (code == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  if (MPI_Error_string(code, text.data(), &length) != MPI_SUCCESS) fail("{}: unknown error code {}", call, code);
  fail("{}: {}", call, std::string_view(text.data(), static_cast<std::size_t>(length)));
}

}  // namespace tandem
