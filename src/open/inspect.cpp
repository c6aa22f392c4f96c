#include "rushlight/inspect.hpp"

#include <unordered_set>
#include <utility>

#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "open/listing.hpp"
#include "tensor/memory.hpp"

namespace rushlight {
namespace {

class Inspector final : public open::ListingVisitor {
 public:
  explicit Inspector(Inspection& report) : report_(report) {}

  void tensor(std::string_view name, std::span<const PathStep> path, Tensor tensor, bool in_state_dict) override {
    const Storage& storage = tensor.storage();
    if (storages_.insert(storage.memory().get()).second) report_.tensor_bytes += storage.size_bytes();
    report_.elements += tensor.numel();
    TensorEntry entry{.name = std::string(name),
                      .path = Path(path.begin(), path.end()),
                      .tensor = std::move(tensor),
                      .storage = {},
                      .persistent = in_state_dict};
    entry.storage = entry.tensor.storage().record();
    report_.tensors.push_back(std::move(entry));
  }
  void composite(std::string_view name, std::span<const PathStep> path, CompositeTensor tensor,
                 bool in_state_dict) override {
    report_.composites.push_back({std::string(name), Path(path.begin(), path.end()), std::move(tensor), in_state_dict});
  }
  void value(std::string_view name, std::span<const PathStep> path, const Value& value) override {
    report_.values.push_back({std::string(name), Path(path.begin(), path.end()), value});
  }
  void object(std::string_view name, std::span<const PathStep> path, const Value& value) override {
    report_.opaque.push_back({std::string(name), Path(path.begin(), path.end()), std::string(value.class_name())});
  }

 private:
  Inspection& report_;
  std::unordered_set<const Memory*> storages_;
};

}  // namespace

Result<Inspection> inspect(const Checkpoint& checkpoint, const Limits& limits) {
  return or_no_memory([&]() -> Result<Inspection> {
    Result<Inspection> report = inspect(checkpoint.root(), limits);
    if (!report) {
      Error error = std::move(report).error();
      error.finding.file = checkpoint.file();
      return error;
    }
    report->file = checkpoint.file();
    report->format = checkpoint.format();
    report->globals.assign(checkpoint.globals().begin(), checkpoint.globals().end());
    report->findings.assign(checkpoint.findings().begin(), checkpoint.findings().end());
    return report;
  });
}

Result<Inspection> inspect(const Value& root, const Limits& limits) {
  return or_no_memory([&]() -> Result<Inspection> {
    Inspection report;
    report.root_class = root.class_name();
    Inspector inspector(report);
    RUSHLIGHT_TRY(open::visit_listing(root, limits.visited_nodes, inspector));
    return report;
  });
}

std::vector<TensorEntry> array_entries(const Inspection& inspection) {
  std::vector<TensorEntry> entries;
  for (const ValueEntry& entry : inspection.values) {
    const NdArray* const array = entry.value.as_ndarray();
    if (array == nullptr || !array->tensor) continue;
    entries.push_back({.name = entry.name,
                       .path = entry.path,
                       .tensor = *array->tensor,
                       .storage = std::string(array->tensor->storage().record()),
                       .persistent = false});
  }
  return entries;
}

std::vector<std::string_view> name_parts(std::string_view name) {
  constexpr std::size_t kMostParts = 64;  // what a tree can show; names of a thousand dots are no structure
  std::vector<std::string_view> parts;
  std::size_t begin = 0;
  std::size_t depth = 0;  // of brackets: keys in them may hold anything
  for (std::size_t i = 0; i < name.size() && parts.size() + 1 < kMostParts; ++i) {
    if (name[i] == '[' && depth++ == 0) {
      if (i > begin) parts.push_back(name.substr(begin, i - begin));
      begin = i;
    } else if (name[i] == ']' && depth > 0 && --depth == 0) {
      parts.push_back(name.substr(begin, i + 1 - begin));
      begin = i + 1;
      if (begin < name.size() && name[begin] == '.') ++begin, ++i;
    } else if (name[i] == '.' && depth == 0) {
      parts.push_back(name.substr(begin, i - begin));
      begin = i + 1;
    }
  }
  if (begin < name.size() || parts.empty() || name.back() == '.') parts.push_back(name.substr(begin));
  return parts;
}

}  // namespace rushlight
