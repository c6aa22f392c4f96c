/// \file
/// Where written bytes go: a file that is replaced at once, or whatever the caller implements.
#pragma once

#include <cstddef>
#include <span>

#include "rushlight/export.hpp"
#include "rushlight/result.hpp"

namespace rushlight {

/// Takes bytes one after the other, as they will lie in the file. Implement it for memory, a socket, encryption.
///
/// Used by one thread at a time. After a failure nothing more is written to it.
class RUSHLIGHT_API Sink {
 public:
  virtual ~Sink();

  /// Takes all of `bytes`, behind what came before, or fails. They are the caller's again when this returns.
  virtual Status write(std::span<const std::byte> bytes) = 0;

 protected:
  Sink() = default;
  Sink(const Sink&) = default;
  Sink& operator=(const Sink&) = default;
};

}  // namespace rushlight
