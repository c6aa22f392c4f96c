// The tar archive of torch.save up to 0.1.9, by its reader alone, then as a whole checkpoint.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "checkpoint/legacy_tar.hpp"
#include "fuzz/answers.hpp"

namespace {

using namespace rushlight;
using namespace rushlight::test;
using checkpoint::LegacyTar;

Result<std::unique_ptr<LegacyTar>> read_tar(const std::shared_ptr<const Source>& source) {
  LoadOptions options;
  options.limits = small_limits();
  return LegacyTar::open(source, "test.pt", options);
}

std::string text(const std::unique_ptr<LegacyTar>& tar) {
  return std::to_string(tar->object().end) + " " + std::to_string(tar->object().pickle.graph.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span input(data, size);
  const auto tar = decode_both_ways(input, read_tar, text);
  if (!tar) {
    check_refusal(input, {FileKind::torch_tar});
    return 0;
  }
  require((*tar)->object().end <= size);
  check_answers(input);
  return 0;
}
