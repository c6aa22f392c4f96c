// NumPy's .npy and .npz, by their readers alone, then as a whole checkpoint.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/quote.hpp"
#include "fuzz/answers.hpp"
#include "interchange/npy_header.hpp"
#include "interchange/npy_layout.hpp"
#include "interchange/npz.hpp"
#include "rushlight/npy.hpp"

namespace {

using namespace rushlight;
using namespace rushlight::test;
using namespace rushlight::interchange;

// What NumPy can say of a tensor says the same when it is written anew.
void check_header(const Tensor& tensor) {
  const Shape shape(tensor.shape().begin(), tensor.shape().end());
  const Result<std::string> header = format_npy_header(tensor.dtype(), shape);
  require(header.has_value() && header->starts_with(kNpyMagic) && header->size() % 64 == 0);
  constexpr std::size_t kText = 10;  // behind magic, version and length
  const Result<NpyHeader> again = parse_npy_header(std::string_view(*header).substr(kText), kText, small_limits());
  require(again.has_value() && again->dtype == tensor.dtype() && again->shape == shape);
  require(!again->big_endian && !again->fortran_order);
}

std::string text_of_layout(const NpyLayout& layout) {
  require(layout.shape.size() == layout.strides.size());
  return std::string(to_string(layout.dtype)) + " " + std::to_string(layout.data_offset) + " " +
         std::to_string(layout.data_bytes) + (layout.big_endian ? " big" : " little");
}

std::string text_of_npz(const Npz& npz) {
  std::string said;
  for (const NpzArray& array : npz.arrays) {
    said += escaped(array.name) + "\n";
    if (!array.tensor) {
      said += checked_line(array.tensor.error());
      continue;
    }
    check_header(*array.tensor);
    said += read_tensor(*array.tensor);
  }
  for (const Finding& finding : npz.findings) said += checked_line(finding);
  return said;
}

void check_npy(std::span<const std::uint8_t> input) {
  const auto read_layout = [](const std::shared_ptr<const Source>& source) {
    return read_npy_layout(*source, small_limits());
  };
  const auto read = [](const std::shared_ptr<const Source>& source) { return read_npy(source, small_limits()); };
  const Result<NpyLayout> layout = decode_both_ways(input, read_layout, text_of_layout);
  const Result<Tensor> tensor = decode_both_ways(input, read, read_tensor);
  require(layout.has_value() == tensor.has_value());
  if (!layout) {
    check_refusal(input, {FileKind::npy});
    return;
  }
  require(layout->data_offset + layout->data_bytes == input.size());
  require(layout->dtype == tensor->dtype() && tensor->size_bytes() == layout->data_bytes);
  check_header(*tensor);
  check_answers(input);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span input(data, size);
  if (size == 0 || data[0] != 'P') {
    check_npy(input);
    return 0;
  }
  const auto read = [](const std::shared_ptr<const Source>& source) { return read_npz(source, small_limits()); };
  const Result<Npz> npz = decode_both_ways(input, read, text_of_npz);
  if (npz) {
    check_answers(input);
  } else {
    check_refusal(input, {FileKind::npz});
  }
  return 0;
}
