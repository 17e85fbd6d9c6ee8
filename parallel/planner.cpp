#include "parallel/planner.hpp"

#include <algorithm>
#include <limits>
#include <map>

#include "core/error.hpp"

namespace tandem {
namespace {

constexpr int micro_batches_a_stage = 16;  // more only shorten a bubble that is below 1/16 already

bool any(const ModelProfile& model, double LayerProfile::*share) {
  return std::ranges::any_of(model.layers, [&](const LayerProfile& layer) { return layer.*share > 0; });
}

std::vector<int> divisors(int n) {
  std::vector<int> found;
  for (int d = 1; d <= n; ++d)
    if (n % d == 0) found.push_back(d);
  return found;
}

std::vector<GridShape> grids_of(const CostProfile& profile, int ranks) {
  const int most_tensor = any(profile.model, &LayerProfile::tensor_share) ? profile.machine.ranks_per_node : 1;
  const int most_spatial = any(profile.model, &LayerProfile::spatial_share) ? profile.machine.ranks_per_node : 1;
  std::vector<GridShape> grids;
  for (const int used : divisors(ranks))
    for (const int pipeline : divisors(used))
      for (const int tensor : divisors(used / pipeline))
        for (const int spatial : divisors(used / pipeline / tensor))
          if (pipeline <= std::ssize(profile.model.layers) && tensor <= most_tensor && spatial <= most_spatial &&
              tensor * spatial <= profile.machine.ranks_per_node)
            grids.push_back({.data = used / pipeline / tensor / spatial, .pipeline = pipeline, .tensor = tensor, .spatial = spatial});
  return grids;
}

std::vector<ScheduleChoice> schedules_of(const GridShape& grid, std::size_t layers) {
  if (grid.pipeline == 1) return {{.name = "1f1b", .chunks = 1}};
  std::vector<ScheduleChoice> choices;
  for (const char* name : {"1f1b", "gpipe", "zb-h1"}) choices.push_back({.name = name, .chunks = 1});
  for (const int v : {2, 4})
    if (static_cast<std::size_t>(grid.pipeline * v) <= layers) choices.push_back({.name = "interleaved", .chunks = v});
  return choices;
}

std::vector<int> micro_batches_of(const GridShape& grid, const PlanRequest& request) {
  std::vector<int> choices;
  if (request.micro_batches) {
    if (*request.micro_batches >= grid.data) choices.push_back(*request.micro_batches);
    return choices;
  }
  for (std::int64_t m = 1; m <= std::int64_t{micro_batches_a_stage} * grid.pipeline && m * grid.data <= request.batch; m *= 2)
    choices.push_back(static_cast<int>(m * grid.data));
  return choices;
}

// A step cannot be shorter than the arithmetic of a replica's micro-batches, shared out evenly over the ranks of a copy, each alone on its node.
Seconds least_step(const CostProfile& profile, const Scheme& scheme, std::int64_t batch) {
  Seconds pass = 0;
  for (const LayerProfile& layer : profile.model.layers) {
    const LayerPoint at = layer.at(static_cast<double>(batch) / scheme.micro_batches);
    pass += at.forward * (scheme.recompute ? 2 : 1) + at.backward_input + at.backward_weight;
  }
  const double ranks = scheme.grid.pipeline * scheme.grid.tensor * scheme.grid.spatial;
  return scheme.micro_batches_of_a_rank() * pass / ranks / profile.machine.slowdown;
}

// Of two schemes of one kind only the better is shown.
std::string kind_of(const Scheme& scheme) {
  const Scheme kind{.grid = scheme.grid, .schedule = scheme.schedule, .chunks = scheme.chunks};
  return to_string(kind);
}

std::string reason(const MemoryNeed& need, double memory) {
  const std::pair<double, const char*> parts[]{{need.parameters, "parameters"}, {need.gradients, "gradients"}, {need.moments, "moments of the optimiser"},
                                               {need.passing, "sums and layers under way"}, {need.activations, "activations"}};
  const auto& [most, what] = *std::ranges::max_element(parts);
  return fmt::format("needs {} a rank of {}; most for {}, {}", bytes_text(need.total()), bytes_text(memory), what, bytes_text(most));
}

class Search {
 public:
  Search(const CostProfile& profile, const PlanRequest& request) : profile_(profile), request_(request) {}

  PlanResult run() && {
    std::vector<std::pair<Seconds, Scheme>> schemes = all();
    std::ranges::stable_sort(schemes, {}, &std::pair<Seconds, Scheme>::first);
    std::vector<std::pair<Seconds, Scheme>> second;
    for (const auto& [least, scheme] : schemes)
      if (!visit(least, scheme) && scheme.shard < 3) {  // which does not go with recomputation
        second.emplace_back(least, scheme);
        second.back().second.recompute = true;
        second.back().first = least_step(profile_, second.back().second, request_.batch);
      }
    std::ranges::stable_sort(second, {}, &std::pair<Seconds, Scheme>::first);
    for (const auto& [least, scheme] : second) visit(least, scheme);

    const auto by_step = [](const Candidate& c) { return c.prediction.step; };
    for (auto& [kind, candidate] : fitting_) result_.fitting.push_back(std::move(candidate));
    for (auto& [kind, candidate] : refused_) result_.refused.push_back(std::move(candidate));
    std::ranges::sort(result_.fitting, {}, by_step);
    std::ranges::sort(result_.refused, {}, by_step);
    result_.serial = {.scheme = {.micro_batches = result_.fitting.empty() ? 1 : result_.fitting.front().scheme.micro_batches}};
    result_.serial.prediction = predict(profile_, result_.serial.scheme, request_.batch);
    return std::move(result_);
  }

 private:
  std::vector<std::pair<Seconds, Scheme>> all() const {
    std::vector<std::pair<Seconds, Scheme>> schemes;
    for (const GridShape& grid : grids_of(profile_, request_.ranks))
      for (const ScheduleChoice& schedule : schedules_of(grid, profile_.model.layers.size()))
        for (const int m : micro_batches_of(grid, request_))
          for (int shard = 0; shard <= (grid.data * grid.spatial == 1 ? 0 : grid.pipeline > 1 ? 2 : 3); ++shard) {
            const Scheme scheme{.grid = grid, .schedule = schedule.name, .chunks = schedule.chunks, .shard = shard, .micro_batches = m};
            schemes.emplace_back(least_step(profile_, scheme, request_.batch), scheme);
          }
    return schemes;
  }

  // False if it does not fit in memory.
  bool visit(Seconds least, const Scheme& scheme) {
    if (least > request_.interest * best_) return ++result_.bounded, true;
    ++result_.predicted;
    Candidate candidate{.scheme = scheme, .prediction = predict(profile_, scheme, request_.batch)};
    const bool fits = request_.memory <= 0 || candidate.prediction.memory.total() <= request_.memory;
    if (!fits) candidate.refused = reason(candidate.prediction.memory, request_.memory);
    if (fits) best_ = std::min(best_, candidate.prediction.step);
    candidate.prediction.timeline = {};  // of thousands
    const auto [place, is_new] = (fits ? fitting_ : refused_).try_emplace(kind_of(scheme), candidate);
    if (!is_new && better(candidate, place->second)) place->second = std::move(candidate);
    return fits;
  }

  // Shorter by more than rounding; of equals the one that asks for less of everything.
  static bool better(const Candidate& a, const Candidate& b) { return a.prediction.step < b.prediction.step * (1 - 1e-9); }

  const CostProfile& profile_;
  const PlanRequest& request_;
  PlanResult result_;
  std::map<std::string, Candidate> fitting_, refused_;
  Seconds best_ = std::numeric_limits<Seconds>::infinity();
};

}  // namespace

std::string bytes_text(double bytes) {
  constexpr const char* units[]{"B", "KB", "MB", "GB", "TB"};
  int unit = 0;
  for (; bytes >= 999.5 && unit < 4; ++unit) bytes /= 1024;
  return fmt::format("{:.{}f} {}", bytes, bytes < 9.95 && unit > 0 ? 1 : 0, units[unit]);
}

PlanResult search_schemes(const CostProfile& profile, const PlanRequest& request) {
  constexpr int most_ranks = 1 << 15;
  if (request.ranks < 1 || request.ranks > most_ranks) throw UsageError(fmt::format("plan: {} ranks; expected 1 to {}", request.ranks, most_ranks));
  if (request.batch < 1) throw UsageError(fmt::format("plan: a batch of {} rows", request.batch));
  if (request.micro_batches && (*request.micro_batches < 1 || *request.micro_batches > request.batch))
    throw UsageError(fmt::format("plan: {} micro-batches of a batch of {} rows", *request.micro_batches, request.batch));
  return Search(profile, request).run();
}

}  // namespace tandem
