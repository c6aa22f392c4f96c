#include "cli/save_options.hpp"

#include <fmt/format.h>

#include <array>

#include "cli/format.hpp"
#include "cli/text_table.hpp"
#include "rushlight/text.hpp"

namespace rushlight::cli {

FileKind WriteOptions::kind() const {
  constexpr std::array kKinds = {FileKind::torch_zip, FileKind::torch_legacy, FileKind::safetensors, FileKind::npz,
                                 FileKind::npy};
  for (const FileKind known : kKinds) {
    if (to == to_string(known)) return known;
  }
  return FileKind::unknown;
}

SaveOptions WriteOptions::save_options() const {
  SaveOptions options;
  options.torch = torch;
  options.protocol = static_cast<int>(protocol);
  options.storage_alignment = static_cast<std::uint64_t>(alignment);
  options.deflate = deflate;
  options.weights_only = safe;
  options.overwrite = force;
  return options;
}

void add_write_options(OptionTable& table, WriteOptions& options, const std::string& out) {
  // For what torch.load() reads alone; where the source decides, save() tells.
  const auto kind = [&options, &out] {
    return options.to.empty() ? kind_of_name(out).value_or(FileKind::unknown) : options.kind();
  };
  const auto writes_raw = [kind] { return kind() == FileKind::safetensors || kind() == FileKind::npy; };
  const auto writes_arrays = [kind, writes_raw] { return writes_raw() || kind() == FileKind::npz; };
  constexpr const char* kArrays = "for safetensors, .npz and .npy";
  table.add("--to", &options.to, "what to write, where the name of the file does not say it")
      .one_of({"torch-zip", "torch-legacy", "safetensors", "npz", "npy"})
      .in("Writing");
  table
      .add("--torch", &options.torch,
           "arrange a torch-zip as this release of torch does (1.6 and later); --safe goes by its list")
      .idle_when(writes_arrays, kArrays)
      .in("Writing");
  table.add("--protocol", &options.protocol, "pickle protocol; 2 is the one weights_only=True reads")
      .at_least(2)
      .at_most(5)
      .idle_when(writes_arrays, kArrays)
      .in("Writing");
  table.add("--align", &options.alignment, "where data begin is a multiple of this; torch's default is 64")
      .at_least(1)
      .at_most(65536)
      .idle_when(writes_arrays, kArrays)
      .in("Writing");
  table.add("--deflate", &options.deflate, "compress the storages; torch reads them, and cannot map them")
      .idle_when(writes_raw, "for safetensors and .npy")
      .in("Writing");
  table.add("--safe", &options.safe, "refuse what torch.load(weights_only=True) would not read")
      .idle_when(writes_arrays, kArrays)
      .in("Writing");
  table.add("--verify", &options.verify, "read the result back and compare it").in("Writing");
  table.add("-f,--force", &options.force, "overwrite a file that is there").in("Writing");
}

std::optional<DType> parse_dtype(std::string_view name) {
  if (name.starts_with("torch.")) name.remove_prefix(6);
  if (name == "i8" || name == "int8") return DType::qi8;
  if (name == "f8_e4m3" || name == "fp8") return DType::f8_e4m3fn;
  if (name == "f8_e5m2") return DType::f8_e5m2;
  if (name == "fp16" || name == "half") return DType::f16;
  if (name == "fp32" || name == "float") return DType::f32;
  for (std::size_t i = 0; i < dtype_count(); ++i) {
    const DTypeInfo& row = dtype_at(i);
    if (name == row.name || name == row.brief) return row.dtype;
  }
  return std::nullopt;
}

std::vector<std::string> dtype_names() {
  std::vector<std::string> names = {"i8", "f8_e4m3", "f8_e5m2"};
  for (std::size_t i = 0; i < dtype_count(); ++i) {
    names.emplace_back(dtype_at(i).name);
    names.emplace_back(dtype_at(i).brief);
  }
  return names;
}

void write_casts(JsonWriter& json, const std::vector<CastReport>& casts) {
  json.key("casts").begin_array();
  for (const CastReport& cast : casts) {
    json.begin_object().field("name", std::string_view(cast.name));
    json.field("from", to_string(cast.from)).field("to", to_string(cast.to));
    json.field("elements", cast.elements).field("changed", cast.changed).field("overflowed", cast.overflowed);
    json.key("max_abs").real(cast.max_abs).key("rel_l2").real(cast.rel_l2).end_object();
  }
  json.end_array();
}

std::string format_casts(const Context& context, const std::vector<CastReport>& casts) {
  using Align = TextTable::Align;
  TextTable rows({Align::left, Align::left, Align::right, Align::right, Align::right});
  for (const CastReport& cast : casts) {
    rows.row({escaped(cast.name), fmt::format("{} -> {}", info(cast.from).brief, info(cast.to).brief),
              fmt::format("max|d| {:.2g}", cast.max_abs), fmt::format("rel-L2 {:.2g}", cast.rel_l2),
              cast.overflowed == 0 ? std::string() : fmt::format("{} overflow", format_count(cast.overflowed))});
  }
  return rows.render(context.terminal);
}

}  // namespace rushlight::cli
