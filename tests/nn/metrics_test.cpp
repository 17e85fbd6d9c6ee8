// The confusion matrix and its figures, against values worked out by hand.
#include "nn/metrics.hpp"

#include <doctest/doctest.h>

#include <sstream>

#include "tests/support.hpp"

namespace tandem {
namespace {

ConfusionMatrix matrix_of(int classes, std::initializer_list<std::int64_t> counts) {
  ConfusionMatrix matrix(classes);
  std::ranges::copy(counts, matrix.counts().begin());
  return matrix;
}

TEST_CASE("confusion matrix: rows count what samples are, columns what they were taken for") {
  ConfusionMatrix matrix(3);
  matrix.add(0, 1);
  const std::vector<std::int32_t> truth = {0, 2, 2, 0}, predicted = {1, 2, 2, 0};
  matrix.add(truth, predicted);
  CHECK(std::ranges::equal(matrix.counts(), std::vector<std::int64_t>{1, 2, 0, 0, 0, 0, 0, 0, 2}));
  CHECK(matrix(0, 1) == 2);
  CHECK(matrix(1, 0) == 0);  // not the transpose
  CHECK(matrix.samples() == 5);
  CHECK(matrix.samples_of(0) == 3);
  CHECK(matrix.predictions_of(0) == 1);
}

TEST_CASE(
    "confusion matrix: the sum of two parts' matrices is the whole's, and the mean of their accuracies is not its "
    "accuracy") {
  const std::vector<std::int32_t> truth = {0, 1, 1, 0, 1, 1, 0}, predicted = {0, 1, 0, 0, 1, 0, 1};
  ConfusionMatrix whole(2), left(2), right(2);
  whole.add(truth, predicted);
  left.add(std::span(truth).first(2), std::span(predicted).first(2));
  right.add(std::span(truth).subspan(2), std::span(predicted).subspan(2));
  const double mean_of_means = (accuracy(left) + accuracy(right)) / 2;
  left += right;
  CHECK(std::ranges::equal(left.counts(), whole.counts()));
  CHECK(accuracy(whole) == 4.0 / 7);
  CHECK(mean_of_means != accuracy(whole));
}

TEST_CASE("figures of a matrix worked out by hand") {
  const ConfusionMatrix matrix = matrix_of(3, {5, 1, 0,  //
                                               2, 3, 0,  //
                                               0, 0, 4});
  CHECK(accuracy(matrix) == 12.0 / 15);
  CHECK(recall(matrix, 0) == 5.0 / 6);
  CHECK(recall(matrix, 1) == 3.0 / 5);
  CHECK(precision(matrix, 0) == 5.0 / 7);
  CHECK(precision(matrix, 1) == 3.0 / 4);
  CHECK(f1(matrix, 0) == 10.0 / 13);
  CHECK(f1(matrix, 1) == 6.0 / 9);
  CHECK(f1(matrix, 2) == 1);
  // Not ==: the terms are added in some order and rounded.
  CHECK(macro_f1(matrix) == doctest::Approx((10.0 / 13 + 6.0 / 9 + 1) / 3).epsilon(1e-14));
  // p = 180/225; e = (6*7 + 5*4 + 4*4)/225 = 78/225
  CHECK(kappa(matrix) == doctest::Approx(102.0 / 147).epsilon(1e-14));
}

TEST_CASE("kappa: 1 if all is right, 0 at chance, below 0 if worse, 0 if only one class occurs") {
  CHECK(kappa(matrix_of(2, {3, 0, 0, 5})) == doctest::Approx(1).epsilon(1e-14));
  CHECK(kappa(matrix_of(2, {20, 5, 10, 15})) == doctest::Approx(0.4).epsilon(1e-14));  // p = 35/50, e = (25*30 + 25*20)/2500
  CHECK(kappa(matrix_of(2, {4, 4, 4, 4})) == 0);
  CHECK(kappa(matrix_of(2, {0, 4, 4, 0})) == -1);
  CHECK(kappa(matrix_of(2, {9, 0, 0, 0})) == 0);
}

TEST_CASE("macro-F1: a class that occurs nowhere does not count, one that is only predicted counts as 0") {
  CHECK(macro_f1(matrix_of(3, {2, 0, 0, 0, 2, 0, 0, 0, 0})) == 1);
  // Class 2 has no samples but took one of class 1: f1 = 1, 2/3, 0.
  CHECK(macro_f1(matrix_of(3, {2, 0, 0, 0, 1, 1, 0, 0, 0})) == doctest::Approx((1 + 2.0 / 3 + 0) / 3).epsilon(1e-14));
}

TEST_CASE("figures without samples are 0, never NaN") {
  const ConfusionMatrix none(2);
  for (const double figure : {accuracy(none), precision(none, 0), recall(none, 0), f1(none, 0), macro_f1(none), kappa(none)})
    CHECK(figure == 0);
}

TEST_CASE("predictions: the largest logit of each row, the first of equals") {
  CHECK(predictions(Tensor({4, 3}, {1, 2, 3, 5, 5, 1, -1, -2, -1, 0, 7, 7})) == std::vector<std::int32_t>{2, 0, 0, 1});
  CHECK(predictions(Tensor({0, 3})).empty());
  CHECK(error_of([] { predictions(Tensor({3})); }) == "predictions: logits are [3]; expected [n,classes]");
}

TEST_CASE("confusion matrix: classes that do not exist and sizes that do not fit are refused") {
  ConfusionMatrix matrix(2);
  CHECK(error_of([&] { matrix.add(2, 0); }) == "confusion matrix: class 2 taken for class 0; there are 2 classes");
  CHECK(error_of([&] { matrix.add(0, -1); }) == "confusion matrix: class 0 taken for class -1; there are 2 classes");
  CHECK(error_of([&] { matrix += ConfusionMatrix(3); }) == "confusion matrix: 2 classes += 3 classes");
  CHECK(error_of([&] { matrix.add(std::vector{0, 1}, std::vector{0}); }) == "confusion matrix: 2 labels but 1 predictions");
  CHECK(error_of([] { ConfusionMatrix(0); }) == "confusion matrix: of 0 classes; at least one is needed");
  CHECK(error_of([&] { table(matrix, std::vector<std::string>{"a"}); }) == "confusion matrix: 1 names for 2 classes");
  CHECK(matrix.samples() == 0);
}

TEST_CASE("table: names, counts, dots for zeros, recall, all in line") {
  const std::vector<std::string> names = {"Forest", "Sea", "Glacier"};
  CHECK(table(matrix_of(3, {5, 1, 0, 2, 13, 0, 0, 0, 0}), names) ==
        "true      Forest     Sea Glacier  recall\n"
        "Forest         5       1       .  83.3 %\n"
        "Sea            2      13       .  86.7 %\n"
        "Glacier        .       .       .       -\n");
}

TEST_CASE("table: ten classes with long names and large counts stay within 100 columns, and every line is as long") {
  const std::vector<std::string> names = {
      "AnnualCrop",
      "Forest",
      "HerbaceousVegetation",
      "Highway",
      "Industrial",
      "Pasture",
      "Gr\u00fcnland \u00e4\u00f6\u00fc\u00df \u00e4\u00f6\u00fc\u00df \u00e4\u00f6\u00fc\u00df",
      "PermanentCropWithAVeryLongName",
      "River",
      "SeaLake"};
  ConfusionMatrix matrix(10);
  for (int c = 0; c < 10; ++c) matrix.counts()[static_cast<std::size_t>(11 * c)] = 99999;
  std::istringstream lines(table(matrix, names));
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const auto letters = std::ranges::count_if(line, [](char byte) { return (byte & 0xC0) != 0x80; });
    CHECK(letters <= 100);
    CHECK(letters == 20 + 1 + 10 * 7 + 8);
  }
  CHECK(count == 11);
}

}  // namespace
}  // namespace tandem
