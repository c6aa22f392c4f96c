// What a disk may hold after a power cut, of a folder whose files were written by known operations.
//
// The model is as weak as file systems are allowed to be, and weaker than the common ones are:
//   - What a file held at its last sync is kept. Of what came later any part may be there: none of it; the operations
//   up
//     to some point; the bytes up to some point, with the size grown or not; any set of 4 KiB pages, zeros in place of
//     the others; pages of which some 512-byte sectors, or a part of one, were written.
//   - What the folder listed at its last sync is kept. Of what came later any set of operations may be there, in order:
//     so a rename may be kept whose file was lost, and none that was not followed by a sync of the folder must be.
//   - Nothing else changes: bytes that were synced do not rot (that is what manifests are for).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rushlight::test {

// One thing that was done and succeeded.
struct Operation {
  enum class Kind { create, allocate, write, truncate, sync_file, rename, link, unlink, sync_folder };
  Kind kind = Kind::create;
  int file = 0;        // of create to sync_file: counted from 1; files that were there before have other numbers
  std::string name{};  // of create, rename, link, unlink
  std::string to{};    // of rename, link
  std::size_t size_bytes = 0;  // of allocate, truncate
  std::string bytes{};         // of write, which is always behind the last one
};

struct DiskState {
  // What stands under a name; nothing when there is no such name.
  [[nodiscard]] std::optional<std::string_view> at(const std::string& name) const;

  std::map<std::string, int> names;
  std::map<int, std::string_view> contents;
};

class PowerCut {
 public:
  // Of a folder that held these files, synced, before the operations.
  PowerCut(const std::map<std::string, std::string>& before, std::vector<Operation> operations);

  [[nodiscard]] const std::vector<Operation>& operations() const noexcept { return operations_; }

  // Calls `look` with every state after a cut behind the first `done` operations. Gives how many. Files of more than
  // twelve changed pages get a sample of their sets of pages, the same each time.
  std::size_t for_each_state(std::size_t done, const std::function<void(const DiskState& state)>& look) const;

 private:
  std::map<std::string, int> names_;
  std::map<int, std::string> contents_;
  std::vector<Operation> operations_;
};

}  // namespace rushlight::test
