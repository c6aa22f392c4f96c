// What the writers of tensors share: a Sink that is told about progress, and a file that appears at once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "interchange/named_tensor.hpp"
#include "io/atomic_file.hpp"
#include "rushlight/executor.hpp"
#include "rushlight/result.hpp"
#include "rushlight/sink.hpp"
#include "rushlight/state_dict.hpp"
#include "tensor/element_stream.hpp"

namespace rushlight::interchange {

// Puts the name of the tensor before the message.
[[nodiscard]] Error of_tensor(Error error, std::string_view name);

[[nodiscard]] std::vector<NamedTensor> items_of(const StateDict& tensors);

// All of them together when written out; LIMIT-WRITE where views repeat what is stored out of all proportion.
Result<std::uint64_t> bytes_to_write(std::span<const NamedTensor> tensors);

// The elements of a tensor wherever it is, on the host.
Result<ElementStream> elements_of(const Tensor& tensor);

class TensorOutput {
 public:
  // `total` is what all calls of advance() will come to.
  TensorOutput(Sink& sink, Progress* progress, std::uint64_t total) noexcept
      : sink_(sink), progress_(progress), total_(total) {}

  [[nodiscard]] std::uint64_t offset() const noexcept { return offset_; }
  Status write(ByteSpan bytes);
  // The same for elements, in pieces between which progress is told.
  Status write_elements(ElementStream elements);
  // All elements of a tensor, in C order. Those that lie so in a file are checked as they pass. What cannot be read is
  // an error with its name.
  Status write_tensor(const NamedTensor& named);
  // So much of the work is done; CANCELLED when asked to stop.
  Status advance(std::uint64_t bytes);

 private:
  Sink& sink_;
  Progress* progress_;
  std::uint64_t total_;
  std::uint64_t done_ = 0;
  std::uint64_t told_ = 0;
  std::uint64_t offset_ = 0;
};

// Lets `write` make the file `path`, which holds the old bytes until all of the new ones are there. `expected_bytes` as
// in io::AtomicFile: 0 where nobody knows. `check` looks at the new file first. Gives how long it is.
Result<std::uint64_t> write_file(const std::filesystem::path& path, std::uint64_t expected_bytes,
                                 const io::AtomicFileOptions& options, const std::function<Status(Sink& sink)>& write,
                                 const io::AtomicFile::Check& check);

}  // namespace rushlight::interchange
