// Files that are something else, named for what they are (hostile-inputs Z02, Z49, Z50).
#include "open/sniff.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

#include "opened_bytes.hpp"

namespace rushlight::test {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

struct Case {
  std::string_view begin;  // of the file; zeros follow up to 600 bytes
  std::string_view message;
  ErrorCode code = ErrorCode::not_a_checkpoint;
  FileKind kind = FileKind::unknown;
};

Bytes padded(std::string_view begin, std::size_t size = 600) {
  Bytes bytes = to_bytes(begin);
  if (bytes.size() < size) bytes.resize(size);
  return bytes;
}

void expect_named(const Bytes& bytes, std::string_view message, ErrorCode code, FileKind kind) {
  const Result<Checkpoint> checkpoint = open_bytes(bytes);
  ASSERT_FALSE(checkpoint) << message;
  EXPECT_EQ(checkpoint.error().finding.message, message);
  EXPECT_EQ(checkpoint.error().code, code) << message;
  EXPECT_FALSE(checkpoint.error().finding.hint.empty()) << message;
  EXPECT_EQ(checkpoint.error().finding.file, "test.pt");
  EXPECT_EQ(checkpoint.error().finding.category, code == ErrorCode::unsupported ? Category::unsup : Category::kind);
  const VerifyReport report = verified(bytes);
  EXPECT_FALSE(report.ok);
  EXPECT_FALSE(report.structure_ok);
  ASSERT_EQ(report.findings.size(), 1u);
  EXPECT_EQ(report.findings[0].message, message);
  EXPECT_EQ(report.format.kind, kind) << message;
  EXPECT_EQ(report.format.size_bytes, bytes.size());
}

TEST(Sniff, Z49_EveryOtherFormatIsNamedWithWhatToDo) {
  const Case cases[] = {
      {"PYTORCH1", "the file is a container of the PyTorch 1.0 preview, which is not read here",
       ErrorCode::unsupported},
      {"\x1c\0\0\0PTMF"sv, "the file is a mobile model as flatbuffer (.ptl), which is not read here",
       ErrorCode::unsupported, FileKind::torchscript_mobile},
      {"\x08\x07\x12\x07pytorch\x1a\x05"sv, "the file is an ONNX model"},
      {"\x89HDF\r\n\x1a\n", "the file is an HDF5 file (Keras weights, perhaps)"},
      {"\x1c\0\0\0TFL3"sv, "the file is a TensorFlow Lite model"},
      {"ggjt", "the file is an old GGML model"},
      {"\x1f\x8b\x08", "the file is compressed with gzip"},
      {"7z\xbc\xaf\x27\x1c", "the file is a 7z archive"},
      {"\xfd"
       "7zXZ\0"sv,
       "the file is compressed with xz"},
      {"\x28\xb5\x2f\xfd", "the file is compressed with Zstandard"},
      {"BZh9", "the file is compressed with bzip2"},
      {"Rar!\x1a\x07", "the file is a RAR archive"},
      {"\x89PNG\r\n\x1a\n", "the file is a PNG picture"},
      {"\xff\xd8\xff\xe0", "the file is a JPEG picture"},
      {"%PDF-1.7", "the file is a PDF document"},
      {"\x7f"
       "ELF",
       "the file is a program or library (ELF)"},
      {"SQLite format 3\0"sv, "the file is an SQLite database"},
      {"UEsDBAAACAgAAA", "the file is base64 text of a zip archive"},
      {"gAKKCmz8nEb5IGqoUBkug", "the file is base64 text of a checkpoint"},
  };
  for (const Case& one : cases) expect_named(padded(one.begin), one.message, one.code, one.kind);
}

// Other formats that are read go to their readers, which say what is wrong.
void expect_read(const Bytes& bytes, std::string_view said, FileKind kind) {
  EXPECT_EQ(verdict_of(bytes), said);
  const VerifyReport report = verified(bytes);
  EXPECT_EQ(report.ok, said == "ok") << said;
  EXPECT_EQ(report.format.kind, kind) << said;
  EXPECT_EQ(report.format.size_bytes, bytes.size());
  if (said == "ok") return;
  ASSERT_EQ(report.findings.size(), 1u);
  EXPECT_EQ(line_of(report.findings[0]), said);
}

TEST(Sniff, Z49_EveryFormatThatIsReadIsKnownByItsBeginning) {
  constexpr std::string_view kLegacyMagic = "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."sv;
  const std::string legacy2 = "\x80\x02" + std::string(kLegacyMagic);
  const std::string legacy4 = "\x80\x04\x95\x0d\0\0\0\0\0\0\0"s + std::string(kLegacyMagic);
  struct Row {
    std::string_view begin;
    std::string_view said;
    FileKind kind;
  };
  const Row rows[] = {
      {legacy2, "pkl PKL-OPCODE the version at 0xf: opcode 1: byte 0x0 is not a pickle opcode", FileKind::torch_legacy},
      {legacy4, "pkl PKL-OPCODE the version at 0x18: opcode 1: byte 0x0 is not a pickle opcode",
       FileKind::torch_legacy},
      {"L119547037146038801333356L\n.", "pkl PKL-OPCODE the version at 0x1c: opcode 1: byte 0x0 is not a pickle opcode",
       FileKind::torch_legacy},
      {"\x80\x02}q\0X"sv, "pkl PKL-OPCODE at 0xa: opcode 5: byte 0x0 is not a pickle opcode", FileKind::unknown},
      {"\x80\x04\x95\x20\0\0\0\0\0\0\0\x8c\x04"sv, "pkl PKL-OPCODE at 0x11: opcode 4: byte 0x0 is not a pickle opcode",
       FileKind::unknown},
      {"ccollections\nOrderedDict\nq\0"sv, "pkl PKL-OPCODE at 0x1b: opcode 3: byte 0x0 is not a pickle opcode",
       FileKind::unknown},
      // A model without tensors.
      {"GGUF\3\0\0\0"sv, "ok", FileKind::gguf},
      {"GGUF\x63\0\0\0"sv, "unsup GGUF-VERSION at 0x4: version 99 of GGUF, expected 2 or 3", FileKind::gguf},
      {"\x93NUMPY\1\0v\0"sv,
       "tensor NPY-HEADER at 0xa: the header is no array description: expected '{', found '\\x00'", FileKind::npy},
      {"\x20\0\0\0\0\0\0\0{\"w\":{\"dtype\":\"F32\"}}"sv, "tensor SAFETENSORS-JSON at 0x8: the header is no valid JSON",
       FileKind::safetensors},
  };
  for (const Row& row : rows) expect_read(padded(row.begin), row.said, row.kind);
}

TEST(Sniff, Z49_TextsAreNamedWithWhatToDo) {
  const Case cases[] = {
      {"<!DOCTYPE html><html><body>404</body></html>", "the file is an HTML page, not the file itself"},
      {"\n\n  <HTML lang=en>", "the file is an HTML page, not the file itself"},
      {"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>",
       "the file is an XML document, not the file itself"},
      {"{\"error\": \"Repository not found\"}", "the file is a JSON document, not a checkpoint"},
      {"\xEF\xBB\xBF[1, 2]", "the file is a JSON document, not a checkpoint"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
       "the file is a Git LFS pointer, not the file itself"},
      {"Access denied. \xC3\x9C"
       "berpr\xC3\xBC"
       "fen Sie Ihre Anmeldung.\n",
       "the file is text, not a checkpoint"},
  };
  for (const Case& one : cases) expect_named(to_bytes(one.begin), one.message, one.code, one.kind);
}

TEST(Sniff, Z49_TarArchivesOfOldTorchesAreToldFromOthers) {
  const auto tar = [](std::string_view member) {
    Bytes bytes(1536);
    std::memcpy(bytes.data(), member.data(), member.size());
    std::memcpy(bytes.data() + 124, "00000000010", 11);
    std::memcpy(bytes.data() + 257, "ustar", 5);
    return bytes;
  };
  // Any of the four members makes it one; what is missing then is named.
  for (const char* member : {"sys_info", "tensors", "storages"}) {
    expect_read(tar(member), "store TAR-MEMBER at 0x0: the tar archive has no member 'pickle'", FileKind::torch_tar);
  }
  expect_read(tar("pickle"), "store TAR-MEMBER at 0x0: the tar archive has no member 'storages'", FileKind::torch_tar);
  expect_named(tar("holiday.jpg"), "the file is a tar archive", ErrorCode::not_a_checkpoint, FileKind::unknown);
}

TEST(Sniff, Z02_EmptyTinyAndZeroFilesAreNamed) {
  expect_named({}, "the file is empty", ErrorCode::not_a_checkpoint, FileKind::unknown);
  for (const std::size_t size : {std::size_t{1}, std::size_t{21}, std::size_t{22}, std::size_t{4096}}) {
    expect_named(Bytes(size), "the file is all zero (" + std::to_string(size) + " bytes)", ErrorCode::not_a_checkpoint,
                 FileKind::unknown);
  }
  expect_named(Bytes(3 << 20), "the file is zero in its first and last 64 KiB (3145728 bytes in all)",
               ErrorCode::not_a_checkpoint, FileKind::unknown);
  for (std::size_t size = 1; size < 22; ++size) {
    std::string shown;
    for (std::size_t i = 0; i < std::min<std::size_t>(size, 8); ++i) shown += "\\xc1";
    expect_named(repeated(size, 0xC1), "the file is no checkpoint that is known here: it begins with '" + shown + "'",
                 ErrorCode::not_a_checkpoint, FileKind::unknown);
  }
}

TEST(Sniff, L01_AWrongMagicNumberIsNamed) {
  expect_named(
      padded("\x80\x02\x8a\x0a\x6d\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."sv),
      "the file begins as the legacy format of torch.save does, but its magic number is wrong, expected 6c fc 9c "
      "46 f9 20 6a a8 50 19, found 6d fc 9c 46 f9 20 6a a8 50 19",
      ErrorCode::not_a_checkpoint, FileKind::unknown);
}

TEST(Sniff, ALegacyFileThatHoldsAZipArchiveIsALegacyFile) {
  Bytes bytes = to_bytes("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."sv);
  const Bytes zip = base_zip().build();
  bytes.insert(bytes.end(), zip.begin(), zip.end());
  EXPECT_EQ(verified(bytes).format.kind, FileKind::torch_legacy);
}

TEST(Sniff, ACheckpointBehindOtherBytesIsStillOne) {
  TorchZip zip = base_zip();
  zip.prefix = repeated(64, 0xAB);
  const Result<Checkpoint> checkpoint = open_bytes(zip.build());
  ASSERT_TRUE(checkpoint) << to_string(checkpoint.error());
  ASSERT_EQ(checkpoint->findings().size(), 1u);
  EXPECT_EQ(checkpoint->findings()[0].code, "ZIP-PREFIX");
  EXPECT_EQ(checkpoint->findings()[0].file, "test.pt");
  EXPECT_EQ(checkpoint->root()["a"].as_tensor()->values<float>().value()[7], 7.0f);
}

TEST(Sniff, Z50_LineEndingsThatWereTranslatedAreRecognised) {
  const Bytes good = base_zip().build();
  Bytes damaged;
  for (const std::byte b : good) {
    if (b == std::byte{'\n'}) damaged.push_back(std::byte{'\r'});
    damaged.push_back(b);
  }
  const Result<Checkpoint> checkpoint = open_bytes(damaged);
  ASSERT_FALSE(checkpoint);
  EXPECT_TRUE(checkpoint.error().finding.hint.starts_with("every line feed has a carriage return before it"))
      << to_string(checkpoint.error()) << checkpoint.error().finding.hint;
}

TEST(Sniff, Z50_BytesThatWereReplacedAreRecognised) {
  TorchZip zip = base_zip();
  zip.add("data/2", repeated(64, 0xFE));
  const Bytes good = zip.build();
  Bytes damaged;
  for (const std::byte b : good) {
    if (std::to_integer<unsigned>(b) < 0x80) {
      damaged.push_back(b);
    } else {
      for (const std::byte part : {std::byte{0xEF}, std::byte{0xBF}, std::byte{0xBD}}) damaged.push_back(part);
    }
  }
  const Result<Checkpoint> checkpoint = open_bytes(damaged);
  ASSERT_FALSE(checkpoint);
  EXPECT_TRUE(checkpoint.error().finding.hint.starts_with("bytes were replaced by U+FFFD"))
      << to_string(checkpoint.error());
}

TEST(Sniff, Z50_ALostBeginningIsNamed) {
  TorchZip zip = base_zip();
  zip.add("data/2", repeated(20000, 7));
  Bytes bytes = zip.build();
  std::fill(bytes.begin(), bytes.begin() + 512, std::byte{0});
  // The directory at the end is whole: headers are missing, and the first record that is read says so.
  EXPECT_EQ(verdict_of(bytes),
            "ambig ZIP-LOCAL-SIGNATURE byteorder at 0x142: no local header where the central directory says one is");
  bytes.resize(bytes.size() / 2);
  // 6 more bytes were zero before.
  EXPECT_EQ(verdict_of(bytes), "kind KIND-FOREIGN at 0x0: the file is damaged: it begins with 518 zero bytes");
}

TEST(Sniff, Z01_EveryCutOfAGoodFileIsRefusedByName) {
  const Bytes good = base_zip().build();
  for (std::size_t size = 0; size < good.size(); ++size) {
    const Result<Checkpoint> checkpoint =
        open_bytes(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)));
    ASSERT_FALSE(checkpoint) << size;
    const ErrorCode code = checkpoint.error().code;
    EXPECT_TRUE(code == ErrorCode::truncated || code == ErrorCode::not_a_checkpoint)
        << size << ": " << to_string(checkpoint.error());
    EXPECT_FALSE(checkpoint.error().finding.hint.empty()) << size << ": " << to_string(checkpoint.error());
  }
}

}  // namespace
}  // namespace rushlight::test
