#include "parallel/pipeline/messages.hpp"

namespace tandem {

Variable send(const Variable& y, int to, const Communicator& comm, int tag) {
  comm.send(y.value().values(), to, tag);
  return record("send", Tensor::scalar(0), {{y, [&comm, to, tag, shape = y.shape()](const Tensor&) {
    Tensor dy(shape);
    comm.receive(dy.values(), to, tag + 1);
    return dy;
  }}});
}

Variable receive(const Shape& shape, int from, const Communicator& comm, int tag) {
  Tensor y(shape);
  comm.receive(y.values(), from, tag);
  // The pullback must hang on something that needs a gradient: a leaf of no values, which gets none.
  const Variable sender(Tensor(Shape{0}), true);
  return record("receive", y, {{sender, [&comm, from, tag](const Tensor& dy) {
    comm.send(dy.values(), from, tag + 1);
    return Tensor(Shape{0});
  }}});
}

}  // namespace tandem
