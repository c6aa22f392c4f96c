#include "rushlight/doctor.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "base/bytes.hpp"
#include "rushlight/interchange.hpp"
#include "rushlight/save.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_sink.hpp"
#include "support/zip_builder.hpp"

namespace rushlight::test {
namespace {

class Doctor : public testing::Test {
 protected:
  Diagnosis of(std::string_view name, ByteSpan bytes) {
    write_file(folder_ / name, as_text(bytes));
    return diagnose(folder_ / name).value();
  }
  Diagnosis of(std::string_view name, std::string_view text) { return of(name, as_byte_span(text)); }

  static bool notes(const Diagnosis& diagnosis, std::string_view code) {
    return std::any_of(diagnosis.findings.begin(), diagnosis.findings.end(),
                       [&](const Finding& finding) { return finding.code == code; });
  }

  TemporaryFolder folder_;
};

// Two records. The pickle breaks off: what is counted here are records.
TorchZip small_checkpoint() {
  TorchZip zip("base");
  zip.add("data.pkl", to_bytes("\x80\x02}X\x05")).add("data/0", repeated(1000, 7));
  return zip;
}

TEST_F(Doctor, CountsTheRecordsThatAreWholeWhereverAFileIsCut) {
  TorchZip zip = small_checkpoint();
  const Bytes whole = zip.build();
  const std::uint64_t second = zip.place("data/0").local;
  std::uint64_t records = 0;
  for (std::size_t size = 4; size < whole.size(); size += 7) {
    const Diagnosis diagnosis = of("cut.pt", ByteSpan(whole).first(size));
    EXPECT_FALSE(diagnosis.ok) << size;
    if (!diagnosis.rescue) continue;
    EXPECT_GE(diagnosis.rescue->records, records) << size;  // more bytes, no fewer records
    if (size < second) {
      EXPECT_LE(diagnosis.rescue->records, 1u) << size;
    }
    records = diagnosis.rescue->records;
  }
  EXPECT_GE(records, 2u);
}

TEST_F(Doctor, CountsTheTensorsThatWouldBeRescued) {
  StateDict state;
  for (const char* name : {"a", "b", "c"}) state.insert(name, Tensor::zeros(DType::f32, {100}).value());
  for (const FileKind kind : {FileKind::torch_zip, FileKind::torch_legacy, FileKind::safetensors}) {
    TestSink sink;
    if (kind == FileKind::safetensors) {
      ASSERT_TRUE(write_safetensors(state, sink, {}));
    } else {
      ASSERT_TRUE(save(state, sink, {.kind = kind}));
    }
    // Cut in the bytes of the last tensor: zeros, before the end of the file.
    const std::size_t last = sink.text().rfind(std::string(300, '\0'));
    const Diagnosis diagnosis = of("cut", std::string_view(sink.text()).substr(0, last + 50));
    EXPECT_EQ(diagnosis.condition, Condition::incomplete);
    ASSERT_TRUE(diagnosis.rescue) << to_string(kind);
    EXPECT_TRUE(diagnosis.rescue->has_values);
    EXPECT_EQ(diagnosis.rescue->named_tensors, 3);
    EXPECT_EQ(diagnosis.rescue->tensors, 2);
    EXPECT_EQ(diagnosis.rescue->tensor_bytes, 800u);
    EXPECT_EQ(diagnosis.rescue->records > 0, kind == FileKind::torch_zip);
  }
}

TEST_F(Doctor, DescriptorsThatLieMakeNoRecords) {
  TorchZip zip = small_checkpoint();
  Bytes bytes = zip.build();
  bytes.resize(static_cast<std::size_t>(zip.place("data/0").local));
  // A header whose data would reach far behind the end, and descriptors without one.
  for (int i = 0; i < 100; ++i) {
    const Bytes mark = to_bytes("PK\7\10\1\2\3\4\xff\xff\xff\xff\xff\xff\xff\xff");
    bytes.insert(bytes.end(), mark.begin(), mark.end());
  }
  const Diagnosis diagnosis = of("lies.pt", bytes);
  ASSERT_TRUE(diagnosis.rescue);
  EXPECT_EQ(diagnosis.rescue->records, 1u);
  EXPECT_FALSE(diagnosis.rescue->has_values);  // its pickle is no whole one
}

TEST_F(Doctor, NamesWhatIsNoCheckpoint) {
  EXPECT_EQ(of("a.pt", "<html></html>").condition, Condition::foreign);
  EXPECT_EQ(of("a.pt", "").condition, Condition::foreign);
  const Diagnosis pointer = of("a.pt", "version https://git-lfs.github.com/spec/v1\nsize 123\n");
  EXPECT_EQ(pointer.condition, Condition::foreign);
  EXPECT_TRUE(notes(pointer, "DOCTOR-LFS"));
  EXPECT_FALSE(notes(of("a.pt", "version https://git-lfs.github.com/spec/v1\nsize\n"), "DOCTOR-LFS"));
  EXPECT_TRUE(notes(of("a.pt.part", "PK\3\4"), "DOCTOR-UNFINISHED"));
}

TEST_F(Doctor, KnowsAFormatUnderAnotherName) {
  const std::string_view nothing("\2\0\0\0\0\0\0\0{}", 10);  // safetensors without tensors
  const Diagnosis renamed = of("model.pt", nothing);
  EXPECT_EQ(renamed.condition, Condition::healthy);
  EXPECT_TRUE(renamed.ok);
  EXPECT_TRUE(notes(renamed, "DOCTOR-RENAMED"));
  EXPECT_FALSE(notes(of("model.safetensors", nothing), "DOCTOR-RENAMED"));
  EXPECT_FALSE(notes(of("model", nothing), "DOCTOR-RENAMED"));
}

TEST_F(Doctor, WhatCannotBeOpenedIsNoDiagnosis) {
  EXPECT_EQ(diagnose(folder_ / "nothing.pt").error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace rushlight::test
