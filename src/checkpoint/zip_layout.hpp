// How the records of a torch.save archive are arranged: as one of torch's releases does, or as a file does.
// Source: torch/serialization.py (_save), caffe2/serialize/inline_container.cc; format-spec/05-checkpoint, "Writing".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/torch_release.hpp"
#include "rushlight/result.hpp"
#include "zip/archive.hpp"

namespace rushlight::checkpoint {

struct ZipLayout {
  // A record of the archive, below its root.
  struct Record {
    std::string name;                    // "data.pkl", "version" ...
    std::string content;                 // of the small ones; none of the pickle, the storages and the serialization id
    const zip::Entry* copied = nullptr;  // what torch does not know: taken over from the file
  };
  static constexpr std::string_view kPickle = "data.pkl";
  static constexpr std::string_view kStorages = "data/";  // stands for all of them
  static constexpr std::string_view kSerializationId = ".data/serialization_id";

  std::string root;  // "archive/", with the slash
  std::vector<Record> records;
  std::string storage_folder = "data/";
  bool numeric_order = true;  // storages by the numbers that their keys are; as text otherwise
  bool keep_keys = false;     // keys are addresses: those of a file stay
  std::uint64_t alignment = 64;
  bool crc = true;

  // What the record about it says changes with it.
  void set_alignment(std::uint64_t bytes);
};

// `stem` is the file's name without its folder and its extension.
ZipLayout layout_of_release(TorchRelease release, std::string_view stem, std::uint64_t alignment);
// Of a file that torch.save wrote, or something like it.
Result<ZipLayout> layout_of_file(const zip::Archive& archive, std::string_view root);
// What torch names the root folder of an archive that it saves to this path.
std::string root_of_path(std::string_view path);

}  // namespace rushlight::checkpoint
