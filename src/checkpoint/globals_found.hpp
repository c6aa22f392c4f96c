// The names a pickle mentions, judged: which have a meaning, which the caller accepts, which are refused or reported.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/globals.hpp"
#include "checkpoint/pickle_place.hpp"
#include "pickle/machine.hpp"
#include "rushlight/checkpoint.hpp"
#include "value/hash_index.hpp"

namespace rushlight::checkpoint {

// Of one distinct pair of names in the stream.
struct FoundName {
  std::string dotted;                // Python 3's name
  std::string escaped;               // the same, fit for messages
  std::optional<KnownGlobal> known;  // on the allow-list
  bool accepted = false;             // by the caller
};

// The names of the objects of kind global, each pair of names judged once.
class FoundNames {
 public:
  // Both must outlive it.
  FoundNames(const pickle::Pickle& pickle, const std::vector<std::string>& accepted);

  // `id` is of kind global, here and below. Called once for each, by ascending number.
  void add(pickle::ObjectId id);
  // Of one that was added.
  [[nodiscard]] const FoundName& operator[](pickle::ObjectId id) const noexcept {
    const auto found =
        std::lower_bound(objects_.begin(), objects_.end(), id,
                         [](const Object& object, pickle::ObjectId wanted) { return object.id < wanted; });
    return names_[found->name];
  }

 private:
  const pickle::Pickle& pickle_;
  const std::vector<std::string>& accepted_;
  std::uint64_t seed_;
  std::vector<FoundName> names_;
  std::vector<pickle::ObjectId> first_;  // the object that brought each of names_
  struct Object {
    pickle::ObjectId id;
    std::uint32_t name;  // index into names_
  };
  std::vector<Object> objects_;  // a handful, as a rule: Python memoises names
  HashIndex index_;
};

// One line each, in stream order.
std::vector<GlobalUse> list_uses(const std::vector<pickle::NamedGlobal>& globals, int protocol,
                                 const std::vector<std::string>& accepted, const std::string& record);

// The error that names all of them, at the first; nullopt when every name is allowed.
std::optional<Error> refusal(const std::vector<GlobalUse>& uses, const PicklePlace& place);
// A warning for each that is not allowed.
void report_unknown(const std::vector<GlobalUse>& uses, const PicklePlace& place, std::vector<Finding>& findings);

}  // namespace rushlight::checkpoint
