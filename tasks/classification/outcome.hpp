// What a training run leaves behind: lines on the terminal, JSON for scripts, a page and a picture for people.
#pragma once

#include <nlohmann/json.hpp>

#include "tasks/classification/train.hpp"

namespace tandem {

std::string epoch_line(const EpochRow& row, std::int64_t epochs);
std::string summary_text(const TrainingResult& result, int ranks);    // confusion table and the figures below it
nlohmann::json summary_json(const TrainingResult& result, int ranks);
nlohmann::json score_json(const Score& score, const std::vector<std::string>& classes);  // accuracy, loss, kappa, macro_f1, confusion

// The page of tasks/report with some test images and what the model says of them.
TrainingReport make_report(const TrainingResult& result, const LabelledData& data, const std::string& command);

}  // namespace tandem
