#include "nn/metrics.hpp"

#include <algorithm>
#include <iterator>
#include <numeric>

namespace tandem {
namespace {

double ratio(double part, double whole) { return whole == 0 ? 0 : part / whole; }

int letters(const std::string& utf8) {
  return static_cast<int>(std::ranges::count_if(utf8, [](char byte) { return (byte & 0xC0) != 0x80; }));
}

}  // namespace

ConfusionMatrix::ConfusionMatrix(int classes) : classes_(classes) {
  require(classes >= 1, "confusion matrix: of {} classes; at least one is needed", classes);
  counts_.assign(static_cast<std::size_t>(classes) * static_cast<std::size_t>(classes), 0);
}

std::size_t ConfusionMatrix::at(int truth, int predicted) const {
  require(truth >= 0 && truth < classes_ && predicted >= 0 && predicted < classes_,
          "confusion matrix: class {} taken for class {}; there are {} classes", truth, predicted, classes_);
  return static_cast<std::size_t>(truth) * static_cast<std::size_t>(classes_) + static_cast<std::size_t>(predicted);
}

void ConfusionMatrix::add(std::int32_t truth, std::int32_t predicted) { ++counts_[at(truth, predicted)]; }

void ConfusionMatrix::add(std::span<const std::int32_t> truth, std::span<const std::int32_t> predicted) {
  require(truth.size() == predicted.size(), "confusion matrix: {} labels but {} predictions", truth.size(),
          predicted.size());
  for (std::size_t i = 0; i < truth.size(); ++i) add(truth[i], predicted[i]);
}

ConfusionMatrix& ConfusionMatrix::operator+=(const ConfusionMatrix& other) {
  require(classes_ == other.classes_, "confusion matrix: {} classes += {} classes", classes_, other.classes_);
  std::ranges::transform(counts_, other.counts_, counts_.begin(), std::plus<>{});
  return *this;
}

std::int64_t ConfusionMatrix::samples() const { return std::accumulate(counts_.begin(), counts_.end(), std::int64_t{0}); }

std::int64_t ConfusionMatrix::samples_of(int truth) const {
  const auto row = counts_.begin() + static_cast<std::ptrdiff_t>(at(truth, 0));
  return std::accumulate(row, row + classes_, std::int64_t{0});
}

std::int64_t ConfusionMatrix::predictions_of(int predicted) const {
  std::int64_t sum = 0;
  for (int truth = 0; truth < classes_; ++truth) sum += (*this)(truth, predicted);
  return sum;
}

std::vector<std::int32_t> predictions(const Tensor& logits) {
  require(logits.rank() == 2 && logits.dim(1) >= 1, "predictions: logits are {}; expected [n,classes]", logits.shape());
  std::vector<std::int32_t> best;
  const Index k = logits.dim(1);
  for (Index i = 0; i < logits.dim(0); ++i) {
    const real* const row = logits.data() + i * k;
    best.push_back(static_cast<std::int32_t>(std::max_element(row, row + k) - row));
  }
  return best;
}

double accuracy(const ConfusionMatrix& matrix) {
  std::int64_t hits = 0;
  for (int c = 0; c < matrix.classes(); ++c) hits += matrix(c, c);
  return ratio(static_cast<double>(hits), static_cast<double>(matrix.samples()));
}

double precision(const ConfusionMatrix& matrix, int c) {
  return ratio(static_cast<double>(matrix(c, c)), static_cast<double>(matrix.predictions_of(c)));
}

double recall(const ConfusionMatrix& matrix, int c) {
  return ratio(static_cast<double>(matrix(c, c)), static_cast<double>(matrix.samples_of(c)));
}

double f1(const ConfusionMatrix& matrix, int c) {
  // 2 tp + fp + fn = row + column
  return ratio(static_cast<double>(2 * matrix(c, c)), static_cast<double>(matrix.samples_of(c) + matrix.predictions_of(c)));
}

double macro_f1(const ConfusionMatrix& matrix) {
  double sum = 0;
  int occurring = 0;
  for (int c = 0; c < matrix.classes(); ++c) {
    if (matrix.samples_of(c) + matrix.predictions_of(c) == 0) continue;
    sum += f1(matrix, c);
    ++occurring;
  }
  return ratio(sum, occurring);
}

double kappa(const ConfusionMatrix& matrix) {
  const auto n = static_cast<double>(matrix.samples());
  double chance = 0;
  for (int c = 0; c < matrix.classes(); ++c)
    chance += ratio(static_cast<double>(matrix.samples_of(c)), n) * ratio(static_cast<double>(matrix.predictions_of(c)), n);
  return ratio(accuracy(matrix) - chance, 1 - chance);
}

std::string table(const ConfusionMatrix& matrix, std::span<const std::string> names, int width) {
  const int k = matrix.classes();
  require(static_cast<int>(names.size()) == k, "confusion matrix: {} names for {} classes", names.size(), k);
  const auto longest = letters(*std::ranges::max_element(names, {}, letters));
  const auto digits = static_cast<int>(fmt::formatted_size("{}", *std::ranges::max_element(matrix.counts())));

  // name | count ... count | recall. Columns share what the names leave, and need not be wider than the longest name.
  const int name_width = std::clamp(longest, 4, 20), recall_width = 9;
  const int column =
      std::clamp((width - name_width - recall_width) / k, std::max(digits, 2) + 1, std::max({longest, digits, 2}) + 1);

  std::string text;
  const auto out = std::back_inserter(text);
  fmt::format_to(out, "{:{}} ", "true", name_width);
  for (const std::string& name : names) fmt::format_to(out, "{:>{}.{}}", name, column, column - 1);
  fmt::format_to(out, "{:>{}}\n", "recall", recall_width - 1);
  for (int truth = 0; truth < k; ++truth) {
    fmt::format_to(out, "{:{}.{}} ", names[static_cast<std::size_t>(truth)], name_width, name_width);
    for (int predicted = 0; predicted < k; ++predicted) {
      const std::int64_t count = matrix(truth, predicted);
      fmt::format_to(out, "{:>{}}", count ? fmt::to_string(count) : ".", column);
    }
    if (matrix.samples_of(truth) == 0)
      fmt::format_to(out, "{:>{}}\n", "-", recall_width - 1);
    else
      fmt::format_to(out, "{:>{}.1f} %\n", 100 * recall(matrix, truth), recall_width - 3);
  }
  return text;
}

}  // namespace tandem
