// Matrix products by the register tile (register_tile.hpp): C is cut into blocks of tile_columns columns; a block of B is
// packed, and the rows of A pass by it, tile_rows at a time.
//
//            B        | k numbers deep, `depth` at a time:
//                     |  pack   bbbb
//      A              |         bbbb   stays in the level-2 cache
//     aaaaaaaa -----> |  tile   cccc   one tile after the other, down the rows
//     aaaaaaaa        |         cccc
//
// The tile wants B packed row by row; where it is given transposed it is turned around on the way: k n copies against 2 m n k
// operations. For few rows a B that is not transposed is read where it stands. A is read where it stands too, but a transposed one is
// turned around once: its rows are far apart, and every block of B would fetch a line of the cache for each number or two.
//
// Roofline: a block of B is used for every row of A and a number of A for every block, so a product of m rows does m/2 operations for
// a byte of B. From some 30 rows on the multipliers are the limit (85-94 % of their peak are reached); with one or two rows reading
// B is. A transposed B must be turned around even then, because the chain of a number may not depend on how many rows there are: a
// library that cuts a row's sums into lanes instead is twice as fast (README.md has the figures).
//
// Same bits: the k terms are cut into equal parts of at most `depth`; a number of C is one chain of fused multiply-adds for each part,
// chain added to chain. Tiles, threads and the number of rows do not enter.
//
// Source: Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34 (2008), without its packing of
// A in general: the products of a training step are small, and their A lies in the cache already.
#include "core/kernels/gemm.hpp"

#include <algorithm>
#include <optional>

#include "core/kernels/column_blocks.hpp"
#include "core/kernels/epilogue.hpp"
#include "core/kernels/openblas.hpp"
#include "core/kernels/thin_product.hpp"

namespace tandem {
namespace {

// Up to so many rows of A pass by B where it stands; for more, packing it pays, unless B is small and stays in the level-1 cache.
constexpr Index few_rows = 2 * tile_rows, small_right = 1024;

// Rows of C that are one piece of work where its columns alone do not give every thread something to do.
constexpr Index panel_rows = 64;

// packed[t,o] = B[term + t, block.first + o] for o < block.columns, and 0 up to block.stored.
void pack(const RightFactor& B, Index term, Index terms, const ColumnBlock& block, real* packed) {
  using namespace Eigen::internal;
  if (B.transposed) return transpose(B.values + block.first * B.step + term, B.step, block.columns, terms, packed, block.stored);
  const Index whole = block.columns / packet_size * packet_size;
  for (const real* in = B.values + term * B.step + block.first; terms > 0; --terms, in += B.step, packed += block.stored) {
    for (Index o = 0; o < whole; o += packet_size) pstore(packed + o, ploadu<Packet>(in + o));
    for (Index o = whole; o < block.stored; ++o) packed[o] = o < block.columns ? in[o] : 0;
  }
}

// A transposed left factor turned around, [m, about k]; each thread turns some of the rows.
Scratch<real> turned(const LeftFactor& A, Index k, Index row_step) {
  Scratch<real> rows(count_of(A.m * row_step));
  for_blocks(A.m, std::max(panel_rows, part_of_thread(A.m)), [&](Index begin, Index end) {
    transpose(A.values + begin, A.term_step, k, end - begin, rows.data() + begin * row_step, row_step);
  });
  return rows;
}

// C [m,n] = finish(A [m,k] B [k,n]), block by block
void multiply_blocks(LeftFactor A, const RightFactor& B, const Result& C) {
  const Index m = A.m, k = B.k, n = B.n, threads = thread_count(), blocks = column_blocks(n);
  const Index panel = blocks >= 4 * threads ? m : std::min(m, panel_rows);
  const Index panels = divide_up(m, panel), pieces = blocks * panels, part = divide_up(pieces, threads);
  const Index most_terms = terms_at_once(k);

  std::optional<Scratch<real>> A_turned, packed;
  if (A.term_step != 1 && blocks > 1) {
    const Index row_step = packed_columns(k);
    A_turned = turned(A, k, row_step);
    A = {.values = A_turned->data(), .m = m, .row_step = row_step, .term_step = 1};
  }
  const bool stands = !B.transposed && (m <= few_rows || k * n <= small_right);
  if (!stands || n % packet_size != 0) packed.emplace(count_of(threads * most_terms * tile_columns));

  for_blocks(pieces, part, [&](Index begin, Index end) {
    for (Index piece = begin; piece < end; ++piece) {
      const ColumnBlock block = column_block(piece / panels, n);
      const bool in_place = stands && block.columns == block.stored;
      real* const own = in_place ? nullptr : packed->data() + begin / part * most_terms * tile_columns;
      const Index row = piece % panels * panel;
      const Rows<EqualSteps> rows{.a = {A.row_step}, .c = {C.step}, .count = std::min(panel, m - row)};
      real* const result = C.values + row * C.step + block.first;
      for (Index term = 0; term < k || term == 0; term += most_terms) {
        const Index terms = std::min(most_terms, k - term);
        if (!in_place) pack(B, term, terms, block, own);
        const Right right = in_place ? Right{.values = B.values + term * B.step + block.first, .step = B.step}
                                     : Right{.values = own, .step = block.stored};
        add_block(A.values + row * A.row_step + term * A.term_step, EqualSteps{A.term_step}, terms, right,
                  term == 0 ? C.start(block.first) : nullptr, block, result, rows);
      }
      if (C.finish.relu)
        for (Index r = 0; r < rows.count; ++r) rectify(result + r * C.step, block.columns);
    }
  });
}

// The columns that suit wide tiles, then the others.
void multiply(const LeftFactor& A, const RightFactor& B, const Result& C) {
  const Index done = is_thin(A, B) ? multiply_thin(A, B, C) : 0;
  if (done < B.n) multiply_blocks(A, B.from_column(done), C.from_column(done));
}

// Up to so many products of two numbers, making ready for the tile takes longer than the sums themselves.
constexpr Index few_products = 128;

// The same chains number by number.
void multiply_few(const LeftFactor& A, const RightFactor& B, const Result& C) {
  using namespace Eigen::internal;
  const Index row_step = B.transposed ? 1 : B.step, column_step = B.transposed ? B.step : 1;
  for (Index i = 0; i < A.m; ++i)
    for (Index j = 0; j < B.n; ++j) {
      Packet sum = pzero(Packet{});  // the tile's instruction, so that the bits are its bits; one lane of it counts
      for (Index t = 0; t < B.k; ++t)
        sum = fused_multiply_add(pset1<Packet>(A.values[i * A.row_step + t * A.term_step]),
                                 pset1<Packet>(B.values[t * row_step + j * column_step]), sum);
      real& c = C.values[i * C.step + j];
      c = *C.start(j) + pfirst(sum);
      if (C.finish.relu) rectify(&c, 1);
    }
}

Tensor product(std::string_view name, const Tensor& A, bool A_transposed, const Tensor& B, bool B_transposed,
               const Finish& finish = {}) {
  const bool matrices = A.rank() == 2 && B.rank() == 2;
  require(matrices && A.dim(A_transposed ? 0 : 1) == B.dim(B_transposed ? 1 : 0),
          "{}: A is {} and B is {}; two matrices with equal inner sizes are expected", name, A.shape(), B.shape());
  const Index m = A.dim(A_transposed ? 1 : 0), k = B.dim(B_transposed ? 1 : 0), n = B.dim(B_transposed ? 0 : 1);
  Tensor C({m, n});
  if (C.size() == 0) return C;
  const LeftFactor left{.values = A.data(), .m = m, .row_step = A_transposed ? 1 : k, .term_step = A_transposed ? m : 1};
  const bool turn_B = B_transposed && k != 1;  // a single row stands as its transpose does
  const RightFactor right{.values = B.data(), .k = k, .n = n, .step = turn_B ? k : n, .transposed = turn_B};
  const Result result{.values = C.data(), .step = n, .finish = finish};
  if constexpr (products_by_openblas)
    multiply_by_openblas(left, right, result);
  else if (m * n * k <= few_products)
    multiply_few(left, right, result);
  else
    multiply(left, right, result);
  return C;
}

}  // namespace

Tensor matmul(const Tensor& A, const Tensor& B) { return product("matmul", A, false, B, false); }
Tensor matmul_nt(const Tensor& A, const Tensor& B) { return product("matmul_nt", A, false, B, true); }
Tensor matmul_tn(const Tensor& A, const Tensor& B) { return product("matmul_tn", A, true, B, false); }
Tensor matmul_tt(const Tensor& A, const Tensor& B) { return product("matmul_tt", A, true, B, true); }

Tensor matmul_nt_plus_row(const Tensor& A, const Tensor& B, const Tensor& b, bool relu) {
  require(B.rank() == 2 && b.shape() == Shape{B.dim(0)},
          "matmul_nt_plus_row: B is {} and b is {}; expected one value for each row of B", B.shape(), b.shape());
  return product("matmul_nt_plus_row", A, false, B, true, {.row = b.data(), .relu = relu});
}

}  // namespace tandem
