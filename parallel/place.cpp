#include "parallel/place.hpp"

#include "parallel/pipeline/stage.hpp"
#include "parallel/tensor/tensor_parallel.hpp"

namespace tandem {

std::shared_ptr<Module> place_on_grid(std::shared_ptr<Sequential> serial, const Shape& sample, Index rows, const ProcessGrid& grid) {
  std::shared_ptr<Module> part = serial;
  if (grid.pipeline().size() > 1) {
    Shape batch{rows};
    for (const Index extent : sample) batch.push_back(extent);
    const std::vector<Range> stages = balanced_partition(layer_seconds(*serial, batch, grid.world()), grid.pipeline().size());
    part = std::make_shared<PipelineStage>(*serial, sample, stages, grid.pipeline());
  }
  tensor_parallel(*part, grid.tensor());
  return part;
}

}  // namespace tandem
