// The results of a benchmark for scripts. Whether the file can be written is found out before anything is measured.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "core/file.hpp"
#include "parallel/collectives/collectives.hpp"

namespace tandem {

class ResultFile {
 public:
  // An empty path: nothing is written. Collective; Error, the same on every rank, if the file cannot be made.
  ResultFile(std::string path, const Communicator& world) : path_(std::move(path)), world_(world) {
    if (!path_.empty()) on_rank_0(world_, [&] { const NewFile probe(path_); });  // gone again at once
  }
  void write(const nlohmann::json& results) const {  // those of rank 0. Collective
    if (!path_.empty()) on_rank_0(world_, [&] { write_file(path_, results.dump(1) + "\n"); });
  }

 private:
  std::string path_;
  const Communicator& world_;
};

}  // namespace tandem
