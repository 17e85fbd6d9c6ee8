#include "benchmarks/schemes/comparison.hpp"

#include <limits>
#include <nlohmann/json.hpp>

#include "parallel/planner.hpp"

namespace tandem {
namespace {

double speed_up(const Comparison& c, const SchemeRow& row) { return c.serial_seconds() / row.step(); }

}  // namespace

double Comparison::serial_seconds() const {
  for (const SchemeRow& row : rows)
    if (row.scheme.grid.size() == 1 && row.scheme.micro_batches == defaults.micro_batches && !row.scheme.recompute) return row.step();
  return std::numeric_limits<double>::quiet_NaN();
}

std::string table_of(const Comparison& c) {
  std::string text = fmt::format("{:<34}{:>6}{:>10}{:>11}{:>7}{:>10}{:>10}{:>9}{:>7}{:>10}{:>10}{:>13}{:>12}   {}\n", "scheme", "ranks", "step [ms]", "predicted",
                                 "off", "images/s", "speed-up", "of alone", "idle", "messages", "bytes", "activations", "parameters", "weights");
  for (const SchemeRow& row : c.rows)
    text += fmt::format("{:<34}{:>6}{:>10.2f}{:>11.2f}{:>6.0f}%{:>10.1f}{:>10.2f}{:>8.0f}%{:>6.0f}%{:>10}{:>10}{:>13}{:>12}   {}\n", row.name, row.ranks,
                        1e3 * row.step(), 1e3 * row.predicted.step, 100 * (row.predicted.step / row.step() - 1), row.images_per_second(c.batch),
                        speed_up(c, row), 100 * row.alone_share, 100 * row.measured.idle_share(), row.traffic.messages, bytes_text(static_cast<double>(row.traffic.bytes)),
                        bytes_text(row.memory.activations), bytes_text(row.memory.parameters), row.hash);
  return text;
}

nlohmann::json json_of(const Comparison& c) {
  nlohmann::json rows = nlohmann::json::array();
  for (const SchemeRow& row : c.rows)
    rows.push_back({{"scheme", row.name},
                    {"grid", to_string(row.scheme.grid)},
                    {"schedule", row.scheme.grid.pipeline > 1 ? row.scheme.schedule : ""},
                    {"shard", row.scheme.shard},
                    {"recompute", row.scheme.recompute},
                    {"ranks", row.ranks},
                    {"micro_batches", row.scheme.micro_batches},
                    {"step_ms", 1e3 * row.step()},
                    {"step_seconds_of_rounds", row.step_seconds},
                    {"predicted_ms", 1e3 * row.predicted.step},
                    {"images_per_second", row.images_per_second(c.batch)},
                    {"speedup", speed_up(c, row)},
                    {"share_of_alone", row.alone_share},
                    {"idle_share", row.measured.idle_share()},
                    {"predicted_idle_share", row.predicted.idle_share},
                    {"exposed_communication_ms", 1e3 * row.predicted.exposed_communication},
                    {"bytes", row.traffic.bytes},
                    {"messages", row.traffic.messages},
                    {"predicted_bytes", row.predicted.traffic.bytes},
                    {"predicted_messages", row.predicted.traffic.messages},
                    {"peak_activation_bytes", row.memory.activations},
                    {"predicted_activation_bytes", row.predicted.memory.activations},
                    {"parameter_bytes", row.memory.parameters},
                    {"weights_hash", row.hash},
                    {"same_bits_as_serial", row.same_bits},
                    {"steps_to_loss", row.steps_to_loss},
                    {"seconds_to_loss", row.seconds_to_loss}});
  nlohmann::json scaling = nlohmann::json::array();
  for (const ScalingPoint& p : c.scaling)
    scaling.push_back({{"kind", p.kind}, {"ranks", p.ranks}, {"weak", p.weak}, {"images_per_second", p.images_per_second}});
  return {{"scaling", scaling}, {"loss", c.loss}, {"model", c.model},   {"batch", c.batch},   {"ranks", c.ranks},           {"threads", c.threads},
          {"rounds", c.rounds}, {"machine", c.machine}, {"images_per_second_alone", c.images_alone}, {"rows", rows}};
}

std::string csv_of(const Comparison& c) {
  std::string text = "scheme,ranks,micro_batches,step_ms,predicted_ms,images_per_second,speedup,idle_share,messages,bytes,peak_activation_bytes,"
                     "parameter_bytes,weights_hash\n";
  for (const SchemeRow& row : c.rows)
    text += fmt::format("\"{}\",{},{},{:.4f},{:.4f},{:.2f},{:.4f},{:.4f},{},{},{:.0f},{:.0f},{}\n", row.name, row.ranks, row.scheme.micro_batches,
                        1e3 * row.step(), 1e3 * row.predicted.step, row.images_per_second(c.batch), speed_up(c, row), row.measured.idle_share(), row.traffic.messages,
                        row.traffic.bytes, row.memory.activations, row.memory.parameters, row.hash);
  return text;
}

}  // namespace tandem
