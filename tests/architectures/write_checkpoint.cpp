// Writes what a training of one of torchvision's networks would leave: a checkpoint with made-up weights, and a file
// with the names of its classes. For tests that want a network of full size, which the tree has no room for.
//   write_architecture ARCHITECTURES NAME CHECKPOINT.pt LABELS.txt
#include <cstdio>
#include <fstream>

#include "rushlight/save.hpp"
#include "support/architecture_case.hpp"

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const rushlight::test::ArchitectureCase architecture = rushlight::test::read_architecture(argv[1], argv[2]);
  const auto saved = rushlight::save(rushlight::test::make_state_dict(architecture), argv[3]);
  if (!saved) {
    std::fprintf(stderr, "%s\n", to_string(saved.error()).c_str());
    return 1;
  }
  std::ofstream labels(argv[4]);
  for (int i = 0; i < 1000; ++i) labels << "class " << i << "\n";
  return labels.flush() ? 0 : 1;
}
