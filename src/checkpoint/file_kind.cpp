#include "rushlight/checkpoint.hpp"

namespace rushlight {

std::string_view to_string(FileKind kind) noexcept {
  switch (kind) {
    case FileKind::torch_zip:
      return "torch-zip";
    case FileKind::torch_legacy:
      return "torch-legacy";
    case FileKind::torch_tar:
      return "torch-tar";
    case FileKind::torchscript:
      return "torchscript";
    case FileKind::torchscript_mobile:
      return "torchscript-mobile";
    case FileKind::pt2:
      return "pt2";
    case FileKind::torch_package:
      return "torch-package";
    case FileKind::safetensors:
      return "safetensors";
    case FileKind::npz:
      return "npz";
    case FileKind::npy:
      return "npy";
    case FileKind::gguf:
      return "gguf";
    case FileKind::dcp:
      return "dcp";
    case FileKind::sharded:
      return "sharded";
    case FileKind::unknown:
      return "unknown";
  }
  return "?";
}

}  // namespace rushlight
