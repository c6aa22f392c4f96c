#include "cuda/candidates.hpp"

#include <variant>

namespace rushlight::cuda {
namespace {

std::string pair_text(Pair pair) {
  return std::to_string(pair.h) + "x" + std::to_string(pair.w);
}

std::string_view word_of(GemmTile tile) {
  switch (tile) {
    case GemmTile::rows128_columns64:
      return "128x64";
    case GemmTile::rows64_columns64:
      return "64x64";
    case GemmTile::rows64_columns32:
      return "64x32";
  }
  return {};
}

std::string_view word_of(MmaTileName tile) {
  switch (tile) {
    case MmaTileName::rows128_columns256:
      return "128x256";
    case MmaTileName::rows128_columns128:
      return "128x128";
    case MmaTileName::rows128_columns64:
      return "128x64";
    case MmaTileName::rows64_columns64:
      return "64x64";
    case MmaTileName::rows64_columns32:
      return "64x32";
  }
  return {};
}

std::string product_text(const GemmArguments& a) {
  return " rows=" + std::to_string(a.rows) + " columns=" + std::to_string(a.columns) +
         " depth=" + std::to_string(a.depth) + " groups=" + std::to_string(a.groups);
}
std::string window_text(const Window& window) {
  return " in=" + pair_text(window.input) + " kernel=" + pair_text(window.kernel) +
         " stride=" + pair_text(window.stride) + " dilation=" + pair_text(window.dilation);
}

// A kernel that is added to Work has nothing to choose until it says so here.
struct FindCandidates {
  // All tiles sum in the same order (gemm.cuh).
  std::vector<Candidate> operator()(const GemmCall& call) const {
    std::vector<Candidate> found = {{word_of(call.tile), call}};
    for (const GemmTile tile : {GemmTile::rows128_columns64, GemmTile::rows64_columns64, GemmTile::rows64_columns32}) {
      if (tile == call.tile) continue;
      GemmCall other = call;
      other.tile = tile;
      found.push_back({word_of(tile), other});
    }
    return found;
  }
  // Here too; another split would not, nor need another kind.
  std::vector<Candidate> operator()(const MmaCall& call) const {
    std::vector<Candidate> found = {{word_of(call.tile), call}};
    for (const MmaInstance& instance : mma_instances(call.kind)) {
      if (instance.access != call.access || instance.tile == call.tile) continue;
      MmaCall other = call;
      other.tile = instance.tile;
      found.push_back({word_of(other.tile), other});
    }
    return found;
  }
  template <class Other>
  std::vector<Candidate> operator()(const Other&) const {
    return {};
  }
};

struct SizesText {
  std::string operator()(const GemmCall& call) const {
    const std::string text = "gemm" + product_text(call.arguments);
    switch (call.access) {
      case GemmAccess::rows:
        return text + " rows";
      case GemmAccess::window:
        return text + " window" + window_text(call.arguments.window);
      case GemmAccess::window_singles:
        return text + " singles" + window_text(call.arguments.window);
    }
    return text;
  }
  std::string operator()(const MmaCall& call) const {
    return std::string(to_string(call.kind)) + product_text(call.arguments.gemm) +
           " splits=" + std::to_string(call.arguments.splits) +
           (call.access == MmaAccess::chunks ? " chunks" : " singles") + window_text(call.arguments.gemm.window);
  }
  template <class Other>
  std::string operator()(const Other&) const {
    return {};
  }
};

}  // namespace

std::vector<Candidate> candidates(const Work& work) {
  return std::visit(FindCandidates{}, work);
}

std::string sizes_text(const Work& work) {
  return std::visit(SizesText{}, work);
}

}  // namespace rushlight::cuda
