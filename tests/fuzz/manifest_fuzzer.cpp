// Manifests: the text alone, then as what vouches for a file that it is not of; signatures as they lie in archives.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/manifest_text.hpp"
#include "checkpoint/signature.hpp"
#include "checksum/chunks.hpp"
#include "fuzz/answers.hpp"
#include "open/manifest_tensors.hpp"
#include "rushlight/manifest.hpp"
#include "rushlight/save.hpp"
#include "rushlight/verify.hpp"
#include "support/test_sink.hpp"

namespace {

using namespace rushlight;
using namespace rushlight::test;

const std::vector<std::byte>& small_file() {
  static const std::vector<std::byte> file = [] {
    StateDict state;
    state.insert("a", Tensor::zeros(DType::f32, {2, 3}).value());
    TestSink sink;
    require(save(state, sink).has_value());
    const ByteSpan bytes = as_byte_span(sink.text());
    return std::vector<std::byte>(bytes.begin(), bytes.end());
  }();
  return file;
}

void check_manifest(const Manifest& manifest, std::string_view text) {
  // There is one spelling.
  require(checkpoint::encode(manifest) == text);
  std::uint64_t before = 0;
  for (const ManifestRecord& record : manifest.records) {
    require(&record == manifest.records.data() || record.header_offset > before);
    before = record.header_offset;
    const std::uint64_t chunks = checksum::chunk_count(record.stored_bytes);
    require(record.chunks.size() == (chunks > 1 ? chunks : 0));
    require(record.sha256.has_value() == (manifest.level() == ManifestLevel::sha256));
  }
  for (const ManifestTensor& tensor : manifest.tensors) {
    const zip::Extent bytes = open::reach(tensor);
    require(bytes.begin <= bytes.end);
  }
  std::string blank(text);
  checkpoint::put_self_digests(Manifest{.self_sha256 = manifest.self_sha256}, blank.data());
  require(parse_manifest(blank, small_limits()).has_value());
}

// It is of no file here, and so no file passes with it.
void verify_with(std::string_view text) {
  VerifyOptions options;
  options.limits = small_limits();
  options.manifest = Source::from_memory(as_byte_span(text), "manifest.json");
  std::string said;
  for (const TestSource::Access access : {TestSource::Access::mapped, TestSource::Access::read_only}) {
    const Result<VerifyReport> report = verify(std::make_shared<TestSource>(small_file(), access), options);
    require(report.has_value() && !report->ok && report->manifest && report->manifest->is_sidecar);
    require(report->manifest->state == Integrity::mismatch);
    std::string lines;
    for (const Finding& finding : report->findings) lines += checked_line(finding) + "\n";
    require(said.empty() || said == lines);
    said = lines;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Result<Manifest> manifest = parse_manifest(text, small_limits());
  if (manifest) {
    check_manifest(*manifest, text);
  } else {
    (void)checked_line(manifest.error());
  }
  if (const Result<checkpoint::SignatureRecord> signature = checkpoint::decode_signature(text)) {
    require(checkpoint::encode(*signature) == text);
  } else {
    (void)checked_line(signature.error());
  }
  verify_with(text);
  return 0;
}
