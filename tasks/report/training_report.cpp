#include "tasks/report/training_report.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <set>
#include <span>

#include "core/error.hpp"
#include "nn/metrics.hpp"

namespace tandem {
namespace {

// ------------------------------------------------------------------------------------------------------- numbers as words

const std::string missing = "–";
constexpr std::string_view nbsp = "\u00A0";  // keeps a number and its unit on one line

// 27000 -> 27,000
std::string grouped(std::int64_t value) {
  std::string text = fmt::format("{}", value);
  for (int i = static_cast<int>(text.size()) - 3; i > (value < 0 ? 1 : 0); i -= 3)
    text.insert(static_cast<std::size_t>(i), 1, ',');
  return text;
}

std::string rate(double value) {
  if (!std::isfinite(value)) return missing;
  return std::abs(value) < 100 ? fmt::format("{:.1f}", value) : grouped(std::llround(value));
}

std::string percent(double share, int digits) {
  return std::isfinite(share) ? fmt::format("{:.{}f}{}%", 100 * share, digits, nbsp) : missing;
}

std::string duration(double seconds) {
  if (!std::isfinite(seconds)) return missing;
  if (seconds < 100) return fmt::format("{:.1f}{}s", seconds, nbsp);
  const auto whole = std::llround(seconds);
  return whole < 6000 ? fmt::format("{} min {} s", whole / 60, whole % 60)
                      : fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
}

// ---------------------------------------------------------------------------------------------------- the confusion matrix

// An empty matrix of counts stands for classes that were never tested.
ConfusionMatrix confusion_of(const TrainingReport& report) {
  const std::size_t k = report.classes.size(), given = report.confusion.size();
  require(given == 0 || given == k * k, "report: {} counts of confusion for {} classes", given, k);
  ConfusionMatrix matrix(std::max(static_cast<int>(k), 1));
  std::ranges::copy(report.confusion, matrix.counts().begin());
  return matrix;
}

double share(std::int64_t part, std::int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : not_measured;
}

// "Forest taken for Pasture (12 of 300)", the most frequent ones first.
std::string worst_mistakes(const ConfusionMatrix& matrix, const std::vector<std::string>& classes) {
  struct Mistake {
    std::int64_t count;
    int truth, prediction;
  };
  std::vector<Mistake> mistakes;
  for (int i = 0; i < matrix.classes(); ++i)
    for (int j = 0; j < matrix.classes(); ++j)
      if (i != j && matrix(i, j) > 0) mistakes.push_back({matrix(i, j), i, j});
  if (mistakes.empty()) return "Every test image was recognised.";
  std::ranges::stable_sort(mistakes, std::greater{}, &Mistake::count);

  std::vector<std::string> worst;
  for (const auto& [count, truth, prediction] : std::span(mistakes).first(std::min<std::size_t>(3, mistakes.size())))
    worst.push_back(fmt::format("{} taken for {} ({} of {})", classes[static_cast<std::size_t>(truth)],
                                classes[static_cast<std::size_t>(prediction)], grouped(count),
                                grouped(matrix.samples_of(truth))));
  return fmt::format("The most frequent mistakes: {}.", fmt::join(worst, "; "));
}

Table class_table(const ConfusionMatrix& matrix, const std::vector<std::string>& classes) {
  Table table{.align = "lrrr", .header = {"class", "test images", "recall", "precision"}};
  for (int c = 0; c < matrix.classes(); ++c)
    table.rows.push_back({classes[static_cast<std::size_t>(c)], grouped(matrix.samples_of(c)),
                          percent(matrix.samples_of(c) > 0 ? recall(matrix, c) : not_measured, 1),
                          percent(matrix.predictions_of(c) > 0 ? precision(matrix, c) : not_measured, 1)});
  return table;
}

// ---------------------------------------------------------------------------------------------- the chapters of the page

using Column = double EpochRow::*;

bool measured(const std::vector<EpochRow>& epochs, Column column) {
  return std::ranges::any_of(epochs, [&](const EpochRow& row) { return std::isfinite(row.*column); });
}

// Appends the named column over the epochs, unless it was never measured.
void add_curve(Plot& plot, const std::string& name, const std::vector<EpochRow>& epochs, Column column, double scale = 1) {
  if (!measured(epochs, column)) return;
  Curve curve{.name = name};
  for (const EpochRow& row : epochs) {
    curve.x.push_back(row.epoch);
    curve.y.push_back(scale * (row.*column));
  }
  plot.curves.push_back(curve);
}

Plot over_epochs(const std::string& title, const std::string& y_label) {
  return {.title = title, .x_label = "epoch", .y_label = y_label};
}

void overview(Page& page, const TrainingReport& report, const ConfusionMatrix& confusion) {
  std::set<int> threads;
  for (const RankRow& row : report.ranks) threads.insert(row.threads);
  std::vector<Fact> facts = {{"test accuracy", percent(confusion.samples() > 0 ? accuracy(confusion) : not_measured, 2)},
                             {"training time", duration(report.seconds)},
                             {"images per second", rate(report.images_per_second)}};
  if (!report.ranks.empty()) {
    const std::string each = fmt::format("{}", fmt::join(threads, "–"));
    facts.push_back({"ranks × threads", fmt::format("{} × {}", report.ranks.size(), each)});
  }
  facts.push_back({"weights hash", report.weights_hash});
  page.paragraph(report.summary);
  page.highlights(facts);
}

void learning(Page& page, const std::vector<EpochRow>& epochs) {
  Plot loss = over_epochs("Loss", "cross-entropy [nats per image]"), accuracy = over_epochs("Accuracy", "accuracy [%]");
  Plot step = over_epochs("Learning rate", "learning rate"), speed = over_epochs("Speed", "images per second");
  add_curve(loss, "training", epochs, &EpochRow::train_loss);
  add_curve(loss, "validation", epochs, &EpochRow::validation_loss);
  add_curve(accuracy, "training", epochs, &EpochRow::train_accuracy, 100);
  add_curve(accuracy, "validation", epochs, &EpochRow::validation_accuracy, 100);
  speed.y_from_zero = true;
  add_curve(step, "", epochs, &EpochRow::learning_rate);
  add_curve(speed, "", epochs, &EpochRow::images_per_second);

  std::vector<Figure> figures;
  const auto add = [&](const Plot& plot, const std::string& caption) {
    if (!plot.curves.empty()) figures.push_back({svg(plot), caption});
  };
  add(loss,
      "What training minimises. Where the validation curve turns up while the training curve falls, the model learns its "
      "images by heart.");
  add(accuracy, "The share of images whose class is recognised. Validation images are never trained on.");
  add(step, "The factor of each step along the gradient, as the schedule sets it.");
  add(speed, "Training images that all ranks together process in a second.");
  if (figures.empty()) return;
  page.section("How it learned");
  page.paragraph("An epoch is one pass over all training images.");
  page.figures(figures);
}

void mistakes(Page& page, const ConfusionMatrix& confusion, const std::vector<std::string>& classes) {
  if (confusion.samples() == 0) return;
  page.section("Where it errs");
  page.paragraph(fmt::format("The confusion matrix counts the {} test images, which took no part in training. {}",
                             grouped(confusion.samples()), worst_mistakes(confusion, classes)));
  page.figures(
      {{svg(confusion_map(confusion, classes)),
        "Each row holds the images of one true class. What stands on the diagonal is right; a cell beside it counts a "
        "mistake. The darker, the larger the share of its row. Empty cells are zero."}});
  page.paragraph(
      "Recall: the share of a class's images that were recognised. Precision: the share of the images taken for a class "
      "that are of it.");
  page.table(class_table(confusion, classes));
  page.paragraph(
      fmt::format("Over all classes: macro-F1 {:.4f} (the mean over the classes of 2 · recall · precision / (recall + "
                  "precision), so that a "
                  "rare class weighs as much as a common one) and Cohen's kappa {:.4f} (1 is perfect, 0 is guessing).",
                  macro_f1(confusion), kappa(confusion)));
}

void samples(Page& page, const TrainingReport& report) {
  if (report.samples.empty()) return;
  std::vector<Picture> pictures;
  for (const SampleRow& sample : report.samples) {
    for (const int label : {sample.truth, sample.prediction})
      require(label >= 0 && label < static_cast<int>(report.classes.size()), "report: a sample of class {} among {} classes",
              label, report.classes.size());
    const std::string& truth = report.classes[static_cast<std::size_t>(sample.truth)];
    const std::string& prediction = report.classes[static_cast<std::size_t>(sample.prediction)];
    const std::string sure = std::isfinite(sample.confidence) ? ", " + percent(sample.confidence, 0) : "";
    const bool wrong = sample.truth != sample.prediction;
    const std::string caption = wrong ? fmt::format("wrong: {}{}; it is {}", prediction, sure, truth) : prediction + sure;
    pictures.push_back({sample.png, caption, wrong});
  }
  page.section("What it sees");
  page.paragraph(
      "Some test images, each with the predicted class and the probability that the model gives it. Mistakes are framed, "
      "and say what the image really shows.");
  page.pictures(pictures);
}

void machines(Page& page, const std::vector<RankRow>& ranks) {
  if (ranks.empty()) return;
  Table table{.align = "rlrrrrrr",
              .header = {"rank", "host", "threads", "images", "images/s", "compute", "communication", "waiting for data"}};
  for (const RankRow& row : ranks) {
    const double total = row.compute_seconds + row.communication_seconds + row.data_seconds;
    const auto part = [&](double seconds) {
      return std::isfinite(total) && total > 0 ? fmt::format("{:.1f} s ({})", seconds, percent(seconds / total, 0))
                                               : duration(seconds);
    };
    table.rows.push_back({fmt::format("{}", row.rank), row.host, fmt::format("{}", row.threads), grouped(row.images),
                          total > 0 ? rate(static_cast<double>(row.images) / total) : missing, part(row.compute_seconds),
                          part(row.communication_seconds), part(row.data_seconds)});
  }
  page.section("What ran where, and how fast");
  page.paragraph(
      "Each rank is a process with its own part of every batch. Communication adds up the gradients of all ranks; the "
      "seconds given are those in which the rank could do nothing else.");
  page.table(table);
}

}  // namespace

HeatMap confusion_map(const ConfusionMatrix& matrix, const std::vector<std::string>& classes) {
  HeatMap map{.title = fmt::format("Confusion matrix, {} images", grouped(matrix.samples())),
              .x_label = "predicted class",
              .y_label = "true class",
              .rows = classes,
              .columns = classes};
  for (int i = 0; i < matrix.classes(); ++i)
    for (int j = 0; j < matrix.classes(); ++j) {
      const std::int64_t count = matrix(i, j);
      map.shades.push_back(std::sqrt(share(count, matrix.samples_of(i))));
      map.texts.push_back(count > 0 ? fmt::format("{}", count) : "");
    }
  return map;
}

std::string training_report_page(const TrainingReport& report) {
  const ConfusionMatrix confusion = confusion_of(report);

  Page page(report.title);
  overview(page, report, confusion);
  learning(page, report.epochs);
  mistakes(page, confusion, report.classes);
  samples(page, report);
  machines(page, report.ranks);

  page.section("To run it again");
  std::vector<Fact> facts = report.facts;
  facts.insert(facts.begin(), {"command", report.command});
  page.facts(facts);
  return page.str();
}

}  // namespace tandem
