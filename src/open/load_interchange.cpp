#include "open/load_interchange.hpp"

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "interchange/gguf.hpp"
#include "interchange/npy_layout.hpp"
#include "interchange/npz.hpp"
#include "interchange/safetensors.hpp"
#include "tensor/byte_order.hpp"
#include "tensor/file_memory.hpp"
#include "value/graft.hpp"
#include "value/graph.hpp"

namespace rushlight::open {
namespace {

constexpr std::size_t kNamed = 64;  // tensors in one finding

// The formats record no device, so there is one to map.
Result<Tensor> placed(Tensor tensor, const LoadOptions& options) {
  const Device device = options.map_location.map("cpu");
  if (device == Device::cpu()) return tensor;
  return tensor.to(device);
}

class DictBuilder {
 public:
  DictBuilder() : root_(values_.dict()) { values_.set_class(root_, "collections.OrderedDict"); }

  ValueGraphBuilder& values() noexcept { return values_; }
  // Strings are hashable: it cannot fail.
  void add(std::string_view name, NodeId value) { (void)values_.set_item(root_, values_.string(name), value); }
  void set_metadata(NodeId metadata) {
    const NodeId attributes = values_.dict();
    (void)values_.set_item(attributes, values_.string("metadata"), metadata);
    values_.set_state(root_, attributes);
  }
  Value finish() && { return Value(std::move(values_).finish(), root_); }

 private:
  ValueGraphBuilder values_;
  NodeId root_;
};

Finding tensors_left_opaque(const Opened& opened, std::string_view code, std::string message,
                            std::vector<std::string> names, std::string_view hint) {
  if (names.size() > kNamed) names.resize(kNamed);
  return {.severity = Severity::warning,
          .category = Category::unsup,
          .code = std::string(code),
          .message = std::move(message),
          .file = escaped(opened.file, kPathBytes),
          .tensors = std::move(names),
          .hint = std::string(hint)};
}

}  // namespace

Status load_safetensors(const LoadOptions& options, Opened& opened) {
  opened.format.kind = FileKind::safetensors;
  opened.format.byteorder = "little";
  RUSHLIGHT_TRY_ASSIGN(interchange::Safetensors read, interchange::read_safetensors(opened.source, options.limits));
  DictBuilder dict;
  for (interchange::NamedTensor& named : read.tensors) {
    RUSHLIGHT_TRY_ASSIGN(Tensor tensor, placed(std::move(named.tensor), options));
    dict.add(named.name, dict.values().tensor(std::move(tensor)));
  }
  if (!read.metadata.empty()) {
    ValueGraphBuilder& values = dict.values();
    const NodeId metadata = values.dict();
    for (const auto& [key, value] : read.metadata) {
      (void)values.set_item(metadata, values.string(key), values.string(value));
    }
    dict.set_metadata(metadata);
  }
  opened.root = std::move(dict).finish();
  opened.explained_bytes = opened.format.size_bytes;
  return {};
}

// Checksums::all_at_open: the audit of the archive, with its first error as the error.
Status audit_archive(const LoadOptions& options, Opened& opened) {
  Result<zip::Audit> audit = opened.archive->audit(options.executor, options.progress);
  if (!audit) return with_file(std::move(audit).error(), opened.file);
  for (Finding& finding : audit->findings) {
    finding.file = escaped(opened.file, kPathBytes);
    if (finding.severity == Severity::error) return Error::of(std::move(finding));
    opened.findings.push_back(std::move(finding));
  }
  return {};
}

Status load_npz(const LoadOptions& options, Opened& opened) {
  opened.format.kind = FileKind::npz;
  opened.format.byteorder = "little";
  if (options.checksums == Checksums::all_at_open) RUSHLIGHT_TRY(audit_archive(options, opened));
  RUSHLIGHT_TRY_ASSIGN(interchange::Npz read,
                       interchange::read_npz(opened.archive, opened.file, options.limits, options.checksums));
  opened.findings.insert(opened.findings.end(), std::make_move_iterator(read.findings.begin()),
                         std::make_move_iterator(read.findings.end()));
  DictBuilder dict;
  for (interchange::NpzArray& array : read.arrays) {
    if (!array.tensor) {
      // Objects, strings, structures: the other arrays load all the same.
      if (array.tensor.error().code != ErrorCode::unsupported) return std::move(array.tensor).error();
      Finding finding = array.tensor.error().finding;
      finding.severity = Severity::warning;
      finding.tensors = {array.name};
      opened.findings.push_back(std::move(finding));
      dict.add(array.name, dict.values().opaque("numpy.ndarray", kNoNode));
      continue;
    }
    RUSHLIGHT_TRY_ASSIGN(Tensor tensor, placed(*std::move(array.tensor), options));
    dict.add(array.name, dict.values().tensor(std::move(tensor)));
  }
  opened.root = std::move(dict).finish();
  return {};
}

Status load_gguf(const LoadOptions& options, Opened& opened) {
  opened.format.kind = FileKind::gguf;
  opened.format.byteorder = "little";
  RUSHLIGHT_TRY_ASSIGN(interchange::Gguf read, interchange::read_gguf(opened.source, options.limits));
  opened.format.version = static_cast<int>(read.version);
  DictBuilder dict;
  std::map<std::string_view, std::vector<std::string>> by_type;  // block types, and whose they are
  for (interchange::GgufTensor& entry : read.tensors) {
    if (!entry.elements) {
      ValueGraphBuilder& values = dict.values();
      std::vector<NodeId> sizes;
      for (const std::int64_t size : entry.shape) sizes.push_back(values.integer(size));
      const std::vector<NodeId> arguments = {values.string(entry.type->name), values.size(sizes)};
      dict.add(entry.name, values.opaque("ggml." + std::string(entry.type->name), values.tuple(arguments)));
      by_type[entry.type->name].push_back(entry.name);
      continue;
    }
    RUSHLIGHT_TRY_ASSIGN(Tensor tensor, placed(*std::move(entry.elements), options));
    dict.add(entry.name, dict.values().tensor(std::move(tensor)));
  }
  for (auto& [type, names] : by_type) {
    const std::string count = std::to_string(names.size());
    const std::string tensors = names.size() == 1 ? " tensor" : " tensors";
    opened.findings.push_back(tensors_left_opaque(
        opened, "GGUF-BLOCK-TYPE",
        count + tensors + " of block type " + std::string(type) + " kept as opaque value" + (count == "1" ? "" : "s"),
        std::move(names), "to have their values, convert them to F16 or F32 with the tools of llama.cpp"));
  }
  Grafter grafter;
  dict.set_metadata(grafter.graft(dict.values(), read.metadata));
  opened.root = std::move(dict).finish();
  opened.explained_bytes = opened.format.size_bytes;
  return {};
}

Status load_npy(const LoadOptions& options, Opened& opened) {
  opened.format.kind = FileKind::npy;
  opened.format.byteorder = "little";
  Result<interchange::NpyLayout> layout = interchange::read_npy_layout(*opened.source, options.limits);
  if (!layout) return with_file(std::move(layout).error(), opened.file);
  auto memory = std::make_shared<FileMemory>(opened.source, layout->data_offset, layout->data_bytes, "cpu", "",
                                             layout->big_endian ? swap_unit(layout->dtype) : std::uint32_t{1});
  RUSHLIGHT_TRY_ASSIGN(Tensor read, Tensor::view(Storage(std::move(memory)), layout->dtype, std::move(layout->shape),
                                                 std::move(layout->strides), 0));
  RUSHLIGHT_TRY_ASSIGN(Tensor tensor, placed(std::move(read), options));
  opened.root = Value(std::move(tensor));
  opened.explained_bytes = opened.format.size_bytes;
  return {};
}

}  // namespace rushlight::open
