// GGUF, version 2 and 3, little-endian: the files of llama.cpp. format-spec/09-interchange.md.
// Source: ggml-org/ggml, docs/gguf.md; ggml-org/llama.cpp, ggml/src/gguf.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rushlight/dtype.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/result.hpp"
#include "rushlight/source.hpp"
#include "rushlight/tensor.hpp"
#include "rushlight/value.hpp"

namespace rushlight::interchange {

// One row of ggml_types.def.
struct GgmlType {
  std::uint32_t id;
  std::string_view name;       // "Q4_K"
  std::uint32_t block_values;  // values in a block; 1 for plain elements
  std::uint32_t block_bytes;   // 0 for plain elements: the dtype knows
  std::optional<DType> dtype;  // of plain elements
};
[[nodiscard]] std::span<const GgmlType> ggml_types() noexcept;

struct GgufTensor {
  std::string name;
  Shape shape;  // torch's order: the innermost dimension last
  const GgmlType* type = nullptr;
  std::uint64_t offset = 0;  // in the file
  std::uint64_t size_bytes = 0;
  std::optional<Tensor> elements;  // of plain types
  std::shared_ptr<const Source> source;

  // ErrorCode::unsupported for block types, by name.
  [[nodiscard]] Result<Tensor> tensor() const;
};

struct Gguf {
  std::uint32_t version = 0;
  std::uint64_t alignment = 0;
  Value metadata;                   // a dict, in the order of the file; arrays are lists
  std::vector<GgufTensor> tensors;  // in the order of the file
};

// Reads the header, the metadata and the descriptions of the tensors. Tensors of plain types view the file: without a
// copy where it is mapped, and read when first asked for otherwise. The format has no checksums: Integrity::none.
Result<Gguf> read_gguf(std::shared_ptr<const Source> source, const Limits& limits);

}  // namespace rushlight::interchange
