// The training checkpoint of the tutorials: what a trainer saved is opened, looked at, changed and saved again, and the
// trainer goes on from it.
//   training_checkpoint IN.pt OUT.pt LEARNING_RATE
#include <cstdio>
#include <cstdlib>

#include "rushlight/rushlight.hpp"

namespace rl = rushlight;

namespace {

int report(const rl::Error& error) {
  std::fprintf(stderr, "%s\n", to_string(error).c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: training_checkpoint IN.pt OUT.pt LEARNING_RATE\n");
    return 2;
  }
  const rl::Result<rl::Checkpoint> checkpoint = rl::Checkpoint::open(argv[1]);
  if (!checkpoint) return report(checkpoint.error());

  // {"epoch": ..., "model_state_dict": ..., "optimizer_state_dict": {"state": ..., "param_groups": [...]}, "loss": ...}
  const rl::Value& root = checkpoint->root();
  const std::int64_t epoch = root["epoch"].as_int().value_or(0);
  const rl::Result<rl::StateDict> weights = checkpoint->state_dict("model_state_dict");
  if (!weights) return report(weights.error());
  const rl::Value optimizer = root["optimizer_state_dict"];
  std::printf("epoch %lld, loss %g, %zu tensors, learning rate %g\n", static_cast<long long>(epoch),
              root["loss"].as_double().value_or(0), weights->size(),
              optimizer["param_groups"][0]["lr"].as_double().value_or(0));

  // A copy with two changes; tensors are shared with the file, not copied.
  rl::ValueEditor editor(root);
  if (const rl::Status set = editor.set("epoch", rl::Value(epoch + 1)); !set) return report(set.error());
  const rl::Value rate(std::strtod(argv[3], nullptr));
  if (const rl::Status set = editor.set("optimizer_state_dict.param_groups[0].lr", rate); !set) {
    return report(set.error());
  }

  // As the file was arranged, everything else spelt as it was. Beside the target first, synced, then renamed over it.
  const rl::Result<rl::SaveReport> saved = rl::save(editor.value(), argv[2], {.like = &*checkpoint});
  if (!saved) return report(saved.error());
  for (const rl::Finding& finding : saved->findings) std::fprintf(stderr, "%s\n", to_string(finding).c_str());
  return 0;
}
