#include "pickle/machine.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <utility>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "pickle/arena.hpp"
#include "pickle/argument.hpp"
#include "pickle/failure.hpp"
#include "pickle/globals.hpp"
#include "pickle/literals.hpp"
#include "pickle/memo.hpp"
#include "pickle/opcodes.hpp"

namespace rushlight::pickle {
namespace {

// Ids, offsets and counts have 32 bits. No opcode makes more values, children or memo entries than it has bytes, so a
// bound on the bytes bounds them all.
constexpr std::uint64_t kMaxStreamBytes = 0xFFFFFFFEu;
constexpr std::uint64_t kNoFrame = ~std::uint64_t{0};
constexpr std::uint16_t kDeepest = 0xFFFF;

bool is_ascii(std::string_view text) noexcept {
  std::size_t i = 0;
  std::uint64_t seen = 0;
  for (; i + 8 <= text.size(); i += 8) {
    std::uint64_t word;
    std::memcpy(&word, text.data() + i, sizeof word);
    seen |= word;
  }
  for (; i < text.size(); ++i) seen |= static_cast<unsigned char>(text[i]);
  return (seen & 0x8080808080808080u) == 0;
}

bool is_callable(ObjectKind kind) noexcept {
  // A call: getattr(module, "relu"). A persistent object: ("module", class, source file, source) of the legacy format.
  return kind == ObjectKind::global || kind == ObjectKind::call || kind == ObjectKind::persistent;
}
bool is_text(ObjectKind kind) noexcept {
  return kind == ObjectKind::string || kind == ObjectKind::byte_string;
}

// Room of a growing slice, by its count.
std::uint64_t room_for(std::uint64_t count) noexcept {
  return count == 0 ? 0 : std::bit_ceil(count);
}

// One run over one stream. Steps return false after they have set error_.
class Machine {
 public:
  Machine(ByteSpan bytes, const Limits& limits)
      : limits_(limits),
        bytes_(bytes),
        window_(
            static_cast<std::size_t>(std::min({std::uint64_t{bytes.size()}, limits.pickle_bytes, kMaxStreamBytes}))),
        reader_(bytes.first(window_)),
        storage_(graph_.storage()) {
    storage_.stream = bytes;
  }

  Result<Pickle> read() {
    if (!reserve() || !run()) return error_ ? *std::move(error_) : no_memory();
    Pickle pickle{.graph = std::move(graph_),
                  .protocol = protocol_,
                  .bytes_used = reader_.position(),
                  .opcode_count = place_.number,
                  .globals = {}};
    DistinctGlobals names;
    for (const ObjectId id : globals_.span()) {
      names.add({pickle.graph.module(id), pickle.graph.name(id), pickle.graph.offset(id)});
    }
    pickle.globals = names.take();
    return pickle;
  }

 private:
  // What a state dict needs: an object in 8 bytes, a child in 6. Memory that is not touched costs nothing.
  bool reserve() {
    constexpr std::size_t kMost = std::size_t{1} << 20;
    return storage_.nodes.reserve(std::min(window_ / 8 + 16, kMost)) &&
           storage_.slots.reserve(std::min(window_ / 6 + 16, kMost));
  }

  bool run() {
    while (!stopped_) {
      place_.offset = reader_.position();
      if (place_.offset == frame_end_) frame_end_ = kNoFrame;
      const auto byte = reader_.read<std::uint8_t>();
      if (!byte) return fail_without_stop();
      ++place_.number;
      place_.byte = *byte;
      bool done = false;
      switch (*byte) {
#define RUSHLIGHT_OPCODE(name, code, protocol, argument, mark, operands, results, torch, doc) \
  case code:                                                                                  \
    done = step(Opcode::name);                                                                \
    break;
#include "pickle/opcodes.def"
        default:
          return fail(unknown_opcode(place_));
      }
      if (!done) return false;
    }
    return true;
  }

  // The part that the table decides: argument, frame, mark, operands. Inlined once per opcode, so that the row of the
  // table folds away.
  [[gnu::always_inline]] bool step(Opcode opcode) {
    const OpcodeInfo& info = info_of(opcode);
    Argument argument;
    const ArgumentFault fault = read_argument(info.argument, reader_, argument);
    if (fault != ArgumentFault::none) [[unlikely]]
      return fail_argument(fault, argument);
    if (reader_.position() > frame_end_) [[unlikely]]
      return fail_crossing();
    if (info.mark == Mark::takes) {
      if (marks_.empty()) [[unlikely]]
        return fail_mark();
      const std::size_t below = marks_.back() - (marks_.size() > 1 ? marks_[marks_.size() - 2] : 0);
      if (below < info.operands) [[unlikely]]
        return fail_underflow("below the mark", info.operands, below);
    } else if (opcode != Opcode::POP && opcode != Opcode::STOP) {
      if (above_mark() < info.operands) [[unlikely]]
        return fail_underflow("on the stack", info.operands, above_mark());
    }
    return act(opcode, argument);
  }

  // The part that each opcode decides for itself.
  [[gnu::always_inline]] bool act(Opcode opcode, const Argument& argument) {
    switch (opcode) {
      case Opcode::MARK:
        return set_mark();
      case Opcode::STOP:
        return stop();
      case Opcode::POP:
        return pop();
      case Opcode::POP_MARK:
        return take_mark(top_mark());
      case Opcode::DUP:
        return push_id(top());

      case Opcode::NONE:
        return push_integer(ObjectKind::none, 0);
      case Opcode::NEWTRUE:
        return push_integer(ObjectKind::boolean, 1);
      case Opcode::NEWFALSE:
        return push_integer(ObjectKind::boolean, 0);
      case Opcode::BININT:
      case Opcode::BININT1:
      case Opcode::BININT2:
        return push_integer(ObjectKind::integer, static_cast<std::int64_t>(argument.number));
      case Opcode::LONG1:
      case Opcode::LONG4:
        return push_long(argument.text);
      case Opcode::INT:
        if (argument.text == "00" || argument.text == "01") {
          return push_integer(ObjectKind::boolean, argument.text == "01" ? 1 : 0);
        }
        return push_decimal(argument.text);
      case Opcode::LONG:
        return push_decimal(argument.text.ends_with('L') ? argument.text.substr(0, argument.text.size() - 1)
                                                         : argument.text);
      case Opcode::FLOAT:
        return push_float_text(argument.text);
      case Opcode::BINFLOAT:
        return push_real(std::bit_cast<double>(argument.number));

      case Opcode::STRING:
        return push_quoted(argument.text);
      case Opcode::BINSTRING:
      case Opcode::SHORT_BINSTRING:
        return push_text(ObjectKind::byte_string, argument.text);
      case Opcode::UNICODE:
        return push_raw_unicode(argument.text);
      case Opcode::BINUNICODE:
      case Opcode::SHORT_BINUNICODE:
      case Opcode::BINUNICODE8:
        if (!is_ascii(argument.text) && !is_valid_utf8_surrogatepass(argument.text))
          return fail_text("the text", "UTF-8");
        return push_text(ObjectKind::string, argument.text);
      case Opcode::BINBYTES:
      case Opcode::SHORT_BINBYTES:
      case Opcode::BINBYTES8:
        return push_text(ObjectKind::bytes, argument.text);
      case Opcode::BYTEARRAY8:
        return push_text(ObjectKind::bytearray, argument.text);

      case Opcode::EMPTY_TUPLE:
        return push_fixed(ObjectKind::tuple, 0);
      case Opcode::TUPLE1:
        return push_fixed(ObjectKind::tuple, 1);
      case Opcode::TUPLE2:
        return push_fixed(ObjectKind::tuple, 2);
      case Opcode::TUPLE3:
        return push_fixed(ObjectKind::tuple, 3);
      case Opcode::TUPLE:
        return push_marked(ObjectKind::tuple);
      case Opcode::FROZENSET:
        return push_marked(ObjectKind::frozenset);
      case Opcode::EMPTY_LIST:
        return push_growing(ObjectKind::list, 0);
      case Opcode::EMPTY_DICT:
        return push_growing(ObjectKind::dict, 0);
      case Opcode::EMPTY_SET:
        return push_growing(ObjectKind::set, 0);
      case Opcode::LIST:
        return push_marked(ObjectKind::list);
      case Opcode::DICT:
        return check_pairs() && push_marked(ObjectKind::dict);

      case Opcode::APPEND:
        return add_top(ObjectKind::list, 1);
      case Opcode::APPENDS:
        return add_marked(ObjectKind::list);
      case Opcode::SETITEM:
        return add_top(ObjectKind::dict, 2);
      case Opcode::SETITEMS:
        return check_pairs() && add_marked(ObjectKind::dict);
      case Opcode::ADDITEMS:
        return add_marked(ObjectKind::set);
      case Opcode::BUILD:
        return build();

      case Opcode::GLOBAL:
        return check_name_lines(argument) && push_global(argument);
      case Opcode::STACK_GLOBAL:
        return stack_global();
      case Opcode::INST:
        return check_name_lines(argument) && instance(argument);
      case Opcode::OBJ:
        return object();
      case Opcode::REDUCE:
        return call(CallKind::reduce, 2);
      case Opcode::NEWOBJ:
        return call(CallKind::newobj, 2);
      case Opcode::NEWOBJ_EX:
        return call(CallKind::newobj_ex, 3);
      case Opcode::PERSID:
        return persistent_line(argument.text);
      case Opcode::BINPERSID:
        return persistent();

      case Opcode::GET:
        return get_line(argument.text);
      case Opcode::BINGET:
      case Opcode::LONG_BINGET:
        return get(argument.number);
      case Opcode::PUT:
        return put_line(argument.text);
      case Opcode::BINPUT:
      case Opcode::LONG_BINPUT:
        return put(argument.number);
      case Opcode::MEMOIZE:
        return put(memo_.size());

      case Opcode::PROTO:
        return protocol(argument.number);
      case Opcode::FRAME:
        return frame(argument.number);
      case Opcode::EXT1:
      case Opcode::EXT2:
      case Opcode::EXT4:
        return fail_extension(argument.number);
      case Opcode::NEXT_BUFFER:
      case Opcode::READONLY_BUFFER:
        return fail(
            failure(Category::unsup, "PKL-BUFFER", place_, "the pickle keeps its data in buffers outside of it"));
    }
    return false;
  }

  // --- the stack -----------------------------------------------------------------------------------------------------

  [[nodiscard]] ObjectId top(std::size_t below = 0) const noexcept {
    return stack_[stack_.size() - 1 - below];
  }
  [[nodiscard]] std::size_t above_mark() const noexcept {
    return stack_.size() - (marks_.empty() ? 0 : marks_.back());
  }
  [[nodiscard]] std::size_t top_mark() const noexcept {
    return marks_[marks_.size() - 1];
  }
  [[nodiscard]] const ObjectId* values_from(std::size_t position) const noexcept {
    return stack_.data() + position;
  }

  bool push_id(ObjectId id) {
    return stack_.push(id);
  }

  bool set_mark() {
    // Each mark becomes a container around whatever opens the next one.
    if (marks_.size() >= limits_.pickle_depth) {
      return fail(beyond_limit(place_, "more marks are open", "pickle_depth", limits_.pickle_depth,
                               std::to_string(marks_.size() + 1)));
    }
    return marks_.push(static_cast<std::uint32_t>(stack_.size()));
  }

  // Drops the topmost mark and everything from `position` on.
  bool take_mark(std::size_t position) {
    stack_.shrink_to(position);
    marks_.pop();
    return true;
  }

  bool pop() {
    if (!marks_.empty() && top_mark() == stack_.size()) return take_mark(top_mark());
    if (stack_.empty()) return fail_underflow("on the stack", 1, 0);
    stack_.pop();
    return true;
  }

  bool stop() {
    if (!marks_.empty()) {
      return fail(differs(Category::pkl, "PKL-STOP", place_, "the pickle ends inside a mark", "no open mark",
                          std::to_string(marks_.size())));
    }
    if (stack_.size() != 1) {
      return fail(differs(Category::pkl, "PKL-STOP", place_, "the pickle must leave one value on the stack", "1",
                          std::to_string(stack_.size())));
    }
    if (frame_end_ != kNoFrame && frame_end_ != reader_.position()) {
      return fail(differs(Category::pkl, "PKL-FRAME", place_, "the frame reaches beyond the end of the pickle",
                          hex(reader_.position()), hex(frame_end_)));
    }
    storage_.root = top();
    stopped_ = true;
    return true;
  }

  // --- leaves --------------------------------------------------------------------------------------------------------

  [[nodiscard]] Node make_node(ObjectKind kind) const noexcept {
    Node node{};
    node.kind = kind;
    node.offset = static_cast<std::uint32_t>(place_.offset);
    return node;
  }

  // Adds a node to the arena, not to the stack.
  bool add_node(const Node& node) {
    if (storage_.nodes.size() >= limits_.pickle_nodes) [[unlikely]]
      return fail_nodes();
    return storage_.nodes.push(node);
  }
  [[nodiscard]] ObjectId last_node() const noexcept {
    return static_cast<ObjectId>(storage_.nodes.size() - 1);
  }
  bool push_node(const Node& node) {
    return add_node(node) && push_id(last_node());
  }

  bool push_integer(ObjectKind kind, std::int64_t value) {
    Node node = make_node(kind);
    node.integer = value;
    return push_node(node);
  }
  bool push_real(double value) {
    Node node = make_node(ObjectKind::real);
    node.real = value;
    return push_node(node);
  }

  [[nodiscard]] std::uint8_t text_position(std::string_view text) const noexcept {
    return static_cast<std::uint8_t>(reinterpret_cast<const std::byte*>(text.data()) - bytes_.data() -
                                     static_cast<std::ptrdiff_t>(place_.offset));
  }

  bool push_long(std::string_view bytes) {
    if (!check_integer_bytes(bytes.size())) return false;
    const std::size_t size = significant_bytes(bytes);
    if (size <= sizeof(std::int64_t)) return push_integer(ObjectKind::integer, small_integer(bytes.substr(0, size)));
    Node node = make_node(ObjectKind::big_integer);
    node.text_at = text_position(bytes);
    node.text = size;
    return push_node(node);
  }

  bool push_decimal(std::string_view text) {
    if (count_digits(text) > kMaxDecimalDigits) {
      return fail(differs(Category::limit, "LIMIT-PICKLE-DIGITS", place_, "the integer has too many decimal digits",
                          "at most " + std::to_string(kMaxDecimalDigits), std::to_string(count_digits(text))));
    }
    const std::optional<DecimalInteger> integer = parse_decimal(text);
    if (!integer) return fail_integer(text);
    if (integer->is_small) return push_integer(ObjectKind::integer, integer->value);
    return check_integer_bytes(integer->twos_complement.size()) &&
           push_decoded(ObjectKind::big_integer, integer->twos_complement);
  }

  bool push_float_text(std::string_view text) {
    const std::optional<double> value = parse_float(text);
    if (!value) {
      return fail(differs(Category::pkl, "PKL-FLOAT", place_, "the text is not a float", "decimal digits, inf or nan",
                          quoted(text)));
    }
    return push_real(*value);
  }

  // Text that the stream holds verbatim.
  bool push_text(ObjectKind kind, std::string_view text) {
    if (!check_text_bytes(text.size())) return false;
    Node node = make_node(kind);
    node.text_at = text_position(text);
    node.text = text.size();
    return push_node(node);
  }
  // Text that had to be decoded: it moves into the arena.
  bool push_decoded(ObjectKind kind, std::string_view text) {
    const std::size_t begin = storage_.decoded.size();
    if (!storage_.decoded.append(text.data(), text.size()) || !storage_.texts.push({begin, text.size()})) return false;
    Node node = make_node(kind);
    node.text_at = kDecodedText;
    node.text = storage_.texts.size() - 1;
    return push_node(node);
  }

  bool push_quoted(std::string_view text) {
    if (text.size() < 2 || text.front() != text.back() || (text.front() != '\'' && text.front() != '"')) {
      return fail(differs(Category::pkl, "PKL-STRING", place_, "the string is not in quotes", "'...' or \"...\"",
                          quoted(text)));
    }
    const std::string_view inner = text.substr(1, text.size() - 2);
    if (inner.find('\\') == std::string_view::npos) return push_text(ObjectKind::byte_string, inner);
    if (!check_text_bytes(inner.size())) return false;
    const std::optional<std::string> plain = unescape_string(inner);
    if (!plain)
      return fail(failure(Category::pkl, "PKL-STRING", place_, "the string has a bad escape: " + quoted(inner)));
    return push_decoded(ObjectKind::byte_string, *plain);
  }

  bool push_raw_unicode(std::string_view text) {
    if (is_ascii(text) && text.find('\\') == std::string_view::npos) return push_text(ObjectKind::string, text);
    if (!check_text_bytes(text.size())) return false;
    const std::optional<std::string> plain = unescape_raw_unicode(text);
    if (!plain)
      return fail(failure(Category::pkl, "PKL-STRING", place_, "the string has a bad escape: " + quoted(text)));
    return check_text_bytes(plain->size()) && push_decoded(ObjectKind::string, *plain);
  }

  // --- containers ----------------------------------------------------------------------------------------------------

  // Makes `node` at least one deeper than each child. An object that is put into itself gets no deeper by that.
  bool deepen(Node& node, ObjectId id, const ObjectId* children, std::size_t count) {
    std::uint16_t depth = std::max<std::uint16_t>(node.depth, 1);
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint16_t child = storage_.nodes[children[i]].depth;
      if (child >= depth && children[i] != id)
        depth = child == kDeepest ? kDeepest : static_cast<std::uint16_t>(child + 1);
    }
    node.depth = depth;
    if (depth > limits_.pickle_depth) [[unlikely]]
      return fail_depth(depth);
    return true;
  }

  // Appends ids to a growing slice: in place when it is the last one or has room, else it moves to the end of the pool.
  bool extend(Slice& slice, const ObjectId* ids, std::size_t count) {
    Buffer<ObjectId>& slots = storage_.slots;
    const std::uint64_t room = room_for(slice.count);
    const std::uint64_t needed = std::uint64_t{slice.count} + count;
    if (needed > room) {
      const std::uint64_t wanted = room_for(needed);
      const bool is_last = slice.begin + room == slots.size() && room > 0;
      const std::uint64_t added = is_last ? wanted - room : wanted;
      const std::size_t end = slots.size();
      if (end + added > 0xFFFFFFFFu || !slots.grow_by(static_cast<std::size_t>(added))) return false;
      if (!is_last) {
        if (slice.count > 0) {
          std::memcpy(slots.data() + end, slots.data() + slice.begin, slice.count * sizeof(ObjectId));
        }
        slice.begin = static_cast<std::uint32_t>(end);
      }
    }
    if (count > 0) std::memcpy(slots.data() + slice.begin + slice.count, ids, count * sizeof(ObjectId));
    slice.count = static_cast<std::uint32_t>(needed);
    return true;
  }

  // A tuple or frozenset of the `count` top values, which it replaces.
  bool push_fixed(ObjectKind kind, std::size_t count) {
    const ObjectId* const values = values_from(stack_.size() - count);
    Node node = make_node(kind);
    if (storage_.slots.size() + count > 0xFFFFFFFFu) return false;
    node.slice = {static_cast<std::uint32_t>(storage_.slots.size()), static_cast<std::uint32_t>(count)};
    if (!deepen(node, kNoObject, values, count) || !storage_.slots.append(values, count)) return false;
    stack_.shrink_to(stack_.size() - count);
    return push_node(node);
  }
  // A list, dict or set of the `count` top values, which it replaces.
  bool push_growing(ObjectKind kind, std::size_t count) {
    const ObjectId* const values = values_from(stack_.size() - count);
    Node node = make_node(kind);
    node.slice = {};
    if (!deepen(node, kNoObject, values, count) || !extend(node.slice, values, count)) return false;
    stack_.shrink_to(stack_.size() - count);
    return push_node(node);
  }
  bool push_marked(ObjectKind kind) {
    const std::size_t count = above_mark();
    marks_.pop();
    return kind == ObjectKind::list || kind == ObjectKind::dict ? push_growing(kind, count) : push_fixed(kind, count);
  }

  bool check_pairs() {
    const std::size_t count = above_mark();
    if (count % 2 == 0) return true;
    return fail(differs(Category::pkl, "PKL-ODD", place_, "a key has no value", "an even number of values",
                        std::to_string(count)));
  }

  // The record of what an object collects beside its making.
  Additions* additions_of(ObjectId id) {
    Node& node = storage_.nodes[id];
    std::uint32_t& index = node.kind == ObjectKind::call ? storage_.calls[node.call].additions : node.persistent.second;
    if (index == kNoObject) {
      if (!storage_.additions.push({})) return nullptr;
      index = static_cast<std::uint32_t>(storage_.additions.size() - 1);
    }
    return &storage_.additions[index];
  }

  // Gives `count` values to the container of the wanted kind, or to an object.
  bool add(ObjectKind wanted, ObjectId target, const ObjectId* values, std::size_t count) {
    Node& node = storage_.nodes[target];
    Slice* slice = &node.slice;
    if (node.kind == ObjectKind::call) {
      if (count == 0) return true;
      Additions* const additions = additions_of(target);
      if (additions == nullptr) return false;
      slice = wanted == ObjectKind::dict ? &additions->pairs : &additions->items;
    } else if (node.kind != wanted) {
      return fail_operand("wrong operand", std::string(to_string(wanted)) + " or object", node.kind);
    }
    return deepen(node, target, values, count) && extend(*slice, values, count);
  }
  bool add_top(ObjectKind wanted, std::size_t count) {
    if (!add(wanted, top(count), values_from(stack_.size() - count), count)) return false;
    stack_.shrink_to(stack_.size() - count);
    return true;
  }
  bool add_marked(ObjectKind wanted) {
    const std::size_t begin = top_mark();
    return add(wanted, stack_[begin - 1], values_from(begin), stack_.size() - begin) && take_mark(begin);
  }

  bool build() {
    const ObjectId target = top(1);
    const ObjectId state = top();
    Node& node = storage_.nodes[target];
    if (node.kind != ObjectKind::call && node.kind != ObjectKind::persistent) {
      return fail_operand("only objects have a state", "object", node.kind);
    }
    Additions* const additions = additions_of(target);
    if (additions == nullptr || !deepen(node, target, &state, 1) || !extend(additions->states, &state, 1)) return false;
    stack_.pop();
    return true;
  }

  // --- names, calls, persistent objects ------------------------------------------------------------------------------

  bool check_name_lines(const Argument& argument) {
    for (const std::string_view text : {argument.text, argument.name}) {
      if (!check_name_bytes(text.size())) return false;
      if (!is_ascii(text) && !is_valid_utf8(text)) return fail_text("the name", "UTF-8");
    }
    return true;
  }

  // The name of GLOBAL or INST, into the arena.
  bool add_global(const Argument& argument) {
    Node node = make_node(ObjectKind::global);
    node.text_at = 1;
    node.names = {static_cast<std::uint32_t>(argument.text.size()), static_cast<std::uint32_t>(argument.name.size())};
    return add_node(node) && globals_.push(last_node());
  }
  bool push_global(const Argument& argument) {
    return add_global(argument) && push_id(last_node());
  }

  bool stack_global() {
    const Node::Pair names{top(1), top()};
    for (const ObjectId id : {names.first, names.second}) {
      const ObjectKind kind = storage_.nodes[id].kind;
      if (!is_text(kind)) return fail_operand("module and name must be texts", "str", kind);
      const std::string_view text = storage_.text_of(id);
      if (!check_name_bytes(text.size())) return false;
      if (kind == ObjectKind::byte_string && !is_ascii(text)) return fail_text("the name", "ASCII");
    }
    Node node = make_node(ObjectKind::global);
    node.text_at = kNamesOnStack;
    node.names = names;
    stack_.shrink_to(stack_.size() - 2);
    return push_node(node) && globals_.push(last_node());
  }

  // A call of arena objects, into the arena.
  bool add_call(CallKind kind, ObjectId callable, ObjectId arguments, ObjectId keywords) {
    Node node = make_node(ObjectKind::call);
    node.call = static_cast<std::uint32_t>(storage_.calls.size());
    const ObjectId parts[] = {callable, arguments, keywords};
    return deepen(node, kNoObject, parts, keywords == kNoObject ? 2 : 3) &&
           storage_.calls.push({callable, arguments, keywords, kNoObject, kind}) && add_node(node);
  }

  bool check_callable(ObjectId id) {
    const ObjectKind kind = storage_.nodes[id].kind;
    return is_callable(kind) || fail_operand("only globals and objects can be called", "global", kind);
  }

  bool call(CallKind kind, std::size_t operands) {
    const ObjectId callable = top(operands - 1);
    const ObjectId arguments = top(operands - 2);
    const ObjectId keywords = operands == 3 ? top() : kNoObject;
    if (!check_callable(callable)) return false;
    if (const ObjectKind found = storage_.nodes[arguments].kind; found != ObjectKind::tuple) {
      return fail_operand("the arguments are not in a tuple", "tuple", found);
    }
    if (keywords != kNoObject && storage_.nodes[keywords].kind != ObjectKind::dict) {
      return fail_operand("the keyword arguments are not in a dict", "dict", storage_.nodes[keywords].kind);
    }
    if (!add_call(kind, callable, arguments, keywords)) return false;
    stack_.shrink_to(stack_.size() - operands);
    return push_id(last_node());
  }

  // INST and OBJ: the arguments stand above the mark, and get a tuple of their own.
  bool instance(const Argument& argument) {
    if (!add_global(argument)) return false;
    return call_marked(CallKind::inst, last_node(), above_mark());
  }
  bool object() {
    const std::size_t count = above_mark();
    if (count == 0) return fail_underflow("above the mark", 1, 0);
    const ObjectId callable = stack_[top_mark()];
    return check_callable(callable) && call_marked(CallKind::obj, callable, count - 1);
  }
  bool call_marked(CallKind kind, ObjectId callable, std::size_t argument_count) {
    const std::size_t mark = top_mark();
    if (!push_fixed(ObjectKind::tuple, argument_count) || !add_call(kind, callable, top(), kNoObject)) return false;
    return take_mark(mark) && push_id(last_node());
  }

  bool persistent() {
    const ObjectId argument = top();
    Node node = make_node(ObjectKind::persistent);
    node.persistent = {argument, kNoObject};
    stack_.pop();
    return deepen(node, kNoObject, &argument, 1) && push_node(node);
  }
  bool persistent_line(std::string_view text) {
    if (!is_ascii(text)) return fail_text("the persistent id", "ASCII");
    return push_text(ObjectKind::string, text) && persistent();
  }

  // --- the memo ------------------------------------------------------------------------------------------------------

  bool get(std::uint64_t index) {
    const ObjectId id = memo_.get(index);
    if (id == Memo::kNothing) [[unlikely]]
      return fail_memo_get(index);
    return push_id(id);
  }

  bool put(std::uint64_t index) {
    if (memo_.size() >= limits_.pickle_memo && memo_.get(index) == Memo::kNothing) [[unlikely]]
      return fail_memo_put();
    return memo_.put(index, top());
  }

  bool get_line(std::string_view text) {
    const auto index = memo_index(text);
    return index && get(*index);
  }
  bool put_line(std::string_view text) {
    const auto index = memo_index(text);
    return index && put(*index);
  }
  std::optional<std::uint64_t> memo_index(std::string_view text) {
    const auto integer =
        count_digits(text) <= kMaxDecimalDigits ? parse_decimal(text) : DecimalInteger{.is_small = false};
    if (!integer) {
      fail_integer(text);
    } else if (text.starts_with('-')) {
      fail(differs(Category::pkl, "PKL-INTEGER", place_, "the memo index is negative", "at least 0", escaped(text)));
    } else if (!integer->is_small) {
      fail(differs(Category::limit, "LIMIT-PICKLE-DIGITS", place_, "the memo index is too large", "at most 63 bits",
                   count_text(text.size(), "digit")));
    } else {
      return static_cast<std::uint64_t>(integer->value);
    }
    return std::nullopt;
  }

  // --- the stream ----------------------------------------------------------------------------------------------------

  bool protocol(std::uint64_t number) {
    constexpr std::uint64_t kHighest = 5;
    if (number > kHighest) {
      return fail(differs(Category::unsup, "PKL-PROTOCOL", place_, "the pickle protocol is not known here",
                          "at most " + std::to_string(kHighest), std::to_string(number)));
    }
    protocol_ = std::max(protocol_, static_cast<int>(number));
    return true;
  }

  bool frame(std::uint64_t size_bytes) {
    const std::size_t position = reader_.position();
    if (frame_end_ != kNoFrame && frame_end_ != position) {
      return fail(failure(Category::pkl, "PKL-FRAME", place_,
                          "a frame begins inside another, which ends at " + hex(frame_end_)));
    }
    if (size_bytes > bytes_.size() - position) {
      return fail(differs(Category::pkl, "PKL-FRAME", place_, "the frame is longer than the pickle",
                          "at most " + count_text(bytes_.size() - position, "byte"), std::to_string(size_bytes)));
    }
    frame_end_ = position + size_bytes;
    return true;
  }

  // --- failures: cold, and apart from the steps ----------------------------------------------------------------------

  [[gnu::cold, gnu::noinline]] bool fail(Error error) {
    error_ = std::move(error);
    return false;
  }

  [[gnu::cold, gnu::noinline]] bool fail_nodes() {
    return fail(beyond_limit(place_, "the pickle makes more objects", "pickle_nodes", limits_.pickle_nodes,
                             std::to_string(storage_.nodes.size() + 1)));
  }
  [[gnu::cold, gnu::noinline]] bool fail_depth(std::uint16_t depth) {
    return fail(
        beyond_limit(place_, "values are nested deeper", "pickle_depth", limits_.pickle_depth, std::to_string(depth)));
  }
  [[gnu::cold, gnu::noinline]] bool fail_memo_get(std::uint64_t index) {
    return fail(
        failure(Category::pkl, "PKL-MEMO-GET", place_, "memo entry " + std::to_string(index) + " was never stored"));
  }
  [[gnu::cold, gnu::noinline]] bool fail_memo_put() {
    return fail(beyond_limit(place_, "the memo has more entries", "pickle_memo", limits_.pickle_memo,
                             std::to_string(memo_.size() + 1)));
  }
  [[gnu::cold, gnu::noinline]] bool fail_operand(std::string_view what, std::string expected, ObjectKind found) {
    return fail(
        differs(Category::type, "PKL-OPERAND", place_, what, std::move(expected), std::string(to_string(found))));
  }
  [[gnu::cold, gnu::noinline]] bool fail_underflow(std::string_view where, std::size_t expected, std::size_t found) {
    return fail(differs(Category::pkl, "PKL-UNDERFLOW", place_, "too few values " + std::string(where),
                        std::to_string(expected), std::to_string(found)));
  }
  [[gnu::cold, gnu::noinline]] bool fail_mark() {
    return fail(failure(Category::pkl, "PKL-MARK", place_, "there is no mark on the stack"));
  }
  [[gnu::cold, gnu::noinline]] bool fail_text(std::string_view what, std::string_view encoding) {
    return fail(failure(Category::pkl, "PKL-TEXT", place_, std::string(what) + " is not " + std::string(encoding)));
  }
  [[gnu::cold, gnu::noinline]] bool fail_integer(std::string_view text) {
    return fail(differs(Category::pkl, "PKL-INTEGER", place_, "the text is not an integer",
                        "decimal digits without leading zeros", quoted(text)));
  }
  [[gnu::cold, gnu::noinline]] bool fail_crossing() {
    return fail(
        failure(Category::pkl, "PKL-FRAME", place_, "the opcode crosses the end of its frame at " + hex(frame_end_)));
  }
  [[gnu::cold, gnu::noinline]] bool fail_extension(std::uint64_t code) {
    return fail(failure(Category::unsup, "PKL-EXTENSION", place_,
                        "extension code " + std::to_string(static_cast<std::int64_t>(code)) +
                            " has a meaning in the writer's process only"));
  }

  // The bytes end too early: because there are no more, or because the budget does.
  [[gnu::cold, gnu::noinline]] bool fail_argument(ArgumentFault fault, const Argument& argument) {
    const std::size_t left = bytes_.size() - reader_.position();
    const bool is_there = fault == ArgumentFault::no_newline || argument.number <= left;
    if (fault != ArgumentFault::negative_length && window_ < bytes_.size() && is_there) return fail_window();
    return fail(bad_argument(place_, fault, argument, left));
  }
  [[gnu::cold, gnu::noinline]] bool fail_without_stop() {
    if (window_ < bytes_.size()) return fail_window();
    return fail(Error::of({.category = Category::pkl,
                           .code = "PKL-TRUNCATED",
                           .message = "the pickle ends without STOP after " + count_text(place_.number, "opcode") +
                                      ", with " + count_text(stack_.size(), "value") + " on the stack",
                           .record_offset = place_.offset}));
  }
  [[gnu::cold, gnu::noinline]] bool fail_window() {
    Error error = beyond_limit(place_, "the pickle is longer", "pickle_bytes", window_, "more");
    return fail(std::move(error));
  }

  bool check_text_bytes(std::uint64_t size_bytes) {
    return size_bytes <= limits_.pickle_string_bytes ||
           fail(beyond_limit(place_, "the text is longer", "pickle_string_bytes", limits_.pickle_string_bytes,
                             count_text(size_bytes, "byte")));
  }
  bool check_integer_bytes(std::uint64_t size_bytes) {
    return size_bytes <= limits_.pickle_integer_bytes ||
           fail(beyond_limit(place_, "the integer is longer", "pickle_integer_bytes", limits_.pickle_integer_bytes,
                             count_text(size_bytes, "byte")));
  }
  bool check_name_bytes(std::uint64_t size_bytes) {
    return size_bytes <= kMaxNameBytes ||
           fail(differs(Category::limit, "LIMIT-PICKLE-NAME", place_, "the name is too long",
                        "at most " + count_text(kMaxNameBytes, "byte"), std::to_string(size_bytes)));
  }

  Limits limits_;
  ByteSpan bytes_;
  std::size_t window_;  // how many of them may be read
  ByteReader reader_;
  ObjectGraph graph_;
  ObjectGraph::Storage& storage_;

  Buffer<ObjectId> stack_;
  Buffer<std::uint32_t> marks_;  // heights of the stack
  Buffer<ObjectId> globals_;
  Memo memo_;
  std::uint64_t frame_end_ = kNoFrame;
  int protocol_ = 0;
  bool stopped_ = false;
  OpcodePlace place_;
  std::optional<Error> error_;
};

}  // namespace

Result<Pickle> read_pickle(ByteSpan bytes, const Limits& limits) {
  return Machine(bytes, limits).read();
}

}  // namespace rushlight::pickle
