#include "model/operator_table.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <memory>

namespace rushlight {

// How the library reaches what an Operator holds.
struct Operator::Access {
  static const std::shared_ptr<const void>& attributes(const Operator& op) noexcept { return op.attributes_; }
  static void set(Operator& op, std::shared_ptr<const void> attributes) noexcept {
    op.attributes_ = std::move(attributes);
  }
};

namespace model {
namespace {

// "zeros, reflect" as two words.
template <std::size_t Count>
consteval std::array<std::string_view, Count> split_words(std::string_view text) {
  std::array<std::string_view, Count> words;
  for (std::string_view& word : words) {
    const std::size_t end = std::min(text.find(','), text.size());
    word = text.substr(0, end);
    text.remove_prefix(std::min(text.size(), end + 2));
  }
  return words;
}
consteval std::size_t count_words(std::string_view text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), ',')) + 1;
}

template <class Word>
struct Words;
#define RUSHLIGHT_WORDS(Type, ...)                                                     \
  template <>                                                                          \
  struct Words<Type> {                                                                 \
    static constexpr auto kAll = split_words<count_words(#__VA_ARGS__)>(#__VA_ARGS__); \
  };
#include "rushlight/operator_words.def"

// The one word that is no C++ name.
constexpr auto kInterpolationModes = [] {
  auto words = Words<InterpolationMode>::kAll;
  words[static_cast<std::size_t>(InterpolationMode::nearest_exact)] = "nearest-exact";
  return words;
}();

template <class T>
Field field_of(T& field) noexcept {
  if constexpr (std::is_enum_v<T>) {
    static_assert(sizeof(T) == 1);
    std::span<const std::string_view> words = Words<T>::kAll;
    if constexpr (std::is_same_v<T, InterpolationMode>) words = kInterpolationModes;
    return WordField{words, reinterpret_cast<std::uint8_t*>(&field)};
  } else {
    return &field;
  }
}

#define RUSHLIGHT_OPERATOR(Type, spec, torch, min_inputs, max_inputs, max_outputs)                    \
  void list_##Type([[maybe_unused]] void* attributes, [[maybe_unused]] std::vector<Attribute>& out) { \
    [[maybe_unused]] Type& op = *static_cast<Type*>(attributes);
#define RUSHLIGHT_ATTRIBUTE(Type, ctype, field, default_value, meaning)                                  \
  {                                                                                                      \
    static constexpr AttributeInfo kInfo{#field, default_kind(#default_value), #default_value, meaning}; \
    out.push_back({&kInfo, field_of(op.field)});                                                         \
  }
#define RUSHLIGHT_UNSET(Type, ctype, field, kind, meaning)                             \
  {                                                                                    \
    static constexpr AttributeInfo kInfo{#field, default_kind(#kind), #kind, meaning}; \
    out.push_back({&kInfo, field_of(op.field)});                                       \
  }
#define RUSHLIGHT_OPERATOR_END(Type) }
#include "rushlight/operators.def"

#define RUSHLIGHT_OPERATOR(Type, spec, torch, min_inputs, max_inputs, max_outputs) \
  constexpr bool k##Type##HasParameters = false
#define RUSHLIGHT_PARAMETER(Type, name, present, ...) || true
#define RUSHLIGHT_PARAMETER_LIST(Type) || true
#define RUSHLIGHT_OPERATOR_END(Type) ;
#include "rushlight/operators.def"

template <class Op>
Operator make() {
  return Op{};
}
template <class Op>
std::shared_ptr<void> copy(const void* attributes) {
  return std::make_shared<Op>(*static_cast<const Op*>(attributes));
}
template <class Op>
bool equal(const void* a, const void* b) {
  return *static_cast<const Op*>(a) == *static_cast<const Op*>(b);
}

constexpr OperatorInfo kTable[] = {
#define RUSHLIGHT_OPERATOR(Type, spec, torch, min_inputs, max_inputs, max_outputs)                   \
  {OperatorKind::Type,     #Type,      spec,       torch,       min_inputs, max_inputs, max_outputs, \
   k##Type##HasParameters, make<Type>, copy<Type>, equal<Type>, list_##Type},
#include "rushlight/operators.def"
};

}  // namespace

bool WordField::set(std::string_view word) const noexcept {
  const auto found = std::find(words.begin(), words.end(), word);
  if (found == words.end()) return false;
  *index = static_cast<std::uint8_t>(found - words.begin());
  return true;
}

std::span<const OperatorInfo> operator_table() noexcept {
  return kTable;
}

const OperatorInfo& info(OperatorKind kind) noexcept {
  return kTable[static_cast<std::size_t>(kind) - 1];
}

const OperatorInfo* info(const Operator& op) noexcept {
  return op.kind() == OperatorKind::nothing ? nullptr : &info(op.kind());
}

const OperatorInfo* find_spec_name(std::string_view spec_name) noexcept {
  for (const OperatorInfo& row : kTable) {
    if (row.spec_name == spec_name) return &row;
  }
  return nullptr;
}

const OperatorInfo* find_torch_class(std::string_view torch_class) noexcept {
  for (const OperatorInfo& row : kTable) {
    if (row.torch_class == torch_class) return &row;
  }
  return nullptr;
}

Operator make_operator(const OperatorInfo& info) {
  return info.make();
}

void* own_attributes(Operator& op) {
  std::shared_ptr<void> own = info(op.kind()).copy(Operator::Access::attributes(op).get());
  void* const attributes = own.get();
  Operator::Access::set(op, std::move(own));
  return attributes;
}

std::vector<Attribute> attributes(Operator& op) {
  std::vector<Attribute> list;
  if (op.kind() != OperatorKind::nothing) info(op.kind()).list_attributes(own_attributes(op), list);
  return list;
}

}  // namespace model

bool operator==(const Operator& a, const Operator& b) noexcept {
  if (a.kind() != b.kind()) return false;
  const void* const mine = Operator::Access::attributes(a).get();
  const void* const theirs = Operator::Access::attributes(b).get();
  return mine == theirs || model::info(a.kind()).equal(mine, theirs);
}

}  // namespace rushlight
