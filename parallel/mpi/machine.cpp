#include "parallel/mpi/machine.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "core/real.hpp"
#include "parallel/mpi/error.hpp"

namespace tandem {

namespace {

#if defined(__AVX512F__)
constexpr int vector_bytes = 64;
#elif defined(__AVX__)
constexpr int vector_bytes = 32;
#else
constexpr int vector_bytes = 16;  // SSE2 and NEON, which x86-64 and 64-bit ARM always have
#endif

struct CpuFeature {
  std::string_view name;
  bool built_for, present;
};

std::vector<CpuFeature> cpu_features() {
#if defined(__x86_64__)
#if defined(__AVX2__)
  constexpr bool avx2 = true;
#else
  constexpr bool avx2 = false;
#endif
#if defined(__FMA__)
  constexpr bool fma = true;
#else
  constexpr bool fma = false;
#endif
  return {{"avx2", avx2, __builtin_cpu_supports("avx2") != 0},
          {"fma", fma, __builtin_cpu_supports("fma") != 0},
          {"avx512f", vector_bytes == 64, __builtin_cpu_supports("avx512f") != 0}};
#else
  return {};
#endif
}

// What rank 0 tells the others, and the first rank that differs tells all.
struct Machine {
  std::array<char, 256> host{}, signature{};

  static void put(std::array<char, 256>& field, std::string_view text) {
    std::ranges::copy(text.substr(0, field.size() - 1), field.begin());  // the last byte stays 0
  }
  bool operator==(const Machine&) const = default;
};

Machine tell(Machine machine, int from, const Communicator& comm) {
  mpi_check(MPI_Bcast(&machine, sizeof machine, MPI_BYTE, from, comm.handle()), "MPI_Bcast");
  return machine;
}

}  // namespace

std::string machine_signature() {
#if defined(__x86_64__)
  std::string text = "x86-64";
#elif defined(__aarch64__)
  std::string text = "aarch64";
#else
  std::string text = "another CPU";
#endif
  text += fmt::format(", vectors of {} bytes, {}-endian, real of {} bytes, compiler {}, CPU has", vector_bytes,
                      std::endian::native == std::endian::little ? "little" : "big", sizeof(real), __VERSION__);
  for (const CpuFeature& feature : cpu_features())
    if (feature.present) text += fmt::format(" {}", feature.name);
  return text;
}

void require_suitable_cpu() {
  for (const CpuFeature& feature : cpu_features())
    require(feature.present || !feature.built_for,
            "this program uses {} instructions, which this CPU does not have; build with -DTANDEM_ARCH= of the oldest CPU",
            feature.name);
}

void require_same_machine(const Communicator& comm, std::string_view signature) {
  Machine mine;
  std::array<char, MPI_MAX_PROCESSOR_NAME> host{};
  int length = 0;
  mpi_check(MPI_Get_processor_name(host.data(), &length), "MPI_Get_processor_name");
  Machine::put(mine.host, {host.data(), static_cast<std::size_t>(length)});
  Machine::put(mine.signature, signature);

  const Machine first = tell(mine, 0, comm);
  const int odd_one = mine.signature == first.signature ? comm.size() : comm.rank();
  int odd = 0;
  mpi_check(MPI_Allreduce(&odd_one, &odd, 1, MPI_INT, MPI_MIN, comm.handle()), "MPI_Allreduce");
  if (odd == comm.size()) return;

  const Machine other = tell(mine, odd, comm);
  fail(
      "the hosts of this job do not compute alike: rank 0 on {} is '{}', but rank {} on {} is '{}'; build for the oldest of "
      "them (-DTANDEM_ARCH=) or use hosts of one kind",
      first.host.data(), first.signature.data(), odd, other.host.data(), other.signature.data());
}

}  // namespace tandem
