// Batch normalisation: Ioffe and Szegedy, "Batch Normalization", ICML 2015.
//
// The arithmetic is next to nothing, so that time is what the trips through memory take: forward reads x for the statistics,
// then reads it again and writes y; backward reads x and dy for the sums, then both again and writes dx. Whatever else looks at a
// value twice does so while its piece of x is in the level-1 cache, the epilogue (kernels/epilogue.hpp) included.
#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <type_traits>

#include "core/kernels/elementwise.hpp"
#include "core/ops.hpp"

namespace tandem {
namespace {

// Calls body.operator()<n>(first channel) for groups of n neighbouring channels: four, two or one packet, or a single channel.
// The loop over pixels belongs into the body, between loading what is known of its channels and storing what has been found
// out: both stay in registers. `for (int l = 0; l < n; ++l)` then is a vector instruction or four.
template <class Body>
void for_channels(Index channels, const Body& body) {
  constexpr int packet = static_cast<int>(Eigen::internal::packet_traits<real>::size);
  Index c = 0;
  for (; c + 4 * packet <= channels; c += 4 * packet) body.template operator()<4 * packet>(c);
  for (; c + 2 * packet <= channels; c += 2 * packet) body.template operator()<2 * packet>(c);
  for (; c + packet <= channels; c += packet) body.template operator()<packet>(c);
  for (; c < channels; ++c) body.template operator()<1>(c);
}

// body(std::true_type) or body(std::false_type): what is known before a loop is not asked in it.
template <class Body>
void with_constant(bool value, const Body& body) {
  value ? body(std::true_type{}) : body(std::false_type{});
}

// x [.., channels] cut into pieces of whole pixels. With a pool a piece is two rows of an image, which make one row of y.
class Pieces {
 public:
  Pieces(const Tensor& x, const Epilogue& epilogue) : channels_(x.columns()) {
    constexpr Index numbers = 4096;  // 16 KiB of floats: x, dy and dx of a piece fit a level-1 cache of 48 KiB
    if (epilogue.max_pool)
      images_ = x.dim(0), height_ = x.dim(1), width_ = x.dim(2), each_ = 2 * width_;
    else
      width_ = x.row_count(), each_ = std::max<Index>(1, numbers / std::max<Index>(1, channels_));
    per_image_ = divide_up(height_ * width_, each_);
  }

  Index count() const { return images_ * per_image_; }
  Index channels() const { return channels_; }
  Index most_numbers() const { return each_ * channels_; }
  Index first(Index i) const { return i / per_image_ * height_ * width_ + offset(i); }  // pixel
  Index pixels(Index i) const { return std::min(each_, height_ * width_ - offset(i)); }

  // Of two rows: z to y, and dy back to dz.
  void pool(Index i, const real* z, const Output& y) const {
    pool_rows(z, width_, channels_, offset(i) / width_, pixels(i) / width_, i / per_image_, height_, y);
  }
  void spread(Index i, const OutputGradient& dy, real* dz) const {
    const PixelRows rows(dy, height_, width_, channels_);
    for (Index row = 0; row < pixels(i) / width_; ++row)
      rows.read(i / per_image_, offset(i) / width_ + row, 0, width_, dz + row * width_ * channels_);
  }

  // Calls body(i, work), with room for a piece in `work`.
  template <class Body>
  void for_each(const Body& body) const {
    const Index part = part_of_thread(count());
    const Scratch work(count_of(thread_count() * most_numbers()));
    for_blocks(count(), part, [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) body(i, work.data() + begin / part * most_numbers());
    });
  }

 private:
  Index offset(Index i) const { return i % per_image_ * each_; }  // of the piece in its image

  Index images_ = 1, height_ = 1, width_ = 0, channels_;
  Index each_;  // pixels of a piece; the last of an image may have fewer
  Index per_image_;
};

// Two rows of sums, for two things per channel. The pieces' parts are added in order: the same bits on any number of threads.
struct TwoSums {
  Tensor both, first, second;  // the two rows of `both`

  // add(i, work, first part, second part) adds piece i to its two parts, which begin as zeros.
  template <class Add>
  TwoSums(const Pieces& pieces, const Add& add)
      : TwoSums(Tensor::zeros({2, pieces.channels()})) {
    const Index c = pieces.channels();
    Tensor parts = Tensor::zeros({pieces.count(), 2, c});
    pieces.for_each([&](Index i, real* work) { add(i, work, parts.data() + 2 * i * c, parts.data() + (2 * i + 1) * c); });
    for (Index i = 0; i < pieces.count(); ++i)
      for (Index j = 0; j < c; ++j) first[j] += parts[2 * i * c + j], second[j] += parts[(2 * i + 1) * c + j];
  }
  explicit TwoSums(Tensor rows)
      : both(std::move(rows)), first(both.rows(0, 1).reshape({both.columns()})), second(both.rows(1, 2).reshape({both.columns()})) {}

  // Over all who hold a part of the batch; these sums stay as they are.
  TwoSums over(const SharedBatch& batch) const {
    if (!batch.sum) return *this;
    TwoSums whole(both.clone());
    batch.sum(whole.both.values());
    return whole;
  }
};

// Mean and variance of each channel. In a piece: mean_i, then the squares around it; all together:
//   mean = sum n_i mean_i / n        n variance = sum of squares_i + sum n_i (mean_i - mean)^2
// Nothing large is subtracted from anything large, as in the formula E x^2 - (E x)^2. Source: Chan, Golub and LeVeque,
// "Algorithms for Computing the Sample Variance", American Statistician 37 (1983). Pieces may lie with others who share the batch.
BatchStatistics statistics_of(const Tensor& x, const SharedBatch& batch) {
  const Pieces pieces(x, {});
  const Index c = x.columns();
  Tensor means({pieces.count(), c});
  auto totals = TwoSums(pieces, [&](Index i, real*, real* sum, real* squares) {
    const real* const from = x.data() + pieces.first(i) * c;
    real* const mean = means.data() + i * c;
    const Index n = pieces.pixels(i);
    for_channels(c, [=]<int k>(Index j) {
      real total[k] = {}, middle[k], square[k] = {};
      for (Index at = j; at < n * c; at += c)
        for (int l = 0; l < k; ++l) total[l] += from[at + l];
      for (int l = 0; l < k; ++l) middle[l] = total[l] / static_cast<real>(n);
      for (Index at = j; at < n * c; at += c)
        for (int l = 0; l < k; ++l) square[l] += (from[at + l] - middle[l]) * (from[at + l] - middle[l]);
      std::copy_n(total, k, sum + j), std::copy_n(middle, k, mean + j), std::copy_n(square, k, squares + j);
    });
  });
  if (batch.sum) batch.sum(totals.first.values());
  const auto n = static_cast<real>(batch.rows);
  Tensor mean = map(totals.first, [n](real total) { return total / n; }), squares = totals.second;
  for (Index i = 0; i < pieces.count(); ++i)
    for (Index j = 0; j < c; ++j) {
      const real d = means[i * c + j] - mean[j];
      squares[j] += static_cast<real>(pieces.pixels(i)) * d * d;
    }
  if (batch.sum) batch.sum(squares.values());
  return {mean, map(squares, [n](real total) { return total / n; }), batch.rows};
}

// z = a x + b for `pixels` pixels
void affine(const real* __restrict x, Index pixels, const Tensor& a, const Tensor& b, real* __restrict z) {
  const Index c = a.size();
  for_channels(c, [=, a = a.data(), b = b.data()]<int k>(Index j) {
    real factor[k], shift[k];
    std::copy_n(a + j, k, factor), std::copy_n(b + j, k, shift);
    for (Index at = j; at < pixels * c; at += c)
#pragma GCC ivdep
      for (int l = 0; l < k; ++l) z[at + l] = factor[l] * x[at + l] + shift[l];
  });
}

// One normalisation that has run: what its gradients need.
class Normalised {
 public:
  Normalised(std::string_view op, const Variable& x, const Variable& gamma, const Variable& beta, Epilogue epilogue)
      : x_(x.value()),
        pieces_((check(op, x, gamma, beta, epilogue), x_), epilogue),
        epilogue_(epilogue) {}

  // y = epilogue(gamma (x - mean) / deviation + beta) = epilogue(a x + b)
  Tensor forward(const Tensor& mean, const Tensor& variance, const Tensor& gamma, const Tensor& beta, real epsilon) {
    mean_ = mean;
    inverse_ = map(variance, [=](real v) { return 1 / std::sqrt(v + epsilon); });
    a_ = map(gamma, inverse_, times);
    b_ = map(beta, map(a_, mean, times), [](real t, real v) { return t - v; });
    Tensor y(epilogue_.max_pool ? Shape{x_.dim(0), x_.dim(1) / 2, x_.dim(2) / 2, x_.dim(3)} : x_.shape());
    if (epilogue_.max_pool) winner_ = std::make_shared<Scratch<std::uint8_t>>(count_of(y.size()));
    const Output output{y.data(), epilogue_, winner_ ? winner_->data() : nullptr};
    pieces_.for_each([&, c = x_.columns()](Index i, real* work) {
      const Index first = pieces_.first(i) * c, pixels = pieces_.pixels(i);
      real* const z = epilogue_.max_pool ? work : output.y + first;
      affine(x_.data() + first, pixels, a_, b_, z);
      if (epilogue_.max_pool)
        pieces_.pool(i, z, output);
      else if (epilogue_.relu)
        rectify(z, pixels * c);
    });
    return y;
  }

  // dbeta = sum dz        dgamma = sum dz x^        where x^ = (x - mean) / deviation. Both by the first that asks.
  const TwoSums& sums(const Tensor& dy) {
    if (!sums_)
      sums_.emplace(pieces_, [&, c = x_.columns(), m = mean_.data(), s = inverse_.data()](Index i, real* work, real* dbeta,
                                                                                          real* dgamma) {
        const real *const dz = before_pool(i, dy, work), *const v = x_.data() + pieces_.first(i) * c;
        with_constant(relu_is_last(), [&](auto cuts) {
          for_channels(c, [=, a = a_.data(), b = b_.data(), end = pieces_.pixels(i) * c]<int k>(Index j) {
            real factor[k], shift[k], mean[k], inverse[k], sum[k] = {}, slope[k] = {};
            std::copy_n(a + j, k, factor), std::copy_n(b + j, k, shift), std::copy_n(m + j, k, mean),
                std::copy_n(s + j, k, inverse);
            for (Index at = j; at < end; at += c)
              for (int l = 0; l < k; ++l) {
                const real x = v[at + l],
                           d = decltype(cuts)::value ? passed(factor[l] * x + shift[l], dz[at + l]) : dz[at + l];
                sum[l] += d, slope[l] += d * ((x - mean[l]) * inverse[l]);
              }
            std::copy_n(sum, k, dbeta + j), std::copy_n(slope, k, dgamma + j);
          });
        });
      });
    return *sums_;
  }

  // Statistics of this batch:  dx = gamma / deviation (dz - dbeta / n - x^ dgamma / n)  =  a (dz - u - w (x - mean))
  Tensor input_gradient(const Tensor& dy, const SharedBatch& batch) {
    const auto share = [n = batch.rows](real total) { return total / static_cast<real>(n); };
    const TwoSums whole = sums(dy).over(batch);
    return input_gradient(dy, map(whole.first, share), map(map(whole.second, share), inverse_, times));
  }
  // Given statistics: dx = gamma / deviation dz
  Tensor input_gradient_of_given(const Tensor& dy) {
    const Tensor none = Tensor::zeros(a_.shape());
    return input_gradient(dy, none, none);
  }

 private:
  static real times(real a, real b) { return a * b; }

  static void check(std::string_view op, const Variable& x, const Variable& gamma, const Variable& beta, Epilogue epilogue) {
    const Shape expected{x.value().columns()};
    require(x.shape().rank() >= 2 && gamma.shape() == expected && beta.shape() == expected,
            "{}: x is {}, gamma {}, beta {}; expected gamma and beta of shape {}", op, x.shape(), gamma.shape(),
            beta.shape(), expected);
    require(!epilogue.max_pool || (x.shape().rank() == 4 && x.shape()[1] >= 2 && x.shape()[2] >= 2),
            "{}: x is {}; a 2x2 pool needs images [n,h,w,c] of at least 2x2 pixels", op, x.shape());
  }

  // The gradient of piece i before a pool: written to `work`; in place where there is no pool.
  const real* before_pool(Index i, const Tensor& dy, real* work) const {
    if (!epilogue_.max_pool) return dy.data() + pieces_.first(i) * x_.columns();
    pieces_.spread(i, {.dy = dy.data(), .epilogue = epilogue_, .winner = winner_->data()}, work);
    return work;
  }

  // Whether a relu without pool has still to be undone. What it cut is found by computing z again, because x is read anyway and y
  // would have to be fetched.
  bool relu_is_last() const { return epilogue_.relu && !epilogue_.max_pool; }

  Tensor input_gradient(const Tensor& dy, const Tensor& u, const Tensor& w) const {
    Tensor dx(x_.shape());
    pieces_.for_each(
        [&, c = x_.columns(), m = mean_.data(), pa = a_.data(), pu = u.data(), pw = w.data()](Index i, real* work) {
          const Index first = pieces_.first(i) * c;
          const real *const dz = before_pool(i, dy, work), *const v = x_.data() + first;
          real* const out = dx.data() + first;
          with_constant(relu_is_last(), [&](auto cuts) {
            for_channels(c, [=, pb = b_.data(), end = pieces_.pixels(i) * c]<int k>(Index j) {
              real factor[k], shift[k], mean[k], offset[k], slope[k];
              std::copy_n(pa + j, k, factor), std::copy_n(pb + j, k, shift), std::copy_n(m + j, k, mean);
              std::copy_n(pu + j, k, offset), std::copy_n(pw + j, k, slope);
              for (Index at = j; at < end; at += c)
#pragma GCC ivdep
                for (int l = 0; l < k; ++l) {
                  const real x = v[at + l],
                             d = decltype(cuts)::value ? passed(factor[l] * x + shift[l], dz[at + l]) : dz[at + l];
                  out[at + l] = factor[l] * (d - offset[l] - slope[l] * (x - mean[l]));
                }
            });
          });
        });
    return dx;
  }

  Tensor x_;
  Pieces pieces_;
  Epilogue epilogue_;
  Tensor mean_, inverse_, a_, b_;
  std::shared_ptr<Scratch<std::uint8_t>> winner_;  // of a pool
  std::optional<TwoSums> sums_;
};

}  // namespace

Variable batch_norm(const Variable& x, const Variable& gamma, const Variable& beta, real epsilon,
                    BatchStatistics* statistics, Epilogue epilogue, const SharedBatch& shared) {
  const auto run = std::make_shared<Normalised>("batch_norm", x, gamma, beta, epilogue);
  const SharedBatch whole{shared.sum ? shared.rows : x.value().row_count(), shared.sum};
  require(whole.rows > 1, "batch_norm: x is {}, so each channel has {} value(s); a variance needs at least 2", x.shape(), whole.rows);
  const BatchStatistics batch = statistics_of(x.value(), whole);
  if (statistics) *statistics = batch;
  return record("batch_norm", run->forward(batch.mean, batch.variance, gamma.value(), beta.value(), epsilon),
                {
                    {x, [run, whole](const Tensor& dy) { return run->input_gradient(dy, whole); }},
                    {gamma, [run](const Tensor& dy) { return run->sums(dy).second; }},
                    {beta, [run](const Tensor& dy) { return run->sums(dy).first; }},
                });
}

Variable normalise(const Variable& x, const Tensor& mean, const Tensor& variance, const Variable& gamma,
                   const Variable& beta, real epsilon, Epilogue epilogue) {
  const auto run = std::make_shared<Normalised>("normalise", x, gamma, beta, epilogue);
  require(mean.shape() == gamma.shape() && variance.shape() == gamma.shape(),
          "normalise: x is {}, mean {}, variance {}; expected {}", x.shape(), mean.shape(), variance.shape(), gamma.shape());
  return record("normalise", run->forward(mean, variance, gamma.value(), beta.value(), epsilon),
                {
                    {x, [run](const Tensor& dy) { return run->input_gradient_of_given(dy); }},
                    {gamma, [run](const Tensor& dy) { return run->sums(dy).second; }},
                    {beta, [run](const Tensor& dy) { return run->sums(dy).first; }},
                });
}

}  // namespace tandem
