// What becomes of each call and persistent id, and which objects become values at all.
#include <algorithm>
#include <map>
#include <utility>

#include "checkpoint/value_builder.hpp"

namespace rushlight::checkpoint {
namespace {

using pickle::ObjectId;
using pickle::ObjectKind;

struct OpaqueTensorText {
  Meaning meaning;
  std::string_view code;
  std::string_view what;  // behind a number
  std::string_view hint;
  std::string_view noun = "tensor";
};
constexpr OpaqueTensorText kOpaqueTensors[] = {
    {Meaning::numpy_tensor, "TENSOR-NUMPY", "NumPy-backed device",
     "to have their values listed, move them to the CPU before they are saved"},
    {Meaning::old_sparse_class, "TENSOR-SPARSE", "old sparse",
     "to have their values listed, load them with the PyTorch that wrote them and save them as strided tensors"},
    // A dtype or storage class that is newer than this table.
    {Meaning::rebuild_tensor_v3, "TENSOR-DTYPE", "unknown dtype",
     "to have their values listed, convert them to a dtype that is known"},
    {Meaning::numpy_reconstruct, "VALUE-NUMPY", "NumPy",
     "their dtype or form is not known here; the rest is not affected", "array"},
};

}  // namespace

bool ValueBuilder::is_unknown_name(ObjectId id) const {
  return kind_of(id) == ObjectKind::global && !names_[id].known;
}

void ValueBuilder::find_roles() {
  const auto count = static_cast<ObjectId>(graph_.size());
  // All names first: the state of an array names its dtype, and comes behind the call that makes it.
  std::vector<ObjectId> acting;  // calls and persistent ids: few of all objects
  for (ObjectId id = 0; id < count; ++id) {
    if (kind_of(id) < ObjectKind::global) continue;
    if (kind_of(id) == ObjectKind::global) {
      names_.add(id);
    } else {
      acting.push_back(id);
    }
  }
  // By ascending number: arguments come before the call that uses them.
  std::size_t persistent_ids = 0;
  std::size_t tensors = 0;
  for (const ObjectId id : acting) {
    switch (kind_of(id)) {
      case ObjectKind::call:
        roles_[id] = role_of_call(id);
        any_opaque_ = any_opaque_ || roles_[id] == Role::opaque;
        tensors += roles_[id] == Role::tensor ? 1 : 0;
        break;
      case ObjectKind::persistent:
        roles_[id] = role_of_persistent(id);
        ++persistent_ids;
        break;
      default:
        break;
    }
  }
  storages_.reserve(persistent_ids);
  values_.graph().tensors.reserve(tensors);
}

Role ValueBuilder::role_of_persistent(ObjectId persistent) const {
  const ObjectId id = graph_.persistent_argument(persistent);
  const PersistentIds ids = provider_.persistent_ids();
  if (ids == PersistentIds::tar && is_text(id)) return Role::keyed;
  if (kind_of(id) != ObjectKind::tuple) return Role::storage;
  const std::span<const ObjectId> parts = graph_.items(id);
  const bool names_module = ids == PersistentIds::tar ? parts.size() == 3
                                                      : ids == PersistentIds::legacy && parts.size() == 4 &&
                                                            is_text(parts[0]) && text(parts[0]) == "module";
  if (names_module && kind_of(class_of_module_id(persistent)) == ObjectKind::global) return Role::module_class;
  if (ids == PersistentIds::package && parts.size() >= 3 && is_text(parts[0]) && text(parts[0]) == "reduce_package") {
    return Role::opaque;
  }
  // A storage class that nobody here knows leaves the size of its elements open.
  return parts.size() >= 2 && is_unknown_name(parts[1]) ? Role::opaque : Role::storage;
}

ObjectId ValueBuilder::class_of_module_id(ObjectId persistent) const {
  const std::span<const ObjectId> parts = graph_.items(graph_.persistent_argument(persistent));
  return parts[provider_.persistent_ids() == PersistentIds::tar ? 0 : 1];
}

ObjectId ValueBuilder::callee_of(ObjectId call) const {
  const ObjectId callable = graph_.callable(call);
  const bool is_class = kind_of(callable) == ObjectKind::persistent && roles_[callable] == Role::module_class;
  return is_class ? class_of_module_id(callable) : callable;
}

Role ValueBuilder::role_of_call(ObjectId call) {
  const std::optional<KnownGlobal> callee = known(callee_of(call));
  if (!callee) return Role::opaque;
  switch (callee->meaning) {
    case Meaning::ordered_dict:
    case Meaning::counter:
      return Role::dict;
    case Meaning::set:
      return Role::set;
    case Meaning::frozenset:
      return Role::frozenset;
    case Meaning::bytes:
    case Meaning::codecs_encode:
      return Role::bytes;
    case Meaning::bytearray:
      return Role::bytearray;
    case Meaning::complex:
      return Role::complex;
    case Meaning::size:
      return Role::size;
    case Meaning::device:
      return Role::device;
    case Meaning::get_layout:
      return Role::layout;
    case Meaning::nested_file:
      return Role::storage;
    case Meaning::typed_value:
      return Role::typed_value;
    case Meaning::tensor_id:
      return Role::tensor;
    case Meaning::numpy_reconstruct:
    case Meaning::numpy_frombuffer:
    case Meaning::numpy_scalar:
      return role_of_numpy(callee->meaning, call);
    case Meaning::numpy_dtype:
    case Meaning::numpy_object:
      return Role::opaque;
    case Meaning::tensor_class:
    case Meaning::old_tensor_class:
    case Meaning::parameter_class: {
      const std::span<const ObjectId> arguments = graph_.items(graph_.arguments(call));
      const bool around_opaque = callee->meaning == Meaning::parameter_class && !arguments.empty() &&
                                 kind_of(arguments[0]) == ObjectKind::call && roles_[arguments[0]] == Role::opaque;
      return around_opaque ? Role::opaque : Role::tensor;
    }
    default:
      return role_of_rebuild(callee->meaning, graph_.items(graph_.arguments(call)));
  }
}

// A rebuild function makes a tensor, unless its storage, its dtype or the tensor inside it has no meaning here. Wrong
// arguments leave it Role::tensor: making it then says what is wrong.
Role ValueBuilder::role_of_rebuild(Meaning meaning, std::span<const ObjectId> arguments) const {
  const auto opaque_at = [&](std::size_t i, ObjectKind kind) {
    return i < arguments.size() && kind_of(arguments[i]) == kind && roles_[arguments[i]] == Role::opaque;
  };
  const auto unknown_at = [&](std::size_t i) { return i < arguments.size() && is_unknown_name(arguments[i]); };
  switch (meaning) {
    case Meaning::rebuild_tensor:
    case Meaning::rebuild_tensor_v2:
      return opaque_at(0, ObjectKind::persistent) ? Role::opaque : Role::tensor;
    case Meaning::rebuild_tensor_v3:
      return opaque_at(0, ObjectKind::persistent) || unknown_at(6) ? Role::opaque : Role::tensor;
    case Meaning::rebuild_parameter:
    case Meaning::rebuild_parameter_with_state:
    case Meaning::rebuild_device_tensor:
      return opaque_at(0, ObjectKind::call) ? Role::opaque : Role::tensor;
    case Meaning::numpy_tensor: {
      const bool has_array =
          !arguments.empty() && kind_of(arguments[0]) == ObjectKind::call && roles_[arguments[0]] == Role::ndarray;
      return has_array && !unknown_at(1) ? Role::tensor : Role::opaque;
    }
    case Meaning::rebuild_meta_tensor:
      return unknown_at(0) ? Role::opaque : Role::tensor;
    case Meaning::wrapper_subclass:
      return unknown_at(1) ? Role::opaque : Role::tensor;
    case Meaning::quantized_tensor:
      return opaque_at(0, ObjectKind::persistent) || holds_opaque_tensor(arguments, 4) ? Role::opaque : Role::tensor;
    case Meaning::sparse_tensor:
    case Meaning::sparse_csr_tensor:
      return holds_opaque_tensor(arguments, 1) ? Role::opaque : Role::tensor;
    case Meaning::jagged_tensor:
      return holds_opaque_tensor(arguments, 0) ? Role::opaque : Role::tensor;
    case Meaning::nested_tensor:
      for (std::size_t i = 0; i < arguments.size(); ++i) {
        if (opaque_at(i, ObjectKind::call)) return Role::opaque;
      }
      return Role::tensor;
    case Meaning::rebuild_from_type:
    case Meaning::rebuild_from_type_v2: {
      if (arguments.size() != 4 || kind_of(arguments[0]) != ObjectKind::global ||
          kind_of(arguments[2]) != ObjectKind::tuple) {
        return Role::tensor;
      }
      const std::optional<KnownGlobal> inner = known(arguments[0]);
      // One function of this kind inside another is what no writer makes; making the tensor refuses it.
      const bool again =
          inner && (inner->meaning == Meaning::rebuild_from_type || inner->meaning == Meaning::rebuild_from_type_v2);
      if (again) return Role::tensor;
      return inner ? role_of_rebuild(inner->meaning, graph_.items(arguments[2])) : Role::opaque;
    }
    default:
      return Role::opaque;
  }
}

// Whether a tuple or dict among the arguments holds a tensor without a meaning here.
bool ValueBuilder::holds_opaque_tensor(std::span<const ObjectId> arguments, std::size_t position) const {
  if (position >= arguments.size()) return false;
  const ObjectId id = arguments[position];
  const bool is_dict = kind_of(id) == ObjectKind::dict;
  if (!is_dict && kind_of(id) != ObjectKind::tuple) return false;
  const std::span<const ObjectId> parts = is_dict ? graph_.pairs(id) : graph_.items(id);
  return std::any_of(parts.begin(), parts.end(), [&](ObjectId part) {
    return kind_of(part) == ObjectKind::call && roles_[part] == Role::opaque && opaque_tensor(part).has_value();
  });
}

std::string ValueBuilder::class_of_call(ObjectId call) const {
  const ObjectId callable = callee_of(call);
  const std::span<const ObjectId> arguments = graph_.items(graph_.arguments(call));
  if (kind_of(callable) == ObjectKind::call) {
    // Something got by a call and called in turn, such as getattr(x, "y")().
    const ObjectId inner = callee_of(callable);
    return (kind_of(inner) == ObjectKind::global ? names_[inner].dotted : std::string("?")) + "(...)";
  }
  if (kind_of(callable) != ObjectKind::global) return "?";
  const FoundName& name = names_[callable];
  // How protocols 0 and 1 make any object, and how torch keeps the type of a tensor.
  const bool names_class_first =
      name.dotted == "copyreg._reconstructor" || (name.known && name.known->meaning == Meaning::numpy_reconstruct);
  const bool names_class_second = name.known && (name.known->meaning == Meaning::rebuild_from_type_v2 ||
                                                 name.known->meaning == Meaning::rebuild_from_type);
  const std::size_t position = names_class_second ? 1 : 0;
  if ((names_class_first || names_class_second) && position < arguments.size() &&
      kind_of(arguments[position]) == ObjectKind::global) {
    return names_[arguments[position]].dotted;
  }
  return name.dotted;
}

std::optional<Meaning> ValueBuilder::opaque_tensor(ObjectId call) const {
  const std::optional<KnownGlobal> callee = known(callee_of(call));
  if (!callee || roles_[call] != Role::opaque) return std::nullopt;
  Meaning meaning = callee->meaning;
  if (meaning == Meaning::rebuild_from_type_v2 || meaning == Meaning::rebuild_from_type) {
    const std::optional<KnownGlobal> inner = known(graph_.items(graph_.arguments(call))[0]);
    if (!inner) return std::nullopt;
    meaning = inner->meaning;
  }
  switch (meaning) {
    case Meaning::rebuild_tensor:
    case Meaning::rebuild_tensor_v2:
    case Meaning::rebuild_tensor_v3:
    case Meaning::rebuild_meta_tensor:
      return Meaning::rebuild_tensor_v3;
    case Meaning::quantized_tensor:
    case Meaning::sparse_tensor:
    case Meaning::sparse_csr_tensor:
    case Meaning::nested_tensor:
    case Meaning::jagged_tensor:
    case Meaning::wrapper_subclass:
      return Meaning::rebuild_tensor_v3;
    case Meaning::numpy_tensor:
    case Meaning::old_sparse_class:
    case Meaning::numpy_reconstruct:
      return meaning;
    case Meaning::numpy_frombuffer:
    case Meaning::numpy_scalar:
      return Meaning::numpy_reconstruct;
    default:
      return std::nullopt;  // a parameter around one of them: that one is reported
  }
}

void ValueBuilder::mark() {
  std::vector<ObjectId> pending{graph_.root()};
  const auto push_all = [&](std::span<const ObjectId> ids) { pending.insert(pending.end(), ids.begin(), ids.end()); };
  while (!pending.empty()) {
    const ObjectId id = pending.back();
    pending.pop_back();
    if (marked_[id] != 0) continue;
    marked_[id] = 1;
    switch (kind_of(id)) {
      case ObjectKind::list:
      case ObjectKind::tuple:
      case ObjectKind::set:
      case ObjectKind::frozenset:
        push_all(graph_.items(id));
        break;
      case ObjectKind::dict:
        push_all(graph_.pairs(id));
        break;
      case ObjectKind::call:
        mark_call(id, pending);
        break;
      case ObjectKind::persistent:
        if (roles_[id] == Role::opaque) pending.push_back(graph_.persistent_argument(id));
        break;
      default:
        break;
    }
  }
}

void ValueBuilder::mark_call(ObjectId call, std::vector<ObjectId>& pending) {
  const auto push_all = [&](std::span<const ObjectId> ids) { pending.insert(pending.end(), ids.begin(), ids.end()); };
  const std::span<const ObjectId> arguments = graph_.items(graph_.arguments(call));
  switch (roles_[call]) {
    case Role::opaque:
      pending.push_back(graph_.arguments(call));
      if (graph_.keywords(call) != pickle::kNoObject) pending.push_back(graph_.keywords(call));
      push_all(graph_.items(call));
      push_all(graph_.pairs(call));
      push_all(graph_.states(call));
      break;
    case Role::tensor: {
      // Attributes are the only part of a tensor that is a value of its own.
      const Meaning meaning = known(callee_of(call))->meaning;
      const bool has_state = meaning == Meaning::rebuild_from_type_v2 || meaning == Meaning::rebuild_from_type ||
                             meaning == Meaning::rebuild_parameter_with_state;
      if (has_state && arguments.size() == 4) pending.push_back(arguments[3]);
      break;
    }
    case Role::dict:
      push_all(graph_.pairs(call));
      push_all(graph_.states(call));
      for (const ObjectId source : arguments) {
        if (kind_of(source) == ObjectKind::dict) push_all(graph_.pairs(source));
        if (kind_of(source) != ObjectKind::list && kind_of(source) != ObjectKind::tuple) continue;
        for (const ObjectId pair : graph_.items(source)) {
          const ObjectKind kind = kind_of(pair);
          if (kind == ObjectKind::list || kind == ObjectKind::tuple) push_all(graph_.items(pair));
        }
      }
      break;
    case Role::set:
    case Role::frozenset:
    case Role::size:
      for (const ObjectId source : arguments) {
        const ObjectKind kind = kind_of(source);
        if (kind == ObjectKind::list || kind == ObjectKind::tuple) push_all(graph_.items(source));
      }
      break;
    case Role::typed_value:
      if (!arguments.empty()) pending.push_back(arguments[0]);
      break;
    case Role::ndarray:
    case Role::numpy_scalar: {
      const NumpyParts parts = numpy_parts(call);
      if (parts.objects != pickle::kNoObject) push_all(graph_.items(parts.objects));
      if (parts.dtype != pickle::kNoObject) pending.push_back(parts.dtype);
      break;
    }
    case Role::storage:
    case Role::bytes:
    case Role::bytearray:
    case Role::complex:
    case Role::device:
    case Role::layout:
    case Role::module_class:
    case Role::keyed:
      break;
  }
}

void ValueBuilder::locate(std::vector<GlobalUse>& uses) {
  // Readers want an example, not ten thousand.
  constexpr std::size_t kPlacesOfOneName = 64;
  std::map<std::string, GlobalUse*, std::less<>> refused;
  for (GlobalUse& use : uses) {
    if (!use.allowed) refused.emplace(use.name, &use);
  }
  if (refused.empty()) return;
  const auto note = [&](ObjectId name, ObjectId at) {
    if (kind_of(name) != ObjectKind::global || names_[name].known || names_[name].accepted) return;
    const auto use = refused.find(names_[name].escaped);
    if (use == refused.end() || use->second->paths.size() == kPlacesOfOneName) return;
    std::string path = paths().name(at);
    std::vector<std::string>& known_paths = use->second->paths;
    if (std::find(known_paths.begin(), known_paths.end(), path) == known_paths.end()) {
      known_paths.push_back(std::move(path));
    }
  };
  for (ObjectId id = 0; id < graph_.size(); ++id) {
    if (marked_[id] == 0) continue;
    if (kind_of(id) == ObjectKind::global) note(id, id);
    if (kind_of(id) != ObjectKind::call) continue;
    note(callee_of(id), id);
    // Types that stand among the arguments: _rebuild_from_type_v2, _reconstructor.
    for (const ObjectId argument : graph_.items(graph_.arguments(id))) note(argument, id);
  }
}

void ValueBuilder::report_opaque_tensors(std::vector<Finding>& findings) {
  constexpr std::size_t kNamed = 64;
  if (!any_opaque_) return;
  struct Kind {
    const OpaqueTensorText* text;
    ObjectId first;
    std::size_t count;
    std::vector<std::string> names;
  };
  std::vector<Kind> kinds;  // in stream order
  for (ObjectId id = 0; id < graph_.size(); ++id) {
    if (marked_[id] == 0 || kind_of(id) != ObjectKind::call) continue;
    const std::optional<Meaning> meaning = opaque_tensor(id);
    if (!meaning) continue;
    const auto* text = std::find_if(std::begin(kOpaqueTensors), std::end(kOpaqueTensors),
                                    [&](const OpaqueTensorText& row) { return row.meaning == *meaning; });
    auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const Kind& k) { return k.text == text; });
    if (kind == kinds.end()) kind = kinds.insert(kinds.end(), {text, id, 0, {}});
    if (kind->count++ < kNamed) kind->names.push_back(paths().name(id));
  }
  for (Kind& kind : kinds) {
    Finding finding{.severity = Severity::warning,
                    .category = Category::unsup,
                    .code = std::string(kind.text->code),
                    .message = std::to_string(kind.count) + " " + std::string(kind.text->what) + " " +
                               std::string(kind.text->noun) +
                               (kind.count == 1 ? " is kept as an opaque value" : "s are kept as opaque values"),
                    .tensors = std::move(kind.names),
                    .hint = std::string(kind.text->hint)};
    bytes_.place.fill(finding, graph_.offset(kind.first));
    findings.push_back(std::move(finding));
  }
}

}  // namespace rushlight::checkpoint
