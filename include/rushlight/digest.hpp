/// \file
/// Digests of tensors and of whole checkpoints that do not depend on the container (src/open/digest.cpp states the
/// bytes).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "rushlight/inspect.hpp"

namespace rushlight {

enum class DigestAlgorithm : std::uint8_t {
  xxh3_128,
  sha256,  ///< needs OpenSSL in the build; ErrorCode::unsupported without
};
/// "xxh3-128", "sha256".
RUSHLIGHT_API std::string_view to_string(DigestAlgorithm algorithm) noexcept;

struct TensorDigest {
  std::string name{};
  DType dtype = DType::f32;
  Shape shape{};
  std::string digest{};  ///< lower-case hex; over the elements in C order, little-endian, conj and neg resolved
};

/// Of a NumPy array.
struct ArrayDigest {
  std::string name{};
  std::string dtype{};  ///< as NdArray::dtype
  Shape shape{};
  std::string digest{};  ///< over the elements, little-endian; of dtypes that torch has in C order, of others as stored
};

struct DigestReport {
  DigestAlgorithm algorithm = DigestAlgorithm::xxh3_128;
  std::vector<TensorDigest> tensors{};  ///< in traversal order
  std::vector<ArrayDigest> arrays{};    ///< likewise; no part of the content digest, which is one of tensors
  std::string content_digest{};         ///< over all (name, dtype, shape, digest) of tensors, sorted by name
};

/// Reads every tensor and array; the first that cannot be read is the Error.
RUSHLIGHT_API Result<DigestReport> digest(const Checkpoint& checkpoint, DigestAlgorithm algorithm,
                                          Executor* executor = nullptr, Progress* progress = nullptr);

/// True when the build can compute it.
RUSHLIGHT_API bool available(DigestAlgorithm algorithm) noexcept;

}  // namespace rushlight
