// Z49, Z51 and Z52 of the catalogue of hostile inputs, on real paths: what is not a checkpoint is named for what it is,
// whoever asks, mapped or read.
#include <gtest/gtest.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "opened_bytes.hpp"
#include "rushlight/scan.hpp"
#include "support/faulty_system_calls.hpp"
#include "support/temporary_folder.hpp"

namespace rushlight::test {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;
namespace fs = std::filesystem;

constexpr std::array kBoth{FileAccess::mapped, FileAccess::pread};

LoadOptions by(FileAccess access) {
  LoadOptions options;
  options.access = access;
  return options;
}
VerifyOptions checked_by(FileAccess access) {
  VerifyOptions options;
  options.access = access;
  return options;
}

// --- Z49: other formats under a checkpoint's name
// -------------------------------------------------------------------------

// "kind KIND-FOREIGN at 0x0: the file is ...": open, verify and scan agree on it, and each has the same next step.
void expect_called(const fs::path& path, const std::string& said, FileKind kind) {
  for (const FileAccess access : kBoth) {
    const Result<Checkpoint> checkpoint = Checkpoint::open(path, by(access));
    ASSERT_FALSE(checkpoint) << path;
    const Finding& finding = checkpoint.error().finding;
    EXPECT_EQ(line_of(finding), said);
    EXPECT_EQ(checkpoint.error().code,
              finding.category == Category::unsup ? ErrorCode::unsupported : ErrorCode::not_a_checkpoint);
    EXPECT_EQ(finding.file, path.native());
    EXPECT_FALSE(finding.hint.empty()) << said;
    const Result<VerifyReport> report = verify(path, checked_by(access));
    ASSERT_TRUE(report) << to_string(report.error());
    EXPECT_FALSE(report->ok && finding.category != Category::unsup);
    EXPECT_EQ(report->format.kind, kind) << said;
    ASSERT_FALSE(report->findings.empty());
    EXPECT_TRUE(report->findings[0].message.starts_with(finding.message)) << report->findings[0].message;
    EXPECT_EQ(report->findings[0].hint, finding.hint);
    const Result<ScanReport> scanned = scan({path}, by(access));
    ASSERT_TRUE(scanned) << to_string(scanned.error());
    ASSERT_EQ(scanned->files.size(), 1u);
    EXPECT_FALSE(scanned->files[0].ok);
    EXPECT_EQ(line_of(scanned->files[0].findings.at(0)), said);
  }
}

std::string padded(std::string_view begin) {
  std::string text(begin);
  text.resize(1500);
  return text;
}

TEST(WrongFiles, Z49_DisguisesAreNamedForWhatTheyAre) {
  const TemporaryFolder folder;
  std::string tar(1536, '\0');
  tar.replace(0, 8, "data.pkl");
  tar.replace(124, 11, "00000000010");
  tar.replace(257, 5, "ustar");
  struct Case {
    std::string bytes;
    const char* said;
  };
  const Case foreign[] = {
      {padded("7z\xbc\xaf\x27\x1c"), "a 7z archive"},
      {padded("\x1f\x8b\x08"), "compressed with gzip"},  // a .tar.gz too
      {tar, "a tar archive"},
      {padded("\xfd"
              "7zXZ\0"sv),
       "compressed with xz"},
      {padded("\x08\x07\x12\x07pytorch\x1a\x05"), "an ONNX model"},
      {"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n", "an HTML page, not the file itself"},
      {"{\"error\": \"Repository not found\"}\n", "a JSON document, not a checkpoint"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
       "a Git LFS pointer, not the file itself"},
      {padded("\x89PNG\r\n\x1a\n"), "a PNG picture"},
      {"UEsDBAAACAgAAA==\n", "base64 text of a zip archive"},
      {"", "empty"},
      {std::string(22, '\0'), "all zero (22 bytes)"},
      {std::string(4096, '\0'), "all zero (4096 bytes)"},
  };
  for (const Case& one : foreign) {
    write_file(folder / "model.pt", one.bytes);
    expect_called(folder / "model.pt", "kind KIND-FOREIGN at 0x0: the file is "s + one.said, FileKind::unknown);
  }
  write_file(folder / "model.pt", "neither one nor the other\x01\x02\x03");
  expect_called(folder / "model.pt",
                "kind KIND-UNKNOWN at 0x0: the file is no checkpoint that is known here: it begins with 'neither '",
                FileKind::unknown);
}

// Other formats of weights under a checkpoint's name are read as what they are, and what is wrong in them is said in
// their own terms.
TEST(WrongFiles, Z49_OtherFormatsOfWeightsAreReadUnderAnyName) {
  const TemporaryFolder folder;
  const auto expect_said = [&](std::string_view bytes, const std::string& said, FileKind kind) {
    write_file(folder / "model.pt", bytes);
    for (const FileAccess access : kBoth) {
      const Result<Checkpoint> checkpoint = Checkpoint::open(folder / "model.pt", by(access));
      EXPECT_EQ(checkpoint ? "ok" : line_of(checkpoint.error().finding), said);
      EXPECT_EQ(checkpoint ? checkpoint->file() : checkpoint.error().finding.file, (folder / "model.pt").native());
      const VerifyReport report = verify(folder / "model.pt", checked_by(access)).value();
      EXPECT_EQ(report.ok, said == "ok") << lines_of(report);
      EXPECT_EQ(report.format.kind, kind) << said;
      const ScanReport scanned = scan({folder / "model.pt"}, by(access)).value();
      EXPECT_EQ(scanned.files.at(0).ok, said == "ok");
      if (said == "ok") continue;
      EXPECT_EQ(line_of(report.findings.at(0)), said);
      EXPECT_EQ(line_of(scanned.files[0].findings.at(0)), said);
    }
  };
  const std::string header = "{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
  const std::string safetensors = std::string(1, static_cast<char>(header.size())) + std::string(7, '\0') + header;
  expect_said(safetensors + std::string(4, '\0'), "ok", FileKind::safetensors);
  expect_said("\x10\0\0\0\0\0\0\0"s + "{\"w\":{}        }" + std::string(100, '\0'),
              "tensor SAFETENSORS-HEADER at 0x9: tensor 'w': key 'dtype' is missing", FileKind::safetensors);
  expect_said(padded("GGUF\3\0\0\0"sv), "ok", FileKind::gguf);
  expect_said(padded("\x93NUMPY\1\0v\0"sv),
              "tensor NPY-HEADER at 0xa: the header is no array description: expected '{', found '\\x00'",
              FileKind::npy);
  TorchZip npz("");
  npz.add_full_name("w.npy", as_byte_span("x")).add_full_name("b.npy", as_byte_span("y"));
  expect_said(as_text(npz.build()),
              "kind NPY-MAGIC w.npy at 0x40: no NumPy array: the file does not begin with '\\x93NUMPY'", FileKind::npz);
}

// --- Z51: what is no file
// ---------------------------------------------------------------------------------------------

// open, verify and scan fail alike, with the words that name the path.
void expect_unreadable(const fs::path& path, ErrorCode code, const std::string& said) {
  for (const FileAccess access : kBoth) {
    const Result<Checkpoint> checkpoint = Checkpoint::open(path, by(access));
    ASSERT_FALSE(checkpoint) << path;
    EXPECT_EQ(checkpoint.error().code, code);
    EXPECT_EQ(checkpoint.error().finding.category, Category::io);
    EXPECT_EQ(to_string(checkpoint.error()), path.native() + ": " + said);
    const Result<VerifyReport> report = verify(path, checked_by(access));
    ASSERT_FALSE(report) << path;
    EXPECT_EQ(to_string(report.error()), path.native() + ": " + said);
    std::error_code ignored;
    if (fs::is_directory(path, ignored)) continue;  // scan looks into folders
    const Result<ScanReport> scanned = scan({path}, by(access));
    ASSERT_FALSE(scanned) << path;
    EXPECT_EQ(to_string(scanned.error()), path.native() + ": " + said);
  }
}

TEST(WrongFiles, Z51_WhatIsNoRegularFileIsNamedWithoutWaiting) {
  const TemporaryFolder folder;
  ASSERT_EQ(mkfifo((folder / "fifo.pt").c_str(), 0600), 0);
  const int socket_fd = socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_GE(socket_fd, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string socket_path = (folder / "socket.pt").native();
  ASSERT_LT(socket_path.size(), sizeof address.sun_path);
  std::memcpy(address.sun_path, socket_path.c_str(), socket_path.size() + 1);
  ASSERT_EQ(bind(socket_fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  close(socket_fd);
  expect_unreadable(folder.path(), ErrorCode::io, "expected a regular file, found a directory");
  expect_unreadable(folder / "fifo.pt", ErrorCode::io, "expected a regular file, found a FIFO");
  expect_unreadable(folder / "socket.pt", ErrorCode::io, "expected a regular file, found a socket");
  expect_unreadable("/dev/zero", ErrorCode::io, "expected a regular file, found a character device");
  expect_unreadable("/proc/self/status", ErrorCode::io, "the file has bytes, but says its size is 0");
}

TEST(WrongFiles, Z51_PathsThatLeadNowhereAreNamed) {
  const TemporaryFolder folder;
  write_file(folder / "file", "bytes");
  fs::create_symlink("nowhere", folder / "dangling.pt");
  fs::create_symlink("loop.pt", folder / "loop.pt");
  expect_unreadable(folder / "missing.pt", ErrorCode::not_found, "cannot open: no such file or directory");
  expect_unreadable(folder / "dangling.pt", ErrorCode::not_found, "cannot open: no such file or directory");
  expect_unreadable(folder / "file/model.pt", ErrorCode::not_found, "cannot open: not a directory");
  expect_unreadable(folder / "loop.pt", ErrorCode::io, "cannot open: too many levels of symbolic links");
}

// Folders of downloads are links to what was downloaded, under names of its own.
TEST(WrongFiles, Z51_AScanOfAFolderReadsWhatLinksPointAt) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "blobs");
  fs::create_directories(folder / "snapshot");
  write_file(folder / "blobs" / "9a1dcd19", as_text(base_zip().build()));
  fs::create_symlink("../blobs/9a1dcd19", folder / "snapshot" / "model.pt");
  fs::create_directory_symlink("..", folder / "snapshot" / "above.pt");
  const ScanReport linked = scan({folder.path()}).value();
  ASSERT_EQ(linked.files.size(), 1u);
  EXPECT_TRUE(linked.ok);
  EXPECT_EQ(linked.files[0].file, folder / "snapshot" / "model.pt");
  EXPECT_FALSE(linked.files[0].globals.empty());
  fs::create_symlink("nowhere", folder / "snapshot" / "broken.pt");
  const ScanReport broken = scan({folder.path()}).value();
  ASSERT_EQ(broken.files.size(), 2u);
  EXPECT_FALSE(broken.ok);
  EXPECT_EQ(broken.files[0].findings.front().message, "cannot open: no such file or directory");
}

TEST(WrongFiles, Z51_AFileThatMayNotBeReadIsNamed) {
  const TemporaryFolder folder;
  write_file(folder / "model.pt", as_text(base_zip().build()));
  for (const FileAccess access : kBoth) {
    // By the system's answer, since nothing is forbidden to root.
    const FaultySystemCalls calls({.fail_at = 0, .error_number = EACCES, .only = "open"});
    const Result<Checkpoint> checkpoint = Checkpoint::open(folder / "model.pt", by(access));
    ASSERT_FALSE(checkpoint);
    EXPECT_EQ(checkpoint.error().code, ErrorCode::io);
    EXPECT_EQ(to_string(checkpoint.error()), (folder / "model.pt").native() + ": cannot open: permission denied");
  }
}

// --- Z52: a file that changes while it is read
// ---------------------------------------------------------------------------

TEST(WrongFiles, Z52_AFileThatChangesUnderAReaderIsNamedAtTheNextTouch) {
  const TemporaryFolder folder;
  TorchZip zip = base_zip();
  zip.add("data/2", repeated(200'000, 1));  // keeps the first records out of what opening reads
  const std::string good(as_text(zip.build()));
  const std::string path = (folder / "model.pt").native();
  const std::uint64_t local = zip.place("data/0").local;

  const auto touched = [&](const auto& change) {
    write_file(path, good);
    const Result<Checkpoint> checkpoint = Checkpoint::open(fs::path(path), by(FileAccess::pread));
    EXPECT_TRUE(checkpoint);
    change();
    const Result<ByteSpan> bytes = checkpoint->root()["a"].as_tensor()->bytes();
    if (bytes) return "ok"s;
    EXPECT_EQ(bytes.error().code, ErrorCode::io);
    EXPECT_EQ(bytes.error().finding.file, path);
    return line_of(bytes.error().finding);
  };
  const std::string size = std::to_string(good.size());
  EXPECT_EQ(touched([] {}), "ok");
  EXPECT_EQ(touched([&] { fs::resize_file(path, 100); }), "changed IO-CHANGED data/0 at " + hex(local) +
                                                              ": the file shrank while it was read, expected " + size +
                                                              " bytes, found 100");
  EXPECT_EQ(touched([&] { fs::resize_file(path, good.size() + 1); }),
            "changed IO-CHANGED data/0 at " + hex(good.size()) + ": the file grew while it was read, expected " + size +
                " bytes, found " + std::to_string(good.size() + 1));
  EXPECT_EQ(touched([&] {
              // The clock behind the time of modification may tick as slowly as every 4 ms.
              fs::last_write_time(path, fs::file_time_type::clock::now() + std::chrono::hours(1));
            }),
            "changed IO-CHANGED data/0: the file was written to while it was read");
  // One that takes its name is another file: the open one is read on.
  EXPECT_EQ(touched([&] {
              write_file(folder / "new", "other bytes");
              fs::rename(folder / "new", path);
            }),
            "ok");
}

}  // namespace
}  // namespace rushlight::test
