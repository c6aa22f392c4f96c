// safetensors, by its reader alone, then as a whole checkpoint.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <string>

#include "base/quote.hpp"
#include "fuzz/answers.hpp"
#include "interchange/safetensors.hpp"
#include "rushlight/text.hpp"

namespace {

using namespace rushlight;
using namespace rushlight::test;
using interchange::Safetensors;

// Every tensor has its own bytes, all of them: the format knows no views and no gaps.
std::string text(const Safetensors& file) {
  std::string said;
  std::set<std::string> names;
  for (const interchange::NamedTensor& named : file.tensors) {
    require(is_valid_utf8(named.name) && names.insert(named.name).second);
    require(named.tensor.is_contiguous() && named.tensor.storage_offset() == 0);
    require(named.tensor.size_bytes() == named.tensor.storage().size_bytes());
    require(named.tensor.storage().integrity() == Integrity::none && named.tensor.storage().bytes().has_value());
    said += named.name + " " + std::string(to_string(named.tensor.dtype())) + "\n" + read_tensor(named.tensor);
  }
  for (const auto& [key, value] : file.metadata) {
    require(is_valid_utf8(key) && is_valid_utf8(value));
    said += key + "=" + value + "\n";
  }
  return said;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span input(data, size);
  const auto read = [](const std::shared_ptr<const Source>& source) {
    return interchange::read_safetensors(source, small_limits());
  };
  const Result<Safetensors> file = decode_both_ways(input, read, text);
  if (!file) {
    check_refusal(input, {FileKind::safetensors});
    return 0;
  }
  std::uint64_t tensor_bytes = 0;
  for (const interchange::NamedTensor& named : file->tensors) tensor_bytes += named.tensor.size_bytes();
  require(tensor_bytes < size);
  check_answers(input);
  return 0;
}
