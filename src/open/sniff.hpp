// What a file is by its first bytes: every format that comes along under a checkpoint's name.
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.hpp"
#include "rushlight/checkpoint.hpp"

namespace rushlight::open {

enum class Container : std::uint8_t {
  zip,     // begins as a zip archive does
  legacy,  // begins with the magic number of torch.save before 1.6
  tar,     // a tar archive with the members of torch.save before 0.1.10
  pickle,  // a pickle that torch.save did not write
  safetensors,
  gguf,
  npy,
  sharded,  // the JSON index of a sharded checkpoint
  dcp,      // the metadata of a distributed checkpoint
  other,    // something else, which `refusal` names
  unknown,  // nothing that is known here: it may still be a zip archive behind other bytes
};

struct Sniffed {
  Container container = Container::unknown;
  FileKind kind = FileKind::unknown;
  std::optional<Error> refusal;  // of Container::other; for ::unknown what to say when it is no zip archive either
  bool is_pickle = false;        // begins as a pickle does
};

// torch looks at the first four bytes and never searches for an end record first: a legacy file whose tensors happen
// to contain a zip archive is a legacy file. Errors are of reading.
Result<Sniffed> sniff(const Source& source);

// What happened to a file that begins as a zip archive and cannot be read as one: line endings translated, or bytes
// replaced by U+FFFD on the way through some text tool. Empty when nothing of the kind is seen.
[[nodiscard]] std::string transport_damage(const Source& source);

}  // namespace rushlight::open
