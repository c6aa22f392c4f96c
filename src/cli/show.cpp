// rushlight show: the values of one tensor, or one value.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <memory>
#include <optional>

#include "cli/format.hpp"
#include "cli/statistics_text.hpp"
#include "cli/tensor_slice.hpp"
#include "cli/value_text.hpp"
#include "cli/verbs.hpp"
#include "rushlight/text.hpp"

namespace rushlight::cli {
namespace {

struct ShowArguments {
  std::string file;
  std::string name;
  std::string slice;
  std::int64_t head = 16;
  std::string as = "dec";
  bool stats = false;
  bool hist = false;
};

std::string shortest(double value) {
  std::array<char, 32> buffer{};
  return {buffer.data(), std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr};
}
std::string shortest(float value) {
  std::array<char, 32> buffer{};
  return {buffer.data(), std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr};
}

// The first elements of a C-order tensor, each as text; as raw bits for dtypes without plain numbers.
Result<std::vector<std::string>> element_texts(const Tensor& dense, std::int64_t count, bool as_hex) {
  Result<std::span<const std::byte>> raw = dense.bytes();
  if (!raw) return std::move(raw).error();
  const std::size_t width = size_bytes(dense.dtype());
  // Several elements may share a byte; then it is the bytes that are shown.
  const auto shown = std::min(static_cast<std::size_t>(count), raw->size() / width);
  std::vector<std::string> texts;
  texts.reserve(shown);
  const DTypeKind kind = info(dense.dtype()).kind;
  for (std::size_t i = 0; i < shown; ++i) {
    const std::byte* element = raw->data() + i * width;
    if (as_hex || kind == DTypeKind::complex || kind == DTypeKind::bits || kind == DTypeKind::quantized) {
      std::string text = "0x";
      for (std::size_t j = width; j-- > 0;) text += fmt::format("{:02x}", std::to_integer<unsigned>(element[j]));
      texts.push_back(std::move(text));
      continue;
    }
    const std::array<std::int64_t, 1> one{1};
    Result<Tensor> single = Tensor::from_bytes({element, width}, dense.dtype(), Shape(one.begin(), one.end()));
    if (!single) return std::move(single).error();
    const DType wide = kind == DTypeKind::natural ? DType::u64 : kind == DTypeKind::real ? DType::f64 : DType::i64;
    Result<Tensor> number = single->to(dense.dtype() == DType::f32 ? DType::f32 : wide);
    if (!number) return std::move(number).error();
    if (dense.dtype() == DType::boolean) {
      texts.emplace_back(element[0] == std::byte{0} ? "False" : "True");
    } else if (number->dtype() == DType::u64) {
      texts.push_back(std::to_string((*number->values<std::uint64_t>())[0]));
    } else if (number->dtype() == DType::i64) {
      texts.push_back(std::to_string((*number->values<std::int64_t>())[0]));
    } else if (number->dtype() == DType::f32) {
      texts.push_back(shortest((*number->values<float>())[0]));
    } else {
      texts.push_back(shortest((*number->values<double>())[0]));
    }
  }
  return texts;
}

std::string sparkline(const std::array<std::uint64_t, 24>& histogram) {
  constexpr std::array<std::string_view, 9> kBars = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const std::uint64_t top = *std::ranges::max_element(histogram);
  std::string text;
  for (const std::uint64_t count : histogram) {
    const std::size_t level = top == 0 ? 0 : static_cast<std::size_t>((count * 8 + top - 1) / top);
    text += kBars[level];
  }
  return text;
}

// The NumPy array that an entry stands for; nullptr for tensors.
const NdArray* array_of(const Inspection& report, const TensorEntry& entry) {
  const auto found = std::ranges::find_if(report.values, [&](const ValueEntry& value) {
    return value.value.as_ndarray() != nullptr && value.path == entry.path;
  });
  return found == report.values.end() ? nullptr : found->value.as_ndarray();
}

void write_json(const Context& context, const ShowArguments& options, const Inspection& report,
                const TensorEntry& entry, const Tensor& part, const std::vector<std::string>& texts,
                const std::optional<TensorStatistics>& stats) {
  JsonWriter json = begin_envelope("show", report.file, true);
  json.field("name", std::string_view(entry.name)).key("path");
  write_path(json, entry.path);
  json.field("dtype", to_string(entry.tensor.dtype())).key("shape").integers(part.shape());
  json.key("strides").integers(part.strides()).field("storage_offset", part.storage_offset());
  json.field("storage", std::string_view(entry.storage)).field("size_bytes", part.size_bytes());
  if (const Quantizer* quantizer = entry.tensor.options().quantizer.get()) {
    json.field("qscheme", to_string(quantizer->scheme));
  }
  if (!options.slice.empty()) json.field("slice", std::string_view(options.slice));
  if (const NdArray* array = array_of(report, entry)) json.field("numpy", std::string_view(array->dtype));
  json.key("values").begin_array();
  const bool numbers = options.as != "hex" && entry.tensor.dtype() != DType::boolean;
  for (const std::string& text : texts) {
    if (text == "True" || text == "False") {
      json.boolean(text == "True");
    } else if (!numbers || text.starts_with("0x")) {
      json.string(text);
    } else if (text == "nan" || text == "-nan") {
      json.string("NaN");
    } else if (text == "inf" || text == "-inf") {
      json.string(text == "inf" ? "Infinity" : "-Infinity");
    } else {
      json.raw(text);
    }
  }
  json.end_array();
  if (stats) {
    json.key("statistics");
    write_statistics(json, *stats);
  }
  write_findings(json, report.findings);
  print_envelope(context, json);
}

int show_tensor(const Context& context, const ShowArguments& options, const Inspection& report,
                const TensorEntry& entry) {
  // Of a quantised tensor the values that its codes stand for; --as hex shows the codes.
  const bool is_quantized = entry.tensor.options().quantizer != nullptr;
  Result<Tensor> readable = is_quantized ? entry.tensor.dequantize() : entry.tensor;
  if (!readable) return fail(context, "show", options.file, std::move(readable).error());
  Result<Tensor> part = entry.tensor;
  if (!options.slice.empty()) {
    part = sliced(entry.tensor, options.slice);
    readable = sliced(*readable, options.slice);
  }
  if (!part) return fail(context, "show", options.file, std::move(part).error());
  if (!readable) return fail(context, "show", options.file, std::move(readable).error());
  const auto dense_of = [&](const Tensor& tensor) {
    return tensor.contiguous(context.limits.materialised_bytes + 2 * tensor.storage().size_bytes());
  };
  Result<Tensor> dense = dense_of(*readable);
  if (!dense) return fail(context, "show", options.file, std::move(dense).error());
  const std::int64_t count = options.head == 0 ? dense->numel() : options.head;
  const bool as_hex = options.as == "hex";
  Result<Tensor> printed = is_quantized && as_hex ? dense_of(*part) : *dense;
  if (!printed) return fail(context, "show", options.file, std::move(printed).error());
  Result<std::vector<std::string>> texts = element_texts(*printed, count, as_hex);
  if (!texts) return fail(context, "show", options.file, std::move(texts).error());
  std::optional<TensorStatistics> stats;
  const bool wants_stats = options.stats || options.hist || !context.json;
  if (wants_stats) {
    Result<TensorStatistics> computed = statistics(*dense);
    if (computed) {
      stats = *computed;
    } else if (options.stats || options.hist) {
      return fail(context, "show", options.file, std::move(computed).error());
    }
  }
  if (context.json) {
    write_json(context, options, report, entry, *part, *texts, stats);
    return kGood;
  }
  const std::string place = entry.storage.empty() ? "" : fmt::format("  storage {}", escaped(entry.storage));
  std::string out = fmt::format("{}  {} {}  strides {}  offset {}{}  {}\n",
                                context.terminal.paint(escaped(entry.name), Role::heading), info(part->dtype()).brief,
                                format_shape(part->shape()), format_shape(part->strides()), part->storage_offset(),
                                place, format_bytes(part->size_bytes()));
  if (const NdArray* array = array_of(report, entry)) out += fmt::format("  numpy {}\n", escaped(array->dtype));
  if (const Quantizer* quantizer = part->options().quantizer.get()) {
    out += fmt::format(
        "  {}{}\n", to_string(quantizer->scheme),
        quantizer->is_per_channel()
            ? fmt::format(" along axis {}", quantizer->axis)
            : fmt::format("  scale {}  zero point {}", format_number(quantizer->scale), quantizer->zero_point));
  }
  if (stats && stats->count > 0) {
    const double zeros = 100.0 * static_cast<double>(stats->zero) / static_cast<double>(stats->count);
    out += fmt::format("  mean {}  std {}  min {}  max {}  zero {:.1f}%  NaN {}  Inf {}  subnormal {}\n",
                       format_number(stats->mean), format_number(stats->std), format_number(stats->min),
                       format_number(stats->max), zeros, stats->nan, stats->infinite, stats->subnormal);
    if (stats->max > stats->min) {
      out += fmt::format("  {} {} {}\n", format_number(stats->min), sparkline(stats->histogram),
                         format_number(stats->max));
    }
  }
  std::string line = "  [";
  for (std::size_t i = 0; i < texts->size(); ++i) {
    const std::string cell = i + 1 < texts->size() ? (*texts)[i] + ", " : (*texts)[i];
    if (line.size() + cell.size() + 1 > context.terminal.columns) {
      while (line.ends_with(' ')) line.pop_back();
      out += line + "\n";
      line = "   ";
    }
    line += cell;
  }
  // Packed elements are shown by the byte.
  const std::int64_t units =
      info(printed->dtype()).packed == 1 ? printed->numel() : static_cast<std::int64_t>(printed->size_bytes());
  if (units > std::int64_t(texts->size())) {
    line += fmt::format(", ... {} more", format_count(units - std::int64_t(texts->size())));
  }
  out += line + "]\n";
  print(out);
  return kGood;
}

// The value of a name: a path through the objects, or as listings name what modules hold ("net.1.eps").
Value value_named(const Checkpoint& checkpoint, const Inspection& report, std::string_view name) {
  Value value = checkpoint.root().at(name);
  if (value.exists()) return value;
  const auto is_it = [&](const auto& entry) { return entry.name == name; };
  if (const auto leaf = std::ranges::find_if(report.values, is_it); leaf != report.values.end()) return leaf->value;
  const auto object = std::ranges::find_if(report.opaque, is_it);
  return object == report.opaque.end() ? value : checkpoint.root().at(std::span<const PathStep>(object->path));
}

int run(Context& context, const ShowArguments& options) {
  Result<Checkpoint> checkpoint = Checkpoint::open(options.file, context.load_options());
  if (!checkpoint) {
    return fail(context, "show", options.file, with_path_suggestion(std::move(checkpoint).error(), options.file));
  }
  Result<Inspection> report = inspect(*checkpoint, context.limits);
  if (!report) return fail(context, "show", options.file, std::move(report).error());
  Result<std::vector<TensorEntry>> found = find_tensors(*report, options.name);
  if (!found && found.error().code == ErrorCode::not_found) {
    // NumPy arrays are shown as tensors are.
    Inspection arrays{.file = report->file, .tensors = array_entries(*report)};
    if (Result<std::vector<TensorEntry>> among_arrays = find_tensors(arrays, options.name)) {
      found = std::move(among_arrays);
    }
  }
  if (!found) {
    const Value value = value_named(*checkpoint, *report, options.name);
    if (!value.exists()) return fail(context, "show", options.file, std::move(found).error());
    const std::string_view of_tensors = !options.slice.empty() ? "--slice"
                                        : options.stats        ? "--stats"
                                        : options.hist         ? "--hist"
                                        : options.as == "hex"  ? "--as hex"
                                                               : "";
    if (!of_tensors.empty()) {
      return fail(context, "show", options.file,
                  Error::of({.category = Category::argument,
                             .code = "ARG-NO-TENSOR",
                             .message = fmt::format("{} is for tensors, and '{}' is of type {}", of_tensors,
                                                    escaped(options.name), to_string(value.kind()))}));
    }
    if (context.json) {
      JsonWriter json = begin_envelope("show", report->file, true);
      json.field("name", std::string_view(options.name)).field("type", to_string(value.kind())).key("value");
      write_leaf(json, value);
      if (const NdArray* array = value.as_ndarray(); array != nullptr && array->data) {
        if (const auto bytes = array->data->bytes()) json.key("data").base64(*bytes);
      }
      write_findings(json, report->findings);
      print_envelope(context, json);
    } else {
      print(fmt::format("{}  {}\n", escaped(options.name), format_tree(value, 200)));
    }
    return kGood;
  }
  if (context.json && found->size() > 1) {
    return fail(context, "show", options.file,
                Error::of({.category = Category::argument,
                           .code = "ARG-ONE-TENSOR",
                           .message = fmt::format("'{}' fits {} tensors, --json shows one", escaped(options.name),
                                                  found->size()),
                           .hint = "list --json --match names them"}));
  }
  for (const TensorEntry& entry : *found) {
    const int code = show_tensor(context, options, *report, entry);
    if (code != kGood) return code;
  }
  return kGood;
}

}  // namespace

Verb show_verb() {
  return {"show",
          {},
          "the values, statistics and histogram of a tensor",
          {"rushlight show model.pt fc2.weight", "rushlight show model.pt fc2.weight --slice '0, :8' --as hex",
           "rushlight show ckpt.pt epoch"},
          [](OptionTable& table, Context& context) {
            auto options = std::make_shared<ShowArguments>();
            table.add("FILE", &options->file, "a checkpoint").required();
            table.add("NAME", &options->name, "a tensor's name, a unique last part of it, a glob, or a value's path")
                .required()
                .or_empty();
            table.add("--head", &options->head, "how many elements, 0 for all").at_least(0);
            table.add("--slice", &options->slice, "as in Python: '0, :8, ::2'");
            table.add("--as", &options->as, "dec, or hex for the bits").one_of({"dec", "hex"});
            table.add("--stats", &options->stats, "statistics, also in JSON; an error where there are none");
            table.add("--hist", &options->hist, "the same, for the histogram");
            add_encoding_option(table, context);
            return [options, &context] { return run(context, *options); };
          }};
}

}  // namespace rushlight::cli
