// Memory that runs out (hostile-inputs W14): each allocation of a piece of work fails in turn, alone and with all that
// follow. The result is an error or right; nothing is thrown, nothing leaks; a file that was to be written is the old
// one whole, with nothing beside it.
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "io/system_calls.hpp"
#include "open/sealed_file.hpp"
#include "rushlight/diff.hpp"
#include "rushlight/digest.hpp"
#include "rushlight/doctor.hpp"
#include "rushlight/edit.hpp"
#include "rushlight/inspect.hpp"
#include "rushlight/manifest.hpp"
#include "rushlight/stats.hpp"
#include "rushlight/verify.hpp"
#include "support/temporary_folder.hpp"
#include "write_roads.hpp"

// malloc itself fails where that can be had, and with it everything above it; sanitizers bring a malloc of their own,
// and then it is operator new that fails.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RUSHLIGHT_OWN_MALLOC 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define RUSHLIGHT_OWN_MALLOC 0
#endif
#endif
#if !defined(RUSHLIGHT_OWN_MALLOC)
#if defined(__GLIBC__)
#define RUSHLIGHT_OWN_MALLOC 1
#else
#define RUSHLIGHT_OWN_MALLOC 0
#endif
#endif

namespace {

std::atomic<bool> armed{false};
std::atomic<long> allocations{0};
std::atomic<long> refuse_from{-1};  // counted from 0
std::atomic<long> refuse_to{-1};    // not this one
std::atomic<long> live_blocks{0};

bool refused() {
  if (!armed) return false;
  const long index = allocations++;
  return index >= refuse_from && index < refuse_to;
}

void* counted(void* block) {
  if (block != nullptr) ++live_blocks;
  return block;
}

}  // namespace

#if RUSHLIGHT_OWN_MALLOC
// Visible to libstdc++, whatever the visibility of everything else. glibc keeps its own under these names.
#define RUSHLIGHT_EXPORTED __attribute__((visibility("default")))
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* old, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
void __libc_free(void* block);

static void* no_block() {
  errno = ENOMEM;
  return nullptr;
}
RUSHLIGHT_EXPORTED void* malloc(std::size_t size) {
  return refused() ? no_block() : counted(__libc_malloc(size));
}
RUSHLIGHT_EXPORTED void* calloc(std::size_t count, std::size_t size) {
  return refused() ? no_block() : counted(__libc_calloc(count, size));
}
RUSHLIGHT_EXPORTED void* realloc(void* old, std::size_t size) {
  if (refused()) return no_block();
  void* const block = __libc_realloc(old, size);
  if (old == nullptr) counted(block);
  if (old != nullptr && block == nullptr && size == 0) --live_blocks;
  return block;
}
RUSHLIGHT_EXPORTED void* aligned_alloc(std::size_t alignment, std::size_t size) {
  return refused() ? no_block() : counted(__libc_memalign(alignment, size));
}
RUSHLIGHT_EXPORTED int posix_memalign(void** out, std::size_t alignment, std::size_t size) {
  if (refused()) return ENOMEM;
  *out = counted(__libc_memalign(alignment, size));
  return *out == nullptr ? ENOMEM : 0;
}
RUSHLIGHT_EXPORTED void free(void* block) {
  if (block != nullptr) --live_blocks;
  __libc_free(block);
}
}
#else
namespace {
void* allocate(std::size_t size, std::size_t alignment) {
  if (refused()) return nullptr;
  return counted(alignment <= alignof(std::max_align_t)
                     ? std::malloc(size == 0 ? 1 : size)
                     : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment));
}
void* or_throw(void* block) {
  if (block == nullptr) throw std::bad_alloc();
  return block;
}
void release(void* block) {
  if (block != nullptr) --live_blocks;
  std::free(block);
}
}  // namespace

void* operator new(std::size_t size) {
  return or_throw(allocate(size, 1));
}
void* operator new[](std::size_t size) {
  return or_throw(allocate(size, 1));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return allocate(size, 1);
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
  return allocate(size, 1);
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  return or_throw(allocate(size, std::size_t(alignment)));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
  return or_throw(allocate(size, std::size_t(alignment)));
}
void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return allocate(size, std::size_t(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return allocate(size, std::size_t(alignment));
}
void operator delete(void* block) noexcept {
  release(block);
}
void operator delete[](void* block) noexcept {
  release(block);
}
// For constructors that throw.
void operator delete(void* block, const std::nothrow_t&) noexcept {
  release(block);
}
void operator delete[](void* block, const std::nothrow_t&) noexcept {
  release(block);
}
void operator delete(void* block, std::align_val_t, const std::nothrow_t&) noexcept {
  release(block);
}
void operator delete[](void* block, std::align_val_t, const std::nothrow_t&) noexcept {
  release(block);
}
void operator delete(void* block, std::size_t) noexcept {
  release(block);
}
void operator delete[](void* block, std::size_t) noexcept {
  release(block);
}
void operator delete(void* block, std::align_val_t) noexcept {
  release(block);
}
void operator delete[](void* block, std::align_val_t) noexcept {
  release(block);
}
void operator delete(void* block, std::size_t, std::align_val_t) noexcept {
  release(block);
}
void operator delete[](void* block, std::size_t, std::align_val_t) noexcept {
  release(block);
}
#endif

namespace rushlight::test {
namespace {

namespace fs = std::filesystem;

constexpr long kForEver = 1'000'000'000;

struct Outcome {
  Status status;
  long allocations = 0;
  bool met_a_refusal = false;
  long leaked_blocks = 0;
};

// `work` with its allocations [from, from + count) refused.
Outcome run(const std::function<Status()>& work, long from, long count) {
  Outcome outcome;
  const long before = live_blocks;
  allocations = 0;
  refuse_from = from;
  refuse_to = from + count;
  armed = true;
  outcome.status = work();
  armed = false;
  outcome.allocations = allocations;
  outcome.met_a_refusal = allocations > from;
  const long after = live_blocks;
  // What the error itself holds is no leak: as much as a copy of it.
  const Status copy = outcome.status;
  outcome.leaked_blocks = after - before - (live_blocks - after);
  return outcome;
}

// OpenSSL does not always say that memory was what it had none of.
bool is_of_openssl(const Error& error) {
  return error.finding.code == "SHA256-REFUSED" || error.finding.code == "SHA256-FAILED" ||
         error.finding.code == "ED25519-FAILED" || error.finding.code == "SIG-KEY";
}

// Allocations that the test has refused.
long injected = 0;

// Every allocation of `work`, alone and, each `step`th, with all behind it. `check` looks at what came of it.
void refuse_each(const std::string& name, const std::function<Status()>& work,
                 const std::function<void(const Status&, const std::string& context)>& check, long step = 1) {
  // The first run fills what is made once, and counts.
  check(run(work, -1, 0).status, name);
  const Outcome clean = run(work, -1, 0);
  check(clean.status, name);
  ASSERT_TRUE(clean.status) << name << ": " << to_string(clean.status.error());
  EXPECT_EQ(clean.leaked_blocks, 0) << name;
  ASSERT_GT(clean.allocations, 10) << name;
  long failures = 0;
  for (const long count : {1L, kForEver}) {
    // How many there are depends a little on where blocks lie.
    for (long from = 0; from < clean.allocations + 100; from += count == 1 ? 1 : step) {
      const std::string context = name + ", allocation " + std::to_string(from) + (count == 1 ? " alone" : " and on");
      Outcome outcome;
      ASSERT_NO_THROW(outcome = run(work, from, count)) << context;
      armed = false;
      if (!outcome.met_a_refusal) {
        EXPECT_GE(from, clean.allocations - 100) << context;
        check(outcome.status, context);
        break;
      }
      ++injected;
      // What the C++ runtime and OpenSSL make once, at the first failure of a kind, or then let go, is no leak.
      for (int again = 0; again < 3 && outcome.leaked_blocks != 0; ++again) {
        check(outcome.status, context);
        outcome = run(work, from, count);
      }
      EXPECT_EQ(outcome.leaked_blocks, 0) << context;
      if (!outcome.status) {
        ++failures;
        const Error& error = outcome.status.error();
        EXPECT_TRUE(error.code == ErrorCode::out_of_memory || is_of_openssl(error))
            << context << ": " << to_string(error);
      }
      check(outcome.status, context);
      if (testing::Test::HasFailure()) return;
    }
  }
  EXPECT_GT(failures, clean.allocations / step) << name;  // most of both kinds
}

// Thousands of files are written here, none of which must outlive the test.
const io::SystemCalls& without_syncs() {
  static const io::SystemCalls calls = [] {
    io::SystemCalls c = io::real_system_calls();
    c.fsync = [](int) { return 0; };
    return c;
  }();
  return calls;
}

void refuse_each_of_writers(const std::function<bool(const Road&)>& is_asked) {
  const io::ScopedSystemCalls scope(without_syncs());
  for (const Road& road : write_roads()) {
    if (!is_asked(road)) continue;
    const TemporaryFolder folder(memory_folder());
    for (const auto& [name, bytes] : road.before) write_file(folder / name, bytes);
    const std::function<Status()> work = road.prepare(folder.path());
    ASSERT_TRUE(work()) << road.name;
    const std::string now = read_file(folder / road.out);
    for (const auto& [name, bytes] : road.before) write_file(folder / name, bytes);
    refuse_each(
        road.name, work,
        [&](const Status& status, const std::string& context) {
          for (const auto& entry : fs::directory_iterator(folder.path())) {
            EXPECT_TRUE(road.before.contains(entry.path().filename().native())) << context << ": " << entry.path();
          }
          for (const auto& [name, bytes] : road.before) {
            const std::string found = read_file(folder / name);
            if (name != road.out) {
              EXPECT_EQ(found, bytes) << context;
            } else {
              EXPECT_TRUE(found == (status ? now : bytes)) << context;
            }
            if (found != bytes) write_file(folder / name, bytes);
          }
        },
        road.signs ? 5 : 1);
    if (testing::Test::HasFailure()) return;
  }
  testing::Test::RecordProperty("allocations_refused", static_cast<int>(std::exchange(injected, 0)));
}

TEST(AllocationFaults, W14_EachAllocationOfAWriterThatFailsLeavesTheOldFileWhole) {
  refuse_each_of_writers([](const Road& road) { return !road.signs; });
}

// Most of these are OpenSSL's, and each takes a key to read and a signature to make.
TEST(AllocationFaults, W14_EachAllocationOfASignerThatFailsLeavesTheOldFileWhole) {
  refuse_each_of_writers([](const Road& road) { return road.signs; });
}

// --- what reads ---

// `what` is at most 15 characters, which no string allocates for.
Error wrong(const char* what) {
  return Error::of(ErrorCode::corrupt, {.category = Category::io, .code = "TEST", .message = what});
}

void nothing_to_check(const Status&, const std::string&) {}

// Reports may say so, too, of a part that they could not look at.
Status verdict_of(Result<VerifyReport> report) {
  if (!report) return std::move(report).error();
  if (report->ok && report->manifest && report->manifest->state == Integrity::verified) return {};
  for (Finding& finding : report->findings) {
    if (finding.severity != Severity::error) continue;
    const bool is_memory = finding.code == "NO-MEMORY" || finding.code == "OUT-OF-MEMORY";
    return Error::of(is_memory ? ErrorCode::out_of_memory : ErrorCode::corrupt, std::move(finding));
  }
  return wrong("neither good");
}

class AllocationFaultsOfReaders : public testing::Test {
 protected:
  void refuse(const std::string& name, const std::function<Status()>& work) {
    refuse_each(name, work, nothing_to_check);
  }

  void TearDown() override { RecordProperty("allocations_refused", static_cast<int>(std::exchange(injected, 0))); }

  TemporaryFolder folder_{memory_folder()};
  fs::path plain_ = folder_ / "plain.pt";
  fs::path sealed_ = folder_ / "sealed.pt";
  fs::path out_ = folder_ / "out.pt";
  std::unique_ptr<Executor> pool_ = make_thread_pool(2);

  void SetUp() override {
    write_file(plain_, read_file(fs::path(RUSHLIGHT_GOLDEN_DIR) / "format/state_dicts/cnn.pt"));
    ASSERT_TRUE(add_manifest(plain_, sealed_));
  }
};

TEST_F(AllocationFaultsOfReaders, W14_Opening) {
  for (const FileAccess access : {FileAccess::mapped, FileAccess::pread}) {
    const LoadOptions options{.checksums = Checksums::all_at_open, .access = access};
    refuse("open", [&] {
      Result<Checkpoint> checkpoint = Checkpoint::open(sealed_, options);
      if (!checkpoint) return Status(std::move(checkpoint).error());
      Result<StateDict> state = checkpoint->state_dict();
      if (!state) return Status(std::move(state).error());
      for (const auto& [name, tensor] : *state) {
        Result<std::span<const std::byte>> bytes = tensor.bytes();
        if (!bytes) return Status(std::move(bytes).error());
      }
      return state->empty() ? Status(wrong("nothing in it")) : Status();
    });
  }
}

TEST_F(AllocationFaultsOfReaders, W14_Verifying) {
  for (Executor* executor : {static_cast<Executor*>(nullptr), pool_.get()}) {
    for (const FileAccess access : {FileAccess::mapped, FileAccess::pread}) {
      VerifyOptions options;
      options.executor = executor;
      options.access = access;
      refuse("verify", [&] { return verdict_of(verify(sealed_, options)); });
    }
  }
}

TEST_F(AllocationFaultsOfReaders, W14_Reports) {
  const Checkpoint a = Checkpoint::open(plain_).value();
  const Checkpoint b = Checkpoint::open(sealed_).value();
  const std::string expected = digest(a, DigestAlgorithm::xxh3_128)->content_digest;
  for (Executor* executor : {static_cast<Executor*>(nullptr), pool_.get()}) {
    refuse("digest", [&] {
      Result<DigestReport> report = digest(a, DigestAlgorithm::xxh3_128, executor);
      if (!report) return Status(std::move(report).error());
      return report->content_digest == expected ? Status() : Status(wrong("another digest"));
    });
    DiffOptions options;
    options.executor = executor;
    refuse("diff", [&] {
      Result<DiffReport> report = diff(a, b, options);
      return report ? Status() : Status(std::move(report).error());
    });
    StatisticsOptions how;
    how.executor = executor;
    refuse("statistics", [&] {
      Result<StatisticsReport> report = statistics_of_all(a, how);
      return report ? Status() : Status(std::move(report).error());
    });
  }
  refuse("inspect", [&] {
    Result<Inspection> inspection = inspect(a);
    if (!inspection) return Status(std::move(inspection).error());
    return inspection->tensors.empty() ? Status(wrong("no tensors")) : Status();
  });
  // Elements of another dtype, made when they are read.
  const StateDict state = a.state_dict().value();
  refuse("cast", [&] {
    for (const auto& [name, tensor] : state) {
      Result<Tensor> cast = tensor.to(DType::f16);
      if (!cast) return Status(std::move(cast).error());
      Result<std::span<const std::byte>> bytes = cast->bytes();
      if (!bytes) return Status(std::move(bytes).error());
    }
    return Status();
  });
  const EditOptions casts{.casts = {{.match = {}, .from = {}, .to = DType::f16}}};
  refuse("edit", [&] {
    Result<EditReport> report = edit(a, casts);
    return report ? Status() : Status(std::move(report).error());
  });
}

// A file is never called damaged, nor beyond rescue, because there was no memory to look at it.
TEST_F(AllocationFaultsOfReaders, W14_Diagnosing) {
  std::string bytes = read_file(plain_);
  const std::size_t data = data_of(bytes, "data/0").begin;
  bytes[data] = static_cast<char>(bytes[data] ^ 1);
  write_file(folder_ / "damaged.pt", bytes);
  bytes.resize(bytes.size() / 2);
  write_file(folder_ / "cut.pt", bytes);
  for (const char* name : {"plain.pt", "damaged.pt", "cut.pt"}) {
    const fs::path file = folder_ / name;
    const Diagnosis expected = diagnose(file).value();
    EXPECT_EQ(expected.rescue.has_value(), file != plain_);
    refuse(std::string("diagnose ") + name, [&] {
      Result<Diagnosis> diagnosis = diagnose(file);
      if (!diagnosis) return Status(std::move(diagnosis).error());
      if (diagnosis->condition != expected.condition) return Status(wrong("condition"));
      if (diagnosis->rescue.has_value() != expected.rescue.has_value()) return Status(wrong("rescue"));
      if (expected.rescue && diagnosis->rescue->tensors != expected.rescue->tensors) return Status(wrong("rescued"));
      return diagnosis->findings.size() == expected.findings.size() ? Status() : Status(wrong("findings"));
    });
  }
}

}  // namespace
}  // namespace rushlight::test
