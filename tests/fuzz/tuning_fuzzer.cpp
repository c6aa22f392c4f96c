// Tables of measured choices: what is accepted is written in one spelling, and a session that follows it computes.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fuzz/answers.hpp"
#include "fuzz/network_checks.hpp"
#include "runtime/tuning_table.hpp"
#include "rushlight/graph.hpp"
#include "rushlight/model.hpp"
#include "rushlight/session.hpp"
#include "rushlight/tuning.hpp"

namespace {

using namespace rushlight;
using namespace rushlight::test;

// A convolution that has other ways than the direct one: of so many channels, small pictures too.
constexpr std::int64_t kChannels = 64;
const Model& small_model() {
  static const Model model = [] {
    const Graph graph = Sequential{Conv2d{.in_channels = kChannels, .out_channels = 16, .kernel_size = 3, .padding = 1}}
                            .graph({kChannels, 4, 4})
                            .value();
    return Model::create(graph, some_state(graph).value()).value();
  }();
  return model;
}

// Under which machine and for which layer a session looks: what it notes in an empty table.
const std::pair<std::string, std::string>& key_of_small_model() {
  static const std::pair<std::string, std::string> key = [] {
    Tuning tuning;
    SessionOptions options;
    options.tuning = &tuning;
    require(small_model().session(Device::cpu(), options).has_value());
    const auto& choices = Tuning::Impl::of(tuning).choices;
    require(choices.size() == 1);
    return choices.begin()->first;
  }();
  return key;
}

// Every word of the table in turn as what is said of this very layer.
void compute_with(const Tuning::Impl& table) {
  static const Tensor input = [] {
    std::vector<float> values(kChannels * 4 * 4);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 5) - 2;
    return Tensor::from_values<float>(values, {1, kChannels, 4, 4}).value();
  }();
  std::size_t tried = 0;
  for (const auto& [key, choice] : table.choices) {
    if (++tried > 4) return;
    Tuning tuning;
    tuning.set_measures(false);
    const auto& [machine, layer] = key_of_small_model();
    Tuning::Impl::of(tuning).set(machine, layer, choice.word, choice.times);
    const Result<Tuning> parsed = Tuning::parse(tuning.text());
    require(parsed.has_value() && parsed->text() == tuning.text() && parsed->size() == 1);
    SessionOptions options;
    options.tuning = &tuning;
    options.limits = network_limits();
    Session session = small_model().session(Device::cpu(), options).value();
    const Tensor output = session.run(input).value();
    // Winograd's sums differ from the others in the last bits.
    static const std::vector<float> expected = [] {
      SessionOptions reference;
      reference.implementation = Implementation::reference;
      const Tensor tensor = small_model().session(Device::cpu(), reference).value().run(input).value();
      const auto values = tensor.values<float>().value();
      return std::vector<float>(values.begin(), values.end());
    }();
    const auto found = output.values<float>().value();
    require(found.size() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      require(std::abs(found[i] - expected[i]) <= 1e-4F * std::max(1.0F, std::abs(expected[i])));
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Result<Tuning> tuning = Tuning::parse(text, network_limits());
  if (!tuning) {
    (void)checked_line(tuning.error());
    return 0;
  }
  require(tuning->measured() == 0 && tuning->size() <= network_limits().graph_nodes);
  const std::string written = tuning->text();
  const Result<Tuning> again = Tuning::parse(written);
  require(again.has_value() && again->size() == tuning->size() && again->text() == written);
  compute_with(Tuning::Impl::of(*tuning));
  return 0;
}
