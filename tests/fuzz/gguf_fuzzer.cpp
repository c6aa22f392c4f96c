// GGUF, by its reader alone, then as a whole checkpoint.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <string>

#include "base/quote.hpp"
#include "fuzz/answers.hpp"
#include "interchange/gguf.hpp"

namespace {

using namespace rushlight;
using namespace rushlight::test;
using interchange::Gguf;
using interchange::GgufTensor;

std::string text(const Gguf& file) {
  std::string said = std::to_string(file.version) + " " + std::to_string(file.alignment) + "\n";
  require(file.alignment > 0 && file.metadata.kind() == ValueKind::dict);
  for (std::size_t i = 0; i < file.metadata.entry_count(); ++i) {
    const auto [key, value] = file.metadata.entry(i);
    require(key.as_string().has_value() && value.exists());
    said += escaped(*key.as_string()) + " " + std::string(to_string(value.kind())) + " " +
            std::to_string(value.item_count()) + "\n";
  }
  std::set<std::string> names;
  for (const GgufTensor& tensor : file.tensors) {
    require(tensor.type != nullptr && names.insert(tensor.name).second);
    const std::uint64_t size = tensor.source->size_bytes();
    // One without elements may stand where the padding behind the descriptions was cut off.
    require(tensor.size_bytes == 0 || (tensor.offset <= size && tensor.size_bytes <= size - tensor.offset));
    require(tensor.offset % file.alignment == 0);
    require(tensor.elements.has_value() == tensor.type->dtype.has_value());
    const Result<Tensor> elements = tensor.tensor();
    require(elements.has_value() == tensor.elements.has_value());
    said += escaped(tensor.name) + " " + std::to_string(tensor.offset) + "\n";
    if (!elements) {
      require(elements.error().code == ErrorCode::unsupported && tensor.type->block_bytes > 0);
      said += checked_line(elements.error());
      continue;
    }
    require(elements->size_bytes() == tensor.size_bytes && elements->storage().bytes().has_value());
    said += read_tensor(*elements);
  }
  return said;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span input(data, size);
  const auto read = [](const std::shared_ptr<const Source>& source) {
    return interchange::read_gguf(source, small_limits());
  };
  if (decode_both_ways(input, read, text)) {
    check_answers(input);
  } else {
    check_refusal(input, {FileKind::gguf});
  }
  return 0;
}
