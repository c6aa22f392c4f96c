#include "interchange/record_part.hpp"

#include <cstring>
#include <optional>
#include <span>

#include "base/fail.hpp"
#include "tensor/byte_order.hpp"

namespace rushlight::interchange {
namespace {

// What Memory promises.
constexpr std::uintptr_t kAlignment = 16;

}  // namespace

Error RecordFile::placed(Error error, const zip::Entry& entry) const {
  return with_file(with_record(std::move(error), entry.name), name);
}

Result<Integrity> check_record(const RecordFile& file, const zip::Entry& entry, ByteSpan decoded) {
  const zip::CrcCheck check = zip::Archive::check_crc(entry, decoded, nullptr);
  switch (check.state) {
    case zip::CrcState::verified:
      return Integrity::verified;
    case zip::CrcState::not_computed:
      return Integrity::not_computed;
    case zip::CrcState::mismatch:
      break;
  }
  const Result<zip::Extent> extent = file.archive->data_extent(entry);
  return zip::crc_mismatch(check, extent ? std::optional(extent->begin) : std::nullopt);
}

std::optional<FilePlace> RecordPart::place() const {
  const Result<zip::Extent> extent = file_->archive->data_extent(*entry_);
  if (!extent) return std::nullopt;
  // Of a deflated record nobody knows where in it the part begins.
  return FilePlace{file_->name, extent->begin + (entry_->method == zip::Method::stored ? offset_ : 0)};
}

Result<ByteSpan> RecordPart::bytes() {
  std::call_once(once_, [this] { loaded_ = std::make_unique<Loaded>(load()); });
  return loaded_->answer;
}

RecordPart::Loaded RecordPart::load() {
  const auto failed = [this](Error error) {
    return Loaded{.answer = file_->placed(std::move(error), *entry_), .record = {}, .copied = nullptr};
  };
  Result<zip::RecordBytes> record = file_->archive->read(*entry_, entry_->size_bytes);
  if (!record) return failed(std::move(record).error());
  if (file_->checksums != Checksums::ignore) {
    Result<Integrity> checked = check_record(*file_, *entry_, record->span());
    integrity_.store(checked ? *checked : Integrity::mismatch, std::memory_order_release);
    if (!checked) return failed(std::move(checked).error());
  }
  const ByteSpan part =
      record->span().subspan(static_cast<std::size_t>(offset_), static_cast<std::size_t>(size_bytes_));
  const bool is_aligned = reinterpret_cast<std::uintptr_t>(part.data()) % kAlignment == 0;
  if (part.empty() || (is_aligned && swap_unit_ == 1)) {
    return {.answer = part, .record = *std::move(record), .copied = nullptr};
  }
  Result<std::shared_ptr<Memory>> copy = make_host_memory(part.size());
  if (!copy) return failed(std::move(copy).error());
  const Result<std::span<std::byte>> target = (*copy)->mutable_bytes();
  if (!target) return failed(target.error());
  std::memcpy(target->data(), part.data(), part.size());
  swap_units(*target, swap_unit_);
  return {.answer = ByteSpan(*target), .record = {}, .copied = *std::move(copy)};
}

}  // namespace rushlight::interchange
