// rushlight __names: the names of tensors, a line each, for shell completions. In no list of verbs.
#include <memory>

#include "cli/verbs.hpp"
#include "rushlight/text.hpp"

namespace rushlight::cli {
namespace {

// A person waits behind the tab key, and sees no messages: whatever is wrong, there is nothing to complete.
int print_names(Context& context, const std::string& file) {
  const Result<Checkpoint> checkpoint = Checkpoint::open(file, context.load_options());
  if (!checkpoint) return kCouldNotLook;
  const Result<Inspection> report = inspect(*checkpoint, context.limits);
  if (!report) return kFindings;
  std::string out;
  for (const TensorEntry& entry : report->tensors) {
    // Names that a shell would have to quote are not offered.
    constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-[]/";
    if (entry.name.find_first_not_of(kPlain) == std::string::npos) out += entry.name + "\n";
  }
  print(out);
  return kGood;
}

}  // namespace

Verb names_verb() {
  return {"__names",
          {},
          "the names of tensors, for completions",
          {},
          [](OptionTable& table, Context& context) {
            auto file = std::make_shared<std::string>();
            table.add("FILE", file.get(), "a checkpoint").required();
            return [file, &context] { return print_names(context, *file); };
          },
          true};
}

}  // namespace rushlight::cli
