// Record names: which are allowed, which two are the same to some reader, and finding one among many.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "rushlight/result.hpp"

namespace rushlight::zip {

struct Entry;

// What is wrong with a name whatever other names there are: "has an empty component", or null. Names that leave their
// folder, or that one reader shortens and another does not, are refused; ambiguous() tells the two apart.
struct NameFault {
  const char* what = nullptr;
  bool ambiguous = false;
  std::size_t position = 0;  // of the first offending byte
};
NameFault name_fault(std::string_view name) noexcept;

// Words of lower-case letters, digits, '_' and '-' with single slashes and dots between them, as torch names its
// records: nothing is wrong with such a name, and it folds to itself.
[[nodiscard]] bool is_plain_name(std::string_view name) noexcept;

// Replaces `folded` by the form in which names that some reader takes for each other are equal: ASCII letters in lower
// case, characters decomposed, spaces and dots at the end of a component, and a slash at the end of all, left out.
void fold_name(std::string_view name, std::string& folded);

// From name to entry, by the folded name: an open-addressing table under a keyed hash that a file cannot foresee.
class NameIndex {
 public:
  // For up to `capacity` names. `key` should differ from process to process.
  Status prepare(std::size_t capacity, std::uint64_t key);

  // Adds entries[index]; gives the index of the entry of the same folded name instead, where there is one, and
  // `index` itself where there is none.
  std::size_t insert(std::span<const Entry> entries, std::size_t index);
  // The index of the entry with the same folded name, or entries.size().
  [[nodiscard]] std::size_t find(std::span<const Entry> entries, std::string_view name) const;

 private:
  struct Slot {
    std::uint32_t tag = 0;    // upper half of the hash
    std::uint32_t index = 0;  // plus one; 0 is an empty slot
  };
  [[nodiscard]] std::uint64_t hash(std::string_view folded) const noexcept;

  std::unique_ptr<Slot[]> slots_;
  std::size_t mask_ = 0;
  std::uint64_t key_ = 0;
  std::string scratch_, other_;  // insert()'s
};

}  // namespace rushlight::zip
