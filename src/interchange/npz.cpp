#include "interchange/npz.hpp"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "interchange/npy_layout.hpp"
#include "interchange/record_part.hpp"
#include "tensor/byte_order.hpp"
#include "zip/inflate.hpp"

namespace rushlight::interchange {
namespace {

constexpr std::string_view kSuffix = ".npy";

// The stored bytes of a record as a file of their own.
class StoredRecord final : public Source {
 public:
  StoredRecord(const Source& file, zip::Extent extent) noexcept : file_(file), extent_(extent) {}

  [[nodiscard]] std::uint64_t size_bytes() const noexcept override { return extent_.size_bytes(); }
  Status read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    return file_.read_at(extent_.begin + offset, out);
  }

 private:
  const Source& file_;
  zip::Extent extent_;
};

class NpzReader {
 public:
  NpzReader(std::shared_ptr<const RecordFile> file, const Limits& limits) : file_(std::move(file)), limits_(limits) {}

  Result<Npz> read() {
    for (const zip::Entry& entry : file_->archive->entries()) {
      if (entry.is_directory()) continue;
      if (!entry.name.ends_with(kSuffix)) {
        Error left_out = Error::of({.severity = Severity::warning,
                                    .category = Category::unsup,
                                    .code = "NPZ-MEMBER",
                                    .message = "its name does not end with '.npy': it is no array and is left out",
                                    .offset = entry.header_offset});
        result_.findings.push_back(file_->placed(std::move(left_out), entry).finding);
        continue;
      }
      // No two records have one name (src/zip), so no two arrays have.
      const std::string_view name = entry.name.substr(0, entry.name.size() - kSuffix.size());
      if (result_.arrays.size() == limits_.tensors) {
        return failed(Category::limit, "LIMIT-TENSORS",
                      "there are more than " + std::to_string(limits_.tensors) + " tensors (tensors)", entry);
      }
      Result<Tensor> array = read_array(entry);
      if (!array && array.error().code != ErrorCode::unsupported) return std::move(array).error();
      result_.arrays.push_back({std::string(name), std::move(array)});
    }
    return std::move(result_);
  }

 private:
  [[nodiscard]] Error failed(Category category, const char* code, std::string message, const zip::Entry& entry) const {
    return file_->placed(
        Error::of({.category = category, .code = code, .message = std::move(message), .offset = entry.header_offset}),
        entry);
  }

  Result<Tensor> read_array(const zip::Entry& entry) {
    Result<zip::Extent> extent = file_->archive->data_extent(entry);
    if (!extent) return file_->placed(std::move(extent).error(), entry);
    Result<NpyLayout> layout = entry.method == zip::Method::stored
                                   ? read_npy_layout(StoredRecord(*file_->archive->source(), *extent), limits_)
                                   : inflated_layout(entry);
    if (!layout) return broken(std::move(layout).error(), entry, *extent);
    const std::uint32_t unit = layout->big_endian ? swap_unit(layout->dtype) : 1;
    auto memory = std::make_shared<RecordPart>(file_, entry, layout->data_offset, layout->data_bytes, unit);
    Result<Tensor> tensor = Tensor::view(Storage(std::move(memory)), layout->dtype, std::move(layout->shape),
                                         std::move(layout->strides), 0);
    if (!tensor) return file_->placed(std::move(tensor).error(), entry);
    return tensor;
  }

  Result<NpyLayout> inflated_layout(const zip::Entry& entry) {
    RUSHLIGHT_TRY(zip::spend(inflated_, entry, limits_));
    RUSHLIGHT_TRY_ASSIGN(const zip::RecordBytes record, file_->archive->read(entry, entry.size_bytes));
    return read_npy_layout(*Source::from_memory(record.span()), limits_);
  }

  // A header that cannot be read: damaged, or never right? The checksum knows, and comes first.
  Error broken(Error error, const zip::Entry& entry, zip::Extent extent) const {
    if (error.finding.record) return with_file(std::move(error), file_->name);  // the archive's own complaint
    if (error.code == ErrorCode::io || error.code == ErrorCode::out_of_memory) {
      return file_->placed(std::move(error), entry);
    }
    if (file_->checksums != Checksums::ignore) {
      const Result<zip::RecordBytes> record = file_->archive->read(entry, entry.size_bytes);
      if (!record) return file_->placed(record.error(), entry);
      Result<Integrity> checked = check_record(*file_, entry, record->span());
      if (!checked) return file_->placed(std::move(checked).error(), entry);
    }
    // It counts from the record's first byte, and so does the file where the record is stored as it is.
    error.finding.record_offset = error.finding.offset;
    if (entry.method == zip::Method::stored && error.finding.offset) {
      error.finding.offset = extent.begin + *error.finding.offset;
    } else {
      error.finding.offset = extent.begin;
    }
    return file_->placed(std::move(error), entry);
  }

  std::shared_ptr<const RecordFile> file_;
  const Limits& limits_;
  zip::InflateCost inflated_;
  Npz result_;
};

}  // namespace

bool is_npz(const zip::Archive& archive) noexcept {
  const std::span<const zip::Entry> entries = archive.entries();
  return !entries.empty() && std::all_of(entries.begin(), entries.end(), [](const zip::Entry& entry) {
    return entry.is_directory() || entry.name.ends_with(".npy");
  });
}

Result<Npz> read_npz(std::shared_ptr<const zip::Archive> archive, std::string file, const Limits& limits,
                     Checksums checksums) {
  auto shared = std::make_shared<RecordFile>();
  shared->archive = std::move(archive);
  shared->name = std::move(file);
  shared->checksums = checksums;
  return NpzReader(std::move(shared), limits).read();
}

Result<Npz> read_npz(std::shared_ptr<const Source> source, const Limits& limits, Checksums checksums) {
  std::vector<Finding> oddities;
  zip::OpenOptions options;
  options.limits = limits;
  Result<std::shared_ptr<const zip::Archive>> archive = zip::Archive::open(source, options, oddities);
  if (!archive) return with_file(std::move(archive).error(), source->name());
  RUSHLIGHT_TRY_ASSIGN(Npz read, read_npz(*std::move(archive), std::string(source->name()), limits, checksums));
  for (Finding& finding : oddities) finding.file = escaped(source->name());
  read.findings.insert(read.findings.begin(), std::make_move_iterator(oddities.begin()),
                       std::make_move_iterator(oddities.end()));
  return read;
}

}  // namespace rushlight::interchange
