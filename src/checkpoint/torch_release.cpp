#include "checkpoint/torch_release.hpp"

#include <charconv>
#include <system_error>

#include "base/fail.hpp"
#include "base/quote.hpp"

namespace rushlight::checkpoint {

Result<TorchRelease> TorchRelease::parse(std::string_view text) {
  TorchRelease release;
  const char* const end = text.data() + text.size();
  const auto major = std::from_chars(text.data(), end, release.major);
  bool good = major.ec == std::errc() && major.ptr != end && *major.ptr == '.';
  if (good) {
    const auto minor = std::from_chars(major.ptr + 1, end, release.minor);
    good = minor.ec == std::errc() && (minor.ptr == end || *minor.ptr == '.' || *minor.ptr == '+');
  }
  if (good && release >= kOldestRelease) return release;
  return Error::of({.category = Category::argument,
                    .code = "SAVE-RELEASE",
                    .message = "no release of torch to write as, expected 1.6 or later, found " + quoted(text),
                    .found = escaped(text),
                    .expected = "1.6 or later"});
}

std::string to_string(TorchRelease release) {
  return std::to_string(release.major) + "." + std::to_string(release.minor);
}

}  // namespace rushlight::checkpoint
