// The smallest program that reads: prints the tensors of a state dict.
//   reader fashion_cnn.pt
#include <cstdio>

#include "rushlight/checkpoint.hpp"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const auto checkpoint = rushlight::Checkpoint::open(argv[1]);
  if (!checkpoint) return std::printf("%s\n", to_string(checkpoint.error()).c_str()), 1;
  const auto state = checkpoint->state_dict();
  if (!state || state->size() != 18) return 1;
  const auto bias = state->at("fc2.bias");
  if (!bias) return 1;
  const auto values = bias->values<float>();
  if (!values || values->size() != 10) return 1;
  std::printf("%zu tensors, fc2.bias[0] = %g\n", state->size(), static_cast<double>((*values)[0]));
}
