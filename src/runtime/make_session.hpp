// make_session(): Model::session with what no public option offers.
#pragma once

#include "runtime/activation_recorder.hpp"
#include "runtime/step_times.hpp"
#include "rushlight/model.hpp"
#include "rushlight/session.hpp"

namespace rushlight::runtime {

// `step_times` and `recorder` may be null and outlive the session.
[[nodiscard]] Result<Session> make_session(const std::shared_ptr<const Model::Impl>& model, Device device,
                                           const SessionOptions& options, StepTimes* step_times,
                                           ActivationRecorder* recorder = nullptr);

}  // namespace rushlight::runtime
