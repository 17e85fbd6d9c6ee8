// doctest on every rank at once.
//
// Every rank runs the same test cases in the same order. Rank 0 prints the report; another rank prints only what failed there.
// The verdict is reduced, so that a failure on any rank fails the run on all.
//
// A failed REQUIRE or an exception leaves a test case early. The other ranks would wait for its messages for ever, so it ends
// the job. A failed CHECK goes on, like anywhere else.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdio>
#include <sstream>

#include "parallel/collectives/collectives.hpp"
#include "parallel/mpi/environment.hpp"

namespace {

class EndOfJob final : public doctest::IReporter {
 public:
  explicit EndOfJob(const doctest::ContextOptions&) {}

  void test_case_start(const doctest::TestCaseData& test) override { test_ = test.m_name; }
  void log_assert(const doctest::AssertData& check) override {
    if (check.m_failed && (check.m_at & doctest::assertType::is_require))
      end(fmt::format("{}:{}: REQUIRE({}) is REQUIRE({})", check.m_file, check.m_line, check.m_expr,
                      check.m_decomp.c_str()));
  }
  void test_case_exception(const doctest::TestCaseException& error) override { end(error.error_string.c_str()); }

  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats&) override {}
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}

 private:
  [[noreturn]] void end(const std::string& why) const {
    const auto world = tandem::Communicator::world();
    fmt::print(stderr, "rank {} of {}: \"{}\" ended early: {}\n", world.rank(), world.size(), test_, why);
    MPI_Abort(MPI_COMM_WORLD, 1);
    std::abort();
  }
  const char* test_ = "";
};
REGISTER_LISTENER("end_of_job", 1, EndOfJob);

int test(const tandem::Communicator& world, int argc, char** argv) {
  doctest::Context context(argc, argv);
  std::ostringstream report;
  if (world.rank() != 0) context.setCout(&report);
  const int failed = context.run();
  if (failed && world.rank() != 0) fmt::print(stderr, "rank {} of {}:\n{}\n", world.rank(), world.size(), report.str());
  return tandem::max_over_ranks(failed, world) > 0 ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) { return tandem::mpi::run(argc, argv, test); }
