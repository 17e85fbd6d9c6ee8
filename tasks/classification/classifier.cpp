#include "tasks/classification/classifier.hpp"

namespace tandem {

void Classifier::build() {
  model = make_model(settings.model, image, static_cast<int>(classes.size()));
  initialise(*model, settings.seed);
}

void Classifier::save(const std::filesystem::path& path, const Optimizer& optimizer) const {
  const nlohmann::json description{
      {"settings", settings}, {"classes", classes}, {"image", std::vector<Index>(image.begin(), image.end())},
      {"mean", statistics.mean}, {"deviation", statistics.deviation}, {"data", data}};
  save_checkpoint(path, *model, &optimizer, {{"classifier", description.dump()}});
}

Classifier load_classifier(const std::filesystem::path& path) {
  const Metadata metadata = checkpoint_metadata(path);
  const auto found = metadata.find("classifier");
  require(found != metadata.end(), "{}: a checkpoint, but not of a classifier", path.string());
  Classifier c;
  try {
    const nlohmann::json description = nlohmann::json::parse(found->second);
    c.settings = description.at("settings").get<TrainingSettings>();
    c.classes = description.at("classes").get<std::vector<std::string>>();
    c.image = Shape(std::span<const Index>(description.at("image").get<std::vector<Index>>()));
    c.statistics = {description.at("mean").get<std::vector<double>>(), description.at("deviation").get<std::vector<double>>()};
    c.data = description.at("data").get<std::string>();
  } catch (const nlohmann::json::exception& error) {
    fail("{}: its description of the classifier is damaged: {}", path.string(), error.what());
  }
  require(c.image.rank() == 3 && !c.classes.empty() && static_cast<Index>(c.statistics.mean.size()) == c.image[2],
          "{}: its description of the classifier does not fit together", path.string());
  c.build();
  load_checkpoint(path, *c.model, nullptr);
  return c;
}

}  // namespace tandem
