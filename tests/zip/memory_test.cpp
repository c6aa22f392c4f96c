// What an archive costs in memory (hostile-inputs 4): in proportion to the entries that are there, never to what a file
// claims; and what happens when memory is refused. This program replaces operator new to count and to refuse.
#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "support/test_source.hpp"
#include "support/zip_builder.hpp"
#include "zip/archive.hpp"

namespace {

std::atomic<std::int64_t> live_bytes{0};
std::atomic<std::int64_t> peak_bytes{0};
std::atomic<std::size_t> refuse_from{SIZE_MAX};  // requests of so many bytes and more fail

void* counted(void* memory) {
  if (memory == nullptr) return nullptr;
  const auto size = static_cast<std::int64_t>(malloc_usable_size(memory));
  const std::int64_t now = live_bytes += size;
  std::int64_t peak = peak_bytes;
  while (now > peak && !peak_bytes.compare_exchange_weak(peak, now)) {
  }
  return memory;
}

void* allocate(std::size_t size, std::size_t alignment) {
  if (size >= refuse_from) return nullptr;
  return counted(alignment <= alignof(std::max_align_t)
                     ? std::malloc(size == 0 ? 1 : size)
                     : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment));
}

void release(void* memory) {
  if (memory != nullptr) live_bytes -= static_cast<std::int64_t>(malloc_usable_size(memory));
  std::free(memory);
}

void* or_abort(void* memory) {
  if (memory == nullptr) std::abort();  // a throwing new was asked for something large: the library must not
  return memory;
}

}  // namespace

void* operator new(std::size_t size) {
  return or_abort(allocate(size, 1));
}
void* operator new[](std::size_t size) {
  return or_abort(allocate(size, 1));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return allocate(size, 1);
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
  return allocate(size, 1);
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  return or_abort(allocate(size, std::size_t(alignment)));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
  return or_abort(allocate(size, std::size_t(alignment)));
}
void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return allocate(size, std::size_t(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return allocate(size, std::size_t(alignment));
}
void operator delete(void* memory) noexcept {
  release(memory);
}
void operator delete[](void* memory) noexcept {
  release(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  release(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  release(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  release(memory);
}
void operator delete[](void* memory, std::align_val_t) noexcept {
  release(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  release(memory);
}
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
  release(memory);
}

namespace rushlight::test {
namespace {

// The most memory beyond what was live before.
class Peak {
 public:
  Peak() : before_(live_bytes) { peak_bytes = before_; }
  [[nodiscard]] std::int64_t bytes() const { return peak_bytes - before_; }

 private:
  std::int64_t before_;
};

constexpr std::int64_t kKiB = 1024;

TEST(ZipMemory, AnArchiveCosts200BytesAnEntry) {
  TorchZip zip("archive");
  const std::int64_t count = 20000;
  for (int i = 0; i < count; ++i) zip.add("data/" + std::to_string(i), "x");
  const Bytes bytes = zip.build();
  const auto directory_bytes = static_cast<std::int64_t>(zip.places().directory_end - zip.places().directory);
  for (const auto access : {TestSource::Access::mapped, TestSource::Access::read_only}) {
    const auto source = std::make_shared<TestSource>(bytes, access);
    std::vector<Finding> oddities;
    Peak peak;
    auto archive = zip::Archive::open(source, {}, oddities);
    ASSERT_TRUE(archive);
    const bool mapped = access == TestSource::Access::mapped;
    EXPECT_LE(peak.bytes(), count * 200 + 160 * kKiB + (mapped ? 0 : directory_bytes));
  }
}

TEST(ZipMemory, ClaimsOfAFileCostNothing) {
  const std::vector<std::function<void(TorchZip&)>> claims = {
      [](TorchZip& zip) { zip.end64 = [](zip::End64Record& end) { end.entries = end.entries_on_disk = 1ull << 40; }; },
      [](TorchZip& zip) { zip.end64 = [](zip::End64Record& end) { end.entries = end.entries_on_disk = 1 << 20; }; },
      [](TorchZip& zip) { zip.end64 = [](zip::End64Record& end) { end.directory_bytes = 1ull << 60; }; },
      [](TorchZip& zip) {
        zip.record("data/0").central = [](zip::CentralEntry& entry) {
          entry.method = 8;
          entry.size_bytes = 0xFFFFFFFE;
        };
      },
      [](TorchZip& zip) {
        zip.record("data/0").central = [](zip::CentralEntry& entry) {
          entry.size_bytes = entry.compressed_bytes = 0xFFFFFFFE;
        };
      },
  };
  for (const auto& claim : claims) {
    TorchZip zip = base_zip();
    claim(zip);
    zip.end = [](zip::EndRecord& end) {
      end.entries = end.entries_on_disk = 0xFFFF;
      end.directory_bytes = 0xFFFFFFFF;
    };
    const Bytes bytes = zip.build();
    for (const auto access : {TestSource::Access::mapped, TestSource::Access::read_only}) {
      const auto source = std::make_shared<TestSource>(bytes, access);
      std::vector<Finding> oddities;
      Peak peak;
      EXPECT_FALSE(zip::Archive::open(source, {}, oddities));
      EXPECT_LE(peak.bytes(), 160 * kKiB);
    }
  }
}

TEST(ZipMemory, AnAuditHoldsOnePieceAThread) {
  TorchZip zip("archive");
  zip.add("data/0", Bytes(std::size_t{40} << 20)).add("data/1", Bytes(std::size_t{1} << 20));
  const Bytes bytes = zip.build();
  const auto threads = make_thread_pool(2);
  for (const auto access : {TestSource::Access::mapped, TestSource::Access::read_only}) {
    const auto source = std::make_shared<TestSource>(bytes, access);
    std::vector<Finding> oddities;
    auto archive = zip::Archive::open(source, {}, oddities);
    ASSERT_TRUE(archive);
    Peak peak;
    ASSERT_TRUE((*archive)->audit(threads.get(), nullptr));
    const std::int64_t pieces = access == TestSource::Access::mapped ? 0 : 2 * 4096 * kKiB;
    EXPECT_LE(peak.bytes(), pieces + 64 * kKiB);
  }
}

TEST(ZipMemory, MemoryThatIsRefusedIsAnErrorAndNoEnd) {
  TorchZip zip("archive");
  for (int i = 0; i < 3000; ++i) zip.add("data/" + std::to_string(i), "x");
  zip.add("large", Bytes(std::size_t{5} << 20));
  const Bytes bytes = zip.build();
  std::vector<Finding> oddities;
  // The entries, the index of names, the record offsets; without mapping the directory and the tail before them.
  for (const auto access : {TestSource::Access::mapped, TestSource::Access::read_only}) {
    const auto source = std::make_shared<TestSource>(bytes, access);
    for (const std::int64_t from : {100 * kKiB, 30 * kKiB, 20 * kKiB, 10 * kKiB}) {
      refuse_from = static_cast<std::size_t>(from);
      auto archive = zip::Archive::open(source, {}, oddities);
      refuse_from = SIZE_MAX;
      ASSERT_FALSE(archive);
      EXPECT_EQ(archive.error().code, ErrorCode::out_of_memory);
    }
  }
  const auto source = std::make_shared<TestSource>(bytes, TestSource::Access::read_only);
  auto archive = zip::Archive::open(source, {}, oddities);
  ASSERT_TRUE(archive);
  refuse_from = std::size_t{1} << 20;
  auto record = (*archive)->read(*(*archive)->find("archive/large"), 1 << 30);
  auto audit = (*archive)->audit(nullptr, nullptr);
  refuse_from = SIZE_MAX;
  ASSERT_FALSE(record);
  EXPECT_EQ(record.error().code, ErrorCode::out_of_memory);
  EXPECT_EQ(record.error().finding.message, "no memory for 5242880 bytes of a record");
  ASSERT_FALSE(audit);
  EXPECT_EQ(audit.error().code, ErrorCode::out_of_memory);
}

}  // namespace
}  // namespace rushlight::test
