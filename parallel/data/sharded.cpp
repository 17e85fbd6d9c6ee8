#include "parallel/data/sharded.hpp"

#include <algorithm>
#include <unordered_map>

#include "core/kernels/elementwise.hpp"
#include "core/profile.hpp"
#include "parallel/pipeline/stage.hpp"

namespace tandem {
namespace {

constexpr std::size_t totals_bucket = 0;

// The parameters of each layer, the last layer first. A layer without parameters has no bucket.
Buckets buckets_by_layer(const Module& model) {
  std::unordered_map<Variable, std::size_t> slot_of;
  for (const Parameter& p : model.parameters()) slot_of.emplace(p.variable, slot_of.size());
  Buckets buckets;
  const std::vector<std::shared_ptr<Module>> layers = layers_of(model);
  for (std::size_t c = layers.size(); c-- > 0;) {
    std::vector<std::size_t> slots;
    for (const Parameter& p : layers[c]->parameters()) {
      slots.push_back(slot_of.at(p.variable));
      slot_of.erase(p.variable);
    }
    if (!slots.empty()) buckets.push_back({slots.rbegin(), slots.rend()});
  }
  for (const Parameter& p : model.parameters())
    require(!slot_of.contains(p.variable), "sharded parameters: '{}' belongs to no layer of the model, and is brought together with none; stage 3 "
            "cannot train this model, stage 2 can", p.name);
  return buckets;
}

// The totals go alone: they are summed whole, and known before the first gradient.
BucketLayout sharded_layout(const Module& model, Index totals, ShardedExchange::Options options) {
  const std::vector<Parameter> parameters = model.parameters();
  const std::vector<Shape> shapes = slot_shapes(parameters, totals), without_totals(shapes.begin(), shapes.end() - 1);
  Buckets buckets = options.stage == 3 ? buckets_by_layer(model) : buckets_by_size(without_totals, options.bucket_bytes);
  buckets.insert(buckets.begin(), {parameters.size()});
  return BucketLayout(shapes, std::move(buckets));
}

// Of a bucket: the cuts next to equal ones among those allowed, which are where parameters begin and where their blocks do.
Cuts cuts_of(const BucketLayout& layout, std::size_t bucket, int ranks) {
  std::vector<std::size_t> allowed{0};
  for (const std::size_t i : layout.slots[bucket])
    for (std::size_t at = layout.places[i].begin; at < layout.places[i].piece().end; at += count_of(square_block)) allowed.push_back(at);
  allowed.push_back(layout.sizes[bucket]);
  Cuts cuts;
  for (int k = 0; k <= ranks; ++k) {
    const std::size_t ideal = static_cast<std::size_t>(k) * layout.sizes[bucket] / static_cast<std::size_t>(ranks);
    const auto above = std::ranges::lower_bound(allowed, ideal), below = above == allowed.begin() ? above : above - 1;
    cuts.push_back(ideal - *below < *above - ideal ? *below : *above);
  }
  return cuts;
}

std::vector<Cuts> all_cuts(const BucketLayout& layout, int ranks) {
  std::vector<Cuts> cuts{Cuts(count_of(ranks + 1), 0)};  // nobody keeps a piece of the totals
  for (std::size_t b = totals_bucket + 1; b < layout.slots.size(); ++b) cuts.push_back(cuts_of(layout, b, ranks));
  return cuts;
}

// A layer that uses the parameters of another finds them empty. Whatever operation complains, here is the reason.
Variable forward_alone(Module& layer, const Variable& x, const Context& context) {
  try {
    return layer.forward(x, context);
  } catch (const Error& error) {
    fail("layer '{}' (sharded, stage 3: parameters of other layers are empty while it runs): {}", layer.path(), error.what());
  }
}

}  // namespace

ShardedExchange::ShardedExchange(Module& model, Index totals, const Communicator& replicas, Options options)
    : GradientExchange(model.parameters(), sharded_layout(model, totals, options)),
      comm_(replicas),
      options_(options),
      totals_(Tensor::zeros({totals})),
      values_(all_cuts(layout_, replicas.size()), replicas, options.stage < 3 ? Keep::whole : Keep::piece),
      gradients_(all_cuts(layout_, replicas.size()), replicas, options.stage < 2 ? Keep::whole : Keep::piece) {
  require(options.stage >= 1 && options.stage <= 3, "sharded: stage {}; there are 1, 2 and 3", options.stage);
  for (std::size_t b = totals_bucket + 1; b < layout_.slots.size(); ++b) {
    std::vector<Tensor> before;
    for (const std::size_t i : layout_.slots[b]) before.push_back(parameters_[i].variable.value());
    values_.whole(b).fill(0);
    show(b);
    for (std::size_t s = 0; s < before.size(); ++s) parameters_[layout_.slots[b][s]].variable.value().copy_from(before[s]);
  }

  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const BucketLayout::Place& place = layout_.places[i];
    const Piece mine = values_.piece(place.bucket), whole = place.piece();
    const std::size_t begin = std::max(mine.begin, whole.begin), end = std::min(mine.end, whole.end);
    if (begin >= end) continue;
    const auto part = [&](const Tensor& bucket) {
      const Tensor values = bucket.rows(static_cast<Index>(begin - mine.begin), static_cast<Index>(end - mine.begin));
      return place.shape.rank() >= 2 ? values.reshape({1, values.size()}) : values;
    };
    own({.name = parameters_[i].name, .variable = Variable(part(values_.mine(place.bucket)), true), .initialise = {},
         .slice = parameters_[i].slice, .stretch = Stretch{.begin = static_cast<Index>(begin - whole.begin), .of = place.shape}},
        part(gradients_.mine(place.bucket)));
  }

  if (options.stage < 3) return;
  surrounded_ = layers_of(model);
  std::size_t bucket = layout_.slots.size();
  for (const auto& child : surrounded_) {
    Module* const module = child.get();
    if (module->parameters().empty()) {
      module->put_around([module](const Variable& x, const Context& context) { return forward_alone(*module, x, context); });
    } else {
      module->put_around([this, layer = layers_.size()](const Variable& x, const Context& context) { return run(layer, x, context); });
      layers_.push_back({module, --bucket});
    }
  }
}

ShardedExchange::~ShardedExchange() {
  for (const auto& module : surrounded_) module->put_around({});
}

Tensor ShardedExchange::slot(std::size_t i) {
  const BucketLayout::Place& place = layout_.places[i];
  if (place.bucket == totals_bucket) return totals_;
  if (!gradients_.has_whole(place.bucket)) {
    // Not in stage 3: a rank that has no micro-batch left starts its sums only after the gathers in which the others need it.
    constexpr std::size_t most_under_way = 2;
    if (options_.stage == 2) wait([this] { return under_way() < most_under_way; });
    Tensor whole = gradients_.whole(place.bucket);
    std::size_t filled = 0;
    for (const std::size_t s : layout_.slots[place.bucket]) {  // the gaps between slots travel too; they shall be no rubbish
      std::fill(whole.data() + filled, whole.data() + layout_.places[s].begin, real{0});
      filled = layout_.places[s].piece().end;
    }
    std::fill(whole.data() + filled, whole.data() + whole.size(), real{0});
  }
  const auto begin = static_cast<Index>(place.begin);
  return gradients_.whole(place.bucket).rows(begin, begin + place.shape.size()).reshape(place.shape);
}

std::unique_ptr<Collective> ShardedExchange::start(std::size_t bucket) {
  const int tag = static_cast<int>(bucket);
  if (comm_.size() == 1) return nullptr;
  if (bucket != totals_bucket) return gradients_.start_sum(bucket, tag);
  const auto plan = keeps_rank_tree() ? halving_allreduce : ring_allreduce;
  return tandem::start(plan(comm_.rank(), comm_.size(), totals_.values().size()), totals_.values(), comm_, tag);
}

void ShardedExchange::summed(std::size_t bucket) {
  if (bucket != totals_bucket) gradients_.keep_mine(bucket);
}

// Stages 1 and 2: everybody needs the new values of everybody's pieces.
void ShardedExchange::send_values() {
  in_step_ = false;
  if (options_.stage == 3 || comm_.size() == 1) return;
  std::vector<std::unique_ptr<Collective>> gathers;
  for (std::size_t b = totals_bucket + 1; b < layout_.slots.size(); ++b) gathers.push_back(values_.start_gather(b, static_cast<int>(b)));
  wait([&] {
    std::erase_if(gathers, [](const auto& gather) { return gather->progress(); });
    return gathers.empty();
  });
}

// --- stage 3 -----------------------------------------------------------------------------------------------------------------------

void ShardedExchange::show(std::size_t bucket) {
  for (const std::size_t i : layout_.slots[bucket]) {
    const auto begin = static_cast<Index>(layout_.places[i].begin);
    const Shape& shape = layout_.places[i].shape;
    parameters_[i].variable.value() = values_.whole(bucket).rows(begin, begin + shape.size()).reshape(shape);
  }
}

void ShardedExchange::gather(std::size_t bucket) {
  const ProfileScope scope("gathering of parameters");
  const auto gathering = values_.start_gather(bucket, static_cast<int>(layout_.slots.size() + bucket));
  wait([&] { return gathering->progress(); });
  show(bucket);
}

void ShardedExchange::drop(std::size_t bucket) {
  for (const std::size_t i : layout_.slots[bucket]) parameters_[i].variable.value() = {};
  values_.drop(bucket);
}

// What the parameters hold at the first step, or after make_whole(), is what counts.
void ShardedExchange::begin_step() {
  for (const Layer& layer : layers_)
    if (values_.has_whole(layer.bucket)) {
      values_.keep_mine(layer.bucket);
      drop(layer.bucket);
    }
  in_step_ = true;
  turn_ = 0;
}

void ShardedExchange::make_whole() {
  in_step_ = false;
  for (const Layer& layer : layers_)
    if (!values_.has_whole(layer.bucket)) gather(layer.bucket);
}

// All replicas gather in one order: the layers forward, then back. Whoever went another way would wait for ever.
void ShardedExchange::gather_in_turn(std::size_t turn) {
  require(turn == turn_, "sharded parameters: layer '{}' runs out of turn; stage 3 needs layers that run one after the other, once each",
          layer_at(turn).module->path());
  ++turn_;
  gather(layer_at(turn).bucket);
}

// Between the operations of the layer stand two that do nothing but gather and drop, each in the backward pass before or after it.
//
//     forward     gather,   x ----> in ---- layer ----> y ----> out,    drop
//     backward    drop           <-----   layer  <------             gather
Variable ShardedExchange::run(std::size_t layer, const Variable& x, const Context& context) {
  const auto& [module, bucket] = layers_[layer];
  if (!in_step_) {
    require(values_.has_whole(bucket), "sharded parameters: layer '{}' runs outside of a training step; call make_whole() first, on every rank",
            module->path());
    return module->forward(x, context);
  }
  gather_in_turn(layer);
  const Variable in = !x.needs_gradient() ? x : record("drop parameters", x.value(), {{x, [this, bucket](const Tensor& dy) {
    drop(bucket);
    return dy;
  }}});
  const Variable y = forward_alone(*module, in, context);
  const Variable out = record("gather parameters", y.value(), {{y, [this, layer](const Tensor& dy) {
    gather_in_turn(2 * layers_.size() - 1 - layer);
    return dy;
  }}});
  drop(bucket);
  return out;
}

void ShardedExchange::end_pass() {
  require(turn_ == 2 * layers_.size(), "sharded parameters: a pass has gathered {} times for {} layers; every layer must take part, forward and "
          "backward", turn_, layers_.size());
  turn_ = 0;
  for (const Layer& layer : layers_) drop(layer.bucket);  // the first, whose input needs no gradient
}

void ShardedExchange::idle_pass() {
  for (std::size_t turn = 0; turn < 2 * layers_.size(); ++turn) {
    gather_in_turn(turn);
    drop(layer_at(turn).bucket);
  }
  end_pass();
}

}  // namespace tandem
