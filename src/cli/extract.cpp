// rushlight extract: a part of a checkpoint in a file of its own.
#include <memory>

#include "cli/convert_file.hpp"
#include "cli/verbs.hpp"

namespace rushlight::cli {

Verb extract_verb() {
  return {
      "extract",
      {},
      "write a part of a checkpoint to a file of its own",
      {"rushlight extract ckpt.pt model_state_dict -o weights.pt", "rushlight extract model.pt fc1.weight -o fc1.npy",
       "rushlight extract model.pt 'layer4.*' -o head.safetensors"},
      [](OptionTable& table, Context& context) {
        auto options = std::make_shared<ConvertRequest>();
        table.add("FILE", &options->file, "a checkpoint").required();
        table.add("NAME", &options->parts, "the path of a value, or names and globs of tensors").required().or_empty();
        table.add("-o,--output", &options->out, "the new file; its name says what it is to be").required();
        add_write_options(table, options->write, options->out);
        return [options, &context] { return convert_file(context, "extract", *options); };
      }};
}

}  // namespace rushlight::cli
