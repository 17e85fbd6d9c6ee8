// Who holds what: the ranks of a group each keep a part of one axis of a tensor.
//
//   W [5,4] split along axis 0 over p = 2 ranks: rank r holds rows part(5, r, 2)
//
//     rank 0   row 0  row 1                   Slice{.axis = 0, .begin = 0, .whole = 5}
//     rank 1   row 2  row 3  row 4            Slice{.axis = 0, .begin = 2, .whole = 5}
//
// The sizes differ by at most one, and every rank derives all of them from (whole, p): nothing is sent to agree on them.
#pragma once

#include <optional>
#include <string_view>

#include "nn/module.hpp"
#include "parallel/collectives/collectives.hpp"

namespace tandem {

// A tensor in a group: the same whole on every rank, or on each rank its part of the channels (the last axis).
enum class Layout { whole, split };

// This rank's part of an axis with `whole` entries, and how many it has.
// Error in the name of `what` if some rank would get none: it would compute nothing, while the others wait for it.
Slice own_slice(std::string_view what, int axis, Index whole, const Communicator& group);
Index own_extent(Index whole, const Communicator& group);

// From everyone's part to the whole, on every rank: the parts travel by ring_allgather, each as one chunk, then they are put together
// along the axis. Cost and traffic for a whole of n bytes: ring_allgather_cost(p, n), ring_allgather_traffic(p, n), also with uneven parts.
// Only copies move, so all ranks get the same bits. Errors: a part of another size than part(whole, rank, p).
Tensor gather_slices(const Tensor& mine, int axis, Index whole, const Communicator& group);

// The whole of a parameter, a buffer, or an optimiser's moment that lies like its parameter; what has no slice is whole already.
// On every rank, for a look at a split model; parallel/state.hpp brings a checkpoint together on one. Collective.
Tensor gather_whole(const Tensor& mine, const std::optional<Slice>& slice, const Communicator& group);
Tensor gather_whole(const Parameter& parameter, const Communicator& group);
Tensor gather_whole(const Buffer& buffer, const Communicator& group);

// The way back, without a message: all parameters and buffers of a split model from a whole one with the same names. Error if a name is
// missing.
void assign_parts(Module& split, const Module& whole);

}  // namespace tandem
