#include "tasks/classification/outcome.hpp"

#include <algorithm>

#include "core/threads.hpp"
#include "tasks/classification/tile_dataset.hpp"

namespace tandem {
namespace {

// Up to two test images of each class: one that the model gets right and, if there is one, one that it gets wrong.
std::vector<SampleRow> choose_samples(const TrainingResult& result, const LabelledData& data) {
  constexpr std::size_t most_looked_at = 40;  // per class
  const TileDataset test(data.tiles, data.split.test, result.classifier.statistics);
  std::vector<std::vector<std::int64_t>> by_class(data.tiles.classes.size());
  for (std::int64_t i = 0; i < test.size(); ++i) {
    auto& of_class = by_class[static_cast<std::size_t>(data.tiles.labels[static_cast<std::size_t>(test.tile_number(i))])];
    if (of_class.size() < most_looked_at) of_class.push_back(i);
  }
  std::vector<SampleRow> rows;
  for (std::size_t truth = 0; truth < by_class.size() && rows.size() < 40; ++truth) {
    const Tensor p = probabilities(*result.classifier.model, test, by_class[truth]);
    const std::vector<std::int32_t> predicted = predictions(p);
    for (const bool right : {true, false})
      for (std::size_t i = 0; i < predicted.size(); ++i)
        if ((predicted[i] == static_cast<std::int32_t>(truth)) == right) {
          rows.push_back({.png = png_bytes(data.tiles.image(test.tile_number(by_class[truth][i]))), .truth = static_cast<int>(truth),
                          .prediction = predicted[i], .confidence = p[static_cast<Index>(i) * p.dim(1) + predicted[i]]});
          break;
        }
  }
  return rows;
}

}  // namespace

std::string epoch_line(const EpochRow& row, std::int64_t epochs) {
  return fmt::format("epoch {:2d}/{}   loss {:.4f}   accuracy {:5.2f} %   validation loss {:.4f}   accuracy {:5.2f} %   {:.0f} images/s",
                     row.epoch, epochs, row.train_loss, 100 * row.train_accuracy, row.validation_loss, 100 * row.validation_accuracy,
                     row.images_per_second);
}

std::string summary_text(const TrainingResult& result, int ranks) {
  const ConfusionMatrix& c = result.test.confusion;
  return fmt::format(
      "\n{}\ntest         accuracy {:.2f} %   kappa {:.4f}   macro F1 {:.4f}   loss {:.4f}   ({} images)\n"
      "speed        {:.0f} images/s in training on {} rank(s) of {} thread(s) ({}); {:.1f} s in all; allreduce: {}\n"
      "weights hash {}   {}\n",
      table(c, result.classifier.classes), 100 * accuracy(c), kappa(c), macro_f1(c), result.test.loss, c.samples(),
      result.images_per_second, ranks, thread_count(), result.grid, result.seconds, result.allreduce,
      hex(weights_hash(*result.classifier.model)),
      result.same_bits_as_serial ? "(the same with any power of two of data-parallel ranks that divides M, layers on any number of ranks, any threads)"
                                 : "(close to, but not bit for bit, that of the serial run: this grid or allreduce adds in another order)");
}

nlohmann::json score_json(const Score& score, const std::vector<std::string>& classes) {
  const ConfusionMatrix& c = score.confusion;
  nlohmann::json rows = nlohmann::json::array();
  for (int truth = 0; truth < c.classes(); ++truth) {
    nlohmann::json row = nlohmann::json::array();
    for (int predicted = 0; predicted < c.classes(); ++predicted) row.push_back(c(truth, predicted));
    rows.push_back(row);
  }
  return {{"accuracy", accuracy(c)}, {"loss", score.loss}, {"kappa", kappa(c)}, {"macro_f1", macro_f1(c)},
          {"images", c.samples()},   {"classes", classes}, {"confusion", rows}};
}

nlohmann::json summary_json(const TrainingResult& result, int ranks) {
  nlohmann::json j = score_json(result.test, result.classifier.classes);
  j["images_per_second"] = result.images_per_second;
  j["seconds"] = result.seconds;
  j["epochs"] = result.classifier.settings.epochs;
  j["ranks"] = ranks;
  j["threads"] = thread_count();
  j["weights_hash"] = hex(weights_hash(*result.classifier.model));
  j["same_bits_as_serial"] = result.same_bits_as_serial;
  j["grid"] = result.grid;
  j["allreduce"] = result.allreduce;
  j["shard"] = result.shard;
  j["parameters"] = parameter_count(*result.classifier.model);
  j["settings"] = result.classifier.settings;
  j["data"] = result.classifier.data;
  j["history"] = nlohmann::json::array();
  for (const EpochRow& row : result.epochs)
    j["history"].push_back({{"epoch", row.epoch}, {"train_loss", row.train_loss}, {"train_accuracy", row.train_accuracy},
                            {"validation_loss", row.validation_loss}, {"validation_accuracy", row.validation_accuracy},
                            {"images_per_second", row.images_per_second}, {"learning_rate", row.learning_rate}});
  return j;
}

TrainingReport make_report(const TrainingResult& result, const LabelledData& data, const std::string& command) {
  const Classifier& c = result.classifier;
  const TrainingSettings& s = c.settings;
  return {
      .title = fmt::format("{}: {} on {} rank(s)", data.name, s.model, result.ranks.size()),
      .summary = fmt::format("A {} with {} parameters learned to tell {} classes apart from {} images of {}x{} pixels, in {} epochs. "
                             "It is judged here by {} test images that it never saw.",
                             s.model, parameter_count(*c.model), c.classes.size(), data.split.train.size(), c.image[0], c.image[1], s.epochs,
                             data.split.test.size()),
      .seconds = result.seconds,
      .images_per_second = result.images_per_second,
      .weights_hash = hex(weights_hash(*c.model)),
      .epochs = result.epochs,
      .classes = c.classes,
      .confusion = {result.test.confusion.counts().begin(), result.test.confusion.counts().end()},
      .samples = choose_samples(result, data),
      .ranks = result.ranks,
      .command = command,
      .facts = {{"data", data.name},
                {"training / validation / test images",
                 fmt::format("{} / {} / {}", data.split.train.size(), data.split.validation.size(), data.split.test.size())},
                {"model", fmt::format("{}, {} parameters", s.model, parameter_count(*c.model))},
                {"optimizer", fmt::format("{}, {} schedule, learning rate up to {}", s.optimizer, s.schedule, peak_learning_rate(s))},
                {"batch", fmt::format("{} images in {} micro-batches", s.batch, s.micro_batches)},
                {"label smoothing", fmt::format("{}; it raises the training loss, the validation loss is without", s.smoothing)},
                {"grid", result.grid},
                {"allreduce", result.allreduce},
                {"sharded", result.shard ? fmt::format("stage {}", result.shard) : "no"},
                {"seed", std::to_string(s.seed)},
                {"same bits as the serial run", result.same_bits_as_serial ? "yes" : "no: this grid or allreduce adds in another order"}},
  };
}

}  // namespace tandem
