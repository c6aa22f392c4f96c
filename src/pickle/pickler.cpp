#include "pickle/pickler.hpp"

#include <bit>
#include <string>
#include <string_view>
#include <utility>

#include "base/bytes.hpp"
#include "base/fail.hpp"
#include "pickle/failure.hpp"
#include "pickle/opcodes.hpp"

namespace rushlight::pickle {
namespace {

constexpr std::uint32_t kNotStored = 0xFFFFFFFFu;
constexpr std::size_t kBatch = 1000;
constexpr std::size_t kFrameTarget = std::size_t{64} << 10;
constexpr std::size_t kFrameMinimum = 4;
constexpr std::size_t kFrameHeader = 9;
constexpr std::uint64_t kMost4 = 0xFFFFFFFFu;

Error impossible(std::string what) {
  return Error::of({.category = Category::argument, .code = "PICKLE-WRITE", .message = std::move(what)});
}

// The stream with its frames.
class Stream {
 public:
  Stream(bool framing, std::uint64_t max_bytes) noexcept : framing_(framing), max_bytes_(max_bytes) {}

  void byte(std::uint8_t value) { out_.push_back(std::byte{value}); }
  void op(Opcode opcode) {
    open_frame();
    byte(static_cast<std::uint8_t>(opcode));
  }
  template <class T>
  void number(T value) {
    std::byte raw[sizeof(T)];
    store_le(raw, value);
    out_.insert(out_.end(), raw, raw + sizeof(T));
  }
  void text(std::string_view text) {
    const ByteSpan bytes = as_byte_span(text);
    out_.insert(out_.end(), bytes.begin(), bytes.end());
  }
  // An opcode with its counted text, which stands outside the frames when it is long.
  template <class Length>
  void counted(Opcode opcode, Length length, std::string_view content) {
    const bool outside = framing_ && content.size() >= kFrameTarget;
    if (outside) close_frame();
    const bool framing = std::exchange(framing_, framing_ && !outside);
    op(opcode);
    number(length);
    text(content);
    framing_ = framing;
  }

  // Before each object: a frame that is full ends here.
  void object_begins() {
    if (framed_ && out_.size() - frame_ - kFrameHeader >= kFrameTarget) close_frame();
  }
  void close_frame() {
    if (!framed_) return;
    framed_ = false;
    const std::size_t size = out_.size() - frame_ - kFrameHeader;
    if (size < kFrameMinimum) {
      const auto begin = out_.begin() + static_cast<std::ptrdiff_t>(frame_);
      out_.erase(begin, begin + static_cast<std::ptrdiff_t>(kFrameHeader));
      return;
    }
    out_[frame_] = std::byte{static_cast<std::uint8_t>(Opcode::FRAME)};
    store_le<std::uint64_t>(out_.data() + frame_ + 1, size);
  }
  [[nodiscard]] bool is_full() const noexcept { return out_.size() > max_bytes_; }
  [[nodiscard]] std::vector<std::byte> finish() && { return std::move(out_); }

 private:
  void open_frame() {
    if (!framing_ || framed_) return;
    framed_ = true;
    frame_ = out_.size();
    out_.insert(out_.end(), kFrameHeader, std::byte{0});
  }

  std::vector<std::byte> out_;
  std::size_t frame_ = 0;  // where the open frame begins
  bool framed_ = false;
  bool framing_;
  std::uint64_t max_bytes_;
};

class Pickler {
 public:
  Pickler(const ObjectGraph& graph, const PicklerOptions& options)
      : graph_(graph),
        protocol_(options.protocol),
        max_bytes_(options.max_bytes),
        memo_(graph.size(), kNotStored),
        open_(graph.size(), 0),
        out_(options.protocol >= 4, options.max_bytes) {}

  Result<Pickled> run() {
    out_.byte(static_cast<std::uint8_t>(Opcode::PROTO));
    out_.byte(static_cast<std::uint8_t>(protocol_));
    push(Step::object, graph_.root());
    while (!steps_.empty()) {
      const Task task = steps_.back();
      steps_.pop_back();
      RUSHLIGHT_TRY(take(task));
      if (out_.is_full()) {
        return Error::of(
            {.category = Category::limit,
             .code = "LIMIT-PICKLE",
             .message = "the pickle to be written is longer than the limit pickle_bytes, expected at most " +
                        std::to_string(max_bytes_)});
      }
    }
    out_.op(Opcode::STOP);
    out_.close_frame();
    return Pickled{std::move(out_).finish(), std::move(persistent_), has_floats_};
  }

 private:
  enum class Step : std::uint8_t {
    object,      // writes one object, or its memo entry
    list_items,  // of a list: batches of exactly 1,000
    appended,    // what is appended to the result of a call: as from an iterator, one item left over stands alone
    dict_pairs,  // as list_items
    set_pairs,   // as appended
    set_items,   // of a set: as list_items, but a last full batch is followed by an empty one
    frozen_items,
    tuple_items,
    call_made,  // behind callable and arguments
    call_states,
    build,
    name_module,    // behind module and name
    persistent_id,  // behind its argument
    close_batch,    // APPENDS, SETITEMS, ADDITEMS, or their single forms
  };
  struct Task {
    Step step;
    Opcode opcode;  // of close_batch
    ObjectId id;
    std::size_t next;  // index of the item or pair
  };

  void push(Step step, ObjectId id, std::size_t next = 0, Opcode opcode = Opcode::STOP) {
    steps_.push_back({step, opcode, id, next});
  }

  // How often each object that the root reaches stands in another: 0, 1, or 2 for more.
  void count_referents() {
    referents_.resize(graph_.size());
    std::vector<ObjectId> pending{graph_.root()};
    const auto meet = [&](ObjectId id) {
      if (id == kNoObject) return;
      if (referents_[id] < 2 && ++referents_[id] == 1) pending.push_back(id);
    };
    const auto meet_all = [&](std::span<const ObjectId> ids) {
      for (const ObjectId id : ids) meet(id);
    };
    referents_[graph_.root()] = 1;
    while (!pending.empty()) {
      const ObjectId id = pending.back();
      pending.pop_back();
      switch (graph_.kind(id)) {
        case ObjectKind::list:
        case ObjectKind::tuple:
        case ObjectKind::set:
        case ObjectKind::frozenset:
          meet_all(graph_.items(id));
          break;
        case ObjectKind::dict:
          meet_all(graph_.pairs(id));
          break;
        case ObjectKind::global:
          if (has_name_objects(id)) {
            meet(module_object(id));
            meet(name_object(id));
          }
          break;
        case ObjectKind::call:
          meet(graph_.callable(id));
          meet(graph_.arguments(id));
          meet(graph_.keywords(id));
          meet_all(graph_.items(id));
          meet_all(graph_.pairs(id));
          break;
        case ObjectKind::persistent:
          meet(graph_.persistent_argument(id));
          break;
        default:
          break;
      }
      meet_all(graph_.states(id));
    }
  }

  // A call that is being written is met again inside its own arguments. Python then makes its arguments once more, so
  // the tuples among them are other objects the second time, as is what calls among them return; whatever else they
  // hold is the same. Reached from one place only: what others hold too is no such part.
  void make_arguments_anew(ObjectId call) {
    if (referents_.empty()) count_referents();
    anew_.resize(graph_.size());
    std::vector<ObjectId> pending{graph_.arguments(call)};
    while (!pending.empty()) {
      const ObjectId id = pending.back();
      pending.pop_back();
      if (anew_[id] != 0 || referents_[id] != 1) continue;
      const ObjectKind kind = graph_.kind(id);
      if (kind == ObjectKind::tuple) {
        pending.insert(pending.end(), graph_.items(id).begin(), graph_.items(id).end());
      } else if (kind == ObjectKind::persistent) {
        pending.push_back(graph_.persistent_argument(id));
      } else if (kind == ObjectKind::call && graph_.is_bare_reduce(id)) {
        pending.push_back(graph_.arguments(id));
      } else {
        continue;
      }
      anew_[id] = 1;
    }
  }

  [[nodiscard]] bool has_name_objects(ObjectId id) const noexcept {
    return graph_.storage().nodes[id].text_at == kNamesOnStack;
  }
  [[nodiscard]] ObjectId module_object(ObjectId id) const noexcept { return graph_.storage().nodes[id].names.first; }
  [[nodiscard]] ObjectId name_object(ObjectId id) const noexcept { return graph_.storage().nodes[id].names.second; }

  [[nodiscard]] bool is_stored(ObjectId id) const noexcept {
    return memo_[id] != kNotStored && (anew_.empty() || anew_[id] == 0);
  }

  void store(ObjectId id) {
    const std::uint32_t index = stored_++;
    memo_[id] = index;
    if (protocol_ >= 4) {
      out_.op(Opcode::MEMOIZE);
    } else if (index < 256) {
      out_.op(Opcode::BINPUT);
      out_.byte(static_cast<std::uint8_t>(index));
    } else {
      out_.op(Opcode::LONG_BINPUT);
      out_.number(index);
    }
  }
  void fetch(ObjectId id) {
    const std::uint32_t index = memo_[id];
    if (index < 256) {
      out_.op(Opcode::BINGET);
      out_.byte(static_cast<std::uint8_t>(index));
    } else {
      out_.op(Opcode::LONG_BINGET);
      out_.number(index);
    }
  }

  Status take(const Task& task) {
    switch (task.step) {
      case Step::object:
        return object(task.id);
      case Step::list_items:
      case Step::appended:
        batch(task, graph_.items(task.id), 1, Opcode::APPENDS, Opcode::APPEND);
        return {};
      case Step::dict_pairs:
      case Step::set_pairs:
        batch(task, graph_.pairs(task.id), 2, Opcode::SETITEMS, Opcode::SETITEM);
        return {};
      case Step::set_items:
        batch(task, graph_.items(task.id), 1, Opcode::ADDITEMS, Opcode::ADDITEMS);
        return {};
      case Step::frozen_items:
        return frozen_items(task);
      case Step::tuple_items:
        return tuple_items(task);
      case Step::call_made:
        return call_made(task.id);
      case Step::call_states:
        if (task.next < graph_.states(task.id).size()) {
          push(Step::build, task.id, task.next);
          push(Step::object, graph_.states(task.id)[task.next]);
        }
        return {};
      case Step::build:
        out_.op(Opcode::BUILD);
        push(Step::call_states, task.id, task.next + 1);
        return {};
      case Step::name_module:
        out_.op(Opcode::STACK_GLOBAL);
        store(task.id);
        return {};
      case Step::persistent_id:
        out_.op(Opcode::BINPERSID);
        persistent_.push_back(task.id);
        push(Step::call_states, task.id);
        return {};
      case Step::close_batch:
        out_.op(task.opcode);
        return {};
    }
    return {};
  }

  // One batch from task.next on, and what comes behind it. `width` objects are one entry.
  void batch(const Task& task, std::span<const ObjectId> all, std::size_t width, Opcode many, Opcode one) {
    const std::size_t count = all.size() / width;
    const std::size_t left = count - task.next;
    const bool from_iterator = task.step == Step::appended || task.step == Step::set_pairs;
    const bool alone = left == 1 && task.step != Step::set_items && (from_iterator || task.next == 0);
    if (alone) {
      push(Step::close_batch, task.id, 0, one);
      push_range(all.subspan(task.next * width, width));
      return;
    }
    // CPython's loops end where a batch was not full, but for those over lists, which know where they are, and those
    // over iterators, which look ahead.
    const std::size_t taken = std::min(left, kBatch);
    const bool goes_on = taken == kBatch && (left > kBatch || (task.step != Step::list_items && !from_iterator));
    if (goes_on) push(task.step, task.id, task.next + taken);
    out_.op(Opcode::MARK);
    push(Step::close_batch, task.id, 0, many);
    push_range(all.subspan(task.next * width, taken * width));
  }
  void push_range(std::span<const ObjectId> ids) {
    for (std::size_t i = ids.size(); i-- > 0;) push(Step::object, ids[i]);
  }

  Status object(ObjectId id) {
    out_.object_begins();
    const ObjectKind kind = graph_.kind(id);
    switch (kind) {
      case ObjectKind::none:
        out_.op(Opcode::NONE);
        return {};
      case ObjectKind::boolean:
        out_.op(graph_.boolean(id) ? Opcode::NEWTRUE : Opcode::NEWFALSE);
        return {};
      case ObjectKind::integer:
        integer(graph_.integer(id));
        return {};
      case ObjectKind::big_integer:
        long_integer(graph_.text(id));
        return {};
      case ObjectKind::real:
        has_floats_ = true;
        out_.op(Opcode::BINFLOAT);
        out_.number(byte_swapped(std::bit_cast<std::uint64_t>(graph_.real(id))));
        return {};
      case ObjectKind::persistent:
        // The tuple that is a persistent id is made for each use: no memo entry stands for it.
        push(Step::persistent_id, id);
        push(Step::object, graph_.persistent_argument(id));
        if (graph_.kind(graph_.persistent_argument(id)) == ObjectKind::tuple) {
          anew_.resize(graph_.size());
          anew_[graph_.persistent_argument(id)] = 1;
        }
        return {};
      default:
        break;
    }
    if (is_stored(id)) {
      fetch(id);
      return {};
    }
    switch (kind) {
      case ObjectKind::string:
      case ObjectKind::byte_string:
      case ObjectKind::bytes:
      case ObjectKind::bytearray:
        RUSHLIGHT_TRY(text(id));
        store(id);
        return {};
      case ObjectKind::list:
        container(id, Opcode::EMPTY_LIST, Step::list_items, graph_.items(id).empty());
        return {};
      case ObjectKind::dict:
        container(id, Opcode::EMPTY_DICT, Step::dict_pairs, graph_.pairs(id).empty());
        return {};
      case ObjectKind::set:
        RUSHLIGHT_TRY(needs(4, "a set"));
        container(id, Opcode::EMPTY_SET, Step::set_items, graph_.items(id).empty());
        return {};
      case ObjectKind::frozenset:
        RUSHLIGHT_TRY(needs(4, "a frozenset"));
        out_.op(Opcode::MARK);
        push(Step::frozen_items, id);
        return {};
      case ObjectKind::tuple:
        if (graph_.items(id).empty()) {
          out_.op(Opcode::EMPTY_TUPLE);
          return {};
        }
        if (graph_.items(id).size() > 3) out_.op(Opcode::MARK);
        push(Step::tuple_items, id);
        return {};
      case ObjectKind::global:
        return global(id);
      case ObjectKind::call:
        return call(id);
      default:
        return {};
    }
  }

  void container(ObjectId id, Opcode opcode, Step step, bool empty) {
    out_.op(opcode);
    store(id);
    push(Step::call_states, id);
    if (!empty) push(step, id);
  }

  [[nodiscard]] Status needs(int protocol, std::string_view what) const {
    if (protocol_ >= protocol) return {};
    return impossible(std::string(what) + " needs pickle protocol " + std::to_string(protocol) + ", this is " +
                      std::to_string(protocol_));
  }

  void integer(std::int64_t value) {
    if (value >= 0 && value <= 0xFF) {
      out_.op(Opcode::BININT1);
      out_.byte(static_cast<std::uint8_t>(value));
    } else if (value >= 0 && value <= 0xFFFF) {
      out_.op(Opcode::BININT2);
      out_.number(static_cast<std::uint16_t>(value));
    } else if (value == static_cast<std::int32_t>(value)) {
      out_.op(Opcode::BININT);
      out_.number(static_cast<std::int32_t>(value));
    } else {
      char bytes[8];
      for (std::size_t i = 0; i < sizeof bytes; ++i) bytes[i] = static_cast<char>(value >> (8 * i));
      // The shortest two's complement.
      std::size_t size = sizeof bytes;
      const char fill = value < 0 ? '\xFF' : '\0';
      while (size > 1 && bytes[size - 1] == fill && ((bytes[size - 2] ^ fill) & 0x80) == 0) --size;
      long_integer({bytes, size});
    }
  }
  void long_integer(std::string_view bytes) {
    if (bytes.size() < 256) {
      out_.counted(Opcode::LONG1, static_cast<std::uint8_t>(bytes.size()), bytes);
    } else {
      out_.counted(Opcode::LONG4, static_cast<std::uint32_t>(bytes.size()), bytes);
    }
  }

  Status text(ObjectId id) {
    const std::string_view text = graph_.text(id);
    const bool is_short = text.size() < 256;
    const auto size4 = static_cast<std::uint32_t>(text.size());
    switch (graph_.kind(id)) {
      case ObjectKind::byte_string:  // of Python 2, which knows no protocol beyond 2
        if (text.size() > 0x7FFFFFFF) return impossible("a str of Python 2 holds at most 2 GiB");
        is_short ? out_.counted(Opcode::SHORT_BINSTRING, static_cast<std::uint8_t>(size4), text)
                 : out_.counted(Opcode::BINSTRING, size4, text);
        return {};
      case ObjectKind::bytearray:
        RUSHLIGHT_TRY(needs(5, "a bytearray"));
        out_.counted(Opcode::BYTEARRAY8, std::uint64_t{text.size()}, text);
        return {};
      case ObjectKind::bytes:
        RUSHLIGHT_TRY(needs(3, "a bytes object"));
        if (is_short) {
          out_.counted(Opcode::SHORT_BINBYTES, static_cast<std::uint8_t>(size4), text);
          return {};
        }
        break;
      default:
        if (is_short && protocol_ >= 4) {
          out_.counted(Opcode::SHORT_BINUNICODE, static_cast<std::uint8_t>(size4), text);
          return {};
        }
        break;
    }
    const bool is_bytes = graph_.kind(id) == ObjectKind::bytes;
    if (text.size() <= kMost4) {
      out_.counted(is_bytes ? Opcode::BINBYTES : Opcode::BINUNICODE, size4, text);
      return {};
    }
    RUSHLIGHT_TRY(needs(4, "a text of 4 GiB"));
    out_.counted(is_bytes ? Opcode::BINBYTES8 : Opcode::BINUNICODE8, std::uint64_t{text.size()}, text);
    return {};
  }

  Status tuple_items(const Task& task) {
    const std::span<const ObjectId> items = graph_.items(task.id);
    if (task.next == 0) RUSHLIGHT_TRY(enter(task.id));
    if (task.next < items.size()) {
      push(Step::tuple_items, task.id, task.next + 1);
      push(Step::object, items[task.next]);
      return {};
    }
    --open_[task.id];
    if (is_stored(task.id)) {  // it was written inside itself
      if (items.size() > 3) {
        out_.op(Opcode::POP_MARK);
      } else {
        for (std::size_t i = 0; i < items.size(); ++i) out_.op(Opcode::POP);
      }
      fetch(task.id);
      return {};
    }
    constexpr Opcode kOpcodes[] = {Opcode::EMPTY_TUPLE, Opcode::TUPLE1, Opcode::TUPLE2, Opcode::TUPLE3};
    out_.op(items.size() > 3 ? Opcode::TUPLE : kOpcodes[items.size()]);
    store(task.id);
    return {};
  }

  Status frozen_items(const Task& task) {
    const std::span<const ObjectId> items = graph_.items(task.id);
    if (task.next == 0) RUSHLIGHT_TRY(enter(task.id));
    if (task.next < items.size()) {
      push(Step::frozen_items, task.id, task.next + 1);
      push(Step::object, items[task.next]);
      return {};
    }
    --open_[task.id];
    if (is_stored(task.id)) {
      out_.op(Opcode::POP_MARK);
      fetch(task.id);
      return {};
    }
    out_.op(Opcode::FROZENSET);
    store(task.id);
    return {};
  }

  // An object that is written again before it is finished: Python goes on in the hope that a memo entry of something
  // inside ends it, and so does this, as often as there can be such entries.
  Status enter(ObjectId id) {
    if (open_[id] == 0xFF) {
      return impossible("this " + std::string(to_string(graph_.kind(id))) +
                        " cannot be written: it is needed to make itself");
    }
    ++open_[id];
    return {};
  }

  Status global(ObjectId id) {
    if (protocol_ >= 4) {
      if (!has_name_objects(id)) return impossible("the names of a global are no objects, which protocol 4 needs");
      push(Step::name_module, id);
      push(Step::object, name_object(id));
      push(Step::object, module_object(id));
      return {};
    }
    const std::string_view module = graph_.module(id);
    const std::string_view name = graph_.name(id);
    if (module.find('\n') != std::string_view::npos || name.find('\n') != std::string_view::npos) {
      return impossible("the name of a global holds a newline, which needs pickle protocol 4");
    }
    out_.op(Opcode::GLOBAL);
    out_.text(module);
    out_.byte('\n');
    out_.text(name);
    out_.byte('\n');
    store(id);
    return {};
  }

  Status call(ObjectId id) {
    if (open_[id] != 0) make_arguments_anew(id);
    RUSHLIGHT_TRY(enter(id));
    if (graph_.call_kind(id) == CallKind::newobj_ex) RUSHLIGHT_TRY(needs(4, "an object made with keyword arguments"));
    push(Step::call_made, id);
    if (graph_.call_kind(id) == CallKind::newobj_ex) push(Step::object, graph_.keywords(id));
    push(Step::object, graph_.arguments(id));
    push(Step::object, graph_.callable(id));
    return {};
  }

  Status call_made(ObjectId id) {
    --open_[id];
    switch (graph_.call_kind(id)) {
      case CallKind::newobj:
        out_.op(Opcode::NEWOBJ);
        break;
      case CallKind::newobj_ex:
        out_.op(Opcode::NEWOBJ_EX);
        break;
      default:  // INST and OBJ are Python 2's; the call is the same
        out_.op(Opcode::REDUCE);
        break;
    }
    if (is_stored(id)) {
      out_.op(Opcode::POP);
      fetch(id);
      return {};
    }
    store(id);
    push(Step::call_states, id);
    if (!graph_.pairs(id).empty()) push(Step::set_pairs, id);
    if (!graph_.items(id).empty()) push(Step::appended, id);
    return {};
  }

  const ObjectGraph& graph_;
  int protocol_;
  std::uint64_t max_bytes_;
  std::vector<std::uint32_t> memo_;  // by object
  std::uint32_t stored_ = 0;
  std::vector<std::uint8_t> open_;       // by object: how often it is being written
  std::vector<std::uint8_t> referents_;  // by object; empty until it is needed
  std::vector<std::uint8_t> anew_;       // by object: 1 when the memo does not count; empty until it is needed
  std::vector<Task> steps_;
  std::vector<ObjectId> persistent_;
  bool has_floats_ = false;
  Stream out_;
};

}  // namespace

Result<Pickled> write_pickle(const ObjectGraph& graph, const PicklerOptions& options) {
  if (options.protocol < 2 || options.protocol > 5) {
    return impossible("pickle protocol " + std::to_string(options.protocol) + " is not written, expected 2 to 5");
  }
  return Pickler(graph, options).run();
}

}  // namespace rushlight::pickle
