#include "pickle/machine.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <utility>

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

bool is_callable(ObjectKind kind) noexcept {
  // A call: getattr(module, "relu"). A persistent object: ("module", class, source file, source) of the legacy format.
  return kind == ObjectKind::global || kind == ObjectKind::call || kind == ObjectKind::persistent;
}
bool is_text(ObjectKind kind) noexcept {
  return kind == ObjectKind::string || kind == ObjectKind::byte_string;
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
  // What a state dict needs: an object in 7 bytes, a child in 6. Memory that is not touched costs nothing.
  bool reserve() {
    constexpr std::size_t kMost = std::size_t{1} << 20;
    return storage_.nodes.reserve(std::min(window_ / 7 + 16, kMost)) &&
           storage_.slots.reserve(std::min(window_ / 6 + 16, kMost));
  }

  bool run() {
    while (!stopped_) {
      place_.offset = reader_.position();
      if (place_.offset == frame_end_) frame_end_ = kNoFrame;
      if (reader_.at_end()) [[unlikely]]
        return refuse_end();
      const std::uint8_t byte = reader_.take_byte();
      ++place_.number;
      place_.byte = byte;
      bool done = false;
      switch (byte) {
#define RUSHLIGHT_OPCODE(name, code, protocol, argument, mark, operands, results, torch, doc) \
  case code:                                                                                  \
    done = step(Opcode::name);                                                                \
    break;
#include "pickle/opcodes.def"
        default:
          return refuse<unknown_opcode>();
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
      return refuse_argument(fault, argument);
    if (reader_.position() > frame_end_) [[unlikely]]
      return refuse<frame_crossed>(frame_end_);
    if (info.mark == Mark::takes) {
      if (marks_.empty()) [[unlikely]]
        return refuse<no_mark>();
      const std::size_t below = marks_.back() - (marks_.size() > 1 ? marks_[marks_.size() - 2] : 0);
      if (below < info.operands) [[unlikely]]
        return refuse<too_few_values>("below the mark", std::size_t{info.operands}, below);
    } else if (opcode != Opcode::POP && opcode != Opcode::STOP) {
      if (above_mark() < info.operands) [[unlikely]]
        return refuse<too_few_values>("on the stack", std::size_t{info.operands}, above_mark());
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
          return refuse<not_encoded>("the text", "UTF-8");
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
        return refuse<unknown_extension>(argument.number);
      case Opcode::NEXT_BUFFER:
      case Opcode::READONLY_BUFFER:
        return refuse<outside_buffer>();
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
      return refuse<beyond_limit>("more marks are open", "pickle_depth", limits_.pickle_depth, marks_.size() + 1, "");
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
    if (stack_.empty()) return refuse<too_few_values>("on the stack", std::size_t{1}, std::size_t{0});
    stack_.pop();
    return true;
  }

  bool stop() {
    if (!marks_.empty()) return refuse<open_marks>(marks_.size());
    if (stack_.size() != 1) return refuse<not_one_value>(stack_.size());
    const std::uint64_t position = reader_.position();
    if (frame_end_ != kNoFrame && frame_end_ != position) return refuse<frame_beyond_stop>(position, frame_end_);
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
  [[gnu::always_inline]] bool add_node(const Node& node) {
    if (storage_.nodes.size() >= limits_.pickle_nodes) [[unlikely]] {
      return refuse<beyond_limit>("the pickle makes more objects", "pickle_nodes", limits_.pickle_nodes,
                                  storage_.nodes.size() + 1, "");
    }
    return storage_.nodes.push(node);
  }
  [[nodiscard]] ObjectId last_node() const noexcept {
    return static_cast<ObjectId>(storage_.nodes.size() - 1);
  }
  [[gnu::always_inline]] bool push_node(const Node& node) {
    return add_node(node) && push_id(last_node());
  }

  [[gnu::always_inline]] bool push_integer(ObjectKind kind, std::int64_t value) {
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
    if (count_digits(text) > kMaxDecimalDigits) return refuse<too_many_digits>(count_digits(text));
    const std::optional<DecimalInteger> integer = parse_decimal(text);
    if (!integer) return refuse<not_an_integer>(text);
    if (integer->is_small) return push_integer(ObjectKind::integer, integer->value);
    return check_integer_bytes(integer->twos_complement.size()) &&
           push_decoded(ObjectKind::big_integer, integer->twos_complement);
  }

  bool push_float_text(std::string_view text) {
    const std::optional<double> value = parse_float(text);
    if (!value) return refuse<not_a_float>(text);
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
    if (!storage_.add_text(text)) return false;
    Node node = make_node(kind);
    node.text_at = kDecodedText;
    node.text = storage_.texts.size() - 1;
    return push_node(node);
  }

  bool push_quoted(std::string_view text) {
    const bool in_quotes = text.size() >= 2 && text.front() == text.back() && (text[0] == '\'' || text[0] == '"');
    if (!in_quotes) return refuse<not_quoted>(text);
    const std::string_view inner = text.substr(1, text.size() - 2);
    if (inner.find('\\') == std::string_view::npos) return push_text(ObjectKind::byte_string, inner);
    if (!check_text_bytes(inner.size())) return false;
    const std::optional<std::string> plain = unescape_string(inner);
    if (!plain) return refuse<bad_escape>(inner);
    return push_decoded(ObjectKind::byte_string, *plain);
  }

  bool push_raw_unicode(std::string_view text) {
    if (is_ascii(text) && text.find('\\') == std::string_view::npos) return push_text(ObjectKind::string, text);
    if (!check_text_bytes(text.size())) return false;
    const std::optional<std::string> plain = unescape_raw_unicode(text);
    if (!plain) return refuse<bad_escape>(text);
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
    if (depth > limits_.pickle_depth) [[unlikely]] {
      return refuse<beyond_limit>("values are nested deeper", "pickle_depth", limits_.pickle_depth,
                                  std::uint64_t{depth}, "");
    }
    return true;
  }

  // A tuple or frozenset of the `count` top values, which it replaces.
  [[gnu::always_inline]] bool push_fixed(ObjectKind kind, std::size_t count) {
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
    if (!deepen(node, kNoObject, values, count) || !storage_.extend(node.slice, values, count)) return false;
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
    return count % 2 == 0 || refuse<key_without_value>(count);
  }

  // Gives `count` values to the container of the wanted kind, or to an object.
  bool add(ObjectKind wanted, ObjectId target, const ObjectId* values, std::size_t count) {
    Node& node = storage_.nodes[target];
    Slice* slice = &node.slice;
    if (node.kind == ObjectKind::call) {
      if (count == 0) return true;
      Additions* const additions = storage_.additions_of(target);
      if (additions == nullptr) return false;
      slice = wanted == ObjectKind::dict ? &additions->pairs : &additions->items;
    } else if (node.kind != wanted) {
      return refuse_addition(wanted, node.kind);
    }
    return deepen(node, target, values, count) && storage_.extend(*slice, values, count);
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
      return refuse<wrong_operand>("only objects have a state", "object", node.kind);
    }
    Additions* const additions = storage_.additions_of(target);
    if (additions == nullptr || !deepen(node, target, &state, 1) || !storage_.extend(additions->states, &state, 1))
      return false;
    stack_.pop();
    return true;
  }

  // --- names, calls, persistent objects ------------------------------------------------------------------------------

  bool check_name_lines(const Argument& argument) {
    for (const std::string_view text : {argument.text, argument.name}) {
      if (!check_name_bytes(text.size())) return false;
      if (!is_ascii(text) && !is_valid_utf8(text)) return refuse<not_encoded>("the name", "UTF-8");
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
      if (!is_text(kind)) return refuse<wrong_operand>("module and name must be texts", "str", kind);
      const std::string_view text = storage_.text_of(id);
      if (!check_name_bytes(text.size())) return false;
      if (kind == ObjectKind::byte_string && !is_ascii(text)) return refuse<not_encoded>("the name", "ASCII");
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
    return is_callable(kind) || refuse<wrong_operand>("only globals and objects can be called", "global", kind);
  }

  bool call(CallKind kind, std::size_t operands) {
    const ObjectId callable = top(operands - 1);
    const ObjectId arguments = top(operands - 2);
    const ObjectId keywords = operands == 3 ? top() : kNoObject;
    if (!check_callable(callable)) return false;
    if (const ObjectKind found = storage_.nodes[arguments].kind; found != ObjectKind::tuple) {
      return refuse<wrong_operand>("the arguments are not in a tuple", "tuple", found);
    }
    if (keywords != kNoObject && storage_.nodes[keywords].kind != ObjectKind::dict) {
      return refuse<wrong_operand>("the keyword arguments are not in a dict", "dict", storage_.nodes[keywords].kind);
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
    if (count == 0) return refuse<too_few_values>("above the mark", std::size_t{1}, std::size_t{0});
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
    if (!is_ascii(text)) return refuse<not_encoded>("the persistent id", "ASCII");
    return push_text(ObjectKind::string, text) && persistent();
  }

  // --- the memo ------------------------------------------------------------------------------------------------------

  bool get(std::uint64_t index) {
    const ObjectId id = memo_.get(index);
    if (id == Memo::kNothing) [[unlikely]]
      return refuse<never_stored>(index);
    return push_id(id);
  }

  [[gnu::always_inline]] bool put(std::uint64_t index) {
    if (memo_.size() >= limits_.pickle_memo && memo_.get(index) == Memo::kNothing) [[unlikely]] {
      return refuse<beyond_limit>("the memo has more entries", "pickle_memo", limits_.pickle_memo, memo_.size() + 1,
                                  "");
    }
    return memo_.put(index, top());
  }

  bool get_line(std::string_view text) {
    const auto index = parse_index(text);
    return index ? get(*index) : refuse<bad_memo_index>(text);
  }
  bool put_line(std::string_view text) {
    const auto index = parse_index(text);
    return index ? put(*index) : refuse<bad_memo_index>(text);
  }

  // --- the stream ----------------------------------------------------------------------------------------------------

  bool protocol(std::uint64_t number) {
    constexpr std::uint64_t kHighest = 5;
    if (number > kHighest) return refuse<unknown_protocol>(kHighest, number);
    protocol_ = std::max(protocol_, static_cast<int>(number));
    return true;
  }

  bool frame(std::uint64_t size_bytes) {
    const std::size_t position = reader_.position();
    if (frame_end_ != kNoFrame && frame_end_ != position) return refuse<frame_inside_frame>(frame_end_);
    const std::uint64_t left = bytes_.size() - position;
    if (size_bytes > left) return refuse<frame_too_long>(left, size_bytes);
    frame_end_ = position + size_bytes;
    return true;
  }

  // --- refusals ------------------------------------------------------------------------------------------------------

  // Sets the error that `kMake` words for the present opcode. Cold and never inlined, so that the steps stay small.
  template <auto kMake, class... Arguments>
  [[gnu::cold, gnu::noinline]] bool refuse(Arguments... arguments) {
    error_ = kMake(place_, arguments...);
    return false;
  }

  // The bytes end too early: because there are no more, or because the budget does.
  [[gnu::cold, gnu::noinline]] bool refuse_argument(ArgumentFault fault, const Argument& argument) {
    const std::size_t left = bytes_.size() - reader_.position();
    const bool is_there = fault == ArgumentFault::no_newline || argument.number <= left;
    if (fault != ArgumentFault::negative_length && window_ < bytes_.size() && is_there) {
      return refuse<pickle_too_long>(window_);
    }
    return refuse<bad_argument>(fault, argument, left);
  }
  [[gnu::cold, gnu::noinline]] bool refuse_end() {
    if (window_ < bytes_.size()) return refuse<pickle_too_long>(window_);
    error_ = no_stop(place_);
    error_->finding.message += ", with " + count_text(stack_.size(), "value") + " on the stack";
    return false;
  }

  [[gnu::cold, gnu::noinline]] bool refuse_addition(ObjectKind wanted, ObjectKind found) {
    return refuse<wrong_operand>("wrong operand", std::string(to_string(wanted)) + " or object", found);
  }

  bool check_text_bytes(std::uint64_t size_bytes) {
    return size_bytes <= limits_.pickle_string_bytes ||
           refuse<beyond_limit>("the text is longer", "pickle_string_bytes", limits_.pickle_string_bytes, size_bytes,
                                "byte");
  }
  bool check_integer_bytes(std::uint64_t size_bytes) {
    return size_bytes <= limits_.pickle_integer_bytes ||
           refuse<beyond_limit>("the integer is longer", "pickle_integer_bytes", limits_.pickle_integer_bytes,
                                size_bytes, "byte");
  }
  bool check_name_bytes(std::uint64_t size_bytes) {
    return size_bytes <= kMaxNameBytes || refuse<name_too_long>(size_bytes);
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
