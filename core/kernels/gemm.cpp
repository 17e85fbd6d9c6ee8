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
// library that cuts a row's sums into lanes instead is three times as fast (README.md has the figures).
//
// Same bits: the k terms are cut into equal parts of at most `depth`; a number of C is one chain of fused multiply-adds for each part,
// chain added to chain. Tiles, threads and the number of rows do not enter.
//
// Source: Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34 (2008), without its packing of
// A in general: the products of a training step are small, and their A lies in the cache already.
#include "core/kernels/gemm.hpp"

#include <algorithm>

#include "core/kernels/column_blocks.hpp"
#include "core/kernels/epilogue.hpp"
#include "core/kernels/transpose.hpp"
#include "core/threads.hpp"

namespace tandem {
namespace {

// Terms of a sum that are done at a time: 320 rows of a block of B are 20 KiB of floats with AVX2, which stay in the level-1 cache.
constexpr Index depth = 320;

// Up to so many rows of A pass by B where it stands; for more, packing it pays.
constexpr Index few_rows = 2 * tile_rows;

// Rows of C that are one piece of work where its columns alone do not give every thread something to do.
constexpr Index panel_rows = 64;

// The left factor [m,k]: element (i,t) stands at values + i row_step + t term_step.
struct LeftFactor {
  const real* values;
  Index m, row_step, term_step;
};

// The right factor [k,n]: as it stands, or given as its transpose [n,k].
struct RightFactor {
  const real* values;
  Index k, n;
  bool transposed;

  // packed[t,o] = B[term + t, block.first + o] for o < block.columns, and 0 up to block.stored.
  void pack(Index term, Index terms, const ColumnBlock& block, real* packed) const {
    using namespace Eigen::internal;
    if (transposed) return transpose(values + block.first * k + term, k, block.columns, terms, packed, block.stored);
    const Index whole = block.columns / packet_size * packet_size;
    for (const real* in = values + term * n + block.first; terms > 0; --terms, in += n, packed += block.stored) {
      for (Index o = 0; o < whole; o += packet_size) pstore(packed + o, ploadu<Packet>(in + o));
      for (Index o = whole; o < block.stored; ++o) packed[o] = o < block.columns ? in[o] : 0;
    }
  }
};

// What is added to every row of C, and what is done to it in the end.
struct Finish {
  const real* row;  // null: nothing
  bool relu;
};

// A transposed left factor turned around, [m, about k]; each thread turns some of the rows.
Scratch<real> turned(const LeftFactor& A, Index k, Index row_step) {
  Scratch<real> rows(count_of(A.m * row_step));
  for_blocks(A.m, std::max(panel_rows, part_of_thread(A.m)), [&](Index begin, Index end) {
    transpose(A.values + begin, A.term_step, k, end - begin, rows.data() + begin * row_step, row_step);
  });
  return rows;
}

// C [m,n] = finish(A [m,k] B [k,n])
void multiply(LeftFactor A, const RightFactor& B, real* C, const Finish& finish) {
  const Index m = A.m, k = B.k, n = B.n, threads = thread_count(), blocks = column_blocks(n);
  const Index panel = blocks >= 4 * threads ? m : std::min(m, panel_rows);
  const Index panels = divide_up(m, panel), pieces = blocks * panels, part = divide_up(pieces, threads);
  const Index parts = std::max<Index>(1, divide_up(k, depth)), most_terms = std::max<Index>(1, divide_up(k, parts));

  const bool turn = A.term_step != 1 && blocks > 1;
  const Index turned_step = packed_columns(k);
  const Scratch<real> A_turned = turn ? turned(A, k, turned_step) : Scratch<real>(0);
  if (turn) A = {.values = A_turned.data(), .m = m, .row_step = turned_step, .term_step = 1};

  const Scratch packed(count_of(threads * most_terms * tile_columns)), start(count_of(packed_columns(n)));
  std::ranges::fill(start.values(), real{0});
  if (finish.row) std::copy_n(finish.row, n, start.data());
  const Scratch<Index> step = equal_steps(most_terms, A.term_step), A_row = equal_steps(panel, A.row_step),
                       C_row = equal_steps(panel, n);

  for_blocks(pieces, part, [&](Index begin, Index end) {
    real* const own = packed.data() + begin / part * most_terms * tile_columns;
    for (Index piece = begin; piece < end; ++piece) {
      const ColumnBlock block = column_block(piece / panels, n);
      const bool in_place = !B.transposed && m <= few_rows && block.columns == block.stored;
      const Index row = piece % panels * panel;
      const Rows rows{.a = A_row.data(), .c = C_row.data(), .count = std::min(panel, m - row)};
      real* const result = C + row * n + block.first;
      for (Index term = 0; term < k || term == 0; term += most_terms) {
        const Index terms = std::min(most_terms, k - term);
        if (!in_place) B.pack(term, terms, block, own);
        const Right right = in_place ? Right{.values = B.values + term * n + block.first, .step = n}
                                     : Right{.values = own, .step = block.stored};
        add_block(A.values + row * A.row_step + term * A.term_step, step.data(), terms, right,
                  term == 0 ? start.data() + block.first : nullptr, block, result, rows);
      }
      if (finish.relu)
        for (Index r = 0; r < rows.count; ++r) rectify(result + r * n, block.columns);
    }
  });
}

// Up to so many products of two numbers, making ready for the tile takes longer than the sums themselves.
constexpr Index few_products = 128;

// The same chains number by number.
void multiply_few(const LeftFactor& A, const RightFactor& B, real* C, const Finish& finish) {
  using namespace Eigen::internal;
  const Index row_step = B.transposed ? 1 : B.n, column_step = B.transposed ? B.k : 1;
  for (Index i = 0; i < A.m; ++i)
    for (Index j = 0; j < B.n; ++j) {
      Packet sum = pzero(Packet{});  // the tile's instruction, so that the bits are its bits; one lane of it counts
      for (Index t = 0; t < B.k; ++t)
        sum = fused_multiply_add(pset1<Packet>(A.values[i * A.row_step + t * A.term_step]),
                                 pset1<Packet>(B.values[t * row_step + j * column_step]), sum);
      real& c = C[i * B.n + j];
      c = (finish.row ? finish.row[j] : real{0}) + pfirst(sum);
      if (finish.relu) rectify(&c, 1);
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
  const RightFactor right{.values = B.data(), .k = k, .n = n, .transposed = B_transposed};
  if (m * n * k <= few_products)
    multiply_few(left, right, C.data(), finish);
  else
    multiply(left, right, C.data(), finish);
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
