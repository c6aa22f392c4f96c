// rushlight convert: a checkpoint in another format or dtype.
#include <memory>

#include "cli/convert_file.hpp"
#include "cli/verbs.hpp"

namespace rushlight::cli {

Verb convert_verb() {
  return {
      "convert",
      {},
      "write a checkpoint in another format or dtype",
      {"rushlight convert model.pt model.safetensors --verify",
       "rushlight convert model.pt small.pt --dtype bf16 'fc*'", "rushlight convert old.pth new.pt --torch 2.15",
       "rushlight convert model.safetensors model.pt"},
      [](OptionTable& table, Context& context) {
        auto options = std::make_shared<ConvertRequest>();
        table.add("FILE", &options->file, "a checkpoint").required();
        table.add("OUT", &options->out, "the new file; its name says what it is to be").required();
        table.add("GLOB", &options->cast_only, "of --dtype: only tensors whose names fit")
            .idle_when([options] { return !options->cast_only.empty() && options->dtype.empty(); }, "without --dtype");
        table.add("--dtype", &options->dtype, "cast floats: bf16, f16, f8_e4m3, f32 ...; i8: quantised per channel");
        add_write_options(table, options->write, options->out);
        return [options, &context] { return convert_file(context, "convert", *options); };
      }};
}

}  // namespace rushlight::cli
