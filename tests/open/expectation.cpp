#include "expectation.hpp"

#include <simdjson.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "checksum/sha256.hpp"
#include "checksum/xxh3.hpp"
#include "rushlight/inspect.hpp"
#include "tensor/memory.hpp"

namespace rushlight::test {
namespace {

namespace dom = simdjson::dom;

// --- reading the description: absent fields are empty
// -----------------------------------------------------------------

// A default element points nowhere, not at null.
dom::element null_element() {
  static dom::parser parser;
  static const dom::element null = parser.parse("null", 4).value_unsafe();
  return null;
}
dom::element field(dom::element object, std::string_view name) {
  dom::element found;
  return object.is_object() && object.at_key(name).get(found) == simdjson::SUCCESS ? found : null_element();
}
bool has(dom::element object, std::string_view name) {
  dom::element found;
  return object.is_object() && object.at_key(name).get(found) == simdjson::SUCCESS;
}
std::string_view text(dom::element element) {
  std::string_view found;
  return element.get(found) == simdjson::SUCCESS ? found : std::string_view();
}
std::int64_t number(dom::element element) {
  std::int64_t found = 0;
  if (element.get(found) != simdjson::SUCCESS) return 0;
  return found;
}
bool flag(dom::element element) {
  bool found = false;
  return element.get(found) == simdjson::SUCCESS && found;
}
std::vector<dom::element> items(dom::element element) {
  std::vector<dom::element> found;
  dom::array array;
  if (element.get(array) == simdjson::SUCCESS) {
    for (const dom::element item : array) found.push_back(item);
  }
  return found;
}
std::vector<std::pair<std::string_view, dom::element>> members(dom::element element) {
  std::vector<std::pair<std::string_view, dom::element>> found;
  dom::object object;
  if (element.get(object) == simdjson::SUCCESS) {
    for (const dom::key_value_pair pair : object) found.emplace_back(pair.key, pair.value);
  }
  return found;
}
std::vector<std::int64_t> numbers(dom::element element) {
  std::vector<std::int64_t> found;
  for (const dom::element item : items(element)) found.push_back(number(item));
  return found;
}

std::string hex_of(std::span<const std::byte> bytes) {
  return checksum::to_hex(bytes);
}
std::string sha256_of(std::span<const std::byte> bytes) {
  const auto digest = checksum::sha256(bytes);
  return digest ? hex_of(*digest) : std::string();
}
std::string bits_of(double value) {
  std::array<char, 32> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "0x%016llx",
                static_cast<unsigned long long>(std::bit_cast<std::uint64_t>(value)));
  return buffer.data();
}

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string out = "[";
  for (const std::int64_t size : shape) out += (out.size() > 1 ? ", " : "") + std::to_string(size);
  return out + "]";
}

// --- comparing
// ------------------------------------------------------------------------------------------------------------

class Comparer {
 public:
  Comparer(const Checkpoint& checkpoint, dom::element expected) : checkpoint_(checkpoint), expected_(expected) {}

  Comparison run() {
    const Result<Inspection> inspection = inspect(checkpoint_);
    if (!inspection) {
      differ("", "inspect", "a listing", to_string(inspection.error()));
      return std::move(result_);
    }
    const std::string_view kind = text(field(expected_, "kind"));
    if (kind == "torchscript" || kind == "package") return compare_script(*inspection);
    std::string_view root = text(field(expected_, "root"));
    if (root.starts_with("builtins.")) root.remove_prefix(9);
    if (!is_unknown_kind_of_root()) same("", "root class", root, inspection->root_class);
    compare_tensors(*inspection);
    compare_composites(*inspection);
    compare_modules();
    compare_value("", field(expected_, "values"), checkpoint_.root());
    return std::move(result_);
  }

  // Each tensor here against the one of the same name there, their places aside.
  Comparison run_by_name() {
    const Result<Inspection> inspection = inspect(checkpoint_);
    if (!inspection) {
      differ("", "inspect", "a listing", to_string(inspection.error()));
      return std::move(result_);
    }
    for (const TensorEntry& have : inspection->tensors) {
      dom::element want = null_element();
      for (const dom::element entry : items(field(expected_, "tensors"))) {
        if (text(field(entry, "name")) == have.name) want = entry;
      }
      if (want.is_null()) {
        differ(have.name, "tensor", "none", "one");
        continue;
      }
      ++result_.tensors;
      same(have.name, "dtype", text(field(want, "dtype")), to_string(have.tensor.dtype()));
      same(have.name, "shape", shape_text(numbers(field(want, "shape"))), shape_text(have.tensor.shape()));
      compare_bytes(have.name, want, have.tensor);
    }
    return std::move(result_);
  }

  // Everything about each tensor described there; here are others too.
  Comparison run_shard() {
    const Result<Inspection> inspection = inspect(checkpoint_);
    if (!inspection) {
      differ("", "inspect", "a listing", to_string(inspection.error()));
      return std::move(result_);
    }
    for (const dom::element entry : items(field(expected_, "tensors"))) compare_found(entry, *inspection);
    return std::move(result_);
  }

 private:
  void differ(std::string_view where, std::string_view what, std::string_view want, std::string_view have) {
    result_.differences.push_back(std::string(where) + ": " + std::string(what) + ": want " + std::string(want) +
                                  ", have " + std::string(have));
  }
  void same(std::string_view where, std::string_view what, std::string_view want, std::string_view have) {
    if (want != have) differ(where, what, want, have);
  }

  // --- TorchScript, torch.package ---

  // Two forms: the loaded module with its tree, or its state dict, whose tensors are detached.
  Comparison compare_script(const Inspection& inspection) {
    const Result<StateDict> state = checkpoint_.state_dict();
    if (!state) {
      differ("", "state dict", "one", to_string(state.error()));
      return std::move(result_);
    }
    std::vector<const TensorEntry*> persistent;
    for (const TensorEntry& entry : inspection.tensors) {
      if (entry.persistent) persistent.push_back(&entry);
      // Constants and packed parameters: not in any state dict, so not in the description.
      if (!entry.persistent) ++result_.not_compared;
    }
    const auto expected = items(field(expected_, "tensors"));
    same("", "tensors", std::to_string(expected.size()), std::to_string(persistent.size()));
    same("", "tensors of the state dict", std::to_string(expected.size()), std::to_string(state->size()));
    const bool detached = text(field(expected_, "root")) == "collections.OrderedDict";
    for (std::size_t i = 0; i < std::min(expected.size(), persistent.size()); ++i) {
      if (!detached) {
        compare_tensor(expected[i], *persistent[i]);
      } else {
        compare_detached(expected[i], *persistent[i]);
      }
      const std::string name(text(field(expected[i], "name")));
      same(name, "in the state dict", name, state->begin()[static_cast<std::ptrdiff_t>(i)].first);
    }
    if (!detached) {
      compare_script_modules();
      compare_value("", field(expected_, "values"), checkpoint_.root());
    }
    return std::move(result_);
  }

  void compare_detached(dom::element want, const TensorEntry& have) {
    const std::string name(text(field(want, "name")));
    const Tensor& tensor = have.tensor;
    ++result_.tensors;
    same(name, "name", name, have.name);
    same(name, "dtype", text(field(want, "dtype")), to_string(tensor.dtype()));
    same(name, "shape", shape_text(numbers(field(want, "shape"))), shape_text(tensor.shape()));
    same(name, "strides", shape_text(numbers(field(want, "strides"))), shape_text(tensor.strides()));
    same(name, "storage bytes", std::to_string(number(field(want, "storage_nbytes"))),
         std::to_string(tensor.storage().size_bytes()));
    compare_group(name, number(field(want, "storage_group")), tensor.storage());
    compare_bytes(name, want, tensor);
  }

  void compare_script_modules() {
    const auto modules = items(field(expected_, "modules"));
    for (const dom::element module : modules) {
      const std::string name(text(field(module, "name")));
      const Value have = at(field(module, "path"));
      if (!have.exists()) {
        differ(name, "module", "one", "none");
        continue;
      }
      same(name, "module class", text(field(module, "script_class")), have.class_name());
      for (const auto& [attribute, value] : members(field(module, "attrs"))) {
        compare_value(name + "." + std::string(attribute), value, have.attr(attribute));
      }
      for (const std::string_view part : {"parameters", "buffers"}) {
        const TensorClass wanted = part == "parameters" ? TensorClass::parameter : TensorClass::buffer;
        std::string want_names, have_names;
        for (const auto& [attribute, value] : members(field(module, part))) want_names += std::string(attribute) + " ";
        for (const auto& [attribute, value] : have.attributes()) {
          const std::optional<Tensor> tensor = value.as_tensor();
          if (tensor && tensor->options().tensor_class == wanted) have_names += std::string(attribute) + " ";
        }
        same(name, part, want_names, have_names);
      }
      for (const auto& [child, reference] : members(field(module, "children"))) {
        const Value value = have.attr(child);
        const auto index = static_cast<std::size_t>(number(field(reference, "module")));
        same(name, "child " + std::string(child), text(field(modules[index], "script_class")), value.class_name());
      }
    }
  }

  // The class of objects that Python imports and reduces by a function of its own is not the name in the pickle.
  bool is_unknown_kind_of_root() {
    const dom::element values = field(expected_, "values");
    return has(values, "reduce") || has(values, "ndarray") || has(values, "storage") || has(values, "global") ||
           has(values, "layout") || has(values, "qscheme") || has(values, "sparse") || has(values, "nested") ||
           is_not_built_tensor(values) || has(values, "dtype") || has(values, "device");
  }
  bool is_not_built_tensor(dom::element value) {
    if (!has(value, "tensor")) return false;
    const auto tensors = items(field(expected_, "tensors"));
    return is_not_built(tensors[static_cast<std::size_t>(number(field(value, "tensor")))]);
  }

  // What stays opaque here, with a finding of its own.
  static bool is_not_built(dom::element tensor) { return has(tensor, "uninitialized"); }

  // --- tensors ---

  void compare_tensors(const Inspection& inspection) {
    const auto expected = items(field(expected_, "tensors"));
    std::vector<std::string> opaque_names;  // below these the reader may list the parts it found
    const auto keep_opaque = [&](dom::element entry) {
      opaque_names.emplace_back(text(field(entry, "name")));
      ++result_.not_built;
    };
    for (const dom::element entry : expected) {
      if (is_not_built(entry)) keep_opaque(entry);
    }
    const auto is_below_opaque = [&](std::string_view name) {
      for (const std::string& opaque : opaque_names) {
        if (!name.starts_with(opaque)) continue;
        if (name.size() == opaque.size() || opaque.empty() || name[opaque.size()] == '.' ||
            name[opaque.size()] == '[') {
          return true;
        }
      }
      return false;
    };
    // Containers of tensors have an order of their own, and readers another one.
    const std::string_view kind = text(field(expected_, "kind"));
    if (kind == "safetensors" || kind == "npz") return compare_by_name(expected, inspection);
    std::size_t next = 0;
    for (const dom::element entry : expected) {
      if (is_below_opaque(text(field(entry, "name")))) continue;
      if (is_key(entry)) {
        ++result_.not_compared;
        continue;
      }
      while (next < inspection.tensors.size() && is_below_opaque(inspection.tensors[next].name)) ++next;
      if (next == inspection.tensors.size()) {
        differ(text(field(entry, "name")), "tensor", "one", "none");
        continue;
      }
      compare_tensor(entry, inspection.tensors[next++]);
    }
    for (; next < inspection.tensors.size(); ++next) {
      if (!is_below_opaque(inspection.tensors[next].name)) {
        differ(inspection.tensors[next].name, "tensor", "none", "one");
      }
    }
  }

  void compare_by_name(const std::vector<dom::element>& expected, const Inspection& inspection) {
    same("", "tensors", std::to_string(expected.size()), std::to_string(inspection.tensors.size()));
    for (const dom::element entry : expected) compare_found(entry, inspection);
  }

  void compare_found(dom::element entry, const Inspection& inspection) {
    const std::string_view name = text(field(entry, "name"));
    const auto have = std::find_if(inspection.tensors.begin(), inspection.tensors.end(),
                                   [&](const TensorEntry& tensor) { return tensor.name == name; });
    if (have == inspection.tensors.end()) {
      differ(name, "tensor", "one", "none");
    } else {
      compare_tensor(entry, *have);
    }
  }

  // Dict keys that are tensors stand in the description under the name of the dict; here they are part of paths.
  bool is_key(dom::element entry) {
    for (const dom::element step : items(field(entry, "path"))) {
      if (has(step, "key")) return false;
    }
    const Value there = at(field(entry, "path"));
    return there.exists() && there.kind() != ValueKind::tensor;
  }

  void compare_composites(const Inspection& inspection) {
    auto expected = items(field(expected_, "sparse"));
    const auto nested = items(field(expected_, "nested"));
    expected.insert(expected.end(), nested.begin(), nested.end());
    same("", "composite tensors", std::to_string(expected.size()), std::to_string(inspection.composites.size()));
    for (const dom::element want : expected) {
      const std::string name(text(field(want, "name")));
      const auto have = std::find_if(inspection.composites.begin(), inspection.composites.end(),
                                     [&](const CompositeEntry& entry) { return entry.name == name; });
      if (have == inspection.composites.end()) {
        differ(name, "composite tensor", "one", "none");
        continue;
      }
      compare_composite(name, want, have->tensor);
    }
  }

  void compare_composite(const std::string& name, dom::element want, const CompositeTensor& have) {
    ++result_.tensors;
    same(name, "layout", text(field(want, "layout")), to_string(have.layout()));
    same(name, "dtype", text(field(want, "dtype")), to_string(have.dtype()));
    same(name, "requires_grad", std::to_string(flag(field(want, "requires_grad"))),
         std::to_string(have.options().requires_grad));
    same(name, "class", text(field(want, "class")),
         have.options().tensor_class == TensorClass::parameter ? "parameter" : "tensor");
    same(name, "parts", std::to_string(items(field(want, "components")).size()),
         std::to_string(have.components().size()));
    const Status checked = have.check_indices();
    same(name, "indices", "right", checked ? "right" : to_string(checked.error()));
    if (!have.is_sparse()) {
      same(name, "dim", std::to_string(number(field(want, "ndim"))), std::to_string(have.dim()));
      return;
    }
    same(name, "shape", shape_text(numbers(field(want, "shape"))), shape_text(have.shape()));
    same(name, "nnz", std::to_string(number(field(want, "nnz"))), std::to_string(have.nnz()));
    if (has(want, "is_coalesced")) {
      // Files of torch up to 2.0 do not say so; torch then works it out.
      const bool says_nothing = !have.is_coalesced();
      if (!says_nothing) same(name, "is_coalesced", std::to_string(flag(field(want, "is_coalesced"))), "1");
    }
  }

  void compare_quantizer(const std::string& name, dom::element want, const Tensor& tensor) {
    const Quantizer* have = tensor.options().quantizer.get();
    if (want.is_null() != (have == nullptr))
      return differ(name, "quantizer", want.is_null() ? "none" : "one", "not so");
    if (have == nullptr) return;
    same(name, "qscheme", text(field(want, "qscheme")), to_string(have->scheme));
    if (!have->is_per_channel()) {
      same(name, "scale", text(field(field(want, "scale"), "bits")), bits_of(have->scale));
      return same(name, "zero point", std::to_string(number(field(want, "zero_point"))),
                  std::to_string(have->zero_point));
    }
    same(name, "axis", std::to_string(number(field(want, "axis"))), std::to_string(have->axis));
    same(name, "scales dtype", text(field(want, "scales_dtype")), to_string(have->scales.dtype()));
    same(name, "zero points dtype", text(field(want, "zero_points_dtype")), to_string(have->zero_points.dtype()));
    compare_parameters(name + " scales", items(field(want, "scales")), have->scales);
    compare_parameters(name + " zero points", items(field(want, "zero_points")), have->zero_points);
  }

  void compare_parameters(const std::string& name, const std::vector<dom::element>& want, const Tensor& have) {
    const Result<Tensor> wide = have.to(DType::f64);
    const auto values = wide ? wide->values<double>() : Result<std::span<const double>>(wide.error());
    if (!values) return differ(name, "values", "some", to_string(values.error()));
    same(name, "count", std::to_string(want.size()), std::to_string(values->size()));
    for (std::size_t i = 0; i < std::min(want.size(), values->size()); ++i) {
      const std::string expected = want[i].is_int64() ? bits_of(static_cast<double>(number(want[i])))
                                                      : std::string(text(field(want[i], "bits")));
      same(name, std::to_string(i), expected, bits_of((*values)[i]));
    }
  }

  void compare_tensor(dom::element want, const TensorEntry& have) {
    const std::string name(text(field(want, "name")));
    const Tensor& tensor = have.tensor;
    ++result_.tensors;
    if (!compare_path(name, field(want, "path"), have.path)) same(name, "name", name, have.name);
    same(name, "dtype", text(field(want, "dtype")), to_string(tensor.dtype()));
    same(name, "shape", shape_text(numbers(field(want, "shape"))), shape_text(tensor.shape()));
    same(name, "strides", shape_text(numbers(field(want, "strides"))), shape_text(tensor.strides()));
    same(name, "offset", std::to_string(number(field(want, "storage_offset"))),
         std::to_string(tensor.storage_offset()));
    same(name, "requires_grad", std::to_string(flag(field(want, "requires_grad"))),
         std::to_string(tensor.options().requires_grad));
    same(name, "conj", std::to_string(flag(field(want, "is_conj"))), std::to_string(tensor.options().conj));
    same(name, "neg", std::to_string(flag(field(want, "is_neg"))), std::to_string(tensor.options().neg));
    const TensorClass kind = tensor.options().tensor_class;
    same(name, "class", text(field(want, "class")),
         kind == TensorClass::parameter ? "parameter"
         : kind == TensorClass::buffer  ? "buffer"
                                        : "tensor");
    same(name, "in state_dict", std::to_string(!flag(field(want, "not_in_state_dict"))),
         std::to_string(have.persistent));
    compare_quantizer(name, field(want, "quantizer"), tensor);
    if (has(want, "python_class") && !has(want, "storage_group")) return;
    if (field(want, "storage_group").is_null()) {
      same(name, "device", "meta", to_string(tensor.device()));
      return;
    }
    same(name, "storage bytes", std::to_string(number(field(want, "storage_nbytes"))),
         std::to_string(tensor.storage().size_bytes()));
    compare_group(name, number(field(want, "storage_group")), tensor.storage());
    compare_bytes(name, want, tensor);
  }

  // One group, one storage, both ways.
  void compare_group(const std::string& name, std::int64_t group, const Storage& storage) {
    const Memory* memory = storage.memory().get();
    const auto [of_group, new_group] = groups_.emplace(group, memory);
    const auto [of_memory, new_memory] = memories_.emplace(memory, group);
    if (of_group->second != memory || of_memory->second != group) {
      differ(name, "storage", "shared as group " + std::to_string(group), "another storage");
    }
  }

  void compare_bytes(const std::string& name, dom::element want, const Tensor& tensor) {
    const Result<Tensor> dense = tensor.contiguous();
    const auto bytes = dense ? dense->bytes() : Result<std::span<const std::byte>>(dense.error());
    if (!bytes) {
      differ(name, "bytes", "some", to_string(bytes.error()));
      return;
    }
    std::vector<std::byte> raw(bytes->begin(), bytes->end());
    if (tensor.dtype() == DType::boolean) {
      for (std::byte& b : raw) b = b == std::byte{0} ? std::byte{0} : std::byte{1};
    }
    std::string_view wanted = text(field(want, "sha256"));
    // Torch leaves some elements of big-endian files as they are; this is what they mean.
    if (const dom::element meant = field(field(expected_, "sha256_as_meant"), name); meant.is_string()) {
      same(name, "sha256", text(meant), sha256_of(raw));
      return;
    }
    if (checksum::sha256_available()) same(name, "sha256", wanted, sha256_of(raw));
    compare_head(name, items(field(want, "head")), tensor.dtype(), raw);
  }

  void compare_head(const std::string& name, const std::vector<dom::element>& head, DType dtype,
                    std::span<const std::byte> raw) {
    const std::size_t width = size_bytes(dtype);
    for (std::size_t i = 0; i < head.size(); ++i) {
      const std::span<const std::byte> element = raw.subspan(i * width, width);
      const auto hex_bits = [](std::span<const std::byte> part) {
        std::string out;
        for (std::size_t j = part.size(); j-- > 0;) out += hex_of(part.subspan(j, 1));
        return "0x" + out;
      };
      std::uint64_t value = 0;
      for (std::size_t j = std::min<std::size_t>(width, 8); j-- > 0;) {
        value = value << 8 | std::to_integer<std::uint64_t>(element[j]);
      }
      std::string have;
      switch (info(dtype).kind) {
        case DTypeKind::quantized:
          if (info(dtype).packed != 1) return;
          have = dtype == DType::qu8
                     ? std::to_string(value)
                     : std::to_string(static_cast<std::int64_t>(value << (64 - 8 * width)) >> (64 - 8 * width));
          break;
        case DTypeKind::boolean:
          have = value != 0 ? "True" : "False";
          break;
        case DTypeKind::natural:
          have = std::to_string(value);
          break;
        case DTypeKind::integer: {
          const std::size_t unused = 64 - 8 * width;
          have = std::to_string(static_cast<std::int64_t>(value << unused) >> unused);
          break;
        }
        case DTypeKind::complex:
          have = hex_bits(element.first(width / 2)) + " " + hex_bits(element.last(width / 2));
          break;
        default:
          have = hex_bits(element);
      }
      same(name, "element " + std::to_string(i), text(head[i]), have);
    }
  }

  // True where a key is spelt differently by the two sides, so that names are not compared.
  bool compare_path(const std::string& name, dom::element want, const Path& have) {
    const auto steps = items(want);
    bool other_keys = false;
    if (steps.size() != have.size()) {
      differ(name, "path", simdjson::to_string(want), to_string(std::span<const PathStep>(have)));
      return other_keys;
    }
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const PathStep& step = have[i];
      bool fits = false;
      if (has(steps[i], "attr")) {
        fits = step.kind == PathStep::Kind::attr && step.text == text(field(steps[i], "attr"));
      } else if (has(steps[i], "key")) {
        other_keys = true;
        fits = step.kind == PathStep::Kind::key && (step.other_key || step.integer_key || !step.text.empty());
      } else if (steps[i].is_string()) {
        fits = step.kind == PathStep::Kind::key && !step.integer_key && step.text == text(steps[i]);
      } else {
        fits = (step.kind == PathStep::Kind::index || step.integer_key) && step.index == number(steps[i]);
      }
      if (!fits) {
        differ(name, "path", simdjson::to_string(want), to_string(std::span<const PathStep>(have)));
        return other_keys;
      }
    }
    return other_keys;
  }

  // --- modules ---

  Value at(dom::element path) {
    Path steps;
    for (const dom::element step : items(path)) {
      PathStep have;
      if (has(step, "attr")) {
        have.kind = PathStep::Kind::attr;
        have.text = text(field(step, "attr"));
      } else if (step.is_string()) {
        have.text = text(step);
      } else {
        have.kind = PathStep::Kind::index;
        have.index = number(step);
      }
      steps.push_back(std::move(have));
    }
    return checkpoint_.root().at(std::span<const PathStep>(steps));
  }

  void compare_modules() {
    for (const dom::element module : items(field(expected_, "modules"))) {
      const std::string name(text(field(module, "name")));
      const Value have = at(field(module, "path"));
      if (!have.exists()) {
        // Integer dict keys and list positions look the same in the description.
        ++result_.not_compared;
        continue;
      }
      same(name, "module class", text(field(module, "class")), have.class_name());
      for (const auto& [attribute, value] : members(field(module, "attrs"))) {
        compare_value(name + "." + std::string(attribute), value, have.attr(attribute));
      }
    }
  }

  // --- values ---

  void kind_is(const std::string& where, ValueKind want, const Value& have) {
    same(where, "kind", to_string(want), to_string(have.kind()));
  }

  void compare_value(const std::string& where, dom::element want, const Value& have) {
    ++result_.values;
    if (!have.exists()) return differ(where, "value", simdjson::to_string(want), "nothing");
    if (want.is_null()) return kind_is(where, ValueKind::none, have);
    if (want.is_bool()) {
      kind_is(where, ValueKind::boolean, have);
      return same(where, "bool", std::to_string(flag(want)), std::to_string(have.as_bool().value_or(!flag(want))));
    }
    if (want.is_int64()) return same(where, "int", std::to_string(number(want)), have.as_decimal().value_or("?"));
    if (want.is_string()) return same(where, "str", text(want), have.as_string().value_or("?"));
    compare_form(where, want, have);
  }

  void compare_form(const std::string& where, dom::element want, const Value& have) {
    if (has(want, "ref")) {
      const auto known = objects_.find(number(field(want, "ref")));
      if (known != objects_.end() && known->second != have.identity()) {
        differ(where, "identity", "the object met before", "another");
      }
      return;
    }
    if (has(want, "id")) objects_.emplace(number(field(want, "id")), have.identity());
    if (has(want, "int")) return same(where, "int", text(field(want, "int")), have.as_decimal().value_or("?"));
    if (has(want, "float")) {
      kind_is(where, ValueKind::real, have);
      return same(where, "float", text(field(want, "bits")), bits_of(have.as_double().value_or(0)));
    }
    if (has(want, "complex")) {
      const auto parts = items(field(want, "bits"));
      const auto value = have.as_complex().value_or(std::complex<double>());
      same(where, "real part", text(parts[0]), bits_of(value.real()));
      return same(where, "imaginary part", text(parts[1]), bits_of(value.imag()));
    }
    for (const std::string_view kind : {"bytes", "bytearray"}) {
      if (!has(want, kind)) continue;
      kind_is(where, kind == "bytes" ? ValueKind::bytes : ValueKind::bytearray, have);
      return same(where, kind, text(field(want, kind)), hex_of(have.as_bytes().value_or(std::span<const std::byte>())));
    }
    if (has(want, "str_utf8")) {
      return same(where, "str", text(field(want, "str_utf8")), hex_of(as_byte_span(have.as_string().value_or(""))));
    }
    for (const std::string_view kind : {"long_str", "long_bytes", "long_bytearray"}) {
      if (!has(want, kind)) continue;
      const auto bytes = kind == "long_str" ? as_byte_span(have.as_string().value_or(""))
                                            : have.as_bytes().value_or(std::span<const std::byte>());
      if (checksum::sha256_available()) same(where, kind, text(field(field(want, kind), "sha256")), sha256_of(bytes));
      return;
    }
    if (has(want, "tensor")) {
      const bool opaque = is_not_built_tensor(want);
      return kind_is(where, opaque ? ValueKind::opaque : ValueKind::tensor, have);
    }
    if (has(want, "sparse") || has(want, "nested")) return kind_is(where, ValueKind::composite, have);
    if (has(want, "module")) return kind_is(where, ValueKind::opaque, have);
    if (has(want, "storage")) return compare_storage(where, field(want, "storage"), have);
    if (has(want, "opaque")) return compare_opaque(where, want, have);
    if (has(want, "dtype")) {
      const std::string wanted(text(field(want, "dtype")));
      // uint1 and the like: names without elements.
      if (have.kind() == ValueKind::global) return same(where, "dtype", "torch." + wanted, have.class_name());
      return same(where, "dtype", wanted, have.as_dtype() ? to_string(*have.as_dtype()) : "?");
    }
    if (has(want, "device")) return same(where, "device", text(field(want, "device")), have.as_device().value_or("?"));
    for (const std::string_view kind : {"layout", "qscheme"}) {
      if (has(want, kind)) {
        return same(where, kind, "torch." + std::string(text(field(want, kind))), have.class_name());
      }
    }
    if (has(want, "size")) {
      kind_is(where, ValueKind::size, have);
      return compare_items(where, items(field(want, "size")), have);
    }
    if (has(want, "global")) return compare_global(where, text(field(want, "global")), have);
    for (const auto& [kind, value] : {std::pair("list", ValueKind::list), std::pair("tuple", ValueKind::tuple)}) {
      if (!has(want, kind)) continue;
      if (!has(want, "class")) kind_is(where, value, have);
      return compare_items(where, items(field(want, kind)), have);
    }
    for (const auto& [kind, value] : {std::pair("set", ValueKind::set), std::pair("frozenset", ValueKind::frozenset)}) {
      if (!has(want, kind)) continue;
      kind_is(where, value, have);
      // Sorted by their text there, in the order of the pickle here.
      return same(where, "items", std::to_string(items(field(want, kind)).size()), std::to_string(have.size()));
    }
    if (has(want, "dict")) return compare_dict(where, want, have);
    if (has(want, "ndarray")) return compare_ndarray(where, field(want, "ndarray"), have);
    if (has(want, "npscalar")) return compare_numpy_scalar(where, field(want, "npscalar"), have);
    if (has(want, "npdtype")) {
      kind_is(where, ValueKind::opaque, have);
      return same(where, "class", "numpy.dtype", have.class_name());
    }
    ++result_.not_compared;  // slice, range
  }

  void compare_global(const std::string& where, std::string_view want, const Value& have) {
    // Functions and constants that Python reaches by getattr, or by another name than they know themselves.
    if (have.kind() == ValueKind::opaque) {
      ++result_.not_compared;
      return;
    }
    const std::string_view found = have.class_name();
    if (found == want) return;
    const std::string_view last = want.substr(want.rfind('.') + 1);
    if (found.ends_with("." + std::string(last))) {
      ++result_.not_compared;
      return;
    }
    differ(where, "global", want, found);
  }

  // Structured dtypes are "|V12" there, and say their fields here. NumPy swaps most arrays to its machine's order when
  // it loads them; here the dtype is that of the file.
  void same_numpy_dtype(const std::string& where, dom::element want, const Value& have) {
    const std::string_view wanted = text(field(want, "dtype"));
    std::string found(have.numpy_dtype().value_or("none"));
    if (found.starts_with(">")) found[0] = wanted.empty() ? '?' : wanted[0];
    same(where, "dtype", wanted, found.starts_with("[") ? wanted : found);
  }

  // The elements in C order, in the byte order that NumPy gave them.
  static std::string elements_of(const NdArray& array, std::string_view wanted_dtype) {
    const bool is_big = array.dtype[0] == '>' && !array.tensor;  // tensors are in this machine's order
    const Tensor dense = array.tensor ? array.tensor->contiguous().value() : Tensor();
    const auto have = array.tensor ? dense.bytes().value() : array.data->bytes().value();
    std::vector<std::byte> bytes(have.begin(), have.end());
    const std::ptrdiff_t item = static_cast<std::ptrdiff_t>(array.item_bytes);
    const std::ptrdiff_t unit = array.dtype[1] == 'U' ? 4 : array.dtype[1] == 'c' ? item / 2 : item;
    const bool swap = unit > 1 && array.dtype[0] == '>' && is_big != (wanted_dtype[0] == '>');
    for (auto at = bytes.begin(); swap && at != bytes.end(); at += unit) std::reverse(at, at + unit);
    return hex_of(bytes);
  }

  void compare_ndarray(const std::string& where, dom::element want, const Value& have) {
    if (checkpoint_.format().kind == FileKind::npy) {  // a tensor here: interchange/npy_test.cpp compares those
      ++result_.not_compared;
      return;
    }
    kind_is(where, ValueKind::ndarray, have);
    const NdArray* const array = have.as_ndarray();
    if (array == nullptr) return;
    same_numpy_dtype(where, want, have);
    const auto sizes = items(field(want, "shape"));
    same(where, "dims", std::to_string(sizes.size()), std::to_string(array->shape.size()));
    for (std::size_t i = 0; i < std::min(sizes.size(), array->shape.size()); ++i) {
      same(where, "size", std::to_string(number(sizes[i])), std::to_string(array->shape[i]));
    }
    if (has(want, "items")) return compare_items(where, items(field(want, "items")), have);
    const std::string_view order = array->order == ArrayOrder::permuted ? "C" : to_string(array->order);
    same(where, "order", field(want, "fortran").get_bool().value() ? "F" : "C", order);
    same(where, "data", text(field(want, "data")), elements_of(*array, text(field(want, "dtype"))));
  }

  void compare_numpy_scalar(const std::string& where, dom::element want, const Value& have) {
    same_numpy_dtype(where, want, have);
    const std::string_view bytes = text(field(want, "data"));
    if (const NdArray* const array = have.as_ndarray()) {
      same(where, "scalar", "true", array->is_scalar ? "true" : "false");
      return same(where, "data", bytes, hex_of(array->data->bytes().value()));
    }
    // What NumPy prints; 'True' for booleans.
    const std::string_view repr = text(field(want, "repr"));
    if (have.kind() == ValueKind::boolean) return same(where, "bool", repr, have.as_bool().value() ? "True" : "False");
    if (have.kind() == ValueKind::integer) return same(where, "int", repr, have.as_decimal().value_or("?"));
    if (have.kind() == ValueKind::real && bytes.size() == 16) {
      const double value = have.as_double().value();
      return same(where, "float", bytes, hex_of(std::as_bytes(std::span(&value, 1))));
    }
    if (have.kind() == ValueKind::real && bytes.size() == 8) {
      const auto value = static_cast<float>(have.as_double().value());
      return same(where, "float", bytes, hex_of(std::as_bytes(std::span(&value, 1))));
    }
    ++result_.not_compared;
  }

  void compare_storage(const std::string& where, dom::element want, const Value& have) {
    kind_is(where, ValueKind::storage, have);
    const std::optional<Storage> storage = have.as_storage();
    if (!storage) return;
    const std::string_view dtype = text(field(want, "dtype"));
    if (dtype != "untyped") same(where, "dtype", dtype, to_string(have.as_dtype().value_or(DType::f32)));
    same(where, "storage bytes", std::to_string(number(field(want, "storage_nbytes"))),
         std::to_string(storage->size_bytes()));
    compare_group(where, number(field(want, "storage_group")), *storage);
    const auto bytes = storage->bytes();
    if (!bytes) return differ(where, "bytes", "some", to_string(bytes.error()));
    if (checksum::sha256_available()) same(where, "sha256", text(field(want, "sha256")), sha256_of(*bytes));
  }

  void compare_items(const std::string& where, const std::vector<dom::element>& want, const Value& have) {
    same(where, "items", std::to_string(want.size()), std::to_string(have.item_count()));
    for (std::size_t i = 0; i < std::min(want.size(), have.item_count()); ++i) {
      compare_value(where + "[" + std::to_string(i) + "]", want[i], have.item(i));
    }
  }

  void compare_dict(const std::string& where, dom::element want, const Value& have) {
    if (has(want, "class")) {
      same(where, "class", text(field(want, "class")), have.class_name());
    } else {
      kind_is(where, ValueKind::dict, have);
    }
    compare_entries(where, items(field(want, "dict")), have);
    for (const auto& [name, value] : members(field(want, "attributes"))) {
      compare_value(where + "." + std::string(name), value, have.attr(name));
    }
  }

  void compare_entries(const std::string& where, const std::vector<dom::element>& want, const Value& have) {
    same(where, "entries", std::to_string(want.size()), std::to_string(have.entry_count()));
    // Python 2 keeps no order: its descriptions have another one than its pickles. Nor do readers of safetensors.
    const bool ordered =
        !text(field(expected_, "python")).starts_with("2.") && text(field(expected_, "kind")) != "safetensors";
    for (std::size_t i = 0; i < std::min(want.size(), have.entry_count()); ++i) {
      const auto pair = items(want[i]);
      if (!ordered && pair[0].is_string()) {
        compare_value(where + "/" + std::string(text(pair[0])), pair[1], have[text(pair[0])]);
        continue;
      }
      const auto [key, value] = have.entry(i);
      compare_value(where + " key " + std::to_string(i), pair[0], key);
      compare_value(where + "/" + std::string(key.as_string().value_or("?")), pair[1], value);
    }
  }

  void compare_opaque(const std::string& where, dom::element want, const Value& have) {
    if (!has(want, "unknown_class") || has(want, "reduce") || has(want, "error")) {
      // Python's own account of an object of a class it knows; the pickle may make it another way.
      ++result_.not_compared;
      return;
    }
    kind_is(where, ValueKind::opaque, have);
    same(where, "class", text(field(want, "opaque")), have.class_name());
    compare_items(where + ".args", items(field(want, "args")), have.arguments());
    for (const auto& [name, value] : members(field(want, "state"))) {
      if (name == "__state__") {
        compare_value(where + "." + std::string(name), value, have.state());
      } else {
        compare_value(where + "." + std::string(name), value, have.attr(name));
      }
    }
    if (has(want, "items")) compare_items(where, items(field(want, "items")), have);
    if (has(want, "dict")) compare_entries(where, items(field(want, "dict")), have);
  }

  const Checkpoint& checkpoint_;
  dom::element expected_;
  Comparison result_;
  std::map<std::int64_t, const Memory*> groups_;
  std::map<const Memory*, std::int64_t> memories_;
  std::map<std::int64_t, std::uint32_t> objects_;
};

}  // namespace

Expectation read_expectation(const std::filesystem::path& json) {
  dom::parser parser;
  dom::element document;
  if (parser.load(json.string()).get(document) != simdjson::SUCCESS) return {};
  std::string kind(text(field(document, "kind")));
  // What torch writes and cannot read again: the description has no more than its name.
  if (kind.empty() && has(document, "unreadable") && json.string().ends_with(".legacy.expect.json")) kind = "legacy";
  return {std::move(kind), has(document, "load_error")};
}

Comparison compare(const Checkpoint& checkpoint, const std::filesystem::path& json) {
  dom::parser parser;
  dom::element document;
  if (parser.load(json.string()).get(document) != simdjson::SUCCESS) {
    return {.differences = {json.string() + " is no JSON"}};
  }
  if (has(document, "unreadable") && json.filename() == "dtypes_untyped.legacy.expect.json") {
    // Torch writes these and cannot read them; it describes the same tensors as it wrote them elsewhere.
    const std::filesystem::path elsewhere = json.parent_path() / "dtypes.expect.json";
    if (parser.load(elsewhere.string()).get(document) != simdjson::SUCCESS) {
      return {.differences = {elsewhere.string() + " is no JSON"}};
    }
    return Comparer(checkpoint, document).run_by_name();
  }
  return Comparer(checkpoint, document).run();
}

Comparison compare_shard(const Checkpoint& checkpoint, const std::filesystem::path& json) {
  dom::parser parser;
  dom::element document;
  if (parser.load(json.string()).get(document) != simdjson::SUCCESS) {
    return {.differences = {json.string() + " is no JSON"}};
  }
  return Comparer(checkpoint, document).run_shard();
}

}  // namespace rushlight::test
