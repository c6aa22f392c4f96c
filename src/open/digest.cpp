// The content digest (format-spec/07, [C-60] and following).
#include "rushlight/digest.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <utility>

#include "base/bytes.hpp"
#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "base/quote.hpp"
#include "checksum/sha256.hpp"
#include "checksum/xxh3.hpp"
#include "tensor/byte_order.hpp"
#include "tensor/meta.hpp"
#include "tensor/unfolded_bytes.hpp"

namespace rushlight {
namespace {

// Changes with the definition below.
constexpr std::string_view kMark = "rushlight content digest 1\n";
// A round of tensors that are hashed at the same time: enough for every thread, little enough to report and cancel.
constexpr std::uint64_t kRoundBytes = std::uint64_t{64} << 20;

// Either algorithm, piece by piece.
class Hash {
 public:
  static Result<Hash> create(DigestAlgorithm algorithm) {
    Hash hash;
    if (algorithm == DigestAlgorithm::sha256) {
      RUSHLIGHT_TRY_ASSIGN(hash.sha256_, checksum::Sha256::create());
    } else {
      hash.xxh3_.emplace();
    }
    return hash;
  }

  void update(ByteSpan bytes) noexcept {
    if (sha256_) {
      sha256_->update(bytes);
    } else {
      xxh3_->update(bytes);
    }
  }
  void update(std::string_view text) noexcept { update(as_byte_span(text)); }
  // A text with its length in front, so that neighbours cannot run into each other.
  void update_counted(std::string_view text) noexcept {
    update_number(text.size());
    update(text);
  }
  void update_number(std::uint64_t value) noexcept {
    std::array<std::byte, 8> bytes{};
    store_le(bytes.data(), value);
    update(bytes);
  }

  Result<std::string> hex() && {
    if (sha256_) {
      RUSHLIGHT_TRY_ASSIGN(const checksum::Sha256Digest digest, std::move(*sha256_).finish());
      return checksum::to_hex(digest);
    }
    return checksum::to_hex(xxh3_->digest());
  }

 private:
  Hash() = default;

  std::optional<checksum::Sha256> sha256_;
  std::optional<checksum::Xxh3Stream> xxh3_;
};

// Storages may hold any byte for True.
void update_booleans(Hash& hash, ByteSpan bytes) noexcept {
  std::array<std::byte, 4096> piece{};
  while (!bytes.empty()) {
    const std::size_t count = std::min(bytes.size(), piece.size());
    std::transform(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count), piece.begin(),
                   [](std::byte b) { return b == std::byte{0} ? std::byte{0} : std::byte{1}; });
    hash.update(ByteSpan(piece.data(), count));
    bytes = bytes.subspan(count);
  }
}

Result<std::string> digest_of(const Tensor& tensor, DigestAlgorithm algorithm) {
  if (is_meta(tensor)) return std::string();
  const std::uint64_t most = Limits{}.materialised_bytes + 2 * tensor.storage().size_bytes();
  Tensor on_host = tensor;
  if (tensor.device().kind != Device::Kind::cpu) {
    RUSHLIGHT_TRY_ASSIGN(on_host, tensor.to(Device::cpu()));
  }
  RUSHLIGHT_TRY_ASSIGN(const Tensor dense, on_host.contiguous(most));
  RUSHLIGHT_TRY_ASSIGN(const std::span<const std::byte> bytes, dense.bytes());
  RUSHLIGHT_TRY_ASSIGN(Hash hash, Hash::create(algorithm));
  if (tensor.dtype() == DType::boolean) {
    update_booleans(hash, bytes);
  } else {
    hash.update(bytes);
  }
  return std::move(hash).hex();
}

Result<std::string> digest_of_all(const std::vector<TensorDigest>& tensors, DigestAlgorithm algorithm) {
  std::vector<const TensorDigest*> sorted;
  sorted.reserve(tensors.size());
  for (const TensorDigest& tensor : tensors) sorted.push_back(&tensor);
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const TensorDigest* a, const TensorDigest* b) { return a->name < b->name; });
  RUSHLIGHT_TRY_ASSIGN(Hash hash, Hash::create(algorithm));
  hash.update(kMark);
  hash.update_number(sorted.size());
  for (const TensorDigest* tensor : sorted) {
    hash.update_counted(tensor->name);
    hash.update_counted(to_string(tensor->dtype));
    hash.update_number(tensor->shape.size());
    for (const std::int64_t size : tensor->shape) hash.update_number(static_cast<std::uint64_t>(size));
    hash.update_counted(tensor->digest);
  }
  return std::move(hash).hex();
}

// Of arrays of dtypes that torch does not have: texts are UTF-32, times are integers of 64 bits.
std::uint32_t swap_unit_of(const NdArray& array) noexcept {
  if (!array.dtype.starts_with('>') || array.dtype.size() < 2) return 1;
  return array.dtype[1] == 'U' ? 4 : array.dtype[1] == 'M' || array.dtype[1] == 'm' ? 8 : 1;
}

// Arrays lie in the pickle, so their bytes are few; those that hold objects have none. Several may share theirs.
Result<std::vector<ArrayDigest>> digests_of_arrays(const Inspection& inspection, DigestAlgorithm algorithm) {
  std::vector<ArrayDigest> digests;
  std::map<std::pair<const Memory*, std::string>, std::string> known;
  for (const ValueEntry& entry : inspection.values) {
    const NdArray* const array = entry.value.as_ndarray();
    if (array == nullptr || !array->data) continue;
    ArrayDigest digest{.name = entry.name, .dtype = array->dtype, .shape = array->shape, .digest = {}};
    const bool in_order = !array->tensor || array->tensor->is_contiguous();
    std::string& hex = known[{in_order ? array->data->memory().get() : nullptr, array->dtype}];
    if (hex.empty() || !in_order) {
      if (array->tensor) {
        RUSHLIGHT_TRY_ASSIGN(hex, digest_of(*array->tensor, algorithm));
      } else {
        RUSHLIGHT_TRY_ASSIGN(Hash hash, Hash::create(algorithm));
        RUSHLIGHT_TRY_ASSIGN(const std::span<const std::byte> stored, array->data->bytes());
        std::vector<std::byte> bytes(stored.begin(), stored.end());
        swap_units(bytes, swap_unit_of(*array));
        hash.update(ByteSpan(bytes));
        RUSHLIGHT_TRY_ASSIGN(hex, std::move(hash).hex());
      }
    }
    digest.digest = hex;
    digests.push_back(std::move(digest));
  }
  return digests;
}

}  // namespace

std::string_view to_string(DigestAlgorithm algorithm) noexcept {
  switch (algorithm) {
    case DigestAlgorithm::xxh3_128:
      return "xxh3-128";
    case DigestAlgorithm::sha256:
      return "sha256";
  }
  return "?";
}

bool available(DigestAlgorithm algorithm) noexcept {
  return algorithm != DigestAlgorithm::sha256 || checksum::sha256_available();
}

Result<DigestReport> digest(const Checkpoint& checkpoint, DigestAlgorithm algorithm, Executor* executor,
                            Progress* progress) {
  return or_no_memory([&]() -> Result<DigestReport> {
    // Before anything is read.
    RUSHLIGHT_TRY(Hash::create(algorithm));
    RUSHLIGHT_TRY_ASSIGN(const Inspection inspection, inspect(checkpoint));
    const FileKind kind = checkpoint.format().kind;
    const bool is_script = kind == FileKind::torchscript || kind == FileKind::torchscript_mobile;
    std::vector<const TensorEntry*> entries;
    for (const TensorEntry& entry : inspection.tensors) {
      // As state_dict() names them: a pickled module and its state dict have one digest. In a TorchScript archive what
      // stands outside are weights as well: constants of frozen modules, packed parameters.
      if (!entry.persistent && !is_script) continue;
      entries.push_back(&entry);
    }
    std::vector<const Tensor*> tensors;
    tensors.reserve(entries.size());
    for (const TensorEntry* entry : entries) tensors.push_back(&entry->tensor);
    Result<std::uint64_t> total_bytes = unfolded_bytes(tensors, "LIMIT-DIGEST", "to be hashed");
    if (!total_bytes) return with_file(std::move(total_bytes).error(), checkpoint.file());

    DigestReport report;
    report.algorithm = algorithm;
    report.tensors.resize(entries.size());
    std::vector<Status> statuses(entries.size());
    const auto hash_one = [&](std::size_t i) {
      const Tensor& tensor = entries[i]->tensor;
      TensorDigest& out = report.tensors[i];
      out.name = entries[i]->name;
      out.dtype = tensor.dtype();
      out.shape.assign(tensor.shape().begin(), tensor.shape().end());
      Result<std::string> hex = digest_of(tensor, algorithm);
      if (hex) {
        out.digest = *std::move(hex);
      } else {
        statuses[i] = std::move(hex).error();
      }
    };

    std::uint64_t done_bytes = 0;
    for (std::size_t begin = 0; begin < entries.size();) {
      std::size_t end = begin;
      std::uint64_t round_bytes = 0;
      while (end < entries.size() && (end == begin || round_bytes < kRoundBytes)) {
        const Tensor& tensor = entries[end++]->tensor;
        if (!is_meta(tensor)) round_bytes += tensor.size_bytes();
      }
      if (executor != nullptr && end - begin > 1) {
        for_each_index(*executor, end - begin, [&](std::size_t i) { hash_one(begin + i); });
      } else {
        for (std::size_t i = begin; i < end; ++i) hash_one(i);
      }
      for (std::size_t i = begin; i < end; ++i) {
        if (statuses[i]) continue;
        Error error = std::move(statuses[i]).error();
        if (error.finding.tensors.empty()) error.finding.tensors.push_back(entries[i]->name);
        if (error.finding.file.empty()) error.finding.file = checkpoint.file();
        return error;
      }
      begin = end;
      done_bytes += round_bytes;
      if (progress != nullptr && !progress->on_progress("digest", done_bytes, *total_bytes)) {
        return Error::of(ErrorCode::cancelled,
                         {.category = Category::io, .code = "CANCELLED", .message = "the digest was cancelled"});
      }
    }
    RUSHLIGHT_TRY_ASSIGN(report.content_digest, digest_of_all(report.tensors, algorithm));
    RUSHLIGHT_TRY_ASSIGN(report.arrays, digests_of_arrays(inspection, algorithm));
    return report;
  });
}

}  // namespace rushlight
