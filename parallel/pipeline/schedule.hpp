// A pipeline schedule as data: which rank does what, in which order.
//
//     stage 0 | 0F0  0F1  0F2   .    .   0B0  0B1  0B2          a micro-batch goes forward through the stages (F), then back (B);
//     stage 1 |  .   1F0  1F1  1F2  1B0  1B1  1B2               while stage 1 computes on one, stage 0 has the next
//
// A schedule holds only the order of each rank's own actions: no idle slots, no messages, no times. What else one wants to know follows:
//
//     validate         is it complete, each action once, on one rank?                       validate.hpp
//     simulate         when does each action run, if it takes so long? a deadlock?          simulate.hpp
//     with_transfers   the same with its messages, as the executor runs it                  transfers.hpp
//     execute          runs it over MPI                                                     executor.hpp
//     draw             the picture, of predicted and measured times alike                   draw.hpp
//
// Backward may be one action (B) or two: I, the gradient of the stage's input, for which the previous stage waits, and W, the gradients of its
// weights, for which nobody does. I and W together compute what B computes.
//
// Text form, one row a rank, as in PyTorch's schedule files:   0F0,0F1,,0B0,0B1   stage, letter, micro-batch; an empty cell is idle.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tandem {

enum class Op : std::uint8_t {
  F,  // forward
  B,  // whole backward
  I,  // backward of the input
  W,  // backward of the weights
  send_F, receive_F,  // of an output to the next stage, of an input from the previous one
  send_B, receive_B,  // of the gradients on the way back
  reduce,             // the stage's gradients are complete: their sum over the replicas begins; `micro` is 0
  update,             // of the stage's weights; `micro` is 0
  exchange,           // waiting for other ranks inside another action, as a layer that is split over ranks does; only measured; `micro` is 0
};

struct Action {
  Op op = Op::F;
  int stage = 0, micro = 0;
  bool operator==(const Action&) const = default;
};
std::string to_string(const Action& action);   // "2F0", "2SEND_F0", "2RECV_B0", "2REDUCE_GRAD", "2UPDATE"
Action parse_action(std::string_view text);    // Error for anything else

struct Schedule {
  int stages = 1, micros = 1;
  std::vector<std::vector<Action>> programs;   // one a rank

  int ranks() const { return static_cast<int>(programs.size()); }
  bool operator==(const Schedule&) const = default;
};

// One row a rank. parse_schedule(to_csv(s)) == s. Rows of different lengths, blanks around cells and lines that begin with # are allowed.
// `stages` and `micros` are one more than the largest of the file. In PyTorch's older files B is the gradient of the input where a W of the same
// stage and micro-batch follows; it is read as I. Errors name line and cell.
std::string to_csv(const Schedule& schedule);
Schedule parse_schedule(std::string_view csv);
Schedule read_schedule(const std::string& path);  // of at most 256 MiB. Errors name the path

// The rank that runs each stage: of its first action found. Error if some stage has none.
std::vector<int> ranks_of_stages(const Schedule& schedule);

// The most micro-batches (of chunks, where a rank has several stages) that a rank holds at once: from F to the end of its backward, B or W.
// Each costs the memory of a stage's activations.
std::vector<int> live_micro_batches(const Schedule& schedule);

// The generators. p ranks, m micro-batches; a stage a rank but in `interleaved`. t_F, t_B = t_I + t_W: times of one micro-batch on one rank.
//
//                  makespan (equal stages, free messages)           live micro-batches on rank s
//   naive          m p (t_F + t_B)                                  1
//   gpipe          (m + p - 1) (t_F + t_B)                          m
//   one_f_one_b    (m + p - 1) (t_F + t_B)                          min(m, p - s)
//   interleaved    (m + (p - 1) / v) (t_F + t_B), p divides m       min(m v, 2 (p-s-1) + (v-1) p + 1), each of 1/v the size
//   zero_bubble    m (t_F + t_B) + (p - 1) (t_F + t_I - t_W), m >= p and t_W not the largest      p
//
// UsageError unless p, m and v are 1 or more.
Schedule naive(int p, int m);
Schedule gpipe(int p, int m);
Schedule one_f_one_b(int p, int m);
Schedule interleaved(int p, int m, int v);
Schedule zero_bubble(int p, int m);

// By the name that programs take: naive, gpipe, 1f1b, interleaved (v chunks a rank; 2 unless given), zb-h1. UsageError names them all.
Schedule schedule_named(std::string_view name, int p, int m, int v = 2);
std::vector<std::string_view> schedule_names();

// Which schedule to run: a named one, whatever the numbers of ranks and micro-batches, or one that is given in full.
struct ScheduleChoice {
  std::string name = "1f1b";
  int chunks = 2;                        // a rank, of `interleaved`
  std::optional<Schedule> given = {};    // from a file, say; `name` does not matter then

  std::vector<int> ranks_of_stages(int p) const;  // of p ranks. UsageError if the given one is for another number
  Schedule of(int p, int m) const;                // UsageError if the given one is for other numbers
};
// As programs take it: one of the names above, or the path of a file that ends in .csv. UsageError for another name; Error for a bad file.
ScheduleChoice schedule_choice(const std::string& name_or_file, int chunks = 2);

}  // namespace tandem
