#include "rushlight/usage.hpp"

#include <map>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "tensor/memory.hpp"

namespace rushlight {
namespace {

class UsageTree {
 public:
  explicit UsageTree(UsageReport& report) : report_(report) { report_.nodes.emplace_back(); }

  void add(const TensorEntry& entry) {
    std::size_t node = 0;
    if (!entry.name.empty()) {
      for (const std::string_view part : name_parts(entry.name)) {
        // The parts are views on the name.
        const auto name_bytes = static_cast<std::size_t>(part.data() + part.size() - entry.name.data());
        node = child(node, part, std::string_view(entry.name).substr(0, name_bytes));
      }
    }
    const std::uint64_t size_bytes = bytes_in_file(entry);
    const bool is_first = first_use(entry);
    if (is_first) report_.storage_bytes += size_bytes;
    for (;; node = report_.nodes[node].parent) {
      UsageNode& above = report_.nodes[node];
      ++above.tensors;
      (is_first ? above.size_bytes : above.shared_bytes) += size_bytes;
      if (node == 0) return;
    }
  }

 private:
  std::size_t child(std::size_t parent, std::string_view part, std::string_view name) {
    auto& known = children_[parent];
    const auto [at, is_new] = known.try_emplace(std::string(part), report_.nodes.size());
    if (is_new) {
      UsageNode node;
      node.part = part;
      node.name = name;
      node.parent = parent;
      node.depth = report_.nodes[parent].depth + 1;
      report_.nodes[parent].children.push_back(report_.nodes.size());
      report_.nodes.push_back(std::move(node));
    }
    return at->second;
  }

  // Tensors on the meta device have sizes and no bytes.
  static std::uint64_t bytes_in_file(const TensorEntry& entry) {
    const Storage& storage = entry.tensor.storage();
    return storage.device().kind == Device::Kind::meta ? 0 : storage.size_bytes();
  }

  // One record may be several storages, as it is read with several dtypes.
  bool first_use(const TensorEntry& entry) {
    if (!entry.storage.empty()) return records_.insert(entry.storage).second;
    return memories_.insert(entry.tensor.storage().memory().get()).second;
  }

  UsageReport& report_;
  std::unordered_map<std::size_t, std::map<std::string, std::size_t>> children_;
  std::unordered_set<std::string> records_;
  std::unordered_set<const Memory*> memories_;
};

}  // namespace

UsageReport disk_usage(const Inspection& inspection) {
  UsageReport report;
  report.file = inspection.file;
  report.format = inspection.format;
  report.findings = inspection.findings;
  UsageTree tree(report);
  for (const TensorEntry& entry : inspection.tensors) tree.add(entry);
  report.is_compressed = report.storage_bytes > report.format.size_bytes;
  if (!report.is_compressed) report.container_bytes = report.format.size_bytes - report.storage_bytes;
  return report;
}

}  // namespace rushlight
