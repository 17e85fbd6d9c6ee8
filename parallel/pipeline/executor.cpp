#include "parallel/pipeline/executor.hpp"

#include <algorithm>
#include <list>
#include <map>
#include <utility>

#include "core/error.hpp"
#include "parallel/collectives/run.hpp"
#include "parallel/trace.hpp"

namespace tandem {
namespace {

class Execution {
 public:
  Execution(int micros, const Pipeline& pipeline, Pass& pass) : micros_(micros), pipeline_(pipeline), pass_(pass) {}

  int run(const std::vector<Action>& program) {
    for (const Action& a : program) {
      const Stage& stage = stage_of(a);
      if (a.op == Op::reduce) continue;  // the pass knows by gradients_done()
      if (pass_.rows(a.micro) == 0) {
        if (a.op == Op::B || a.op == Op::W) pass_.gradients_done(stage, a.micro);
        continue;
      }
      const auto span = Trace::span(a);
      switch (a.op) {
        case Op::F: forward(stage, a.micro); break;
        case Op::B: backward_of_input(stage, a.micro, nullptr); break;
        case Op::I: backward_of_input(stage, a.micro, &live(a).deferred); break;
        case Op::W: live(a).deferred.run([&](const Variable& leaf) { pass_.leaf_ready(stage, leaf); }); break;
        case Op::send_F: send(a, outputs_, a.stage + 1); break;
        case Op::send_B: send(a, gradients_, a.stage - 1); break;
        case Op::receive_F: receive(a, outputs_, a.stage - 1, stage.input(pass_.rows(a.micro))); break;
        case Op::receive_B: receive(a, gradients_, a.stage + 1, live(a).shape); break;
        default: fail("pipeline: {} is nothing that a rank runs", to_string(a));
      }
      if (a.op == Op::B || a.op == Op::W) {
        live_.erase({a.stage, a.micro});
        pass_.gradients_done(stage, a.micro);
      }
    }
    for (Leaving& message : leaving_)
      wait_until([&] {
        pass_.progress();
        return message.request.test();
      });
    return static_cast<int>(most_live_);
  }

 private:
  using Key = std::pair<int, int>;  // stage, micro-batch

  // One micro-batch in one stage, from F to the end of its backward.
  struct Live {
    Variable x, y;             // y: empty where it will be computed again
    Shape shape = {};          // of y
    DeferredGradients deferred = {};
  };
  struct Leaving {
    Tensor values;
    Request request;  // behind the values, hence waited for before they go
  };

  bool first(const Stage& stage) const { return stage.index == 0; }
  bool last(const Stage& stage) const { return stage.index + 1 == std::ssize(pipeline_.ranks_of_stages); }
  Live& live(const Action& a) { return live_.at({a.stage, a.micro}); }

  const Stage& stage_of(const Action& a) const {
    const auto found = std::ranges::find(pipeline_.stages, a.stage, &Stage::index);
    require(found != pipeline_.stages.end(), "pipeline: {}, but stage {} is not on rank {}", to_string(a), a.stage, pipeline_.comm.rank());
    return *found;
  }

  // What has arrived for a stage, or was left by the neighbour on this rank.
  static Tensor take(std::map<Key, Tensor>& values, int stage, int micro) { return std::move(values.extract({stage, micro}).mapped()); }

  Variable computed(const Stage& stage, int micro, const Variable& x, bool again) {
    const Variable y = stage.run(x, pass_.context(micro));
    return last(stage) ? pass_.loss(micro, y, again) : y;
  }

  // Outputs are kept under the stage that takes them.
  void forward(const Stage& stage, int micro) {
    const Tensor x = first(stage) ? pass_.input(micro) : take(outputs_, stage.index, micro);
    Live& live = live_[{stage.index, micro}];
    most_live_ = std::max(most_live_, live_.size());
    live.x = Variable(x, !first(stage));
    Variable y;
    if (pipeline_.recompute) {
      const NoGradient no_gradient;
      y = computed(stage, micro, live.x, false);
    } else {
      y = live.y = computed(stage, micro, live.x, false);
    }
    live.shape = y.shape();
    if (!last(stage)) outputs_[{stage.index + 1, micro}] = y.value();
    pass_.forward_done(stage, micro);
  }

  // Gradients are kept under the stage that takes them.
  void backward_of_input(const Stage& stage, int micro, DeferredGradients* deferred) {
    Live& live = live_.at({stage.index, micro});
    Variable x = live.x;
    if (pipeline_.recompute) {
      live.y = computed(stage, micro, x, true);
      for (Module* module : stage.modules) {
        std::vector<real> dropped(static_cast<std::size_t>(module->statistics_size()));
        module->take_statistics(dropped);
      }
    }
    const Variable y = std::exchange(live.y, {});
    Tensor dy = last(stage) ? Tensor::full(y.shape(), 1) : take(gradients_, stage.index, micro);
    if (y.needs_gradient())
      backward(y, std::move(dy), {.leaf_ready = [&](const Variable& leaf) { if (!(leaf == x)) pass_.leaf_ready(stage, leaf); },
                                  .deferred = deferred, .not_deferred = {x}});
    if (first(stage)) return;
    gradients_[{stage.index - 1, micro}] = x.gradient().defined() ? x.gradient() : Tensor::zeros(x.shape());
    x.set_gradient({});
    if (!deferred) live.x = {};
  }

  // direction (0 forward, 1 back), stage that takes it, micro-batch
  int tag(const Action& a, int to) const {
    const bool back = a.op == Op::send_B || a.op == Op::receive_B;
    return ((back ? 1 : 0) * static_cast<int>(pipeline_.ranks_of_stages.size()) + to) * micros_ + a.micro;
  }

  void send(const Action& a, std::map<Key, Tensor>& from, int to) {
    std::erase_if(leaving_, [](Leaving& message) { return message.request.test(); });
    Leaving& message = leaving_.emplace_back(take(from, to, a.micro), Request());
    message.request = pipeline_.comm.isend(message.values.values(), pipeline_.rank_of(to), tag(a, to));
  }

  void receive(const Action& a, std::map<Key, Tensor>& into, int from, const Shape& shape) {
    Tensor values(shape);
    Request arriving = pipeline_.comm.irecv(values.values(), pipeline_.rank_of(from), tag(a, a.stage));
    wait_until([&] {
      pass_.progress();
      return arriving.test();
    });
    into[{a.stage, a.micro}] = std::move(values);
  }

  int micros_;
  const Pipeline& pipeline_;
  Pass& pass_;
  std::map<Key, Live> live_;
  std::size_t most_live_ = 0;
  std::map<Key, Tensor> outputs_, gradients_;
  std::list<Leaving> leaving_;
};

}  // namespace

int execute(const std::vector<Action>& program, int micros, const Pipeline& pipeline, Pass& pass) { return Execution(micros, pipeline, pass).run(program); }

}  // namespace tandem
