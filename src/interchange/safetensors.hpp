// safetensors: a length, a JSON header, and the elements of all tensors without a gap. format-spec/09-interchange.md.
// Source: huggingface/safetensors, safetensors/src/tensor.rs and README.md, "Format".
#pragma once

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "interchange/named_tensor.hpp"
#include "rushlight/interchange.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/result.hpp"
#include "rushlight/source.hpp"

namespace rushlight::interchange {

struct Safetensors {
  std::vector<NamedTensor> tensors;                           // in the order of the header, each with its own storage
  std::vector<std::pair<std::string, std::string>> metadata;  // `__metadata__`, in its order
};

// Reads the header alone. The tensors view the file: without a copy where it is mapped and they lie at a multiple of
// 16, and read when first asked for otherwise. The format has no checksums: Integrity::none.
Result<Safetensors> read_safetensors(std::shared_ptr<const Source> source, const Limits& limits);

// write_safetensors() for any tensors: names that stand twice are SAFETENSORS-DUPLICATE.
Status write_safetensors(std::span<const NamedTensor> tensors, Sink& sink, const SafetensorsOptions& options);

}  // namespace rushlight::interchange
