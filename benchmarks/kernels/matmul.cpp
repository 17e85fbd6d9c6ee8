// Matrix products: the three of every linear layer y = x W^T, at the sizes of the models, then skinny and small ones. Beside
// them OpenBLAS, the usual choice for speed, and Eigen's own product (on one thread; our build lets Eigen start no more).
//
//    y = x W^T    [rows,in] [out,in]^T     matmul_nt      m = rows   k = in     n = out
//   dx = dy W     [rows,out] [out,in]      matmul         m = rows   k = out    n = in
//   dW = dy^T x   [rows,out]^T [rows,in]   matmul_tn      m = out    k = rows   n = in
//
// Ours takes the result's memory from the pool within the timed call, as in training; the others write to one fixed place.
#include <Eigen/Core>

#include "benchmarks/kernels/kernels.hpp"
#include "core/kernels/gemm.hpp"
#ifdef TANDEM_BENCH_OPENBLAS
#include <cblas.h>
#endif

namespace tandem {
namespace {

// C [m,n] = A [m,k] B [k,n]; what is transposed is stored as [k,m] or [n,k].
struct Product {
  Index m, k, n;
  bool A_transposed = false, B_transposed = false;

  Tensor A() const { return random_tensor(A_transposed ? Shape{k, m} : Shape{m, k}); }
  Tensor B() const { return random_tensor(B_transposed ? Shape{n, k} : Shape{k, n}); }
};

std::function<void()> ours(const Product& p) {
  const auto product = p.A_transposed ? matmul_tn : p.B_transposed ? matmul_nt : matmul;
  return [product, A = p.A(), B = p.B()] { product(A, B); };
}

std::function<void()> eigen(const Product& p) {
  using Matrix = Eigen::Matrix<real, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  return [p, A = p.A(), B = p.B(), C = Tensor({p.m, p.n})]() mutable {
    const Eigen::Map<const Matrix> a(A.data(), A.dim(0), A.dim(1)), b(B.data(), B.dim(0), B.dim(1));
    Eigen::Map<Matrix> c(C.data(), p.m, p.n);
    if (p.A_transposed)
      c.noalias() = a.transpose() * b;
    else if (p.B_transposed)
      c.noalias() = a * b.transpose();
    else
      c.noalias() = a * b;
  };
}

#ifdef TANDEM_BENCH_OPENBLAS
std::function<void()> openblas(const Product& p) {
  return [p, A = p.A(), B = p.B(), C = Tensor({p.m, p.n})]() mutable {
    const auto size = [](Index i) { return static_cast<blasint>(i); };
    const auto turned = [](bool transposed) { return transposed ? CblasTrans : CblasNoTrans; };
    const auto gemm = [] {
      if constexpr (real_is_double)
        return cblas_dgemm;
      else
        return cblas_sgemm;
    }();
    gemm(CblasRowMajor, turned(p.A_transposed), turned(p.B_transposed), size(p.m), size(p.n), size(p.k), 1, A.data(),
         size(A.dim(1)), B.data(), size(B.dim(1)), 0, C.data(), size(p.n));
  };
}
#endif

}  // namespace

#ifdef TANDEM_BENCH_OPENBLAS
std::string openblas_core() { return openblas_get_corename(); }
#else
std::string openblas_core() { return {}; }
#endif

void add_matmuls(int threads) {
  const auto add = [&](std::string_view kind, std::string_view model, const Product& p) {
    Kernel kernel{.name = fmt::format("{}/{}/{}x{}x{}", kind, model, p.m, p.k, p.n),
                  .operations = 2.0 * static_cast<double>(p.m * p.k * p.n),
                  .bytes = bytes_of(p.m * p.k + p.k * p.n + p.m * p.n),
                  .prepare = [p] { return ours(p); }};
    add_kernel(kernel);
#ifdef TANDEM_BENCH_OPENBLAS
    kernel.who = "OpenBLAS";
    kernel.prepare = [p] { return openblas(p); };
    add_kernel(kernel);
#endif
    if (threads > 1) return;
    kernel.who = "Eigen";
    kernel.prepare = [p] { return eigen(p); };
    add_kernel(std::move(kernel));
  };

  struct Layer {
    const char* model;
    Index rows, in, out;
  };
  const Layer layers[] = {
      {"mlp784", 128, 784, 512},    {"mlp784", 128, 512, 512},  {"mlp784", 128, 512, 10},  // hidden, hidden, head
      {"shallow", 128, 784, 128},   {"shallow", 128, 128, 127}, {"shallow", 128, 125, 124}, {"shallow", 128, 123, 10},
      {"cnn", 64, 8192, 256},       {"cnn", 8, 8192, 256},      {"cnn", 64, 256, 10},       {"resnet", 64, 128, 10},
      {"skinny", 1, 512, 512},      {"skinny", 2, 512, 512},    {"skinny", 4, 512, 512},    {"skinny", 8, 512, 512},
      {"skinny", 16, 512, 512},     {"small", 16, 16, 16},      {"small", 64, 64, 64},      {"square", 512, 512, 512},
      {"square", 1024, 1024, 1024},
  };
  for (const Layer& l : layers) add("matmul_nt", l.model, {.m = l.rows, .k = l.in, .n = l.out, .B_transposed = true});
  for (const Layer& l : layers) add("matmul", l.model, {.m = l.rows, .k = l.out, .n = l.in});
  for (const Layer& l : layers) add("matmul_tn", l.model, {.m = l.out, .k = l.rows, .n = l.in, .A_transposed = true});
}

}  // namespace tandem
