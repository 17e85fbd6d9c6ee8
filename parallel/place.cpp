#include "parallel/place.hpp"

#include "nn/data.hpp"
#include "parallel/pipeline/stage.hpp"
#include "parallel/spatial/spatial_parallel.hpp"
#include "parallel/tensor/tensor_parallel.hpp"

namespace tandem {
namespace {

// Bands of rows over the spatial ranks, and a first layer that takes this rank's.
void split_images(Sequential& model, const Shape& sample, const Communicator& ranks) {
  require(sample.rank() == 3, "spatial axis: a sample is {}, not an image [height,width,channels]", sample);
  if (model.size() > 0 && dynamic_cast<const Flatten*>(model.children()[0].get()))
    throw UsageError("spatial axis: the model's first layer takes the whole image at once, so there is nothing to share; use a model with "
                     "convolutions, or another axis");
  const ImageSplit split(sample[0], sample[1], {.rows = ranks.size()}, ranks, total_stride(model));
  const std::optional<ImageSplit> output = spatial_parallel(model, split);
  require(!output, "spatial axis: the model's output is an image ({}), and the labels are not split", output ? output->str() : "");
  std::vector<NamedModule> layers = model.release_children();
  model.add_named<Function>("my_pixels", [split](const Variable& x) { return Variable(split.mine(x.value())); });
  for (NamedModule& layer : layers) model.append(std::move(layer.name), std::move(layer.module));
}

}  // namespace

std::shared_ptr<Module> place_on_grid(std::shared_ptr<Sequential> serial, const Shape& sample, Index rows, const ProcessGrid& grid,
                                      const ScheduleChoice& schedule, const std::vector<Range>& layers) {
  std::shared_ptr<Module> part = serial;
  if (grid.spatial().size() > 1) split_images(*serial, sample, grid.spatial());
  if (grid.pipeline().size() > 1) {
    const auto stages = static_cast<int>(schedule.ranks_of_stages(grid.pipeline().size()).size());
    const std::vector<Range> cut = layers.empty() ? balanced_partition(step_seconds(*serial, batch_shape(rows, sample), grid.world()), stages)
                                                  : steps_of_layers(*serial, layers);
    part = std::make_shared<PipelineStages>(*serial, sample, cut, grid.pipeline(), schedule);
  }
  tensor_parallel(*part, grid.tensor());
  return part;
}

}  // namespace tandem
