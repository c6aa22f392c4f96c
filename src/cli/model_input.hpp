// The options by which `run` and `summary` find a model, and what opens it.
#pragma once

#include <string>
#include <string_view>

#include "cli/context.hpp"

namespace rushlight::cli {

struct ModelInput {
  std::string model;
  std::string weights;
  std::string spec;
  std::string arch;
  std::string state_dict;
  bool loose = false;

  void add_to(OptionTable& table);
  // MODEL with its weights: a checkpoint with --spec or --arch, a pickled module, or a spec (.json) with --weights.
  [[nodiscard]] Result<Model> load(Context& context) const;

 private:
  [[nodiscard]] Result<Model> load_with(Context& context, const ModelOptions& options,
                                        const std::string& structure_file, const std::string& weights_file) const;
};

// A whole text file of at most `max_bytes`.
Result<std::string> read_text_file(const std::string& path, std::uint64_t max_bytes);

}  // namespace rushlight::cli
