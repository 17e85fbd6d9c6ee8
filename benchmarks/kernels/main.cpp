// Runs the programme of kernels.hpp and prints a table: the best of the repetitions, since a kernel can be disturbed but not
// sped up by accident.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <memory>
#include <vector>

#include "benchmarks/kernels/kernels.hpp"
#include "core/machine.hpp"
#include "core/threads.hpp"

namespace tandem {
namespace {

std::vector<Kernel>& programme() {
  static std::vector<Kernel> kernels;
  return kernels;
}

std::string row_name(const Kernel& kernel) { return kernel.who == "ours" ? kernel.name : kernel.name + "/" + kernel.who; }

void time_kernel(benchmark::State& state, const Kernel& kernel, const Machine& machine) {
  const std::function<void()> call = kernel.prepare();
  call();  // fills the memory pool
  for (auto _ : state) {
    call();
    benchmark::ClobberMemory();
  }
  const auto rate = [&](const char* name, double amount) {
    state.counters[name] = benchmark::Counter(amount, benchmark::Counter::kIsIterationInvariantRate);
  };
  rate("GFLOP/s", kernel.operations * 1e-9);
  rate("peak_share", kernel.operations / machine.flops);
  rate("GB/s", kernel.bytes * 1e-9);
  rate("bandwidth_share", kernel.bytes / machine.bandwidth);
}

// One line for each kernel; below ours, those of others with "ours / theirs".
class Table : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override {
    fmt::print("{:<46}{:<10}{:>11}{:>9}{:>8}{:>8}{:>8}{:>15}\n", "kernel", "who", "time", "GFLOP/s", "of peak", "GB/s",
               "of mem.", "ours / theirs");
    return true;
  }

  void ReportRuns(const std::vector<Run>& repetitions) override {
    const auto best = std::ranges::min_element(repetitions, {}, [](const Run& run) { return run.GetAdjustedRealTime(); });
    if (best == repetitions.end() || best->run_type != Run::RT_Iteration) return;  // its own means and medians
    const auto kernel = std::ranges::find(programme(), best->run_name.function_name, row_name);
    const bool own = kernel->who == "ours";
    const double seconds = best->GetAdjustedRealTime() / benchmark::GetTimeUnitMultiplier(best->time_unit);
    if (own) ours_[kernel->name] = seconds;
    const auto reference = ours_.find(kernel->name);

    const auto counter = [&](const char* name) { return best->counters.at(name).value; };
    const bool computes = kernel->operations > 0;
    fmt::print("{:<46}{:<10}{:>8.1f} us{:>9}{:>8}{:>8.1f}{:>7.0f}%{:>15}\n",
               own || reference == ours_.end() ? kernel->name : "", kernel->who, seconds * 1e6,
               computes ? fmt::format("{:.1f}", counter("GFLOP/s")) : "",
               computes ? fmt::format("{:.0f}%", 100 * counter("peak_share")) : "", counter("GB/s"),
               100 * counter("bandwidth_share"),
               own || reference == ours_.end() ? "" : fmt::format("{:.2f}", seconds / reference->second));
    std::fflush(stdout);
  }

 private:
  std::map<std::string, double> ours_;  // seconds
};

struct Options {
  bool quick = false;
  int threads = 1;
  std::string json;
  std::vector<std::string> others;
};

int kernels(const Options& options) {
  set_thread_count(options.threads);
  const Machine machine = measure_machine();
  const std::string peak = fmt::format("{:.1f}", machine.flops * 1e-9),
                    bandwidth = fmt::format("{:.1f}", machine.bandwidth * 1e-9);
  benchmark::AddCustomContext("peak_gflops", peak);
  benchmark::AddCustomContext("memory_gb_per_s", bandwidth);
  benchmark::AddCustomContext("openblas_core", openblas_core());
  benchmark::AddCustomContext("threads", std::to_string(options.threads));

  add_convolutions();
  add_matmuls(options.threads);
  add_passes();
  add_fused();
  for (const Kernel& kernel : programme())
    benchmark::RegisterBenchmark(row_name(kernel).c_str(), [&kernel, machine](benchmark::State& state) {
      time_kernel(state, kernel, machine);
    })->UseRealTime();

  std::vector<std::string> arguments{"kernels", options.quick ? "--benchmark_min_time=0.01" : "--benchmark_min_time=0.05",
                                     options.quick ? "--benchmark_repetitions=1" : "--benchmark_repetitions=3"};
  if (!options.json.empty()) arguments.push_back("--benchmark_out=" + options.json);
  arguments.insert(arguments.end(), options.others.begin(), options.others.end());
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  int count = static_cast<int>(pointers.size());
  benchmark::Initialize(&count, pointers.data());
  if (benchmark::ReportUnrecognizedArguments(count, pointers.data())) return 2;

  fmt::print("{} thread{}: peak {} GFLOP/s, memory {} GB/s\n", options.threads, options.threads > 1 ? "s" : "", peak,
             bandwidth);
  if (!openblas_core().empty()) fmt::print("OpenBLAS: its kernels for {}\n", openblas_core());
#if !defined(TANDEM_BENCH_OPENBLAS) || !defined(TANDEM_BENCH_ONEDNN)
  fmt::print(
      "Without OpenBLAS or oneDNN (which takes floats only), not found when this was built. To have them:\n"
      "  sudo apt-get install libopenblas-dev libdnnl-dev && TANDEM_CMAKE_ARGS=-DTANDEM_BENCHMARKS=ON tandem build "
      "kernels\n");
#endif
  Table table;
  benchmark::RunSpecifiedBenchmarks(&table);
  return 0;
}

}  // namespace

void level_the_field(int threads, char** argv) {
#if defined(__AVX2__) && !defined(__AVX512F__)
  const char *const core = "Haswell", *const instructions = "AVX2";
#else
  const char *const core = "", *const instructions = "";  // the widest there are
#endif
  const std::map<const char*, std::string> wanted{
      {"OPENBLAS_CORETYPE", core}, {"ONEDNN_MAX_CPU_ISA", instructions}, {"OPENBLAS_NUM_THREADS", std::to_string(threads)}};
  bool changed = false;
  for (const auto& [name, value] : wanted) {
    const char* const before = std::getenv(name);
    if (value == (before ? before : "")) continue;
    changed = true;
    if (value.empty())
      unsetenv(name);
    else
      setenv(name, value.c_str(), 1);
  }
  if (changed) execv("/proc/self/exe", argv);  // returns only where that does not exist; then the libraries stay as they are
}

void add_kernel(Kernel kernel) { programme().push_back(std::move(kernel)); }

}  // namespace tandem

int main(int argc, char** argv) {
  tandem::Options options;
  CLI::App app{"Times the kernels, one by one, against the peak of the machine and against other libraries.", "kernels"};
  app.add_flag("--quick", options.quick, "one short repetition instead of three");
  app.add_option("--threads", options.threads, "threads of a kernel")->capture_default_str()->check(CLI::Range(1, 1000000000));
  app.add_option("--json", options.json, "write Google Benchmark's JSON to this file as well")->type_name("FILE");
  app.allow_extras();  // Google Benchmark's own
  app.footer("Example:  tandem bench kernels --quick --benchmark_filter=matmul --json kernels.json");
  CLI11_PARSE(app, argc, argv);
  tandem::level_the_field(options.threads, argv);
  options.others = app.remaining();
  return tandem::kernels(options);
}
