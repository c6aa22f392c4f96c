#include "open/file_digests.hpp"

#include <algorithm>
#include <utility>

#include "base/bytes.hpp"
#include "base/fail.hpp"
#include "base/no_memory.hpp"

namespace rushlight::open {
namespace {

constexpr std::uint64_t kLeastStretchBytes = 64;
// Of one task, so that small stretches are not one each.
constexpr std::uint64_t kTaskBytes = checksum::kChunkBytes;
constexpr std::size_t kTasksPerThread = 2;
// What is read at a time where the file is not mapped.
constexpr std::uint64_t kPieceBytes = std::uint64_t{1} << 20;

Status tell(Progress* progress, std::uint64_t done, std::uint64_t total) {
  if (progress == nullptr || progress->on_progress("verify", done, total)) return {};
  return Error::of(ErrorCode::cancelled,
                   {.category = Category::io, .code = "CANCELLED", .message = "verifying was cancelled"});
}

// The bytes of a range: where the file is mapped those of the mapping, else read into a buffer.
class Reader {
 public:
  explicit Reader(const Source& source) : source_(source), mapping_(source.mapping()) {}

  Result<ByteSpan> read(const zip::Extent& range) {
    if (!mapping_.empty()) {
      return mapping_.subspan(static_cast<std::size_t>(range.begin), static_cast<std::size_t>(range.size_bytes()));
    }
    buffer_.resize(static_cast<std::size_t>(range.size_bytes()));
    RUSHLIGHT_TRY(source_.read_at(range.begin, buffer_));
    return ByteSpan(buffer_);
  }

 private:
  const Source& source_;
  ByteSpan mapping_;
  std::vector<std::byte> buffer_;
};

class WholeFile {
 public:
  WholeFile(const Source& source, std::optional<checksum::Xxh3Stream> xxh3, std::optional<checksum::Sha256> sha256)
      : reader_(source), xxh3_(std::move(xxh3)), sha256_(std::move(sha256)) {}

  // All bytes up to there.
  Status advance(std::uint64_t end) {
    while (at_ < end) {
      const zip::Extent range{at_, std::min(at_ + kPieceBytes, end)};
      RUSHLIGHT_TRY_ASSIGN(const ByteSpan bytes, reader_.read(range));
      if (xxh3_) xxh3_->update(bytes);
      if (sha256_) sha256_->update(bytes);
      at_ = range.end;
    }
    return {};
  }
  [[nodiscard]] Xxh3Bytes xxh3() const { return xxh3_->digest(); }
  [[nodiscard]] Result<Sha256Bytes> sha256() && { return std::move(*sha256_).finish(); }

 private:
  Reader reader_;
  std::uint64_t at_ = 0;
  std::optional<checksum::Xxh3Stream> xxh3_;
  std::optional<checksum::Sha256> sha256_;
};

struct Chunk {
  std::size_t stretch = 0;
  std::size_t number = 0;  // in it
  zip::Extent range;
};

class Digester {
 public:
  Digester(const Source& source, std::span<const zip::Extent> stretches, checksum::ChunkHashes hashes,
           Executor* executor, Progress* progress)
      : source_(source), stretches_(stretches), hashes_(hashes), executor_(executor), progress_(progress) {}

  Result<FileDigests> run() {
    std::optional<checksum::Sha256> sha256;
    if (hashes_.sha256) {
      RUSHLIGHT_TRY_ASSIGN(sha256, checksum::Sha256::create());
    }
    WholeFile whole(source_, checksum::Xxh3Stream(), std::move(sha256));
    digests_.stretches.resize(stretches_.size());
    for (std::size_t i = 0; i < stretches_.size(); ++i) {
      digests_.stretches[i].resize(static_cast<std::size_t>(checksum::chunk_count(stretches_[i].size_bytes())));
    }
    const std::size_t threads = executor_ != nullptr ? executor_->concurrency() : 1;
    while (next_wave(threads * kTasksPerThread)) {
      RUSHLIGHT_TRY(run_wave(whole));
      RUSHLIGHT_TRY(tell(progress_, wave_.back().range.end, source_.size_bytes()));
    }
    RUSHLIGHT_TRY(whole.advance(source_.size_bytes()));
    digests_.file_xxh3 = whole.xxh3();
    if (hashes_.sha256) {
      RUSHLIGHT_TRY_ASSIGN(digests_.file_sha256, std::move(whole).sha256());
    }
    return std::move(digests_);
  }

 private:
  // The next chunks, in tasks of about 4 MiB each; false when there are none left.
  bool next_wave(std::size_t most_tasks) {
    wave_.clear();
    tasks_.clear();
    std::uint64_t task_bytes = kTaskBytes;
    while (stretch_ < stretches_.size()) {
      if (stretches_[stretch_].begin == stretches_[stretch_].end) {
        stretch_ += 1;
        continue;
      }
      if (task_bytes >= kTaskBytes) {
        if (tasks_.size() == most_tasks) break;
        tasks_.push_back({.first = wave_.size(), .chunks = 0, .status = {}});
        task_bytes = 0;
      }
      const zip::Extent& stretch = stretches_[stretch_];
      const std::uint64_t begin = stretch.begin + chunk_ * checksum::kChunkBytes;
      const zip::Extent range{begin, std::min(begin + checksum::kChunkBytes, stretch.end)};
      wave_.push_back({.stretch = stretch_, .number = chunk_, .range = range});
      tasks_.back().chunks += 1;
      task_bytes += range.size_bytes();
      chunk_ += 1;
      if (range.end == stretch.end) {
        stretch_ += 1;
        chunk_ = 0;
      }
    }
    return !wave_.empty();
  }

  // The digest of the whole, which must go in order, is the first task of each wave.
  Status run_wave(WholeFile& whole) {
    Status whole_status;
    const auto one = [&](std::size_t i) {
      if (i == 0) {
        whole_status = whole.advance(wave_.back().range.end);
      } else {
        tasks_[i - 1].status = run_task(tasks_[i - 1]);
      }
    };
    if (executor_ != nullptr) {
      for_each_index(*executor_, tasks_.size() + 1, one);
    } else {
      for (std::size_t i = 0; i <= tasks_.size(); ++i) one(i);
    }
    for (Task& task : tasks_) RUSHLIGHT_TRY(std::move(task.status));
    return whole_status;
  }

  struct Task {
    std::size_t first = 0;
    std::size_t chunks = 0;
    Status status;
  };

  Status run_task(const Task& task) {
    Reader reader(source_);
    for (std::size_t i = task.first; i < task.first + task.chunks; ++i) {
      const Chunk& chunk = wave_[i];
      RUSHLIGHT_TRY_ASSIGN(const ByteSpan bytes, reader.read(chunk.range));
      RUSHLIGHT_TRY_ASSIGN(digests_.stretches[chunk.stretch][chunk.number],
                           checksum::hash_chunk(bytes, hashes_, nullptr));
    }
    return {};
  }

  const Source& source_;
  std::span<const zip::Extent> stretches_;
  checksum::ChunkHashes hashes_;
  Executor* executor_;
  Progress* progress_;
  std::size_t stretch_ = 0;
  std::size_t chunk_ = 0;
  std::vector<Chunk> wave_;
  std::vector<Task> tasks_;
  FileDigests digests_;
};

}  // namespace

std::vector<zip::Extent> stretches_of(std::vector<zip::Extent> storages, std::uint64_t size_bytes) {
  std::erase_if(storages, [](const zip::Extent& storage) { return storage.begin == storage.end; });
  std::sort(storages.begin(), storages.end(),
            [](const zip::Extent& a, const zip::Extent& b) { return a.begin < b.begin; });
  std::vector<zip::Extent> stretches;
  std::uint64_t covered_to = 0;
  const auto rest_to = [&](std::uint64_t end) {
    if (end > covered_to && end - covered_to >= kLeastStretchBytes) stretches.push_back({covered_to, end});
  };
  for (const zip::Extent& storage : storages) {
    if (storage.begin < covered_to) {  // it overlaps the one before it
      covered_to = std::max(covered_to, storage.end);
      stretches.back().end = covered_to;
      continue;
    }
    rest_to(storage.begin);
    stretches.push_back(storage);
    covered_to = storage.end;
  }
  rest_to(size_bytes);
  return stretches;
}

Result<FileDigests> digest_file(const Source& source, std::span<const zip::Extent> stretches,
                                checksum::ChunkHashes hashes, Executor* executor, Progress* progress) {
  return Digester(source, stretches, hashes, executor, progress).run();
}

Result<Sha256Bytes> sha256_of_file(const Source& source, Progress* progress) {
  RUSHLIGHT_TRY_ASSIGN(checksum::Sha256 sha256, checksum::Sha256::create());
  WholeFile whole(source, std::nullopt, std::move(sha256));
  const std::uint64_t size_bytes = source.size_bytes();
  for (std::uint64_t end = 0; end < size_bytes;) {
    end = std::min(end + kTaskBytes, size_bytes);
    RUSHLIGHT_TRY(whole.advance(end));
    RUSHLIGHT_TRY(tell(progress, end, size_bytes));
  }
  return std::move(whole).sha256();
}

}  // namespace rushlight::open
