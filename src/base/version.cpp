#include "rushlight/version.hpp"

#include "base/build_config.hpp"
#include "base/cpu_features.hpp"

namespace rushlight {
namespace {

// An optional library: its version where it was built in.
std::string optional_version(bool built_in, std::string_view version) {
  if (!built_in) return "not built in";
  return version.empty() ? std::string("built in") : std::string(version);
}

constexpr bool kHasExceptions =
#if defined(__cpp_exceptions)
    true;
#else
    false;
#endif

constexpr bool kOptimised =
#if defined(__OPTIMIZE__)
    true;
#else
    false;
#endif

constexpr bool kAssertions =
#if defined(NDEBUG)
    false;
#else
    true;
#endif

}  // namespace

std::string_view version_string() noexcept {
  return RUSHLIGHT_CONFIG_VERSION;
}

std::string_view BuildInfo::find(std::string_view name) const& noexcept {
  for (const auto& [row_name, value] : rows) {
    if (row_name == name) return value;
  }
  return {};
}

BuildInfo build_info() {
  BuildInfo info;
  const auto add = [&](std::string name, std::string value) {
    info.rows.emplace_back(std::move(name), std::move(value));
  };
  add("compiler", RUSHLIGHT_CONFIG_COMPILER);
  add("build", std::string(kOptimised ? "optimised" : "not optimised") + (kAssertions ? ", assertions on" : ""));
  add("exceptions", kHasExceptions ? "yes" : "no");
  add("isa", std::string(to_string(usable_isa())));
  const std::string brand = cpu_brand();
  add("cpu", brand.empty() ? "unknown" : brand);
  add("crc32", RUSHLIGHT_CONFIG_HAS_ISAL ? "isa-l" : "libdeflate");
  add("sha256", RUSHLIGHT_CONFIG_HAS_OPENSSL ? "openssl" : "not built in");
  add("cuda", optional_version(RUSHLIGHT_CONFIG_HAS_CUDA, RUSHLIGHT_CONFIG_CUDA));
  add("xxhash", RUSHLIGHT_CONFIG_XXHASH);
  add("libdeflate", RUSHLIGHT_CONFIG_LIBDEFLATE);
  add("isa-l", optional_version(RUSHLIGHT_CONFIG_HAS_ISAL, RUSHLIGHT_CONFIG_ISAL));
  add("openssl", optional_version(RUSHLIGHT_CONFIG_HAS_OPENSSL, RUSHLIGHT_CONFIG_OPENSSL));
  add("simdjson", RUSHLIGHT_CONFIG_SIMDJSON);
#if RUSHLIGHT_CONFIG_HAS_RUNTIME
  add("eigen", RUSHLIGHT_CONFIG_EIGEN);
  add("png", optional_version(RUSHLIGHT_CONFIG_HAS_PNG, RUSHLIGHT_CONFIG_PNG));
  add("jpeg", optional_version(RUSHLIGHT_CONFIG_HAS_JPEG, RUSHLIGHT_CONFIG_JPEG));
#endif
  return info;
}

}  // namespace rushlight
