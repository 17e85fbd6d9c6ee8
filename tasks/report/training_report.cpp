#include "tasks/report/training_report.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <set>

#include "core/error.hpp"
#include "tasks/report/plot.hpp"

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

// counts [k, k]: row = true class, column = predicted class.
struct Confusion {
  const std::vector<std::int64_t>& counts;
  std::size_t k;

  std::int64_t at(std::size_t truth, std::size_t prediction) const { return counts[truth * k + prediction]; }
  std::int64_t of_class(std::size_t c) const {
    return sum([&](std::size_t j) { return at(c, j); });
  }
  std::int64_t taken_for(std::size_t c) const {
    return sum([&](std::size_t i) { return at(i, c); });
  }
  std::int64_t right() const {
    return sum([&](std::size_t c) { return at(c, c); });
  }
  std::int64_t total() const {
    return sum([&](std::size_t c) { return of_class(c); });
  }

 private:
  template <class Term>
  std::int64_t sum(Term term) const {
    std::int64_t s = 0;
    for (std::size_t i = 0; i < k; ++i) s += term(i);
    return s;
  }
};

double share(std::int64_t part, std::int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : not_measured;
}

std::string confusion_picture(const Confusion& m, const std::vector<std::string>& classes) {
  HeatMap map{.title = "Confusion matrix",
              .x_label = "predicted class",
              .y_label = "true class",
              .rows = classes,
              .columns = classes};
  for (std::size_t i = 0; i < m.k; ++i)
    for (std::size_t j = 0; j < m.k; ++j) {
      map.shades.push_back(std::sqrt(share(m.at(i, j), m.of_class(i))));  // the root makes rare mistakes visible
      map.texts.push_back(m.at(i, j) > 0 ? fmt::format("{}", m.at(i, j)) : "");
    }
  return svg(map);
}

// "Forest taken for Pasture (12 of 300)", the most frequent ones first.
std::string worst_mistakes(const Confusion& m, const std::vector<std::string>& classes) {
  struct Mistake {
    std::int64_t count;
    std::size_t truth, prediction;
  };
  std::vector<Mistake> mistakes;
  for (std::size_t i = 0; i < m.k; ++i)
    for (std::size_t j = 0; j < m.k; ++j)
      if (i != j && m.at(i, j) > 0) mistakes.push_back({m.at(i, j), i, j});
  if (mistakes.empty()) return "Every test image was recognised.";
  std::ranges::stable_sort(mistakes, std::greater{}, &Mistake::count);

  std::string text = "The most frequent mistakes: ";
  for (std::size_t n = 0; n < std::min<std::size_t>(3, mistakes.size()); ++n) {
    const auto& [count, truth, prediction] = mistakes[n];
    text += fmt::format("{}{} taken for {} ({} of {})", n ? "; " : "", classes[truth], classes[prediction], grouped(count),
                        grouped(m.of_class(truth)));
  }
  return text + ".";
}

Table class_table(const Confusion& m, const std::vector<std::string>& classes) {
  Table table{.align = "lrrr", .header = {"class", "test images", "recall", "precision"}};
  for (std::size_t c = 0; c < m.k; ++c)
    table.rows.push_back({classes[c], grouped(m.of_class(c)), percent(share(m.at(c, c), m.of_class(c)), 1),
                          percent(share(m.at(c, c), m.taken_for(c)), 1)});
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

void overview(Page& page, const TrainingReport& report, const Confusion& confusion) {
  std::set<int> threads;
  for (const RankRow& row : report.ranks) threads.insert(row.threads);
  std::vector<Fact> facts = {{"test accuracy", percent(share(confusion.right(), confusion.total()), 2)},
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

void mistakes(Page& page, const Confusion& confusion, const std::vector<std::string>& classes) {
  if (confusion.total() == 0) return;
  page.section("Where it errs");
  page.paragraph(fmt::format("The confusion matrix counts the {} test images, which took no part in training. {}",
                             grouped(confusion.total()), worst_mistakes(confusion, classes)));
  page.figures(
      {{confusion_picture(confusion, classes),
        "Each row holds the images of one true class. What stands on the diagonal is right; a cell beside it counts a "
        "mistake. The darker, the larger the share of its row. Empty cells are zero."}});
  page.paragraph(
      "Recall: the share of a class's images that were recognised. Precision: the share of the images taken for a class "
      "that are of it.");
  page.table(class_table(confusion, classes));
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

std::string training_report_page(const TrainingReport& report) {
  const std::size_t k = report.classes.size();
  require(report.confusion.empty() || report.confusion.size() == k * k, "report: {} counts of confusion for {} classes",
          report.confusion.size(), k);
  const Confusion confusion{report.confusion, report.confusion.empty() ? 0 : k};

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
