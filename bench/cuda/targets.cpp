#include "bench/cuda/targets.hpp"

namespace rushlight::bench {

std::vector<Judged> judge(std::span<const MeasuredLatency> measured) {
  std::vector<Judged> all;
  for (const Target& target : kTargets) {
    Judged judged{.target = &target};
    for (const MeasuredLatency& one : measured) {
      if (one.net != target.net || one.batch != target.batch || one.precision != target.precision ||
          one.place != target.place) {
        continue;
      }
      if (judged.verdict == Verdict::not_measured || one.seconds < judged.seconds) judged.seconds = one.seconds;
      judged.verdict = judged.seconds <= target.most_seconds ? Verdict::met : Verdict::missed;
    }
    all.push_back(judged);
  }
  return all;
}

}  // namespace rushlight::bench
