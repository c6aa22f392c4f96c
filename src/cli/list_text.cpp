#include "cli/list_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "cli/format.hpp"
#include "cli/name_tree.hpp"
#include "cli/text_table.hpp"
#include "cli/value_text.hpp"
#include "rushlight/text.hpp"

namespace rushlight::cli {
namespace {

// A line of the table: a tensor, or a sparse or nested one above its parts.
struct Row {
  const TensorEntry* tensor = nullptr;
  const CompositeEntry* composite = nullptr;
  bool is_part = false;

  [[nodiscard]] const std::string& name() const { return composite != nullptr ? composite->name : tensor->name; }
};

bool is_part_of(const TensorEntry& entry, const CompositeEntry& composite) {
  return entry.path.size() == composite.path.size() + 1 && entry.path.back().kind == PathStep::Kind::attr &&
         composite.tensor.component(entry.path.back().text) != nullptr &&
         std::equal(composite.path.begin(), composite.path.end(), entry.path.begin());
}

// Parts stand below what they are parts of, and are left out of short listings. Composites come in the order of their
// first parts here.
std::vector<Row> make_rows(const Inspection& report, const std::vector<TensorEntry>& tensors, bool with_parts) {
  std::multimap<std::string_view, const CompositeEntry*>
      composites;  // by the name of their parts without the last word
  for (const CompositeEntry& composite : report.composites) composites.emplace(composite.name, &composite);
  const auto composite_of = [&](const TensorEntry& entry) -> const CompositeEntry* {
    if (composites.empty() || entry.path.empty()) return nullptr;
    const std::string& word = entry.path.back().text;
    if (!entry.name.ends_with(word)) return nullptr;
    std::string_view name = std::string_view(entry.name).substr(0, entry.name.size() - word.size());
    if (name.ends_with('.')) name.remove_suffix(1);
    const auto [first, last] = composites.equal_range(name);
    const auto found = std::find_if(first, last, [&](const auto& item) { return is_part_of(entry, *item.second); });
    return found == last ? nullptr : found->second;
  };
  std::vector<Row> rows;
  std::map<const CompositeEntry*, std::vector<const TensorEntry*>> parts;
  for (const TensorEntry& entry : tensors) {
    const CompositeEntry* composite = composite_of(entry);
    if (composite == nullptr) {
      rows.push_back({.tensor = &entry});
      continue;
    }
    if (parts[composite].empty()) rows.push_back({.composite = composite});
    parts[composite].push_back(&entry);
  }
  if (!with_parts || parts.empty()) return rows;
  std::vector<Row> all;
  for (const Row& row : rows) {
    all.push_back(row);
    if (row.composite == nullptr) continue;
    for (const TensorEntry* part : parts[row.composite]) all.push_back({.tensor = part, .is_part = true});
  }
  return all;
}

std::string describe(const Quantizer& quantizer) {
  if (quantizer.is_per_channel()) return fmt::format(" {} axis {}", to_string(quantizer.scheme), quantizer.axis);
  return fmt::format(" {} scale {} zero point {}", to_string(quantizer.scheme), format_number(quantizer.scale),
                     quantizer.zero_point);
}

std::string_view class_word(const TensorOptions& options) {
  return options.tensor_class == TensorClass::parameter ? "parameter"
         : options.tensor_class == TensorClass::buffer  ? "buffer"
                                                        : "tensor";
}

// Storage, and what is out of the ordinary; with --long all of it.
std::string note_on(const TensorEntry& entry, bool long_rows) {
  const Tensor& tensor = entry.tensor;
  std::string note = escaped(entry.storage);
  if (long_rows) {
    note += fmt::format(" offset {} strides {} {} {}", tensor.storage_offset(), format_shape(tensor.strides()),
                        class_word(tensor.options()), escaped(tensor.storage().recorded_device()));
    if (tensor.options().requires_grad) note += " requires_grad";
    if (tensor.options().conj) note += " conj";
    if (tensor.options().neg) note += " neg";
  } else {
    if (tensor.storage_offset() != 0) note += fmt::format(" +{}", tensor.storage_offset());
    if (!tensor.is_contiguous()) note += fmt::format(" strides {}", format_shape(tensor.strides()));
  }
  if (tensor.options().quantizer != nullptr) note += describe(*tensor.options().quantizer);
  if (!entry.persistent) note += " not in state_dict";
  if (!long_rows && tensor.storage().recorded_device() != "cpu") {
    note += fmt::format(" {}", escaped(tensor.storage().recorded_device()));
  }
  return note;
}

std::string note_on(const CompositeEntry& entry, bool long_rows) {
  const CompositeTensor& tensor = entry.tensor;
  std::string note = tensor.is_sparse() ? fmt::format("{} nnz {}", to_string(tensor.layout()), tensor.nnz())
                                        : fmt::format("nested {}", to_string(tensor.layout()));
  if (tensor.is_coalesced()) note += " coalesced";
  if (long_rows) note += fmt::format(" {}", class_word(tensor.options()));
  if (long_rows && tensor.options().requires_grad) note += " requires_grad";
  if (!entry.persistent) note += " not in state_dict";
  return note;
}

std::vector<std::string> cells(const Row& row, std::string name, bool long_rows) {
  if (row.composite != nullptr) {
    const CompositeTensor& tensor = row.composite->tensor;
    std::uint64_t size_bytes = 0;
    for (const CompositeTensor::Component& part : tensor.components()) size_bytes += part.second.size_bytes();
    return {std::move(name), std::string(info(tensor.dtype()).brief),
            tensor.is_sparse() ? format_shape(tensor.shape()) : fmt::format("{} dims", tensor.dim()),
            format_bytes(size_bytes), note_on(*row.composite, long_rows)};
  }
  const Tensor& tensor = row.tensor->tensor;
  return {std::move(name), std::string(info(tensor.dtype()).brief), format_shape(tensor.shape()),
          format_bytes(tensor.size_bytes()), note_on(*row.tensor, long_rows)};
}

// The rows by the parts of their names, each part a line of its own.
TextTable tree_of(const std::vector<Row>& rows, std::size_t shown, bool long_rows, TextTable table) {
  NameTree tree;
  for (std::size_t i = 0; i < shown; ++i) tree.add(rows[i].name(), i);
  tree.for_each([&](const NameTree::Line& line) {
    const std::string part = line.prefix + escaped(line.part);
    if (line.item) {
      table.row(cells(rows[*line.item], part, long_rows));
    } else {
      table.row({part, "", "", "", ""});
    }
  });
  return table;
}

// What the shapes say about the layers: a reading, not a fact, hence one dim line (`summary` runs the real graph).
std::string guess_layers(const std::vector<TensorEntry>& tensors) {
  std::map<std::string, std::map<std::string, const Tensor*>> modules;
  std::vector<std::string> order;
  for (const TensorEntry& entry : tensors) {
    const std::size_t dot = entry.name.rfind('.');
    const std::string module = dot == std::string::npos ? "" : entry.name.substr(0, dot);
    if (!modules.contains(module)) order.push_back(module);
    modules[module][dot == std::string::npos ? entry.name : entry.name.substr(dot + 1)] = &entry.tensor;
  }
  std::string text;
  for (const std::string& module : order) {
    const auto& parts = modules[module];
    const auto weight = parts.find("weight");
    if (weight == parts.end()) continue;
    const auto shape = weight->second->shape();
    std::string layer;
    if (shape.size() == 4) {
      layer = fmt::format("Conv2d {}->{} k{}", shape[1], shape[0], shape[2]);
      if (shape[2] != shape[3]) layer += fmt::format("x{}", shape[3]);
    } else if (shape.size() == 2) {
      layer = fmt::format("Linear {}->{}", shape[1], shape[0]);
    } else if (shape.size() == 1 && parts.contains("running_mean")) {
      layer = fmt::format("BatchNorm {}", shape[0]);
    } else {
      continue;
    }
    if (!text.empty()) text += " | ";
    text += module.empty() ? layer : fmt::format("{} {}", escaped(module), layer);
  }
  return text;
}

// How many entries from `first` on are items of one list, tuple or set.
std::size_t items_from(std::span<const ValueEntry* const> entries, std::size_t first) {
  const std::vector<PathStep>& path = entries[first]->path;
  if (path.empty() || path.back().kind != PathStep::Kind::index) return 1;
  const auto is_sibling = [&](const ValueEntry* entry) {
    return entry->path.size() == path.size() && entry->path.back().kind == PathStep::Kind::index &&
           std::equal(path.begin(), path.end() - 1, entry->path.begin());
  };
  std::size_t end = first + 1;
  while (end < entries.size() && is_sibling(entries[end])) ++end;
  return end - first;
}

std::string values_text(const Context& context, const ListOptions& options, const Inspection& report) {
  // `_metadata` is torch's bookkeeping of module versions: in the JSON, and with --all.
  std::vector<const ValueEntry*> shown_values;
  for (const ValueEntry& entry : report.values) {
    const bool bookkeeping = std::ranges::any_of(
        entry.path, [](const PathStep& step) { return step.kind == PathStep::Kind::attr && step.text == "_metadata"; });
    if (options.all || !bookkeeping) shown_values.push_back(&entry);
  }
  if (shown_values.empty()) return {};
  const Terminal& terminal = context.terminal;
  TextTable values({TextTable::Align::left, TextTable::Align::left, TextTable::Align::left});
  // The state of a random generator is hundreds of numbers: of long lists the first items stand for all.
  constexpr std::size_t kLongList = 16;
  constexpr std::size_t kFirstItems = 3;
  const std::size_t most_rows = options.all || terminal.rows == 0 ? shown_values.size() : 12;
  std::size_t rows = 0;
  std::size_t i = 0;
  for (std::size_t list_end = 0; i < shown_values.size() && rows < most_rows; ++rows) {
    if (!options.all && i >= list_end) list_end = i + items_from(shown_values, i);
    const ValueEntry& entry = *shown_values[i];
    const std::string type =
        entry.value.numpy_dtype() ? escaped(entry.value.class_name()) : std::string(to_string(entry.value.kind()));
    std::string text = clipped(format_leaf(entry.value), 60);
    const std::size_t left = list_end - std::min(i, list_end);
    const bool skips = left > kLongList - kFirstItems && entry.path.back().index + 1 == std::int64_t{kFirstItems};
    if (skips) text += fmt::format("   ... {} more items (--all)", left - 1);
    values.row({escaped(entry.name), type, std::move(text)});
    i += skips ? left : 1;
  }
  std::string out = terminal.paint("values", Role::dim) + "\n" + values.render(terminal);
  if (i < shown_values.size()) out += fmt::format("  ... {} more (--all)\n", shown_values.size() - i);
  return out;
}

}  // namespace

void print_listing(const Context& context, const ListOptions& options, const Inspection& report,
                   const std::vector<TensorEntry>& tensors) {
  const Terminal& terminal = context.terminal;
  std::string out =
      fmt::format("{}   {}, {}   {}   {}   {}\n", terminal.paint(format_file(report.file), Role::heading),
                  format_kind(report.format), escaped(report.root_class), format_bytes(report.format.size_bytes),
                  plural(std::int64_t(report.tensors.size()), "tensor"), plural(report.elements, "element"));
  // Whoever names tensors may mean parts.
  const std::vector<Row> rows = make_rows(report, tensors, options.all || !options.match.empty());
  std::size_t shown = rows.size();
  if (!options.all && terminal.rows > 0) shown = std::min(shown, std::max<std::size_t>(terminal.rows, 28) - 8);
  using Align = TextTable::Align;
  TextTable table({Align::left, Align::left, Align::left, Align::right, Align::left});
  if (options.tree) {
    table = tree_of(rows, shown, options.long_rows, std::move(table));
  } else {
    for (std::size_t i = 0; i < shown; ++i) {
      const std::string name = (rows[i].is_part ? "  " : "") + escaped(rows[i].name());
      table.row(cells(rows[i], name, options.long_rows));
    }
  }
  out += table.render(terminal);
  if (shown < rows.size()) out += fmt::format("  ... {} more (--all)\n", rows.size() - shown);
  if (options.match.empty()) {
    out += values_text(context, options, report);
    for (const OpaqueEntry& entry : report.opaque) {
      out += fmt::format("opaque   {}   {}\n", entry.name.empty() ? "(root)" : escaped(entry.name),
                         escaped(entry.class_name));
    }
    const std::string layers = guess_layers(tensors);
    if (!layers.empty()) out += terminal.paint(fmt::format("layers   {}", layers), Role::dim) + "\n";
  }
  print(out);
  for (const Finding& finding : report.findings) {
    if (finding.severity != Severity::note || options.verbose) print_error(format_finding(context.errors, finding));
  }
}

}  // namespace rushlight::cli
