#include "cli/format.hpp"

#include <fmt/format.h>

#include <array>

#include "rushlight/text.hpp"

namespace rushlight::cli {

std::string format_bytes(std::uint64_t bytes) {
  constexpr std::array<std::string_view, 5> kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return value < 10 && unit > 0 ? fmt::format("{:.2f} {}", value, kUnits[unit])
                                : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string format_count(std::int64_t count) {
  std::string digits = std::to_string(count);
  const std::size_t start = count < 0 ? 1 : 0;
  for (std::size_t i = digits.size(); i > start + 3; i -= 3) digits.insert(i - 3, ",");
  return digits;
}

std::string format_shape(std::span<const std::int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape.begin(), shape.end(), ", "));
}

std::string plural(std::int64_t count, std::string_view noun) {
  const bool ends_in_y = noun.ends_with("y");
  if (count == 1) return fmt::format("1 {}", noun);
  return ends_in_y ? fmt::format("{} {}ies", format_count(count), noun.substr(0, noun.size() - 1))
                   : fmt::format("{} {}s", format_count(count), noun);
}

std::string format_kind(const FormatInfo& format) {
  switch (format.kind) {
    case FileKind::torch_zip:
      return "PyTorch zip (torch.save)";
    case FileKind::torch_legacy:
      return "PyTorch legacy stream (torch.save before 1.6)";
    case FileKind::torch_tar:
      return "PyTorch tar (torch.save before 0.1.10)";
    case FileKind::torchscript:
      return "TorchScript archive";
    case FileKind::torchscript_mobile:
      return "TorchScript archive for mobile";
    case FileKind::pt2:
      return "torch.export archive (.pt2)";
    case FileKind::torch_package:
      return "torch.package archive";
    case FileKind::safetensors:
      return "safetensors";
    case FileKind::npz:
      return "NumPy archive (.npz)";
    case FileKind::npy:
      return "NumPy array (.npy)";
    case FileKind::gguf:
      return "GGUF";
    case FileKind::dcp:
      return "distributed checkpoint (torch.distributed.checkpoint)";
    case FileKind::sharded:
      return "sharded checkpoint";
    case FileKind::unknown:
      break;
  }
  return "unknown format";
}

std::string format_number(double value) {
  return fmt::format("{:.6g}", value);
}

std::string escaped_file(std::string_view file) {
  constexpr std::size_t kPathBytes = 4096;  // longer than any that the system takes
  return escaped(file, kPathBytes);
}

std::string file_of_finding(std::string_view escaped_name) {
  std::string out;
  for (std::size_t i = 0; i < escaped_name.size(); ++i) {
    const std::string_view rest = escaped_name.substr(i);
    if (rest.starts_with("\\\\") || rest.starts_with("\\'") || rest.starts_with("\\\"")) ++i;
    out += escaped_name[i];
  }
  return out;
}

std::string format_file(std::string_view file) {
  return file_of_finding(escaped_file(file));
}

}  // namespace rushlight::cli
