#include "checkpoint/value_builder.hpp"

#include <algorithm>
#include <functional>
#include <utility>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "checkpoint/arguments.hpp"
#include "checkpoint/pickle_origin.hpp"
#include "pickle/literals.hpp"

namespace rushlight::checkpoint {

using pickle::is_ascii;
using pickle::ObjectId;
using pickle::ObjectKind;

ValueBuilder::ValueBuilder(const pickle::Pickle& pickle, const PickleBytes& bytes, StorageProvider& storages,
                           const LoadOptions& options, int file_depth)
    : graph_(pickle.graph),
      bytes_(bytes),
      options_(options),
      file_depth_(file_depth),
      names_(pickle, options.accepted_globals),
      provider_(storages),
      storages_(storages, options.map_location),
      values_(bytes.owner),
      roles_(pickle.graph.size(), Role::opaque),
      marked_(pickle.graph.size()),
      nodes_(pickle.graph.size(), kNoNode) {
  dtype_nodes_.fill(kNoNode);
}

Result<Value> ValueBuilder::build() {
  find_roles();
  mark();
  const auto count = static_cast<ObjectId>(graph_.size());
  values_.graph().nodes.reserve(static_cast<std::size_t>(std::count(marked_.begin(), marked_.end(), 1)) + 8);
  for (ObjectId id = 0; id < count; ++id) {
    if (marked_[id] == 0) continue;
    Result<NodeId> node = create(id);
    if (!node) return std::move(node).error();
    nodes_[id] = *node;
  }
  for (ObjectId id = 0; id < count; ++id) {
    if (marked_[id] != 0) RUSHLIGHT_TRY(fill(id));
  }
  const NodeId root = nodes_[graph_.root()];
  remember_origin();
  return Value(std::move(values_).finish(), root);
}

void ValueBuilder::remember_origin() {
  ValueGraph& graph = values_.graph();
  // In one pass, by hand: there are half a million objects in a file of twenty thousand tensors.
  std::vector<NodeOrigin> origins(graph.nodes.size());
  for (ObjectId id = 0; id < nodes_.size(); ++id) {
    const NodeId node = nodes_[id];
    if (node == kNoNode || node <= ValueGraph::kTrue || origins[node].exists()) continue;
    origins[node] = {0, id};
  }
  graph.node_origins = std::move(origins);
  auto origin = std::make_shared<PickleOrigin>();
  origin->bytes = bytes_.bytes;
  origin->owner = bytes_.owner;
  origin->limits = options_.limits;
  origin->persistent_ids = provider_.persistent_ids();
  origin->is_big_endian = provider_.is_big_endian();
  origin->storages = std::move(storages_).take_entries();
  // The objects go, and with them those of their texts that are not in the stream as they are.
  for (StorageTable::Entry& entry : origin->storages) {
    for (std::string_view* text : {&entry.request.key, &entry.request.location}) {
      if (!is_borrowed(*text)) *text = graph.arena.copy(*text);
    }
  }
  graph.origins.push_back(std::move(origin));
}

// --- errors
// -----------------------------------------------------------------------------------------------------------

Error ValueBuilder::failure(Category category, std::string_view code, ObjectId at, std::string message,
                            std::string found, std::string expected) const {
  Error error = Error::of({.category = category,
                           .code = std::string(code),
                           .message = std::move(message),
                           .found = std::move(found),
                           .expected = std::move(expected)});
  bytes_.place.fill(error.finding, graph_.offset(at));
  return error;
}

Error ValueBuilder::of_tensor(Error error, ObjectId call, std::string_view what) {
  if (error.finding.tensors.empty()) {
    std::string name = paths().name(call);
    error.finding.message = std::string(what) + " " +
                            (name.empty() ? std::string("at the root") : rushlight::quoted(name)) + ": " +
                            std::move(error.finding.message);
    error.finding.tensors.push_back(std::move(name));
  }
  bytes_.place.fill(error.finding, graph_.offset(call));
  return error;
}

std::string ValueBuilder::describe(ObjectId id) const {
  switch (kind_of(id)) {
    case ObjectKind::global:
      return "global " + rushlight::quoted(names_[id].dotted);
    case ObjectKind::call:
      return roles_[id] == Role::tensor ? "a tensor" : "an object of " + rushlight::quoted(class_of_call(id));
    case ObjectKind::persistent:
      return "a storage";
    default:
      return std::string(pickle::to_string(kind_of(id)));
  }
}

ObjectPaths& ValueBuilder::paths() {
  if (!paths_) paths_ = std::make_unique<ObjectPaths>(graph_);
  return *paths_;
}

bool ValueBuilder::is_borrowed(std::string_view text) const noexcept {
  const std::string_view all = as_text(bytes_.bytes);
  const std::less_equal<const char*> not_behind;
  return not_behind(all.data(), text.data()) && not_behind(text.data() + text.size(), all.data() + all.size());
}

// --- nodes
// ------------------------------------------------------------------------------------------------------------

Result<NodeId> ValueBuilder::create(ObjectId id) {
  switch (kind_of(id)) {
    case ObjectKind::none:
      return values_.none();
    case ObjectKind::boolean:
      return values_.boolean(graph_.boolean(id));
    case ObjectKind::integer:
      return values_.integer(graph_.integer(id));
    case ObjectKind::big_integer:
      return values_.big_integer(text(id));
    case ObjectKind::real:
      return values_.real(graph_.real(id));
    case ObjectKind::string:
      return values_.string(text(id), is_borrowed(text(id)));
    case ObjectKind::byte_string:
      return create_byte_string(id);
    case ObjectKind::bytes:
      return values_.bytes(text(id), is_borrowed(text(id)));
    case ObjectKind::bytearray:
      return values_.bytearray(text(id), is_borrowed(text(id)));
    case ObjectKind::list:
      return values_.list();
    case ObjectKind::dict:
      return values_.dict();
    case ObjectKind::set:
      return values_.set();
    case ObjectKind::tuple:
    case ObjectKind::frozenset: {
      std::vector<NodeId> items;
      items.reserve(graph_.items(id).size());
      for (const ObjectId item : graph_.items(id)) items.push_back(nodes_[item]);
      if (kind_of(id) == ObjectKind::tuple) return values_.tuple(items);
      const NodeId node = values_.frozenset(items);
      if (node == kNoNode) {
        return failure(Category::type, "TYPE-UNHASHABLE", id, "an item of a frozenset is not hashable in Python");
      }
      return node;
    }
    case ObjectKind::global:
      return create_global(id);
    case ObjectKind::call:
      return create_call(id);
    case ObjectKind::persistent:
      return create_persistent(id);
  }
  return values_.none();
}

// Python 2 knew one type for text and bytes. torch.load decodes it, and fails where that does not go.
NodeId ValueBuilder::create_byte_string(ObjectId id) {
  const std::string_view bytes = text(id);
  bool is_string = false;
  switch (options_.encoding) {
    case Encoding::utf8:
      is_string = is_valid_utf8(bytes);
      break;
    case Encoding::ascii:
      is_string = is_ascii(bytes);
      break;
    case Encoding::latin1: {
      if (is_ascii(bytes)) return values_.string(bytes, is_borrowed(bytes));
      std::string decoded;
      for (const char byte : bytes) pickle::append_utf8(decoded, static_cast<unsigned char>(byte));
      return values_.string(decoded);
    }
    case Encoding::bytes:
      break;
  }
  return is_string ? values_.string(bytes, is_borrowed(bytes)) : values_.bytes(bytes, is_borrowed(bytes));
}

// What stands as a key. Names of weights and of attributes stay readable also where strings are bytes.
NodeId ValueBuilder::key_node(ObjectId key) {
  if (options_.encoding != Encoding::bytes || kind_of(key) != ObjectKind::byte_string) return nodes_[key];
  const std::string_view bytes = text(key);
  if (!is_valid_utf8(bytes)) return nodes_[key];
  const auto [known, is_new] = key_texts_.try_emplace(key, kNoNode);
  if (is_new) known->second = values_.string(bytes, is_borrowed(bytes));
  return known->second;
}

Result<NodeId> ValueBuilder::create_global(ObjectId id) {
  const FoundName& name = names_[id];
  if (name.known && name.known->meaning == Meaning::dtype) {
    NodeId& node = dtype_nodes_[static_cast<std::size_t>(name.known->dtype)];
    if (node == kNoNode) node = values_.dtype(name.known->dtype);
    return node;
  }
  return values_.global(name.dotted);
}

Result<NodeId> ValueBuilder::create_persistent(ObjectId id) {
  const ObjectId argument = graph_.persistent_argument(id);
  switch (roles_[id]) {
    case Role::opaque: {
      const std::span<const ObjectId> parts = graph_.items(argument);
      const bool names_class = kind_of(parts[1]) == ObjectKind::global;  // else a function of torch.package
      const ObjectId name = names_class ? parts[1] : parts[2];
      return values_.opaque(
          kind_of(name) == ObjectKind::global ? std::string_view(names_[name].dotted) : "reduce_package",
          nodes_[argument]);
    }
    case Role::module_class:
      return create_global(class_of_module_id(id));
    case Role::keyed: {
      const auto [known, is_new] = keyed_nodes_.try_emplace(text(argument), kNoNode);
      if (!is_new) return known->second;
      RUSHLIGHT_TRY_ASSIGN(StorageProvider::Keyed found, keyed(id));
      known->second = found.tensor ? values_.tensor(*std::move(found.tensor))
                                   : values_.storage(*std::move(found.storage), found.dtype);
      return known->second;
    }
    default:
      break;
  }
  RUSHLIGHT_TRY_ASSIGN(const StorageUse use, storage_of(id));
  const auto [known, is_new] = storage_nodes_.try_emplace({use.index, use.request.dtype}, kNoNode);
  if (is_new) {
    const Storage& storage =
        use.request.untyped ? use.entry->storage : storages_.as_dtype(use.index, use.request.dtype);
    known->second = values_.storage(storage, use.request.dtype);
  }
  return known->second;
}

Result<NodeId> ValueBuilder::create_call(ObjectId call) {
  const Role role = roles_[call];
  RUSHLIGHT_TRY(check_additions(call, role));
  const std::span<const ObjectId> arguments = graph_.items(graph_.arguments(call));
  switch (role) {
    case Role::opaque:
      return create_opaque(call);
    case Role::tensor:
      return create_tensor(call);
    case Role::storage: {
      RUSHLIGHT_TRY_ASSIGN(const StorageUse use, nested_storage(call));
      return values_.storage(use.entry->storage, use.request.dtype);
    }
    case Role::dict: {
      const NodeId node = values_.dict();
      values_.set_class(node, names_[callee_of(call)].dotted);
      return node;
    }
    case Role::set:
      return values_.set();
    case Role::frozenset: {
      const std::string_view callee = names_[callee_of(call)].dotted;
      const Arguments checked(*this, call, callee, arguments);
      RUSHLIGHT_TRY(checked.count(0, 1));
      std::vector<NodeId> items;
      if (!arguments.empty()) {
        const ObjectKind kind = kind_of(arguments[0]);
        if (kind != ObjectKind::list && kind != ObjectKind::tuple) {
          return checked.wrong_type(0, "items", "a list or tuple");
        }
        for (const ObjectId item : graph_.items(arguments[0])) {
          // What was appended to the list only afterwards is no part of the frozenset.
          if (item < call) items.push_back(nodes_[item]);
        }
      }
      const NodeId node = values_.frozenset(items);
      if (node == kNoNode) {
        return failure(Category::type, "TYPE-UNHASHABLE", call, "an item of a frozenset is not hashable in Python");
      }
      return node;
    }
    case Role::bytes: {
      RUSHLIGHT_TRY_ASSIGN(const std::string_view bytes, bytes_of(call, call, names_[callee_of(call)].dotted));
      return values_.bytes(bytes, true);
    }
    case Role::bytearray: {
      const std::string_view callee = names_[callee_of(call)].dotted;
      RUSHLIGHT_TRY(Arguments(*this, call, callee, arguments).count(0, 2));
      if (arguments.empty()) return values_.bytearray({});
      RUSHLIGHT_TRY_ASSIGN(const std::string_view bytes, arguments.size() == 2
                                                             ? encoded_latin1(arguments[0], arguments[1], call, callee)
                                                             : bytes_of(arguments[0], call, callee));
      return values_.bytearray(bytes, true);
    }
    case Role::complex:
      return create_complex(call, arguments);
    case Role::size:
      return create_size(call, arguments);
    case Role::device:
      return create_device(call, arguments);
    case Role::layout:
      return create_layout(call, arguments);
    case Role::typed_value: {
      const Arguments checked(*this, call, names_[callee_of(call)].dotted, arguments);
      RUSHLIGHT_TRY(checked.count(1, 2));
      if (arguments.size() == 2 && !is_text(arguments[1])) return checked.wrong_type(1, "type", "str");
      return nodes_[arguments[0]];
    }
    case Role::ndarray:
      return create_ndarray(call);
    case Role::numpy_scalar:
      return create_numpy_scalar(call);
    case Role::module_class:
    case Role::keyed:
      break;
  }
  return values_.none();
}

Result<NodeId> ValueBuilder::create_opaque(ObjectId call) {
  const ObjectKind callable = kind_of(callee_of(call));
  if (callable == ObjectKind::persistent && provider_.persistent_ids() == PersistentIds::zip) {
    // A storage cannot be called; a class of the legacy format could, and is refused by its own name.
    if (Result<StorageRequest> storage = parse_storage(callee_of(call)); !storage) return std::move(storage).error();
  }
  // What an unknown call returned may be called; a tensor, a dict or any other known result may not.
  const bool known_result = callable == ObjectKind::call && roles_[callee_of(call)] != Role::opaque;
  if (known_result || (callable != ObjectKind::global && callable != ObjectKind::call)) {
    const std::string found = describe(callee_of(call));
    return failure(Category::type, "TYPE-CALLABLE", call, "what is called is no class or function, found " + found,
                   found, "a global");
  }
  NodeId arguments = nodes_[graph_.arguments(call)];
  if (const ObjectId keywords = graph_.keywords(call);
      keywords != pickle::kNoObject && !graph_.pairs(keywords).empty()) {
    // NEWOBJ_EX: the keywords come last, as a dict. It is not filled yet, which a tuple does not mind.
    std::vector<NodeId> all;
    for (const ObjectId argument : graph_.items(graph_.arguments(call))) all.push_back(nodes_[argument]);
    all.push_back(nodes_[keywords]);
    arguments = values_.tuple(all);
  }
  return values_.opaque(class_of_call(call), arguments);
}

Result<NodeId> ValueBuilder::create_complex(ObjectId call, std::span<const ObjectId> arguments) {
  const Arguments checked(*this, call, "builtins.complex", arguments);
  RUSHLIGHT_TRY(checked.count(2, 2));
  std::array<double, 2> parts{};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const ObjectKind kind = kind_of(arguments[i]);
    if (kind == ObjectKind::real) {
      parts[i] = graph_.real(arguments[i]);
    } else if (kind == ObjectKind::integer) {
      parts[i] = static_cast<double>(graph_.integer(arguments[i]));
    } else {
      return checked.wrong_type(i, i == 0 ? "real part" : "imaginary part", "float");
    }
  }
  return values_.complex(parts[0], parts[1]);
}

Result<NodeId> ValueBuilder::create_size(ObjectId call, std::span<const ObjectId> arguments) {
  const Arguments checked(*this, call, "torch.Size", arguments);
  RUSHLIGHT_TRY(checked.count(0, 1));
  std::vector<NodeId> items;
  if (!arguments.empty()) {
    std::vector<std::int64_t> sizes;
    RUSHLIGHT_TRY(checked.integers(0, "sizes", sizes));
    for (const std::int64_t size : sizes) items.push_back(values_.integer(size));
  }
  return values_.size(items);
}

Result<NodeId> ValueBuilder::create_device(ObjectId call, std::span<const ObjectId> arguments) {
  const Arguments checked(*this, call, "torch.device", arguments);
  RUSHLIGHT_TRY(checked.count(1, 2));
  if (!is_text(arguments[0])) return checked.wrong_type(0, "type", "str");
  std::string device(text(arguments[0]));
  if (arguments.size() == 2 && kind_of(arguments[1]) != ObjectKind::none) {
    RUSHLIGHT_TRY_ASSIGN(const std::int64_t index, checked.integer(1, "index"));
    device += ":" + std::to_string(index);
  }
  return values_.device(device);
}

Result<NodeId> ValueBuilder::create_layout(ObjectId call, std::span<const ObjectId> arguments) {
  constexpr std::array<std::string_view, 8> kLayouts = {"torch.strided",    "torch.sparse_coo", "torch.sparse_csr",
                                                        "torch.sparse_csc", "torch.sparse_bsr", "torch.sparse_bsc",
                                                        "torch._mkldnn",    "torch.jagged"};
  const Arguments checked(*this, call, "torch.serialization._get_layout", arguments);
  RUSHLIGHT_TRY(checked.count(1, 1));
  if (!is_text(arguments[0])) return checked.wrong_type(0, "layout", "str");
  for (const std::string_view layout : kLayouts) {
    if (layout == text(arguments[0])) return values_.global(layout);
  }
  const std::string found = rushlight::quoted(text(arguments[0]));
  return failure(Category::type, "TYPE-LAYOUT", call, "torch.serialization._get_layout: no such layout, found " + found,
                 found);
}

// --- bytes
// ------------------------------------------------------------------------------------------------------------

// Protocol 2 has no bytes: Python writes them as text, a character for each byte, and _codecs.encode turns them back.
// Each text is decoded once, however many calls name it: a few bytes a call must not cost a megabyte each.
Result<std::string_view> ValueBuilder::encoded_latin1(ObjectId text_id, ObjectId encoding, ObjectId site,
                                                      std::string_view callee) {
  const auto known_text = decoded_.find(text_id);
  if (kind_of(text_id) == ObjectKind::string && known_text != decoded_.end()) {
    // The encoding of this call is judged all the same.
    if (is_text(encoding) && (text(encoding) == "latin1" || text(encoding) == "latin-1")) return known_text->second;
  }
  RUSHLIGHT_TRY_ASSIGN(const std::string bytes, decoded_latin1(text_id, encoding, site, callee));
  if (kind_of(text_id) == ObjectKind::byte_string) return kept(text_id);
  return decoded_[text_id] = values_.graph().arena.copy(bytes);
}

Result<std::string> ValueBuilder::decoded_latin1(ObjectId text_id, ObjectId encoding, ObjectId site,
                                                 std::string_view callee) const {
  const auto wrong = [&](std::string_view what, std::string_view expected, const std::string& found) {
    return failure(
        Category::type, "TYPE-ARGUMENT", site,
        std::string(callee) + ": " + std::string(what) + ", expected " + std::string(expected) + ", found " + found,
        found, std::string(expected));
  };
  if (!is_text(text_id)) return wrong("argument 0 (text)", "str", describe(text_id));
  if (!is_text(encoding)) return wrong("argument 1 (encoding)", "str", describe(encoding));
  if (text(encoding) != "latin1" && text(encoding) != "latin-1") {
    return wrong("argument 1 (encoding)", "'latin1'", rushlight::quoted(text(encoding)));
  }
  if (kind_of(text_id) == ObjectKind::byte_string) return std::string(text(text_id));
  const std::string_view utf8 = text(text_id);
  std::string bytes;
  bytes.reserve(utf8.size());
  for (std::size_t i = 0; i < utf8.size(); ++i) {
    const auto lead = static_cast<unsigned char>(utf8[i]);
    if (lead < 0x80) {
      bytes.push_back(utf8[i]);
    } else if ((lead == 0xC2 || lead == 0xC3) && i + 1 < utf8.size()) {
      const auto trail = static_cast<unsigned char>(utf8[++i]);
      bytes.push_back(static_cast<char>((lead & 3) << 6 | (trail & 0x3F)));
    } else {
      return wrong("argument 0 (text)", "characters up to U+00FF", rushlight::quoted(utf8.substr(i, 4)));
    }
  }
  return bytes;
}

// The text of an object, for as long as the value graph lives.
std::string_view ValueBuilder::kept(ObjectId id) {
  if (is_borrowed(text(id))) return text(id);
  const auto [known, is_new] = decoded_.try_emplace(id);
  if (is_new) known->second = values_.graph().arena.copy(text(id));
  return known->second;
}

Result<std::string_view> ValueBuilder::bytes_of(ObjectId id, ObjectId site, std::string_view callee) {
  const ObjectKind kind = kind_of(id);
  if (kind == ObjectKind::bytes || kind == ObjectKind::bytearray || kind == ObjectKind::byte_string) return kept(id);
  if (kind == ObjectKind::call && roles_[id] == Role::bytes) {
    const std::span<const ObjectId> arguments = graph_.items(graph_.arguments(id));
    const std::string_view inner = names_[callee_of(id)].dotted;
    const Arguments checked(*this, id, inner, arguments);
    if (known(callee_of(id))->meaning == Meaning::codecs_encode) {
      RUSHLIGHT_TRY(checked.count(2, 2));
      return encoded_latin1(arguments[0], arguments[1], id, inner);
    }
    // builtins.bytes(): Python's own way to write b"".
    RUSHLIGHT_TRY(checked.count(0, 0));
    return std::string_view();
  }
  const std::string found = describe(id);
  return failure(Category::type, "TYPE-ARGUMENT", site,
                 std::string(callee) + ": argument 0 (bytes), expected bytes, found " + found, found, "bytes");
}

// --- containers
// -------------------------------------------------------------------------------------------------------

// What later opcodes may add to the result of a call with a meaning (CVE-2026-24747: torch < 2.10 let SETITEM write
// into tensors).
Status ValueBuilder::check_additions(ObjectId call, Role role) const {
  if (role == Role::opaque || graph_.is_bare_reduce(call)) return {};
  const std::string& callee = names_[callee_of(call)].dotted;
  if (!graph_.items(call).empty()) {
    return failure(Category::type, "TYPE-APPEND", call, "items are appended to the result of " + callee);
  }
  if (!graph_.pairs(call).empty() && role != Role::dict) {
    return failure(Category::type, "TYPE-SETITEM", call, "keys are set on the result of " + callee);
  }
  const std::optional<KnownGlobal> callee_known = known(callee_of(call));
  const bool is_object = callee_known->meaning == Meaning::tensor_class ||
                         callee_known->meaning == Meaning::old_tensor_class ||
                         callee_known->meaning == Meaning::parameter_class;
  const bool takes_state = is_object || callee_known->meaning == Meaning::numpy_reconstruct;
  if (!graph_.states(call).empty() && role != Role::dict && !takes_state) {
    return failure(Category::type, "TYPE-BUILD", call, "a state is set on the result of " + callee);
  }
  const pickle::CallKind kind = graph_.call_kind(call);
  const bool is_class = is_object || role == Role::dict || role == Role::set || role == Role::frozenset ||
                        role == Role::bytearray || role == Role::complex || role == Role::size ||
                        role == Role::device || callee_known->meaning == Meaning::bytes;
  if (!is_class && (kind == pickle::CallKind::newobj || kind == pickle::CallKind::newobj_ex)) {
    return failure(Category::type, "TYPE-NEWOBJ", call, callee + " is a function, and an object of it is made");
  }
  if (const ObjectId keywords = graph_.keywords(call);
      keywords != pickle::kNoObject && !graph_.pairs(keywords).empty()) {
    return failure(Category::type, "TYPE-KEYWORDS", call, callee + " is called with keyword arguments");
  }
  return {};
}

Status ValueBuilder::fill(ObjectId id) {
  switch (kind_of(id)) {
    case ObjectKind::list:
      for (const ObjectId item : graph_.items(id)) values_.append(nodes_[id], nodes_[item]);
      return {};
    case ObjectKind::set:
      for (const ObjectId item : graph_.items(id)) {
        if (!values_.append(nodes_[id], nodes_[item])) {
          return failure(Category::type, "TYPE-UNHASHABLE", item,
                         "an item of a set is not hashable in Python, found " + describe(item), describe(item));
        }
      }
      return {};
    case ObjectKind::dict:
      return add_pairs(id, graph_.pairs(id));
    case ObjectKind::call:
      return fill_call(id);
    case ObjectKind::persistent:
      if (graph_.states(id).empty()) return {};
      return failure(Category::type, "TYPE-BUILD", id, "a state is set on a storage");
    default:
      return {};
  }
}

Status ValueBuilder::add_entry(ObjectId container, ObjectId key, ObjectId value) {
  if (values_.set_item(nodes_[container], key_node(key), nodes_[value])) return {};
  return failure(Category::type, "TYPE-UNHASHABLE", key, "a dict key is not hashable in Python, found " + describe(key),
                 describe(key));
}

Status ValueBuilder::add_pairs(ObjectId container, std::span<const ObjectId> pairs) {
  for (std::size_t i = 0; i + 1 < pairs.size(); i += 2) RUSHLIGHT_TRY(add_entry(container, pairs[i], pairs[i + 1]));
  return {};
}

Status ValueBuilder::fill_call(ObjectId call) {
  switch (roles_[call]) {
    case Role::opaque:
      for (const ObjectId item : graph_.items(call)) values_.append(nodes_[call], nodes_[item]);
      RUSHLIGHT_TRY(add_pairs(call, graph_.pairs(call)));
      return set_states(call, graph_.states(call));
    case Role::dict:
      return fill_dict_call(call);
    case Role::set: {
      const std::span<const ObjectId> arguments = graph_.items(graph_.arguments(call));
      const Arguments checked(*this, call, "builtins.set", arguments);
      RUSHLIGHT_TRY(checked.count(0, 1));
      if (arguments.empty()) return {};
      const ObjectKind kind = kind_of(arguments[0]);
      if (kind != ObjectKind::list && kind != ObjectKind::tuple) {
        return checked.wrong_type(0, "items", "a list or tuple");
      }
      for (const ObjectId item : graph_.items(arguments[0])) {
        if (!values_.append(nodes_[call], nodes_[item])) {
          return failure(Category::type, "TYPE-UNHASHABLE", item,
                         "an item of a set is not hashable in Python, found " + describe(item), describe(item));
        }
      }
      return {};
    }
    case Role::ndarray:
    case Role::numpy_scalar:
      return hang_on_ndarray(call);
    default:
      return {};
  }
}

Status ValueBuilder::fill_dict_call(ObjectId call) {
  const std::span<const ObjectId> arguments = graph_.items(graph_.arguments(call));
  const Arguments checked(*this, call, names_[callee_of(call)].dotted, arguments);
  RUSHLIGHT_TRY(checked.count(0, 1));
  if (!arguments.empty()) {
    const ObjectKind kind = kind_of(arguments[0]);
    if (kind == ObjectKind::dict) {
      RUSHLIGHT_TRY(add_pairs(call, graph_.pairs(arguments[0])));
    } else if (kind == ObjectKind::list || kind == ObjectKind::tuple) {
      for (const ObjectId pair : graph_.items(arguments[0])) {
        const ObjectKind pair_kind = kind_of(pair);
        const bool is_sequence = pair_kind == ObjectKind::list || pair_kind == ObjectKind::tuple;
        if (!is_sequence || graph_.items(pair).size() != 2) {
          return checked.wrong_type(0, "entries", "pairs of key and value");
        }
        RUSHLIGHT_TRY(add_entry(call, graph_.items(pair)[0], graph_.items(pair)[1]));
      }
    } else {
      return checked.wrong_type(0, "entries", "a dict or a list of pairs");
    }
  }
  RUSHLIGHT_TRY(add_pairs(call, graph_.pairs(call)));
  for (const ObjectId state : graph_.states(call)) {
    if (kind_of(state) == ObjectKind::dict) continue;
    return failure(Category::type, "TYPE-BUILD", state,
                   "the attributes of a dict are no dict, found " + describe(state), describe(state), "dict");
  }
  return set_states(call, graph_.states(call));
}

// Python updates an object's attributes with each state in turn; one is the rule.
Status ValueBuilder::set_states(ObjectId object, std::span<const ObjectId> states) {
  if (states.empty()) return {};
  bool all_dicts = true;
  for (const ObjectId state : states) all_dicts = all_dicts && kind_of(state) == ObjectKind::dict;
  if (states.size() == 1 || !all_dicts) {
    values_.set_state(nodes_[object], nodes_[states.back()]);
    return {};
  }
  const NodeId merged = values_.dict();
  for (const ObjectId state : states) {
    const std::span<const ObjectId> pairs = graph_.pairs(state);
    for (std::size_t i = 0; i + 1 < pairs.size(); i += 2) {
      if (values_.set_item(merged, key_node(pairs[i]), nodes_[pairs[i + 1]])) continue;
      return failure(Category::type, "TYPE-UNHASHABLE", pairs[i], "the name of an attribute is not hashable in Python");
    }
  }
  values_.set_state(nodes_[object], merged);
  return {};
}

// --- the whole
// ----------------------------------------------------------------------------------------------------------

Result<BuiltValue> build_value(const pickle::Pickle& pickle, const PickleBytes& bytes, StorageProvider& storages,
                               const LoadOptions& options, std::vector<Finding>& findings, int file_depth) {
  BuiltValue built;
  built.globals = list_uses(pickle.globals, pickle.protocol, options.accepted_globals, bytes.place.record);
  if (options.globals == Globals::strict) {
    if (std::optional<Error> refused = refusal(built.globals, bytes.place)) return *std::move(refused);
  }
  ValueBuilder builder(pickle, bytes, storages, options, file_depth);
  Result<Value> root = builder.build();
  if (!root) return std::move(root).error();
  built.root = *std::move(root);
  builder.locate(built.globals);
  report_unknown(built.globals, bytes.place, findings);
  builder.report_opaque_tensors(findings);
  return built;
}

}  // namespace rushlight::checkpoint
