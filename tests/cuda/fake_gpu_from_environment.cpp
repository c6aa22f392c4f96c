// Which GPU a program over fake_cuda.hpp finds, for transcripts: FAKE_GPU="capability=75 memory=2000".
//
//   none              the driver sees no GPU
//   driver=12040      for this version of CUDA; 0: none is installed
//   capability=75
//   memory=2000       bytes
//   refuses=CALL      the first call of this name says that it cannot be done
#include <cstdlib>
#include <sstream>
#include <string>

#include "cuda/fake_cuda.hpp"

namespace rushlight::cuda::fake {
namespace {

const bool is_set = [] {
  const char* const text = std::getenv("FAKE_GPU");
  std::istringstream words(text == nullptr ? "" : text);
  Gpu gpu;
  bool is_there = true;
  int driver = -1;
  std::string refused;
  for (std::string word; words >> word;) {
    const std::size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
    if (name == "none") {
      is_there = false;
    } else if (name == "driver") {
      driver = std::stoi(value);
    } else if (name == "capability") {
      gpu.capability = std::stoi(value);
    } else if (name == "memory") {
      gpu.memory_bytes = std::stoull(value);
    } else if (name == "refuses") {
      refused = value;
    } else {
      std::abort();
    }
  }
  if (is_there) {
    reset({gpu});
  } else {
    reset({});
  }
  if (driver >= 0) set_driver(driver);
  if (!refused.empty()) fail(refused, cudaErrorInvalidValue);
  return true;
}();

}  // namespace
}  // namespace rushlight::cuda::fake
