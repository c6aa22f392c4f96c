// Writes down what a program does to the files of one folder, and does it too. Needs layer io.
#pragma once

#include <cstddef>
#include <optional>

#include "io/system_calls.hpp"
#include "power_cut.hpp"

namespace rushlight::test {

// Installed from its construction to its destruction; one at a time, one thread. Only files that are created and
// folders are followed: nobody writes into files that were there.
class OperationRecorder {
 public:
  struct Plan {
    std::size_t most_bytes = ~std::size_t{0};  // a write moves no more, so that there are more moments to cut between
    int fail_at = -1;                          // the operation that fails with EIO, counted from 0; -1 for none
  };

  explicit OperationRecorder(Plan plan);
  ~OperationRecorder();
  OperationRecorder(const OperationRecorder&) = delete;
  OperationRecorder& operator=(const OperationRecorder&) = delete;

  // In order; those that failed are left out, since they did nothing that can be relied upon.
  [[nodiscard]] const std::vector<Operation>& operations() const noexcept;
  [[nodiscard]] bool has_failed() const noexcept;

 private:
  std::optional<io::ScopedSystemCalls> scope_;
};

}  // namespace rushlight::test
