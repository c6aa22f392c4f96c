/// \file
/// Budgets. Every length read from a file meets one of these, and the bytes that are left, before it is used.
#pragma once

#include <cstdint>
#include <limits>

#include "rushlight/export.hpp"

namespace rushlight {

/// What a file may cost. The defaults are met by no honest file known to us; an overrun is ErrorCode::limit_exceeded
/// and names the field. See format-spec/08-security for the reasons behind each number.
struct Limits {
  std::uint64_t archive_entries = std::uint64_t{1} << 20;  ///< records in one archive
  std::uint64_t central_directory_bytes = std::uint64_t{256} << 20;
  std::uint64_t record_name_bytes = 511;                         ///< torch reads names into a buffer of 512
  std::uint64_t pickle_bytes = std::uint64_t{256} << 20;         ///< one pickle record, decoded
  std::uint64_t pickle_nodes = std::uint64_t{16} << 20;          ///< objects one pickle may make
  std::uint64_t pickle_depth = 512;                              ///< nesting of values; a policy, no stack is at stake
  std::uint64_t pickle_memo = std::uint64_t{16} << 20;           ///< entries in the memo
  std::uint64_t pickle_string_bytes = std::uint64_t{16} << 20;   ///< one string or bytes object
  std::uint64_t pickle_integer_bytes = std::uint64_t{64} << 10;  ///< one LONG4
  std::uint64_t visited_nodes = 10'000'000;                      ///< steps of one walk over a value graph (print, list)
  std::uint64_t tensors = std::uint64_t{4} << 20;
  std::uint64_t tensor_dims = 64;                              ///< torch's own iterators stop there
  std::uint64_t inflated_bytes = std::uint64_t{64} << 20;      ///< inflated output beyond 16 x the compressed bytes
  std::uint64_t materialised_bytes = std::uint64_t{64} << 20;  ///< logical bytes beyond twice the storage's own
  std::uint64_t json_bytes = std::uint64_t{64} << 20;          ///< one JSON document (spec, header, manifest)
  std::uint64_t graph_nodes = std::uint64_t{1} << 20;          ///< operators in one model
  std::uint64_t arena_bytes = std::uint64_t{64} << 30;         ///< of one Session: activations, and tables of operators
  std::uint64_t image_pixels = std::uint64_t{256} << 20;       ///< width times height of one picture

  /// For files from strangers on small machines: about a sixteenth of the defaults.
  RUSHLIGHT_API static Limits strict() noexcept;
  /// No budgets: only the bytes that are really there bound the work.
  RUSHLIGHT_API static Limits off() noexcept;
};

}  // namespace rushlight
