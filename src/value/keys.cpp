#include "value/keys.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <set>
#include <utility>
#include <vector>

namespace rushlight {
namespace {

// Tags keep kinds apart that are never equal: "a" and b"a".
enum class Tag : std::uint64_t {
  none,
  integer,
  big,
  real,
  complex,
  string,
  bytes,
  dtype,
  device,
  global,
  object,
  tuple,
  frozenset,
};

std::uint64_t tagged(Tag tag, std::uint64_t value, std::uint64_t seed) noexcept {
  return hash_pair(static_cast<std::uint64_t>(tag), value, seed);
}

std::uint64_t tagged_text(Tag tag, std::string_view text, std::uint64_t seed) noexcept {
  return hash_text(text, seed + static_cast<std::uint64_t>(tag));
}

// A number in the form in which equal ones are alike: integers of 64 bits, bigger ones as shortest two's complement,
// other reals, numbers with an imaginary part, NaN.
class Number {
 public:
  enum class Form { integer, big, real, complex, nan };

  explicit Number(const ValueNode& node) noexcept {
    switch (node.kind) {
      case ValueKind::boolean:
        integer_ = node.boolean ? 1 : 0;
        return;
      case ValueKind::integer:
        if (!node.big) {
          integer_ = node.integer;
        } else {
          form_ = Form::big;
          big_ = node.text.view();
        }
        return;
      case ValueKind::real:
        set_real(node.real);
        return;
      default:
        set_complex(node.complex[0], node.complex[1]);
        return;
    }
  }
  Number(const Number&) = delete;
  Number& operator=(const Number&) = delete;

  [[nodiscard]] bool is_nan() const noexcept { return form_ == Form::nan; }

  [[nodiscard]] std::uint64_t hash(std::uint64_t seed) const noexcept {
    switch (form_) {
      case Form::integer:
        return tagged(Tag::integer, static_cast<std::uint64_t>(integer_), seed);
      case Form::big:
        return tagged_text(Tag::big, big_, seed);
      case Form::real:
        return tagged(Tag::real, std::bit_cast<std::uint64_t>(real_), seed);
      default:
        // Minus zero is not equal to zero in bits, but is as a number.
        return tagged(
            Tag::complex,
            hash_pair(std::bit_cast<std::uint64_t>(real_ + 0.0), std::bit_cast<std::uint64_t>(imaginary_), seed), seed);
    }
  }

  friend bool operator==(const Number& a, const Number& b) noexcept {
    if (a.form_ != b.form_) return false;
    switch (a.form_) {
      case Form::integer:
        return a.integer_ == b.integer_;
      case Form::big:
        return a.big_ == b.big_;
      case Form::nan:
        return false;
      default:
        return a.real_ == b.real_ && a.imaginary_ == b.imaginary_;
    }
  }

 private:
  void set_complex(double re, double im) noexcept {
    if (im == 0) return set_real(re);
    form_ = std::isnan(re) || std::isnan(im) ? Form::nan : Form::complex;
    real_ = re;
    imaginary_ = im;
  }

  void set_real(double value) noexcept {
    if (std::isnan(value)) {
      form_ = Form::nan;
    } else if (!std::isfinite(value) || value != std::trunc(value)) {
      form_ = Form::real;
      real_ = value;
    } else if (value >= -0x1p63 && value < 0x1p63) {
      integer_ = static_cast<std::int64_t>(value);
    } else {
      set_big(value);
    }
  }

  // A whole number of at least 64 bits: its mantissa, shifted, in two's complement.
  void set_big(double value) noexcept {
    form_ = Form::big;
    int exponent = 0;
    const double fraction = std::frexp(value, &exponent);  // 0.5 <= |fraction| < 1
    const auto mantissa = static_cast<std::int64_t>(std::ldexp(fraction, 53));
    const int shift = exponent - 53;  // >= 11
    // Zeros, the mantissa shifted by less than 8 bits, a byte of sign.
    const auto low = static_cast<std::uint64_t>(mantissa) << (shift % 8);
    const auto at = static_cast<std::size_t>(shift / 8);
    std::fill(buffer_, buffer_ + at, '\0');
    for (std::size_t i = 0; i < 8; ++i) buffer_[at + i] = static_cast<char>(low >> (8 * i));
    buffer_[at + 8] = value < 0 ? '\xFF' : '\0';
    std::size_t size = at + 9;
    const auto sign_of = [this](std::size_t i) { return (static_cast<unsigned char>(buffer_[i]) & 0x80U) != 0; };
    const bool negative = value < 0;
    while (size > 1 && static_cast<unsigned char>(buffer_[size - 1]) == (negative ? 0xFFU : 0U) &&
           sign_of(size - 2) == negative) {
      --size;
    }
    big_ = std::string_view(buffer_, size);
  }

  Form form_ = Form::integer;
  std::int64_t integer_ = 0;
  double real_ = 0;
  double imaginary_ = 0;
  std::string_view big_;
  char buffer_[136];  // 2^1024 needs 129 bytes
};

bool is_number(ValueKind kind) noexcept {
  return kind == ValueKind::boolean || kind == ValueKind::integer || kind == ValueKind::real ||
         kind == ValueKind::complex;
}

bool is_tuple(ValueKind kind) noexcept {
  return kind == ValueKind::tuple || kind == ValueKind::size;
}

bool is_composite(ValueKind kind) noexcept {
  return is_tuple(kind) || kind == ValueKind::frozenset;
}

// Of everything but tuples and frozensets.
std::optional<std::uint64_t> hash_leaf(const ValueGraph& graph, NodeId id, std::uint64_t seed) noexcept {
  const ValueNode& node = graph[id];
  switch (node.kind) {
    case ValueKind::none:
      return tagged(Tag::none, 0, seed);
    case ValueKind::boolean:
    case ValueKind::integer:
    case ValueKind::real:
    case ValueKind::complex: {
      const Number number(node);
      return number.is_nan() ? tagged(Tag::object, id, seed) : number.hash(seed);
    }
    case ValueKind::string:
      return hash_text_key(node.text.view(), seed);
    case ValueKind::bytes:
      return tagged_text(Tag::bytes, node.text.view(), seed);
    case ValueKind::dtype:
      return tagged(Tag::dtype, static_cast<std::uint64_t>(node.dtype), seed);
    case ValueKind::device:
      return tagged_text(Tag::device, node.text.view(), seed);
    case ValueKind::global:
      return tagged_text(Tag::global, node.text.view(), seed);
    case ValueKind::tensor:
    case ValueKind::composite:
    case ValueKind::storage:
    case ValueKind::opaque:
      return tagged(Tag::object, id, seed);
    case ValueKind::ndarray:
      if (!graph.extra(id)->ndarray->is_scalar) return std::nullopt;
      return tagged(Tag::object, id, seed);
    default:
      return std::nullopt;
  }
}

bool equal_leaves(const ValueGraph& a, NodeId x, const ValueGraph& b, NodeId y) noexcept {
  if (&a == &b && x == y) return true;
  const ValueNode& p = a[x];
  const ValueNode& q = b[y];
  if (is_number(p.kind) && is_number(q.kind)) return Number(p) == Number(q);
  if (p.kind != q.kind) return false;
  switch (p.kind) {
    case ValueKind::none:
      return true;
    case ValueKind::string:
    case ValueKind::bytes:
    case ValueKind::device:
    case ValueKind::global:
      return p.text.view() == q.text.view();
    case ValueKind::dtype:
      return p.dtype == q.dtype;
    default:
      return false;
  }
}

// Worth remembering: see KeyMemo.
bool is_large(const ValueNode& node) noexcept {
  constexpr std::size_t kShortText = 64;
  switch (node.kind) {
    case ValueKind::tuple:
    case ValueKind::size:
    case ValueKind::frozenset:
      return true;
    case ValueKind::integer:
      return node.big && node.text.size > kShortText;
    case ValueKind::string:
    case ValueKind::bytes:
    case ValueKind::device:
    case ValueKind::global:
      return node.text.size > kShortText;
    default:
      return false;
  }
}

std::optional<std::uint64_t> remembered_hash(const ValueGraph& graph, NodeId id, std::uint64_t seed, KeyMemo& memo) {
  if (!is_large(graph[id])) return hash_leaf(graph, id, seed);
  if (const auto known = memo.hashes.find(id); known != memo.hashes.end()) return known->second;
  if (is_composite(graph[id].kind)) return std::nullopt;
  const std::optional<std::uint64_t> hash = hash_leaf(graph, id, seed);
  if (hash) memo.hashes.emplace(id, *hash);
  return hash;
}

NodeId first_twin(const KeyMemo& memo, NodeId id) {
  const auto found = memo.twins.find(id);
  return found == memo.twins.end() ? id : found->second;
}

// The items of a frozenset in the order of their hashes: equal sets line up.
std::vector<NodeId> by_hash(const ValueGraph& graph, NodeId id, std::uint64_t seed, KeyMemo& memo) {
  std::vector<std::pair<std::uint64_t, NodeId>> hashed;
  for (const NodeId item : graph.items(id)) hashed.emplace_back(hash_key(graph, item, seed, memo).value_or(0), item);
  std::sort(hashed.begin(), hashed.end());
  std::vector<NodeId> items;
  items.reserve(hashed.size());
  for (const auto& [hash, item] : hashed) items.push_back(item);
  return items;
}

}  // namespace

std::uint64_t hash_text_key(std::string_view text, std::uint64_t seed) noexcept {
  return tagged_text(Tag::string, text, seed);
}

std::optional<std::uint64_t> hash_key(const ValueGraph& graph, NodeId id, std::uint64_t seed, KeyMemo& memo) {
  if (const auto known = remembered_hash(graph, id, seed, memo); known || !is_composite(graph[id].kind)) return known;

  struct Frame {
    NodeId id;
    std::size_t next;
    std::uint64_t hash;
  };
  std::vector<Frame> stack{{id, 0, 0}};
  std::set<NodeId> open{id};  // what is inside itself has no hash, in Python either
  while (true) {
    Frame& frame = stack.back();
    const bool ordered = is_tuple(graph[frame.id].kind);
    const std::span<const NodeId> items = graph.items(frame.id);
    if (frame.next < items.size()) {
      const NodeId item = items[frame.next];
      if (const auto hash = remembered_hash(graph, item, seed, memo)) {
        frame.hash = ordered ? hash_pair(frame.hash, *hash, seed) : frame.hash + *hash;
        ++frame.next;
      } else if (is_composite(graph[item].kind) && open.insert(item).second) {
        stack.push_back({item, 0, 0});  // and looked at again when its hash is known
      } else {
        return std::nullopt;
      }
      continue;
    }
    const std::uint64_t done =
        tagged(ordered ? Tag::tuple : Tag::frozenset, hash_pair(frame.hash, items.size(), seed), seed);
    memo.hashes.emplace(frame.id, done);
    open.erase(frame.id);
    stack.pop_back();
    if (stack.empty()) return done;
  }
}

bool equal_keys(const ValueGraph& a, NodeId x, KeyMemo& memo_a, const ValueGraph& b, NodeId y, KeyMemo& memo_b,
                std::uint64_t seed) {
  if (!is_large(a[x]) && !is_large(b[y])) return equal_leaves(a, x, b, y);
  if (&a == &b && first_twin(memo_a, x) == first_twin(memo_b, y)) return true;
  if (hash_key(a, x, seed, memo_a) != hash_key(b, y, seed, memo_b)) return false;

  // Equal hashes: almost certainly equal, but certainty is cheap, once.
  std::vector<std::pair<NodeId, NodeId>> pending{{x, y}};
  std::set<std::pair<NodeId, NodeId>> compared;  // shared parts would unfold
  while (!pending.empty()) {
    const auto [p, q] = pending.back();
    pending.pop_back();
    if (&a == &b && p == q) continue;
    if (is_large(a[p]) && !compared.emplace(p, q).second) continue;
    const ValueKind kind = a[p].kind;
    if (!is_composite(kind) || !is_composite(b[q].kind)) {
      if (!equal_leaves(a, p, b, q)) return false;
      continue;
    }
    if (is_tuple(kind) != is_tuple(b[q].kind) || a.items(p).size() != b.items(q).size()) return false;
    if (is_tuple(kind)) {
      const std::span<const NodeId> left = a.items(p);
      const std::span<const NodeId> right = b.items(q);
      for (std::size_t i = 0; i < left.size(); ++i) pending.emplace_back(left[i], right[i]);
    } else {
      const std::vector<NodeId> left = by_hash(a, p, seed, memo_a);
      const std::vector<NodeId> right = by_hash(b, q, seed, memo_b);
      for (std::size_t i = 0; i < left.size(); ++i) pending.emplace_back(left[i], right[i]);
    }
  }
  if (&a == &b) memo_b.twins.emplace(y, first_twin(memo_a, x));
  return true;
}

}  // namespace rushlight
