#include "parallel/spatial/spatial_parallel.hpp"

#include <type_traits>
#include <typeinfo>
#include <utility>

namespace tandem {
namespace {

using Flow = std::optional<ImageSplit>;  // what runs between layers: a split image, or values that every rank has whole

class SpatialConv2d : public Conv2d {
 public:
  SpatialConv2d(const Conv2d& whole, ImageSplit split)
      : Conv2d(whole.in(), whole.out(), whole.options(), whole.parameters()[0].initialise), split_(std::move(split)) {}
  Variable forward(const Variable& x, const Context&) override {
    return conv2d({x, split_}, weight(), bias(), window(), options().epilogue).part;
  }

 private:
  ImageSplit split_;
};

// A pool in the epilogue stays there if its windows meet no cut.
class SpatialBatchNorm : public BatchNorm {
 public:
  SpatialBatchNorm(const BatchNorm& whole, ImageSplit split)
      : BatchNorm(whole.channels(), {whole.epilogue().relu, whole.epilogue().max_pool && split.cuts_are_multiples_of(2)},
                  whole.momentum(), whole.epsilon()),
        split_(std::move(split)),
        pools_after_(whole.epilogue().max_pool && !epilogue().max_pool) {}
  Variable forward(const Variable& x, const Context& context) override {
    split_.check("batch_norm", x.shape());
    const Variable y = BatchNorm::forward(x, context);
    return pools_after_ ? max_pool({y, split_}, Window::square(2, 2)).part : y;
  }

 protected:
  SharedBatch batch_of(const Variable& x) const override { return shared_batch({x, split_}); }

 private:
  ImageSplit split_;
  bool pools_after_;
};

void copy_values(const Module& from, const Module& to) {
  const auto old_parameters = from.parameters(), parameters = to.parameters();
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    Variable variable = parameters[i].variable;
    variable.value().copy_from(old_parameters[i].variable.value());
  }
  const auto old_buffers = from.buffers(), buffers = to.buffers();
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    Tensor values = buffers[i].values;
    values.copy_from(old_buffers[i].values);
  }
}

class TakeOver {
 public:
  // What comes out of a module into which `in` goes. Notes what is to be replaced below it.
  Flow through(Module& module, const Flow& in) {
    if (is<Sequential>(module)) {
      Flow flow = in;
      for (std::size_t i = 0; i < module.children().size(); ++i) flow = child(module, i, flow);
      return flow;
    }
    if (is<Residual>(module) || is<Skip>(module)) {
      const Flow out = child(module, 0, in);
      require(out == in,
              "spatial: '{}' joins its input, split {}, with its body's output, split {}; cut the image at multiples of all strides together "
              "(total_stride)",
              module.path(), text(in), text(out));
      return out;
    }
    fail("spatial: '{}' cannot work on an image that is split {}: it is none of Conv2d, BatchNorm, MaxPool, AveragePool, Upsample, "
         "GlobalAveragePool, Flatten, Relu, LeakyRelu, Sigmoid, Tanh, Sequential, Residual and Skip", module.path(), text(in));
  }

  void replace_all() {
    for (Replacement& r : replacements_) r.parent->replace_child(r.i, std::move(r.layer));
  }

 private:
  struct Replacement {
    Module* parent;
    std::size_t i;
    std::shared_ptr<Module> layer;
  };
  // A layer of exactly this kind: one that is derived from it, say one that is split already, does something else. A model may
  // be derived from Sequential to have a constructor.
  template <class Layer>
  static const Layer* is(const Module& module) {
    const auto* layer = dynamic_cast<const Layer*>(&module);
    constexpr bool contains = std::is_same_v<Layer, Sequential>;
    return contains || typeid(module) == typeid(Layer) ? layer : nullptr;
  }
  static std::string text(const Flow& flow) { return flow ? flow->str() : "not at all"; }

  // Error if there is a rank for which a layer cannot work. A dry run of what the operations check.
  static ImageSplit after(const ImageSplit& in, const Window& w) {
    for (int i = 0; in.rows().parts() > 1 && i < in.rows().parts(); ++i) in.rows().margin(i, {w.height, w.stride_h, w.pad_h});
    for (int i = 0; in.columns().parts() > 1 && i < in.columns().parts(); ++i) in.columns().margin(i, {w.width, w.stride_w, w.pad_w});
    return in.after(w);
  }
  static ImageSplit after(const ImageSplit& in, Epilogue epilogue) { return epilogue.max_pool ? after(in, Window::square(2, 2)) : in; }

  Flow child(Module& parent, std::size_t i, const Flow& in) {
    Module& module = *parent.children()[i];
    if (!in) return in;  // behind the last split image everything stays as it is
    const ImageSplit split = *in;
    const auto replace = [&](std::shared_ptr<Module> layer) { replacements_.push_back({&parent, i, std::move(layer)}); };
    const auto replace_function = [&](auto op) {
      replace(std::make_shared<Function>([split, op](const Variable& x) { return op(SplitImage{x, split}); }));
    };
    if (const auto* conv = is<Conv2d>(module)) {
      replace(std::make_shared<SpatialConv2d>(*conv, split));
      copy_values(*conv, *replacements_.back().layer);
      return after(after(split, conv->window()), conv->options().epilogue);
    }
    if (const auto* norm = is<BatchNorm>(module)) {
      replace(std::make_shared<SpatialBatchNorm>(*norm, split));
      copy_values(*norm, *replacements_.back().layer);
      return after(split, norm->epilogue());
    }
    if (const auto* pool = is<MaxPool>(module)) {
      replace_function([w = pool->window](const SplitImage& x) { return max_pool(x, w).part; });
      return after(split, pool->window);
    }
    if (const auto* pool = is<AveragePool>(module)) {
      replace_function([w = pool->window](const SplitImage& x) { return average_pool(x, w).part; });
      return after(split, pool->window);
    }
    if (const auto* up = is<Upsample>(module)) return split.upsampled(up->factor);
    if (is<GlobalAveragePool>(module)) {
      replace_function([](const SplitImage& x) { return global_average_pool(x); });
      return {};
    }
    if (is<Flatten>(module)) {
      replace_function([](const SplitImage& x) { return flatten(whole(x)); });
      return {};
    }
    if (is<Relu>(module) || is<LeakyRelu>(module) || is<Sigmoid>(module) || is<Tanh>(module)) return in;
    return through(module, in);
  }

  std::vector<Replacement> replacements_;
};

// How much smaller an image is behind a module, and at its smallest.
struct Shrinkage {
  Index now = 1, most = 1;
  void by(Index factor) { now *= factor, most = std::max(most, now); }
};
void shrink(const Module& module, Shrinkage& s) {
  const auto pool = [&](Epilogue epilogue) { s.by(epilogue.max_pool ? 2 : 1); };
  const auto window = [&](const Window& w) { s.by(std::max(w.stride_h, w.stride_w)); };
  if (const auto* conv = dynamic_cast<const Conv2d*>(&module)) window(conv->window()), pool(conv->options().epilogue);
  if (const auto* norm = dynamic_cast<const BatchNorm*>(&module)) pool(norm->epilogue());
  if (const auto* max = dynamic_cast<const MaxPool*>(&module)) window(max->window);
  if (const auto* mean = dynamic_cast<const AveragePool*>(&module)) window(mean->window);
  if (const auto* up = dynamic_cast<const Upsample*>(&module)) s.now = std::max<Index>(1, s.now / up->factor);
  for (const auto& child : module.children()) shrink(*child, s);
}

}  // namespace

std::optional<ImageSplit> spatial_parallel(Module& model, const ImageSplit& input) {
  require(!model.children().empty(), "spatial: the model has no layers below it that could be replaced; put it into a Sequential");
  TakeOver take_over;
  const Flow output = take_over.through(model, input);
  take_over.replace_all();
  return output;
}

Index total_stride(const Module& model) {
  Shrinkage s;
  shrink(model, s);
  return s.most;
}

}  // namespace tandem
