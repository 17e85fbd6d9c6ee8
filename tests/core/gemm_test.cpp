#include "core/kernels/gemm.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "core/random.hpp"
#include "core/threads.hpp"

using namespace tandem;

namespace {

Tensor random_matrix(Index rows, Index columns, std::uint64_t stream) {
  Tensor M({rows, columns});
  Random random(3, stream);
  for (real& v : M.values()) v = static_cast<real>(random.uniform(-1, 1));
  return M;
}

Tensor transposed(const Tensor& M) {
  Tensor T({M.dim(1), M.dim(0)});
  T.matrix() = M.matrix().transpose();
  return T;
}

// The largest |C - A B| that is more than rounding: a chain of k additions of terms below 1 errs by at most k epsilon each.
double beyond_rounding(const Tensor& A, const Tensor& B, const Tensor& C) {
  const auto k = static_cast<double>(A.dim(1));
  const Eigen::MatrixXd exact = A.matrix().cast<double>() * B.matrix().cast<double>();
  const Eigen::MatrixXd size = A.matrix().cast<double>().cwiseAbs() * B.matrix().cast<double>().cwiseAbs();
  const Eigen::MatrixXd error =
      (C.matrix().cast<double>() - exact).cwiseAbs() - (k + 1) * std::numeric_limits<real>::epsilon() * size;
  return error.size() ? error.maxCoeff() : 0;
}

}  // namespace

TEST_CASE("the four products are A B, at every edge of a tile, a block and a chain") {
  for (const Index m : {0, 1, 7, 8, 9, 65})
    for (const Index n : {0, 1, 15, 16, 17, 32, 33, 70})
      for (const Index k : {0, 1, 16, 19, 320, 321, 641}) {
        CAPTURE(m);
        CAPTURE(n);
        CAPTURE(k);
        const Tensor A = random_matrix(m, k, 1), B = random_matrix(k, n, 2), C = matmul(A, B);
        CHECK(C.shape() == Shape{m, n});
        CHECK(beyond_rounding(A, B, C) <= 0);
        // Ours have equal bits; OpenBLAS has other chains for a factor that is transposed.
        const auto same = [&](const Tensor& D) {
          return products_by_openblas ? beyond_rounding(A, B, D) <= 0 : std::ranges::equal(D.values(), C.values());
        };
        CHECK(same(matmul_nt(A, transposed(B))));
        CHECK(same(matmul_tn(transposed(A), B)));
        CHECK(same(matmul_tt(transposed(A), transposed(B))));
        if (m * n * k == 0) continue;
        Tensor wrong = C.clone();
        wrong[m * n - 1] += real(0.01) * static_cast<real>(k);
        CHECK(beyond_rounding(A, B, wrong) > 0);
      }
}

namespace {

// OpenBLAS orders its additions by the sizes, so in a build with it these laws do not hold (core/kernels/openblas.hpp).
bool one_chain() {
  if (products_by_openblas) MESSAGE("skipped: with OpenBLAS the bits of a number depend on what stands beside it");
  return !products_by_openblas;
}

}  // namespace

TEST_CASE("a product has the same bits on any number of threads, and row by row") {
  const int before = thread_count();
  const Tensor A = random_matrix(131, 600, 1), B = random_matrix(600, 75, 2);
  set_thread_count(1);
  const Tensor C = matmul(A, B);
  for (const int threads : {2, 3, 8}) {
    set_thread_count(threads);
    CHECK(std::ranges::equal(matmul(A, B).values(), C.values()));
  }
  set_thread_count(before);
  if (!one_chain()) return;
  const Tensor some = matmul(A.rows(50, 61), B);
  CHECK(std::ranges::equal(some.values(), C.rows(50, 61).values()));
  CHECK_FALSE(std::ranges::equal(some.values(), C.rows(51, 62).values()));
}

TEST_CASE("a number of C has the same bits whatever the number of rows beside it") {
  if (!one_chain()) return;
  // 64 columns are whole packets, so that few rows read B where it stands; 70 are not. 40 rows are more than few.
  for (const Index n : {64, 70}) {
    const Tensor A = random_matrix(40, 333, 1), B = random_matrix(333, n, 2), C = matmul(A, B);
    for (Index m = 1; m <= 40; ++m) {
      CAPTURE(m);
      const Tensor some = A.rows(0, m), expected = C.rows(0, m);
      CHECK(std::ranges::equal(matmul(some, B).values(), expected.values()));
      CHECK(std::ranges::equal(matmul_nt(some, transposed(B)).values(), expected.values()));
      CHECK(std::ranges::equal(matmul_tn(transposed(some), B).values(), expected.values()));
    }
    CHECK_FALSE(std::ranges::equal(matmul(A.rows(1, 2), B).values(), C.rows(0, 1).values()));
  }
}

TEST_CASE("a product too small for the tile has the bits of the tile") {
  if (!one_chain()) return;
  const Tensor A = random_matrix(64, 7, 1), B = random_matrix(7, 5, 2), C = matmul(A, B);
  for (Index row = 0; row < A.dim(0); ++row) {
    const Tensor a = A.rows(row, row + 1), c = C.rows(row, row + 1);
    CHECK(std::ranges::equal(matmul(a, B).values(), c.values()));
    CHECK(std::ranges::equal(matmul_tt(transposed(a), transposed(B)).values(), c.values()));
  }
}

TEST_CASE("sizes that do not meet are an error that names them") {
  const Tensor A = random_matrix(2, 3, 1), B = random_matrix(2, 3, 2);
  CHECK_THROWS_WITH(matmul(A, B), doctest::Contains("A is [2,3] and B is [2,3]"));
  CHECK_THROWS_WITH(matmul_nt(A, B.rows(0, 1).reshape({3, 1})), doctest::Contains("matmul_nt"));
  CHECK_NOTHROW(matmul_nt(A, B));
}
