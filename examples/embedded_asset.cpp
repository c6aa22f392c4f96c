// A checkpoint inside the program: the assembler puts the file into its read-only data, and the tensors are read where
// they lie. Nothing is unpacked or copied; the system brings in the pages that somebody touches.
//   embedded_asset images.idx3-ubyte
#include <algorithm>
#include <cstdio>

#include "rushlight/rushlight.hpp"

namespace rl = rushlight;

// .incbin works with GCC and Clang wherever the object format is ELF. torch.save aligns tensors to 64 bytes in the
// file; an asset that begins at a multiple of 64 keeps them so. The build defines the paths (examples/CMakeLists.txt).
#define EMBED(symbol, path)                           \
  asm(".pushsection .rodata.assets,\"a\",@progbits\n" \
      ".balign 64\n" #symbol                          \
      "_begin:\n"                                     \
      ".incbin \"" path "\"\n" #symbol                \
      "_end:\n"                                       \
      ".byte 0\n"                                     \
      ".popsection\n");                               \
  extern "C" const std::byte symbol##_begin[];        \
  extern "C" const std::byte symbol##_end[]

EMBED(fashion_weights, FASHION_WEIGHTS);
EMBED(fashion_spec, FASHION_SPEC);

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  // It lives as long as the program, so there is nothing to keep alive.
  const std::span weights(fashion_weights_begin, fashion_weights_end);
  const std::string spec(reinterpret_cast<const char*>(fashion_spec_begin),
                         reinterpret_cast<const char*>(fashion_spec_end));

  const auto checkpoint = rl::Checkpoint::open(rl::Source::from_memory(weights, "fashion_cnn.pt")).value();
  std::size_t in_place = 0;
  const auto state = checkpoint.state_dict().value();
  for (const auto& [name, tensor] : state) {
    const auto bytes = tensor.bytes().value();
    in_place += bytes.data() >= weights.data() && bytes.data() + bytes.size() <= weights.data() + weights.size();
  }
  std::printf("%zu of %zu tensors lie in the program itself\n", in_place, state.size());

  const auto model = rl::load_model(checkpoint, {.spec = spec}).value();
  const auto images = rl::read_idx(argv[1]).value();
  const auto first = rl::Tensor::view(images.storage(), images.dtype(), {1, 1, 28, 28}, {784, 784, 28, 1}, 0).value();
  auto session = model.session().value();
  const auto scores_of_classes = session.run(rl::to_input(first, model.graph().preprocessing()).value()).value();
  const auto scores = scores_of_classes.values<float>().value();
  const auto best = static_cast<std::size_t>(std::max_element(scores.begin(), scores.end()) - scores.begin());
  std::printf("%s\n", model.graph().labels()[best].c_str());
}
