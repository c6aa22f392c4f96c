// Tunings in files.
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "base/bytes.hpp"
#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "base/quote.hpp"
#include "io/atomic_file.hpp"
#include "rushlight/source.hpp"
#include "rushlight/tuning.hpp"

namespace rushlight {

Result<Tuning> load_tuning(const std::filesystem::path& path, const Limits& limits) {
  return or_no_memory([&]() -> Result<Tuning> {
    RUSHLIGHT_TRY_ASSIGN(const std::shared_ptr<const Source> source, open_file(path, FileAccess::pread));
    const std::uint64_t size = source->size_bytes();
    if (size > limits.json_bytes) {
      return Error::of({.category = Category::limit,
                        .code = "LIMIT-TUNING",
                        .message = "tuning has more than " + std::to_string(limits.json_bytes) + " bytes",
                        .file = escaped(path.string())});
    }
    std::string text(static_cast<std::size_t>(size), '\0');
    RUSHLIGHT_TRY(source->read_at(0, std::as_writable_bytes(std::span(text.data(), text.size()))));
    Result<Tuning> tuning = Tuning::parse(text, limits);
    if (!tuning) return with_file(std::move(tuning).error(), escaped(path.string()));
    return tuning;
  });
}

Status save_tuning(const Tuning& tuning, const std::filesystem::path& path) {
  return or_no_memory([&]() -> Status {
    const std::string text = tuning.text();
    const std::array pieces{ByteSpan(std::as_bytes(std::span(text.data(), text.size())))};
    return io::write_file_atomically(path, pieces);
  });
}

}  // namespace rushlight
