#include "checkpoint/object_maker.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "base/quote.hpp"
#include "pickle/literals.hpp"

namespace rushlight::checkpoint {
namespace {

using pickle::ObjectId;
using pickle::ObjectKind;

// What torch.serialization._get_layout takes.
constexpr std::array<std::string_view, 8> kLayouts = {"torch.strided",    "torch.sparse_coo", "torch.sparse_csr",
                                                      "torch.sparse_csc", "torch.sparse_bsr", "torch.sparse_bsc",
                                                      "torch._mkldnn",    "torch.jagged"};

}  // namespace

ObjectMaker::ObjectMaker(const ValueGraph& graph, const UnbuildOptions& options, bool shares_keys)
    : graph_(graph),
      options_(options),
      shares_keys_(shares_keys),
      made_(graph.nodes.size(), pickle::kNoObject),
      sources_(graph.origins.size()) {
  none_ = objects_.none();
}

Status ObjectMaker::make(NodeId root) {
  if (none_ == pickle::kNoObject) return no_memory();
  RUSHLIGHT_TRY_ASSIGN(const ObjectId object, object_of(root));
  objects_.set_root(object);
  while (!pending_.empty()) {
    const Pending next = pending_.back();
    pending_.pop_back();
    RUSHLIGHT_TRY(fill(next));
    if (out_of_memory_) return no_memory();
  }
  return objects_.is_complete() ? Status() : no_memory();
}

bool ObjectMaker::set_key(std::uint32_t storage, std::string_view key) {
  return objects_.set_text(storages_[storage].key, key);
}

// --- small objects
// ------------------------------------------------------------------------------------------------------

// There may be no memory: the work then goes on with None until somebody looks.
ObjectId ObjectMaker::kept(ObjectId object) noexcept {
  if (object != pickle::kNoObject) return object;
  out_of_memory_ = true;
  return none_;
}
void ObjectMaker::keep(bool done) noexcept {
  if (!done) out_of_memory_ = true;
}

ObjectId ObjectMaker::constant(std::string_view text) {
  const auto known = constants_.find(text);
  if (known != constants_.end()) return known->second;
  const ObjectId made = kept(objects_.text(ObjectKind::string, text));
  constants_.emplace(text, made);
  return made;
}

// CPython has one object for each text of one character.
ObjectId ObjectMaker::fresh_text(std::string_view text) {
  return text.size() == 1 ? constant(text) : kept(objects_.text(ObjectKind::string, text));
}

ObjectId ObjectMaker::global(std::string_view module, std::string_view name) {
  const auto key = std::pair(std::string(module), std::string(name));
  if (const auto known_pair = globals_.find(key); known_pair != globals_.end()) return known_pair->second;
  note_if_refused({module, name});
  const PythonName spelt = options_.protocol <= 2 ? python2_name(module, name) : PythonName{module, name};
  const ObjectId made =
      kept(objects_.global(constant(spelt.module), kept(objects_.text(ObjectKind::string, spelt.name))));
  globals_.emplace(key, made);
  return made;
}

void ObjectMaker::note_if_refused(PythonName name) {
  const std::optional<KnownGlobal> meaning = find_global(name.module, name.name);
  if (!meaning || !meaning->torch.holds(options_.weights_only)) refused_.push_back({dotted(name), current_});
}

ObjectId ObjectMaker::tuple(std::span<const ObjectId> items) {
  const ObjectId made = kept(objects_.container(ObjectKind::tuple));
  keep(objects_.add_items(made, items));
  return made;
}

ObjectId ObjectMaker::integers(std::span<const std::int64_t> values) {
  std::vector<ObjectId> items;
  items.reserve(values.size());
  for (const std::int64_t value : values) items.push_back(kept(objects_.integer(value)));
  return tuple(items);
}

ObjectId ObjectMaker::call(ObjectId callable, std::span<const ObjectId> arguments) {
  const ObjectId made = kept(objects_.call(pickle::CallKind::reduce));
  if (made != none_) keep(objects_.set_call(made, callable, tuple(arguments)));
  return made;
}

ObjectId ObjectMaker::empty_ordered_dict() {
  return call(global("collections", "OrderedDict"), {});
}

Error ObjectMaker::cannot_write(NodeId node, std::string what, std::string hint) const {
  const std::string_view class_name =
      graph_.extra(node) != nullptr ? graph_.extra(node)->class_name : std::string_view();
  return Error::of(ErrorCode::unsupported,
                   {.category = Category::unsup,
                    .code = "SAVE-UNSUPPORTED",
                    .message = (class_name.empty() ? std::string("a value") : "an object of " + quoted(class_name)) +
                               " cannot be written: " + std::move(what),
                    .found = escaped(class_name),
                    .hint = std::move(hint)});
}

// --- nodes
// ------------------------------------------------------------------------------------------------------------

Result<ObjectId> ObjectMaker::object_of(NodeId node) {
  if (made_[node] != pickle::kNoObject) return made_[node];
  const NodeId around = std::exchange(current_, node);
  Result<ObjectId> made = shell_of(node);
  current_ = around;
  if (made) made_[node] = *made;
  return made;
}

Result<ObjectId> ObjectMaker::shell_of(NodeId id) {
  const ValueNode& node = graph_[id];
  ObjectId object = pickle::kNoObject;
  RUSHLIGHT_TRY_ASSIGN(Source * source, origin_of(id, object));
  const NodeExtra* const extra = graph_.extra(id);
  const bool is_numpy = extra != nullptr && !extra->numpy_dtype.empty();
  if (is_numpy) {
    if (source == nullptr) return cannot_write(id, "only arrays and scalars of NumPy that a file held can be");
    return adopted_shell(*source, object);
  }
  // Texts, bytes and the like have no parts that could have changed: as they were spelt, where the protocol is the
  // same.
  const bool same_spelling = source != nullptr && source->pickle->protocol == options_.protocol;
  switch (node.kind) {
    case ValueKind::none:
      return kept(objects_.none());
    case ValueKind::boolean:
      return kept(objects_.boolean(node.boolean));
    case ValueKind::integer:
      return kept(node.big ? objects_.big_integer(node.text.view()) : objects_.integer(node.integer));
    case ValueKind::real:
      return kept(objects_.real(node.real));
    case ValueKind::string:
      return source != nullptr ? kept(objects_.text(ObjectKind::string, node.text.view()))
                               : fresh_text(node.text.view());
    case ValueKind::complex: {
      if (same_spelling) return adopted_shell(*source, object);
      const std::array parts = {kept(objects_.real(node.complex[0])), kept(objects_.real(node.complex[1]))};
      return call(global("builtins", "complex"), parts);
    }
    case ValueKind::bytes:
      return same_spelling ? adopted_shell(*source, object) : bytes_object(node.text.view());
    case ValueKind::bytearray:
      return same_spelling ? adopted_shell(*source, object) : bytearray_object(node.text.view());
    case ValueKind::dtype:
      return same_spelling ? adopted_shell(*source, object) : global("torch", to_string(node.dtype));
    case ValueKind::device:
      return same_spelling ? adopted_shell(*source, object) : device_object(node.text.view());
    case ValueKind::size: {
      if (same_spelling) return adopted_shell(*source, object);
      std::vector<std::int64_t> sizes;
      for (const NodeId item : graph_.items(id)) sizes.push_back(graph_[item].integer);
      const std::array arguments = {integers(sizes)};
      return call(global("torch", "Size"), arguments);
    }
    case ValueKind::global:
      return same_spelling ? adopted_shell(*source, object) : named_object(id);
    case ValueKind::list:
    case ValueKind::tuple: {
      const ObjectId made =
          kept(objects_.container(node.kind == ValueKind::list ? ObjectKind::list : ObjectKind::tuple));
      pending_.push_back({made, kNoSource, id});
      return made;
    }
    case ValueKind::dict:
      return dict_object(id);
    case ValueKind::set:
    case ValueKind::frozenset:
      return set_object(id);
    case ValueKind::tensor:
      return tensor_object(id);
    case ValueKind::composite:
      return composite_object(id);
    case ValueKind::storage:
      return storage_object(id);
    case ValueKind::opaque:
      return opaque_object(id);
    case ValueKind::ndarray:
      break;  // is_numpy
  }
  return kept(objects_.none());
}

Result<ObjectId> ObjectMaker::dict_object(NodeId id) {
  const NodeExtra* const extra = graph_.extra(id);
  ObjectId made;
  if (extra == nullptr || extra->class_name.empty()) {
    made = kept(objects_.container(ObjectKind::dict));
  } else if (extra->class_name == "collections.Counter") {
    const std::array arguments = {kept(objects_.container(ObjectKind::dict))};
    RUSHLIGHT_TRY_ASSIGN(const ObjectId counter, class_of_dict(id, "Counter"));
    made = call(counter, arguments);
    pending_.push_back({arguments[0], kNoSource, id});
    if (extra->state == kNoNode) return made;
    RUSHLIGHT_TRY_ASSIGN(const ObjectId state, object_of(extra->state));
    keep(objects_.add_state(made, state));
    return made;
  } else {
    RUSHLIGHT_TRY_ASSIGN(const ObjectId ordered_dict, class_of_dict(id, "OrderedDict"));
    made = call(ordered_dict, {});
  }
  pending_.push_back({made, kNoSource, id});
  return made;
}

// As the file spelt it, where it did.
Result<ObjectId> ObjectMaker::class_of_dict(NodeId id, std::string_view name) {
  ObjectId object = pickle::kNoObject;
  RUSHLIGHT_TRY_ASSIGN(Source * source, origin_of(id, object));
  if (source == nullptr || source->pickle->graph.kind(object) != ObjectKind::call) return global("collections", name);
  const ObjectId callable = source->pickle->graph.callable(object);
  // In the legacy container a class may bring its source text.
  if (source->pickle->graph.kind(callable) != ObjectKind::global) return global("collections", name);
  return adopted(*source, callable);
}

// Up to protocol 3 a call with a list.
Result<ObjectId> ObjectMaker::set_object(NodeId id) {
  const bool frozen = graph_[id].kind == ValueKind::frozenset;
  if (options_.protocol >= 4) {
    const ObjectId made = kept(objects_.container(frozen ? ObjectKind::frozenset : ObjectKind::set));
    pending_.push_back({made, kNoSource, id});
    return made;
  }
  const std::array items = {kept(objects_.container(ObjectKind::list))};
  pending_.push_back({items[0], kNoSource, id});
  return call(global("builtins", frozen ? "frozenset" : "set"), items);
}

// Protocol 2 has no bytes: Python writes a text with a character for each, and what turns it back.
Result<ObjectId> ObjectMaker::bytes_object(std::string_view bytes) {
  if (options_.protocol >= 3) return kept(objects_.text(ObjectKind::bytes, bytes));
  if (bytes.empty()) return call(global("builtins", "bytes"), {});
  std::string text;
  text.reserve(bytes.size() + bytes.size() / 2);
  for (const char byte : bytes) pickle::append_utf8(text, static_cast<unsigned char>(byte));
  const ObjectId characters = bytes.size() == 1 ? constant(text) : kept(objects_.text(ObjectKind::string, text));
  const std::array arguments = {characters, constant("latin1")};
  return call(global("_codecs", "encode"), arguments);
}

Result<ObjectId> ObjectMaker::bytearray_object(std::string_view bytes) {
  if (options_.protocol >= 5) return kept(objects_.text(ObjectKind::bytearray, bytes));
  if (bytes.empty()) return call(global("builtins", "bytearray"), {});
  RUSHLIGHT_TRY_ASSIGN(const ObjectId content, bytes_object(bytes));
  const std::array arguments = {content};
  return call(global("builtins", "bytearray"), arguments);
}

Result<ObjectId> ObjectMaker::device_object(std::string_view device) {
  const std::size_t colon = device.rfind(':');
  std::int64_t index = 0;
  const std::string_view digits = colon == std::string_view::npos ? std::string_view() : device.substr(colon + 1);
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), index);
  const bool has_index = !digits.empty() && parsed.ec == std::errc() && parsed.ptr == digits.data() + digits.size();
  std::vector<ObjectId> arguments = {fresh_text(has_index ? device.substr(0, colon) : device)};
  if (has_index) arguments.push_back(kept(objects_.integer(index)));
  return call(global("torch", "device"), arguments);
}

// A class or function. Where its module ends and its name begins, a file knows; elsewhere it is the last dot.
Result<ObjectId> ObjectMaker::named_object(NodeId id) {
  const std::string_view dotted_name = graph_[id].text.view();
  if (std::find(kLayouts.begin(), kLayouts.end(), dotted_name) != kLayouts.end()) {
    const std::array arguments = {fresh_text(dotted_name)};
    return call(global("torch.serialization", "_get_layout"), arguments);
  }
  ObjectId object = pickle::kNoObject;
  RUSHLIGHT_TRY_ASSIGN(Source * source, origin_of(id, object));
  if (source != nullptr && source->pickle->graph.kind(object) == ObjectKind::global) {
    return adopted_shell(*source, object);
  }
  const std::size_t dot = dotted_name.rfind('.');
  if (dot == std::string_view::npos) return cannot_write(id, "its name " + quoted(dotted_name) + " has no module");
  return global(dotted_name.substr(0, dot), dotted_name.substr(dot + 1));
}

// An object of a class without meaning here: what is called, and how, only the file told.
Result<ObjectId> ObjectMaker::opaque_object(NodeId id) {
  ObjectId object = pickle::kNoObject;
  RUSHLIGHT_TRY_ASSIGN(Source * source, origin_of(id, object));
  if (source == nullptr || source->pickle->graph.kind(object) != ObjectKind::call) {
    return cannot_write(id, "how it is made is known only of objects that a pickle made",
                        "leave it out, or replace it by plain values");
  }
  const pickle::CallKind kind = source->pickle->graph.call_kind(object);
  if (kind == pickle::CallKind::newobj_ex && options_.protocol < 4) {
    return cannot_write(id, "it is made with keyword arguments, which needs pickle protocol 4");
  }
  const ObjectId made = kept(objects_.call(kind));
  pending_.push_back({made, kNoSource, id});
  return made;
}

Status ObjectMaker::fill_opaque(ObjectId made, NodeId id) {
  ObjectId object = pickle::kNoObject;
  RUSHLIGHT_TRY_ASSIGN(Source * source, origin_of(id, object));
  const pickle::ObjectGraph& from = source->pickle->graph;
  RUSHLIGHT_TRY_ASSIGN(const ObjectId callable, adopted(*source, from.callable(object)));
  ObjectId keywords = pickle::kNoObject;
  if (from.keywords(object) != pickle::kNoObject) {
    RUSHLIGHT_TRY_ASSIGN(keywords, adopted(*source, from.keywords(object)));
  }
  RUSHLIGHT_TRY_ASSIGN(const ObjectId arguments, adopted(*source, from.arguments(object)));
  keep(objects_.set_call(made, callable, arguments, keywords));
  RUSHLIGHT_TRY(add_nodes(made, graph_.items(id), false));
  RUSHLIGHT_TRY(add_nodes(made, graph_.entries(id), true));
  if (const NodeId state = graph_.state(id); state != kNoNode) {
    RUSHLIGHT_TRY_ASSIGN(const ObjectId built, object_of(state));
    keep(objects_.add_state(made, built));
  }
  return {};
}

Status ObjectMaker::add_nodes(ObjectId container, std::span<const NodeId> items, bool pairs) {
  std::vector<ObjectId> objects;
  objects.reserve(items.size());
  for (const NodeId item : items) {
    RUSHLIGHT_TRY_ASSIGN(const ObjectId object, object_of(item));
    objects.push_back(object);
  }
  keep(pairs ? objects_.add_pairs(container, objects) : objects_.add_items(container, objects));
  return {};
}

Status ObjectMaker::fill(const Pending& pending) {
  if (pending.source != kNoSource) return fill_adopted(pending.object, *sources_[pending.source], pending.from);
  const NodeId around = std::exchange(current_, pending.from);
  Status filled = fill_node(pending.object, pending.from);
  current_ = around;
  return filled;
}

Status ObjectMaker::fill_node(ObjectId object, NodeId id) {
  switch (graph_[id].kind) {
    case ValueKind::list:
    case ValueKind::tuple:
    case ValueKind::set:
    case ValueKind::frozenset:
      return add_nodes(object, graph_.items(id), false);
    case ValueKind::dict: {
      RUSHLIGHT_TRY(add_nodes(object, graph_.entries(id), true));
      const NodeId state = graph_.state(id);
      if (state == kNoNode || objects_.graph().kind(object) != ObjectKind::call) return {};
      RUSHLIGHT_TRY_ASSIGN(const ObjectId built, object_of(state));
      keep(objects_.add_state(object, built));
      return {};
    }
    default:
      return fill_opaque(object, id);
  }
}

// --- objects that a file had
// --------------------------------------------------------------------------------------------

Result<ObjectMaker::Source*> ObjectMaker::source_of(NodeOrigin from) {
  std::unique_ptr<Source>& source = sources_[from.origin];
  if (source) return source.get();
  source = std::make_unique<Source>();
  source->origin = static_cast<const PickleOrigin*>(graph_.origins[from.origin].get());
  source->number = from.origin;
  const PickleOrigin& origin = *source->origin;
  RUSHLIGHT_TRY_ASSIGN(source->pickle, pickle::read_pickle(origin.bytes, origin.limits));
  const std::size_t count = source->pickle->graph.size();
  source->nodes.assign(count, kNoNode);
  source->made.assign(count, pickle::kNoObject);
  for (NodeId id = 0; id < graph_.node_origins.size(); ++id) {
    const NodeOrigin of_node = graph_.node_origins[id];
    if (of_node.exists() && of_node.origin == from.origin) source->nodes[of_node.object] = id;
  }
  const bool by_key = origin.persistent_ids == PersistentIds::zip || origin.persistent_ids == PersistentIds::legacy;
  source->spells_tensors = by_key && !origin.is_big_endian;
  for (std::uint32_t i = 0; i < origin.storages.size(); ++i) {
    const StorageRequest& request = origin.storages[i].request;
    // Slices of storages, and files inside the pickle: what is written now has neither.
    if (request.view || request.location.empty()) source->spells_tensors = false;
    source->keys.emplace(request.key, i);
  }
  return source.get();
}

Result<ObjectMaker::Source*> ObjectMaker::origin_of(NodeId node, ObjectId& object) {
  const NodeOrigin from = graph_.origin_of(node);
  if (!from.exists()) return nullptr;
  object = from.object;
  return source_of(from);
}

std::optional<KnownGlobal> ObjectMaker::known(const Source& source, ObjectId callable) const {
  const pickle::ObjectGraph& from = source.pickle->graph;
  if (from.kind(callable) != ObjectKind::global) return std::nullopt;
  const PythonName name = python3_name(from.module(callable), from.name(callable), source.pickle->protocol);
  return find_global(name.module, name.name);
}

Result<ObjectId> ObjectMaker::adopted(Source& source, ObjectId object) {
  if (source.made[object] != pickle::kNoObject) return source.made[object];
  if (source.nodes[object] != kNoNode) return object_of(source.nodes[object]);
  return adopted_shell(source, object);
}

Result<ObjectId> ObjectMaker::adopted_shell(Source& source, ObjectId object) {
  if (source.made[object] != pickle::kNoObject) return source.made[object];
  const pickle::ObjectGraph& from = source.pickle->graph;
  const ObjectKind kind = from.kind(object);
  const auto pend = [&](ObjectId made) {
    pending_.push_back({made, source.number, object});
    return made;
  };
  ObjectId made = pickle::kNoObject;
  switch (kind) {
    case ObjectKind::none:
      made = kept(objects_.none());
      break;
    case ObjectKind::boolean:
      made = kept(objects_.boolean(from.boolean(object)));
      break;
    case ObjectKind::integer:
      made = kept(objects_.integer(from.integer(object)));
      break;
    case ObjectKind::big_integer:
      made = kept(objects_.big_integer(from.text(object)));
      break;
    case ObjectKind::real:
      made = kept(objects_.real(from.real(object)));
      break;
    case ObjectKind::string:
      made = kept(objects_.text(kind, from.text(object)));
      break;
    case ObjectKind::byte_string:  // Python 3 has none: text where it can be
      if (is_valid_utf8(from.text(object))) {
        made = kept(objects_.text(ObjectKind::string, from.text(object)));
      } else {
        RUSHLIGHT_TRY_ASSIGN(made, bytes_object(from.text(object)));
      }
      break;
    case ObjectKind::bytes: {
      RUSHLIGHT_TRY_ASSIGN(made, bytes_object(from.text(object)));
      break;
    }
    case ObjectKind::bytearray: {
      RUSHLIGHT_TRY_ASSIGN(made, bytearray_object(from.text(object)));
      break;
    }
    case ObjectKind::set:
    case ObjectKind::frozenset:
      if (options_.protocol < 4) {
        const std::array items = {pend(kept(objects_.container(ObjectKind::list)))};
        made = call(global("builtins", kind == ObjectKind::set ? "set" : "frozenset"), items);
        break;
      }
      made = pend(kept(objects_.container(kind)));
      break;
    case ObjectKind::list:
    case ObjectKind::tuple:
    case ObjectKind::dict:
      made = pend(kept(objects_.container(kind)));
      break;
    case ObjectKind::global: {
      RUSHLIGHT_TRY_ASSIGN(made, adopted_global(source, object));
      break;
    }
    case ObjectKind::call: {
      RUSHLIGHT_TRY_ASSIGN(made, adopted_call(source, object));
      break;
    }
    case ObjectKind::persistent: {
      RUSHLIGHT_TRY_ASSIGN(made, adopted_persistent(source, object));
      break;
    }
  }
  source.made[object] = made;
  return made;
}

// From protocol 4 on the two names are objects, which may be the same as other texts, or not.
Result<ObjectId> ObjectMaker::adopted_global(Source& source, ObjectId object) {
  const pickle::ObjectGraph& from = source.pickle->graph;
  const PythonName name = python3_name(from.module(object), from.name(object), source.pickle->protocol);
  const pickle::Node& node = from.storage().nodes[object];
  if (options_.protocol < 4 || node.text_at != pickle::kNamesOnStack) return global(name.module, name.name);
  const auto key = std::pair(std::string(name.module), std::string(name.name));
  if (const auto known_pair = globals_.find(key); known_pair != globals_.end()) return known_pair->second;
  note_if_refused(name);
  RUSHLIGHT_TRY_ASSIGN(const ObjectId module_object, adopted(source, node.names.first));
  RUSHLIGHT_TRY_ASSIGN(const ObjectId name_object, adopted(source, node.names.second));
  const ObjectId made = kept(objects_.global(module_object, name_object));
  globals_.emplace(key, made);
  return made;
}

// Calls that stand for what another protocol has opcodes for are turned into that.
Result<ObjectId> ObjectMaker::adopted_call(Source& source, ObjectId object) {
  const pickle::ObjectGraph& from = source.pickle->graph;
  const pickle::CallKind kind = from.call_kind(object);
  if (source.pickle->protocol != options_.protocol && from.is_bare_reduce(object)) {
    const std::optional<KnownGlobal> callee = known(source, from.callable(object));
    if (callee && (callee->meaning == Meaning::codecs_encode || callee->meaning == Meaning::bytes)) {
      std::string room;
      return bytes_object(latin1_of(source, object, room));
    }
  }
  if (kind == pickle::CallKind::newobj_ex && options_.protocol < 4) {
    return cannot_write(current_, "an object in it is made with keyword arguments, which needs pickle protocol 4");
  }
  const ObjectId made = kept(objects_.call(kind));
  pending_.push_back({made, source.number, object});
  return made;
}

// The bytes behind _codecs.encode(text, "latin1"), or bytes().
std::string_view ObjectMaker::latin1_of(const Source& source, ObjectId object, std::string& room) const {
  const pickle::ObjectGraph& from = source.pickle->graph;
  const std::span<const ObjectId> arguments = from.items(from.arguments(object));
  if (arguments.empty() || from.kind(arguments[0]) != ObjectKind::string) return {};
  const std::string_view utf8 = from.text(arguments[0]);
  for (std::size_t i = 0; i < utf8.size(); ++i) {
    const auto lead = static_cast<unsigned char>(utf8[i]);
    if (lead >= 0x80 && i + 1 < utf8.size()) {
      room.push_back(static_cast<char>((lead & 3) << 6 | (static_cast<unsigned char>(utf8[++i]) & 0x3F)));
    } else {
      room.push_back(utf8[i]);
    }
  }
  return room;
}

Status ObjectMaker::fill_adopted(ObjectId made, Source& source, ObjectId object) {
  const pickle::ObjectGraph& from = source.pickle->graph;
  std::vector<ObjectId> objects;
  const auto adopt_all = [&](std::span<const ObjectId> ids) -> Status {
    objects.clear();
    objects.reserve(ids.size());
    for (const ObjectId id : ids) {
      RUSHLIGHT_TRY_ASSIGN(const ObjectId part, adopted(source, id));
      objects.push_back(part);
    }
    return {};
  };
  switch (from.kind(object)) {
    case ObjectKind::dict:
      RUSHLIGHT_TRY(adopt_all(from.pairs(object)));
      keep(objects_.add_pairs(made, objects));
      return {};
    case ObjectKind::call: {
      RUSHLIGHT_TRY_ASSIGN(const ObjectId callable, adopted(source, from.callable(object)));
      RUSHLIGHT_TRY_ASSIGN(const ObjectId arguments, adopted(source, from.arguments(object)));
      ObjectId keywords = pickle::kNoObject;
      if (from.keywords(object) != pickle::kNoObject) {
        RUSHLIGHT_TRY_ASSIGN(keywords, adopted(source, from.keywords(object)));
      }
      keep(objects_.set_call(made, callable, arguments, keywords));
      RUSHLIGHT_TRY(adopt_all(from.items(object)));
      keep(objects_.add_items(made, objects));
      RUSHLIGHT_TRY(adopt_all(from.pairs(object)));
      keep(objects_.add_pairs(made, objects));
      for (const ObjectId state : from.states(object)) {
        RUSHLIGHT_TRY_ASSIGN(const ObjectId part, adopted(source, state));
        keep(objects_.add_state(made, part));
      }
      return {};
    }
    default:
      RUSHLIGHT_TRY(adopt_all(from.items(object)));
      keep(objects_.add_items(made, objects));
      return {};
  }
}

Result<ObjectId> ObjectMaker::adopted_persistent(Source& source, ObjectId object) {
  const pickle::ObjectGraph& from = source.pickle->graph;
  const ObjectId argument = from.persistent_argument(object);
  const std::span<const ObjectId> parts =
      from.kind(argument) == ObjectKind::tuple ? from.items(argument) : std::span<const ObjectId>();
  if (source.origin->persistent_ids == PersistentIds::legacy && parts.size() == 4) {
    // A class with its source text, at its first use. In archives the name has to do.
    if (options_.persistent_ids != PersistentIds::legacy) return adopted(source, parts[1]);
    RUSHLIGHT_TRY_ASSIGN(const ObjectId module_id, adopted(source, argument));
    return kept(objects_.persistent(module_id));
  }
  if (source.origin->persistent_ids == PersistentIds::tar && parts.size() == 3) return adopted(source, parts[0]);
  const auto is_text = [&](ObjectId id) {
    return from.kind(id) == ObjectKind::string || from.kind(id) == ObjectKind::byte_string;
  };
  const auto entry = parts.size() >= 5 && is_text(parts[2]) ? source.keys.find(from.text(parts[2])) : source.keys.end();
  if (!source.spells_tensors || entry == source.keys.end()) {
    return cannot_write(current_, "a storage in it is named in a way that is not written");
  }
  const std::optional<KnownGlobal> storage_class = known(source, parts[1]);
  if (!storage_class) return cannot_write(current_, "a storage in it is of a class that is not known");
  const StorageTable::Entry& found = source.origin->storages[entry->second];
  const bool untyped = storage_class->meaning == Meaning::untyped_storage_class;
  const DType dtype = storage_class->meaning == Meaning::storage_class ? storage_class->dtype : DType::u8;
  RUSHLIGHT_TRY_ASSIGN(const std::uint32_t index, index_of(found.storage, dtype, untyped, current_));
  if (storages_[index].key == pickle::kNoObject) storages_[index].first_key = entry->first;
  if (shares_keys_) {  // one object, or with torch up to 1.8 another for each use
    RUSHLIGHT_TRY_ASSIGN(storages_[index].key, adopted(source, parts[2]));
  }
  RUSHLIGHT_TRY_ASSIGN(const ObjectId word, adopted(source, parts[0]));
  RUSHLIGHT_TRY_ASSIGN(const ObjectId class_object, adopted(source, parts[1]));
  RUSHLIGHT_TRY_ASSIGN(const ObjectId location, adopted(source, parts[3]));
  return storage_persistent(index, word, class_object, location);
}

}  // namespace rushlight::checkpoint
