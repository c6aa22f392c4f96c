// What can be proven of a damaged archive of torch.save: values with every storage that is, and with memory that says
// why it cannot be read for the others (format-spec/05, "Salvage").
#pragma once

#include <memory>
#include <vector>

#include "rushlight/checkpoint.hpp"
#include "rushlight/result.hpp"
#include "rushlight/value.hpp"
#include "zip/archive.hpp"
#include "zip/record_walk.hpp"

namespace rushlight::checkpoint {

struct SalvagedArchive {
  Value root;
  FormatInfo format;
  std::vector<Finding> findings;
  std::vector<zip::FoundRecord> records;  // in file order, of a walk
  bool unchecked = false;                 // storages without checksums are among those that are proven
};

// By the central directory, which is whole. Only what the values need is looked at.
Status salvage_by_directory(const std::shared_ptr<const zip::Archive>& archive, const LoadOptions& options,
                            SalvagedArchive& salvaged);

// Whether a record that says `big` stands under another name than `byteorder`, by the checksums in the directory: its
// name there is damaged, and every element would be misread.
[[nodiscard]] bool hides_byteorder(const zip::Archive& archive, const FormatInfo& format);

// From the front, record by record, without a directory. `salvaged` gets the records also when it fails: the pickle is
// not whole, or the archive is none of torch.save.
Status salvage_by_walk(const std::shared_ptr<const Source>& source, const LoadOptions& options,
                       SalvagedArchive& salvaged);

}  // namespace rushlight::checkpoint
