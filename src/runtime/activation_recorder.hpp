// ActivationRecorder: who wants to see what the products of a network read. For calibrate().
//
// Off unless RunOptions::recorder points somewhere, which no public option does: every convolution and Linear is then a
// step of its own, and before it runs its input is shown. Of the backends the CPU's does that.
#pragma once

#include <cstddef>
#include <string_view>

namespace rushlight::runtime {

// Called by the thread that runs the program. It may throw std::bad_alloc, which Session::run() makes an error of.
class ActivationRecorder {
 public:
  virtual ~ActivationRecorder() = default;
  ActivationRecorder(const ActivationRecorder&) = delete;
  ActivationRecorder& operator=(const ActivationRecorder&) = delete;

  // `rows` rows of `channels` adjacent floats; `layer` is the name of the step's node.
  virtual void record(std::string_view layer, const float* first, std::size_t rows, std::size_t channels,
                      std::size_t row_stride) = 0;

 protected:
  ActivationRecorder() = default;
};

}  // namespace rushlight::runtime
