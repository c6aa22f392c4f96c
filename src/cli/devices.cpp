// rushlight devices: what can compute here.
#include <fmt/format.h>

#include "cli/format.hpp"
#include "cli/text_table.hpp"
#include "cli/verbs.hpp"

namespace rushlight::cli {
namespace {

int run(Context& context) {
  const std::vector<DeviceInfo> devices = list_devices();
  if (context.json) {
    JsonWriter json = begin_envelope("devices", "", true);
    json.key("devices").begin_array();
    for (const DeviceInfo& device : devices) {
      json.begin_object().field("name", std::string_view(to_string(device.device)));
      json.field("description", std::string_view(device.description)).field("memory_bytes", device.memory_bytes);
      json.field("usable", device.usable).key("why");
      if (device.why.empty()) {
        json.null();
      } else {
        json.string(device.why);
      }
      json.end_object();
    }
    json.end_array();
    write_findings(json, {});
    print_envelope(context, json);
    return kGood;
  }
  using Align = TextTable::Align;
  TextTable table({Align::left, Align::left, Align::right, Align::left});
  for (const DeviceInfo& device : devices) {
    table.row({to_string(device.device), device.description,
               device.memory_bytes == 0 ? "" : format_bytes(device.memory_bytes),
               device.usable ? "usable" : fmt::format("not usable: {}", device.why)});
  }
  print(table.render(context.terminal, 0));
  return kGood;
}

}  // namespace

Verb devices_verb() {
  return {"devices",
          {},
          "processors and GPUs that can run models",
          {"rushlight devices", "rushlight devices --json"},
          [](OptionTable&, Context& context) { return [&context] { return run(context); }; }};
}

}  // namespace rushlight::cli
