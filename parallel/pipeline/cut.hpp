// A model as a row of steps that may be cut anywhere, also within a block whose input goes past it.
//
//     y = x + body(x)            save   layer   layer   add          `save` puts x aside, `add` takes it again
//     y = [x, body(x)]           save   layer   layer   concat
//
//     a U-Net                    conv save pool conv save pool conv up concat conv up concat conv
//                                    |         |                        |              |
//                                    |         +-------------------------+             |
//                                    +--------------------------------------------------+
//
// Where it is cut, what has been put aside must travel too. All of it goes as one message, value by value behind each other for each sample:
//
//     rank 0: conv save pool conv | x, saved | --> rank 1: save pool conv up concat conv up concat conv
//
// So a skip connection passes through every stage that it jumps over; its gradient comes back the same way.
#pragma once

#include "nn/layers.hpp"
#include "nn/data.hpp"

namespace tandem {

struct Step {
  enum class Kind { layer, save, add, concat };
  Kind kind = Kind::layer;
  Module* parent = nullptr;  // of a layer: where it stands, so that it may be exchanged for another
  std::size_t child = 0;
  Module& layer() const { return *parent->children()[child]; }
};

// All steps of a model: Sequentials are opened, and Residual and Skip with what is in them.
std::vector<Step> steps_of(Module& model);
std::vector<Range> steps_of_layers(const Module& model, const std::vector<Range>& layers);  // the steps of ranges of its children

bool is_block(const Module& module);                 // Residual or Skip, no other
std::int64_t step_count(const Module& layer);        // of one layer, with all that is in it

// What is under way between two steps: the value, and what has been put aside, the first the longest ago.
struct Carried {
  Variable x;
  std::vector<Variable> saved = {};
};
Carried run_steps(std::span<const Step> steps, Carried carried, const Context& context);

// The shapes of one sample of what is carried, without the batch axis: x first, then what is saved.
using CarriedShapes = std::vector<Shape>;
CarriedShapes shapes_of(const Carried& carried);
Index values_of(const CarriedShapes& shapes);            // of one sample

// Everything as one value: x itself if nothing is saved, else [n, all values of a sample].
Variable pack(const Carried& carried);
Carried unpack(const Variable& message, const CarriedShapes& shapes);
Shape message_shape(Index rows, const CarriedShapes& shapes);

}  // namespace tandem
