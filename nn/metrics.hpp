// How good a classifier is: the confusion matrix, and the figures read from it.
//
//                predicted
//                 0    1    2
//            0    5    1    0      row: what the samples are,  column: what they were taken for
//      true  1    2    3    0      recall of 1    = 3 / (2+3+0), its row
//            2    0    0    4      precision of 1 = 3 / (1+3+0), its column
//
// Counts add up: over batches with add(), over ranks by summing counts(). So all figures are of the whole set, never means
// of means. A ratio 0/0 (the precision of a class that was never predicted) counts as 0.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/tensor.hpp"

namespace tandem {

class ConfusionMatrix {
 public:
  explicit ConfusionMatrix(int classes);  // at least one

  void add(std::int32_t truth, std::int32_t predicted);  // error on a class outside 0 .. classes-1
  void add(std::span<const std::int32_t> truth, std::span<const std::int32_t> predicted);
  ConfusionMatrix& operator+=(const ConfusionMatrix& other);

  int classes() const { return classes_; }
  std::int64_t operator()(int truth, int predicted) const { return counts_[at(truth, predicted)]; }
  std::span<std::int64_t> counts() { return counts_; }  // [classes, classes] row by row, e.g. to sum over ranks
  std::span<const std::int64_t> counts() const { return counts_; }

  std::int64_t samples() const;
  std::int64_t samples_of(int truth) const;          // the row's sum
  std::int64_t predictions_of(int predicted) const;  // the column's sum

 private:
  std::size_t at(int truth, int predicted) const;

  int classes_;
  std::vector<std::int64_t> counts_;
};

// Class of the largest logit of each row, the first of equals. logits [n,k], k >= 1.
std::vector<std::int32_t> predictions(const Tensor& logits);

double accuracy(const ConfusionMatrix& matrix);  // the share on the diagonal

// Of one class, with tp = hits, fp = taken for it wrongly, fn = missed:
double precision(const ConfusionMatrix& matrix, int of_class);  // tp / (tp + fp)
double recall(const ConfusionMatrix& matrix, int of_class);     // tp / (tp + fn)
double f1(const ConfusionMatrix& matrix, int of_class);         // 2 tp / (2 tp + fp + fn), their harmonic mean

// The plain mean of f1 over the classes that occur, as truth or as prediction: a rare class weighs as much as a common one.
double macro_f1(const ConfusionMatrix& matrix);

// Agreement beyond chance: (p - e) / (1 - e), with p the accuracy and e = sum_c row_c column_c / n^2 what guessing at the
// same rates would reach. 1 is perfect, 0 is chance; 0 also if one class is all that occurs, where chance explains all.
// Source: Cohen, "A Coefficient of Agreement for Nominal Scales", Educational and Psychological Measurement 20(1), 1960.
double kappa(const ConfusionMatrix& matrix);

// For the terminal: a row per true class, a column per prediction (names cut to fit `width` columns), recall at the end.
// With so many classes that even the counts do not fit, lines grow longer. Zeros are dots, so that mistakes stand out.
std::string table(const ConfusionMatrix& matrix, std::span<const std::string> names, int width = 100);

}  // namespace tandem
