#include "pickle/globals.hpp"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <string>
#include <tuple>
#include <utility>

namespace rushlight::pickle {
namespace {

// A text by where it lies. STACK_GLOBAL may mention one long string a million times: by address that is one text.
struct Place {
  const char* data;
  std::size_t size;
  std::size_t rank;  // of its content among all texts

  [[nodiscard]] std::string_view text() const noexcept { return {data, size}; }
};

bool lies_before(const Place& a, const Place& b) noexcept {
  return a.data != b.data ? std::less<>()(a.data, b.data) : a.size < b.size;
}

std::vector<Place> rank_texts(const std::vector<Mention>& mentions) {
  std::vector<Place> places;
  places.reserve(mentions.size() * 2);
  for (const Mention& mention : mentions) {
    places.push_back({mention.module.data(), mention.module.size(), 0});
    places.push_back({mention.name.data(), mention.name.size(), 0});
  }
  std::sort(places.begin(), places.end(), lies_before);
  const auto same_place = [](const Place& a, const Place& b) { return a.data == b.data && a.size == b.size; };
  places.erase(std::unique(places.begin(), places.end(), same_place), places.end());

  std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) { return a.text() < b.text(); });
  for (std::size_t i = 1; i < places.size(); ++i) {
    places[i].rank = places[i - 1].rank + (places[i].text() == places[i - 1].text() ? 0 : 1);
  }
  std::sort(places.begin(), places.end(), lies_before);
  return places;
}

}  // namespace

void DistinctGlobals::compact() {
  const std::vector<Place> places = rank_texts(mentions_);
  const auto rank_of = [&places](std::string_view text) {
    return std::lower_bound(places.begin(), places.end(), Place{text.data(), text.size(), 0}, lies_before)->rank;
  };
  // module, name, position among the mentions: sorted, the first of each name is its first mention
  std::vector<std::tuple<std::size_t, std::size_t, std::size_t>> order;
  order.reserve(mentions_.size());
  for (std::size_t i = 0; i < mentions_.size(); ++i) {
    order.emplace_back(rank_of(mentions_[i].module), rank_of(mentions_[i].name), i);
  }
  std::sort(order.begin(), order.end());
  const auto same_name = [](const auto& a, const auto& b) {
    return std::get<0>(a) == std::get<0>(b) && std::get<1>(a) == std::get<1>(b);
  };
  order.erase(std::unique(order.begin(), order.end(), same_name), order.end());
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return std::get<2>(a) < std::get<2>(b); });

  std::vector<Mention> distinct;
  distinct.reserve(order.size());
  for (const auto& entry : order) distinct.push_back(mentions_[std::get<2>(entry)]);
  mentions_ = std::move(distinct);
  compact_at_ = std::max(compact_at_, 2 * mentions_.size());
}

std::vector<NamedGlobal> DistinctGlobals::take() {
  compact();
  std::vector<NamedGlobal> names;
  names.reserve(mentions_.size());
  for (const Mention& mention : mentions_) {
    names.push_back({std::string(mention.module), std::string(mention.name), mention.offset});
  }
  mentions_.clear();
  return names;
}

}  // namespace rushlight::pickle
