#include "rushlight/state_dict.hpp"

#include <optional>

#include "base/no_memory.hpp"
#include "base/quote.hpp"
#include "value/hash_index.hpp"

namespace rushlight {

// Positions by name; empty while there are few.
struct StateDict::Index {
  HashIndex by_name;
  std::uint64_t seed = random_seed();

  std::optional<std::uint32_t> find(const std::vector<Item>& items, std::string_view name, std::uint64_t hash) const {
    if (items.size() > kLinearSearch) {
      return by_name.find(hash, [&](std::uint32_t at) { return items[at].first == name; });
    }
    for (std::uint32_t i = 0; i < items.size(); ++i) {
      if (items[i].first == name) return i;
    }
    return std::nullopt;
  }

  std::optional<std::uint32_t> find(const std::vector<Item>& items, std::string_view name) const {
    return find(items, name, items.size() > kLinearSearch ? hash_text(name, seed) : 0);
  }

  // After items[position] was added.
  void added(const std::vector<Item>& items, std::uint32_t position, std::uint64_t hash) {
    if (position < kLinearSearch) return;
    if (position == kLinearSearch) return rebuild(items);
    by_name.insert(hash, position);
  }

  void rebuild(const std::vector<Item>& items) {
    by_name = {};
    if (items.size() <= kLinearSearch) return;
    by_name.reserve(items.size());
    for (std::uint32_t i = 0; i < items.size(); ++i) by_name.insert(hash_text(items[i].first, seed), i);
  }
};

StateDict::StateDict() = default;

StateDict::StateDict(const StateDict& other)
    : items_(other.items_),
      index_(other.index_ == nullptr ? nullptr : std::make_unique<Index>(*other.index_)),
      path_(other.path_),
      metadata_(other.metadata_) {}

// A moved-from dict is empty and may be used again.
StateDict::StateDict(StateDict&& other) noexcept {
  *this = std::move(other);
}

StateDict& StateDict::operator=(const StateDict& other) {
  if (this != &other) *this = StateDict(other);
  return *this;
}

StateDict& StateDict::operator=(StateDict&& other) noexcept {
  items_.swap(other.items_);
  index_.swap(other.index_);
  path_.swap(other.path_);
  std::swap(metadata_, other.metadata_);
  return *this;
}

StateDict::~StateDict() = default;

const Tensor* StateDict::find(std::string_view name) const noexcept {
  if (index_ == nullptr) return nullptr;
  const auto position = index_->find(items_, name);
  return position ? &items_[*position].second : nullptr;
}

Result<Tensor> StateDict::at(std::string_view name) const {
  return or_no_memory([&]() -> Result<Tensor> {
    if (const Tensor* found = find(name)) return *found;
    std::vector<std::string> names;
    names.reserve(items_.size());
    for (const Item& item : items_) names.push_back(item.first);
    std::string hint;
    for (const std::string& candidate : nearest(name, names)) {
      hint += (hint.empty() ? "did you mean " : " or ") + quoted(candidate);
    }
    return Error::of(ErrorCode::not_found, {.category = Category::argument,
                                            .code = "STATE-DICT-NAME",
                                            .message = "there is no tensor " + quoted(name) + " in the state dict",
                                            .found = escaped(name),
                                            .hint = std::move(hint)});
  });
}

void StateDict::reserve(std::size_t count) {
  items_.reserve(count);
  if (count <= kLinearSearch) return;
  if (index_ == nullptr) index_ = std::make_unique<Index>();
  index_->by_name.reserve(count);
}

void StateDict::insert(std::string name, Tensor tensor) {
  if (index_ == nullptr) index_ = std::make_unique<Index>();
  const std::uint64_t hash = hash_text(name, index_->seed);
  if (const auto known = index_->find(items_, name, hash)) {
    items_[*known].second = std::move(tensor);
    return;
  }
  const auto position = static_cast<std::uint32_t>(items_.size());
  items_.emplace_back(std::move(name), std::move(tensor));
  index_->added(items_, position, hash);
}

bool StateDict::erase(std::string_view name) {
  if (index_ == nullptr) return false;
  const auto known = index_->find(items_, name);
  if (!known) return false;
  items_.erase(items_.begin() + *known);
  index_->rebuild(items_);
  return true;
}

}  // namespace rushlight
