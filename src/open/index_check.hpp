// The indices of sparse and nested tensors, which opening leaves alone: whether they lie within their tensors.
#pragma once

#include <cstdint>
#include <optional>

#include "rushlight/composite_tensor.hpp"
#include "rushlight/error.hpp"

namespace rushlight::open {

// Of the tensors of one file. Views may share the bytes of one storage a million times: there is an end to what is
// read.
class IndexCheck {
 public:
  explicit IndexCheck(std::uint64_t file_size_bytes) noexcept;

  // What is wrong with the indices; LIMIT-INDICES where that is too much to find out. Nothing for tensors without
  // bytes.
  [[nodiscard]] std::optional<Error> check(const CompositeTensor& tensor);

 private:
  std::uint64_t most_bytes_;
  std::uint64_t done_bytes_ = 0;
};

}  // namespace rushlight::open
