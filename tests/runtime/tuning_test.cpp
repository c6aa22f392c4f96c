// Tuning: its text, what sessions measure for it, and what they make of it. No clock decides anything here.
#include "rushlight/tuning.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "runtime/each_way.hpp"
#include "runtime/networks.hpp"
#include "runtime/tuning_table.hpp"

namespace rushlight::test {
namespace {

constexpr char kHead[] = "rushlight tuning 1\n";

Tuning parsed(const std::string& text) {
  Result<Tuning> tuning = Tuning::parse(text);
  EXPECT_TRUE(tuning) << tuning.error().finding.message;
  return tuning ? *std::move(tuning) : Tuning();
}

std::string complaint(const std::string& text, const Limits& limits = {}) {
  const Result<Tuning> tuning = Tuning::parse(text, limits);
  EXPECT_FALSE(tuning);
  return tuning ? "" : tuning.error().finding.message;
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(std::string::npos, at) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

TEST(TuningText, ComesBackAsItWasWithTheLinesOfOtherMachines) {
  const std::string text =
      "rushlight tuning 1\n"
      "# Which way to compute a layer was the fastest. Made by measuring; lines may be removed.\n"
      "\nmachine a\nconv3x3 1 : direct\nconv3x3 2 : winograd2\n"
      "\nmachine b, with a longer name\nconv3x3 1 : winograd4\n";
  const Tuning tuning = parsed(text);
  EXPECT_EQ(3U, tuning.size());
  EXPECT_EQ(0U, tuning.measured());
  EXPECT_EQ(text, tuning.text());
  EXPECT_EQ(text, parsed(replaced(text, "\nmachine a\n", "# a note\r\nmachine a\r\n")).text());
  EXPECT_EQ(0U, parsed(kHead).size());
  EXPECT_EQ(0U, parsed(Tuning().text()).size());
  // Times are for people: they come back, and of two the first ones.
  const std::string timed =
      replaced(text, "conv3x3 1 : direct\n", "conv3x3 1 : direct # direct 1.5 us, winograd2 2.0 us\n");
  EXPECT_EQ(timed, parsed(timed).text());
  EXPECT_EQ(timed, parsed(timed + "machine a\nconv3x3 1 : direct # direct 9.9 us\n").text());
  EXPECT_EQ(text, parsed(replaced(text, "1 : direct\n", "1 : direct # \n")).text());
  // The same twice is the same.
  EXPECT_EQ(1U, parsed(std::string(kHead) + "machine a\nx : direct\nmachine a\nx : direct").size());
}

TEST(TuningText, WhatIsNoTuningIsNamedByItsLine) {
  EXPECT_EQ("tuning, line 1: expected 'rushlight tuning 1', found nothing", complaint(""));
  EXPECT_EQ("tuning, line 1: expected 'rushlight tuning 1', found 'rushlight tuning 2'",
            complaint("rushlight tuning 2\n"));
  EXPECT_EQ("tuning, line 1: expected printable ASCII, found 'PK\\x03\\x04'", complaint("PK\x03\x04"));
  EXPECT_EQ("tuning, line 2: expected 'machine ...' before the first layer",
            complaint(std::string(kHead) + "x : direct\n"));
  EXPECT_EQ("tuning, line 2: expected the name of a machine, found nothing",
            complaint(std::string(kHead) + "machine \n"));
  const std::string head = std::string(kHead) + "machine a\n";
  for (const char* line : {"x", "x :", "x : ", " : direct", "x : Direct", "x : a b", "x:direct", "x : direct;"}) {
    EXPECT_EQ("tuning, line 3: expected a layer, ' : ' and a word, found '" + std::string(line) + "'",
              complaint(head + line));
  }
  EXPECT_EQ("tuning, line 4: a second choice for 'x', 'winograd2' after 'direct'",
            complaint(head + "x : direct\nx : winograd2"));
  EXPECT_EQ("tuning, line 3: expected at most 512 bytes, found 600", complaint(head + std::string(600, 'x')));
  EXPECT_EQ("tuning, line 3: expected printable ASCII, found 'x\\x00 : direct'",
            complaint(head + std::string("x\0 : direct", 11)));
}

TEST(TuningText, MeetsItsLimits) {
  Limits limits;
  limits.json_bytes = 20;
  EXPECT_EQ("tuning has more than 20 bytes", complaint(std::string(kHead) + "machine a\n", limits));
  limits = {};
  limits.graph_nodes = 1;
  EXPECT_EQ("tuning has more than 1 entries",
            complaint(std::string(kHead) + "machine a\nx : direct\ny : direct\n", limits));
}

// Every prefix, and every byte another one: an error or a table, never anything else.
TEST(TuningText, DamagedTextsAreTablesOrErrors) {
  const std::string text = std::string(kHead) + "machine a\nx : direct\n\nmachine b\ny : winograd2\n";
  for (std::size_t i = 0; i < text.size(); ++i) {
    static_cast<void>(Tuning::parse(text.substr(0, i)));
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = text;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      const Result<Tuning> tuning = Tuning::parse(damaged);
      if (!tuning) continue;
      EXPECT_EQ(tuning->text(), parsed(tuning->text()).text());
    }
  }
}

// Times by the way that is measured. What it is asked for runs all the same.
struct Script {
  std::map<std::string, std::uint64_t, std::less<>> nanoseconds;
  std::uint64_t before = 0;  // of what comes before a run: weights made cold, operands written
  std::atomic<int> runs{0};

  void use(Tuning& tuning) {
    Tuning::Impl::of(tuning).stopwatch = [this](std::string_view choice, const std::function<void()>& work) {
      work();
      if (choice.empty()) return before;
      ++runs;
      const auto found = nanoseconds.find(choice);
      EXPECT_NE(nanoseconds.end(), found) << choice << " is measured";
      return found == nanoseconds.end() ? 1 : found->second;
    };
  }
};

// Two layers alike, and one that differs; by the rule all go through Winograd's.
Model model() {
  GraphBuilder g;
  const Conv2d op{.in_channels = 32, .out_channels = 32, .kernel_size = 3, .padding = 1};
  Conv2d wider = op;
  wider.out_channels = 48;
  g.output("y", g.apply("c", wider, g.apply("b", op, g.apply("a", op, g.input("x")))));
  return made_up_model(g.build().value());
}
const Shape kShape = {1, 32, 20, 20};
Tensor input() {
  return made_up("input", kShape);
}

std::vector<float> run(const Model& model, const SessionOptions& options) {
  Result<Session> session = model.session(Device::cpu(), options);
  if (!session) {
    ADD_FAILURE() << session.error().finding.message;
    return {};
  }
  const Result<Tensor> output = session->run(input());
  if (!output) {
    ADD_FAILURE() << output.error().finding.message;
    return {};
  }
  return floats_of(*output);
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(TunedSessions, TakeTheFastestWayAndNoteIt) {
  const Model net = model();
  const std::vector<float> direct = run(net, {.low_memory = true});
  const std::vector<float> by_rule = run(net, {});
  ASSERT_FALSE(same_bits(direct, by_rule));
  Tuning tuning;
  Script script;
  script.nanoseconds = {{"direct", 1000}, {"winograd2", 2000}};
  script.use(tuning);
  EXPECT_TRUE(same_bits(direct, run(net, {.tuning = &tuning})));
  EXPECT_EQ(2U, tuning.size());
  EXPECT_EQ(2U, tuning.measured());
  EXPECT_NE(std::string::npos, tuning.text().find("conv3x3 strict threads=1 in=1x20x20x32 out=1x20x20x32 : direct "
                                                  "# direct 1.0 us, winograd2 2.0 us\n"));
  EXPECT_NE(std::string::npos, tuning.text().find("conv3x3 strict threads=1 in=1x20x20x32 out=1x20x20x48 : direct "
                                                  "# direct 1.0 us, winograd2 2.0 us\n"));
  // Each way in each round, but one that takes much longer only in the first two.
  EXPECT_EQ(2 * (6 + 2), script.runs);

  Tuning other;
  Script faster;
  faster.nanoseconds = {{"direct", 1100}, {"winograd2", 1000}};
  faster.use(other);
  EXPECT_TRUE(same_bits(by_rule, run(net, {.tuning = &other})));
  EXPECT_EQ(2 * 6 * 2, faster.runs);
}

TEST(TunedSessions, LeaveTheRuleForAClearGainAlone) {
  const Model net = model();
  Tuning tuning;
  Script script;
  script.nanoseconds = {{"direct", 990}, {"winograd2", 1000}};
  script.use(tuning);
  EXPECT_TRUE(same_bits(run(net, {}), run(net, {.tuning = &tuning})));
}

TEST(TunedSessions, LongLayersRunTwiceEachWay) {
  Tuning tuning;
  Script script;
  script.nanoseconds = {{"direct", 100'000'000}, {"winograd2", 90'000'000}};
  script.use(tuning);
  run(model(), {.tuning = &tuning});
  EXPECT_EQ(2 * 2 * 2, script.runs);
}

// Whatever the clock says: rounds are counted, and all that they take is part of the budget.
TEST(TunedSessions, RunEachWayAtMostSixTimes) {
  Tuning tuning;
  Script script;
  script.nanoseconds = {{"direct", 0}, {"winograd2", 0}, {"winograd2x4", 0}, {"winograd4", 0}};
  script.use(tuning);
  run(model(), {.precision = Precision::fast, .tuning = &tuning});
  EXPECT_EQ(2 * 6 * 4, script.runs);
  EXPECT_NE(std::string::npos,
            tuning.text().find(" # direct 0.0 us, winograd2 0.0 us, winograd2x4 0.0 us, winograd4 0.0 us\n"));

  Tuning other;
  Script slow;
  slow.nanoseconds = {{"direct", 1000}, {"winograd2", 1000}};
  slow.before = 2'000'000;  // three times a round, of 20 ms in all: four rounds
  slow.use(other);
  run(model(), {.tuning = &other});
  EXPECT_EQ(2 * 4 * 2, slow.runs);
}

TEST(TunedSessions, AreExactWhateverIsChosen) {
  const Model net = model();
  const std::vector<float> expected = run(net, {.implementation = Implementation::reference});
  for (const std::string fastest : {"direct", "winograd2", "winograd2x4", "winograd4"}) {
    Tuning tuning;
    Script script;
    script.nanoseconds = {{"direct", 1000}, {"winograd2", 1000}, {"winograd2x4", 1000}, {"winograd4", 1000}};
    script.nanoseconds[fastest] = 100;
    script.use(tuning);
    const std::vector<float> found = run(net, {.precision = Precision::fast, .tuning = &tuning});
    EXPECT_NE(std::string::npos, tuning.text().find("fast threads=1 in=1x20x20x32 out=1x20x20x48 : " + fastest));
    expect_close(expected, found, fastest == "winograd4" ? 3e-5 : 2e-6);
  }
}

// The ways that strict has, each against the exact outputs: the roundings of F(2x4)'s sums are paid for by its short
// chains.
// Squares of errors, summed up, of a layer computed in each of these ways.
std::map<std::string, double, std::less<>> squares_of_errors(const Conv2d& op, const std::vector<std::string>& ways) {
  const Model net = made_up_model(graph_of(op));
  const Tensor x = made_up("input", {1, op.in_channels, 24, 24});
  const auto outputs = [&](const SessionOptions& options) {
    return floats_of(net.session(Device::cpu(), options).value().run(x).value());
  };
  const std::vector<float> exact = outputs({.implementation = Implementation::reference});
  std::map<std::string, double, std::less<>> squares;
  for (const std::string& fastest : ways) {
    Tuning tuning;
    Script script;
    for (const std::string& way : ways) script.nanoseconds[way] = way == fastest ? 100 : 1000;
    script.use(tuning);
    const std::vector<float> found = outputs({.tuning = &tuning});
    EXPECT_NE(std::string::npos, tuning.text().find(": " + fastest + " #"));
    for (std::size_t i = 0; i < found.size(); ++i) {
      const double error = static_cast<double>(found[i]) - static_cast<double>(exact[i]);
      squares[fastest] += error * error;
    }
  }
  return squares;
}

TEST(TunedSessions, TheWaysOfStrictHaveTheSameError) {
  for (const std::int64_t channels : {64, 128, 256}) {
    SCOPED_TRACE(channels);
    Conv2d op{.in_channels = channels, .out_channels = 64, .kernel_size = 3, .padding = 1};
    auto squares = squares_of_errors(op, {"direct", "winograd2", "winograd2x4"});
    // Squares: factors of 1.2 and 1.6 between the errors themselves.
    EXPECT_LT(squares["winograd2x4"], 1.44 * squares["winograd2"]);
    EXPECT_LT(squares["winograd2x4"], 2.56 * squares["direct"]);
    op.stride = 2;
    squares = squares_of_errors(op, {"direct", "winograd2s2", "winograd4s2"});
    EXPECT_LT(squares["winograd4s2"], 1.44 * squares["winograd2s2"]);
    EXPECT_LT(squares["winograd4s2"], 2.56 * squares["direct"]);
  }
}

// Each way of each stride, on pictures whose tiles end everywhere.
TEST(TunedSessions, EveryWayComputesEveryPicture) {
  for (const std::int64_t stride : {1, 2}) {
    const std::vector<std::string> ways =
        stride == 1 ? std::vector<std::string>{"direct", "winograd2", "winograd2x4", "winograd4"}
                    : std::vector<std::string>{"direct", "winograd2s2", "winograd4s2"};
    Conv2d op{.in_channels = 18, .out_channels = 17, .kernel_size = 3, .padding = 1};
    op.stride = stride;
    const Model net = made_up_model(graph_of(op));
    for (std::int64_t height = 1; height <= 9; ++height) {
      const std::int64_t width = 10 - height + 4 * (height % 2);
      const Shape shape = {2, 18, stride * height, stride * width - (height % 3 == 0 ? stride - 1 : 0)};
      expect_each_way_fits_reference(net, shape, ways, "");
      if (HasFatalFailure()) return;
    }
  }
}

TEST(TunedSessions, GiveTheSameBitsWithTheSameTable) {
  const Model net = model();
  Tuning first;
  Script script;
  script.nanoseconds = {{"direct", 1000}, {"winograd2", 2000}, {"winograd2x4", 1900}, {"winograd4", 1500}};
  script.use(first);
  const std::vector<float> strict = run(net, {.tuning = &first});
  const std::vector<float> fast = run(net, {.precision = Precision::fast, .tuning = &first});
  EXPECT_EQ(4U, first.size());
  Tuning second = parsed(first.text());
  Script none;  // whatever is measured fails
  none.use(second);
  EXPECT_TRUE(same_bits(strict, run(model(), {.tuning = &second})));
  EXPECT_TRUE(same_bits(fast, run(model(), {.precision = Precision::fast, .tuning = &second})));
  EXPECT_EQ(0, none.runs);
  EXPECT_EQ(0U, second.measured());
}

// Threads: their own entries, and measured on them.
TEST(TunedSessions, MeasureForTheirNumberOfThreads) {
  Tuning tuning;
  Script script;
  script.nanoseconds = {{"direct", 1000}, {"winograd2", 2000}};
  script.use(tuning);
  run(model(), {.threads = 1, .tuning = &tuning});
  const std::vector<float> two = run(model(), {.threads = 2, .tuning = &tuning});
  EXPECT_TRUE(same_bits(two, run(model(), {.low_memory = true})));
  EXPECT_EQ(4U, tuning.size());
  EXPECT_NE(std::string::npos, tuning.text().find("threads=2"));
}

TEST(TunedSessions, IgnoreOtherMachinesAndKeepTheirEntries) {
  Tuning here;
  Script script;
  script.nanoseconds = {{"direct", 1000}, {"winograd2", 2000}};
  script.use(here);
  run(model(), {.tuning = &here});
  Tuning elsewhere = parsed(replaced(here.text(), "\nmachine cpu ", "\nmachine another cpu "));
  Script again;
  again.nanoseconds = {{"direct", 2000}, {"winograd2", 1000}};
  again.use(elsewhere);
  EXPECT_TRUE(same_bits(run(model(), {}), run(model(), {.tuning = &elsewhere})));
  EXPECT_EQ(2U, elsewhere.measured());
  EXPECT_EQ(4U, elsewhere.size());
  EXPECT_GT(again.runs, 0);
}

// A way that the layer or the precision does not have is measured anew, and not taken.
TEST(TunedSessions, DoNotTrustWhatAnEntrySays) {
  Tuning here;
  Script script;
  script.nanoseconds = {{"direct", 1000}, {"winograd2", 2000}};
  script.use(here);
  const std::vector<float> direct = run(model(), {.tuning = &here});
  for (const char* word : {"winograd4", "winograd", "fast"}) {
    Tuning odd = parsed(replaced(here.text(), "out=1x20x20x48 : direct", "out=1x20x20x48 : " + std::string(word)));
    Script again;
    again.nanoseconds = script.nanoseconds;
    again.use(odd);
    EXPECT_TRUE(same_bits(direct, run(model(), {.tuning = &odd})));
    EXPECT_EQ(1U, odd.measured());
    EXPECT_EQ(here.text(), odd.text());
  }
}

TEST(TunedSessions, MeasureNothingWhereTheTableSaysSo) {
  Tuning tuning;
  Script none;
  none.use(tuning);
  tuning.set_measures(false);
  EXPECT_TRUE(same_bits(run(model(), {}), run(model(), {.tuning = &tuning})));
  EXPECT_EQ(0U, tuning.size());
  // Nothing to choose.
  Tuning low;
  none.use(low);
  run(model(), {.low_memory = true, .tuning = &low});
  EXPECT_EQ(0U, low.size());
  EXPECT_EQ(0, none.runs);
}

class Stopper final : public Progress {
 public:
  explicit Stopper(std::uint64_t at) : at_(at) {}
  bool on_progress(std::string_view phase, std::uint64_t done, std::uint64_t total) override {
    if (phase != "tune") return true;
    EXPECT_EQ(3U, total);
    return done < at_;
  }

 private:
  std::uint64_t at_;
};

TEST(TunedSessions, AreStoppedByTheirProgress) {
  Tuning tuning;
  Script script;
  script.nanoseconds = {{"direct", 1000}, {"winograd2", 2000}};
  script.use(tuning);
  const Model net = model();
  Stopper stopper(1);
  const Result<Session> session = net.session(Device::cpu(), {.progress = &stopper, .tuning = &tuning});
  // Where only the batch is open, sessions plan at once; this input is open altogether.
  ASSERT_TRUE(session);
  Result<Session> stopped = net.session(Device::cpu(), {.progress = &stopper, .tuning = &tuning});
  ASSERT_TRUE(stopped);
  const Result<Tensor> output = stopped->run(input());
  ASSERT_FALSE(output);
  EXPECT_EQ(ErrorCode::cancelled, output.error().code);
  EXPECT_EQ(1U, tuning.size());  // what was measured is kept
  EXPECT_TRUE(same_bits(run(net, {.low_memory = true}), run(net, {.tuning = &tuning})));
  EXPECT_EQ(2U, tuning.size());
}

// A way whose workspace the session may not have is none.
TEST(TunedSessions, MeetTheLimitOfTheWorkspace) {
  const Model net = model();
  Result<Session> smallest = net.session(Device::cpu(), {.low_memory = true});
  ASSERT_TRUE(smallest && smallest->run(input()));
  SessionOptions options;
  options.limits.arena_bytes = smallest->workspace_bytes();
  Tuning tuning;
  Script none;
  none.use(tuning);
  options.tuning = &tuning;
  Result<Session> session = net.session(Device::cpu(), options);
  ASSERT_TRUE(session);
  const Result<Tensor> output = session->run(input());
  ASSERT_FALSE(output);  // as without a tuning: the rule's way needs more
  EXPECT_EQ(ErrorCode::limit_exceeded, output.error().code);
  EXPECT_EQ(0U, tuning.size());
}

TEST(TunedSessions, WeightsThatAreNoUsualOnesLeaveNoChoice) {
  GraphBuilder g;
  const Conv2d op{.in_channels = 32, .out_channels = 32, .kernel_size = 3, .padding = 1};
  g.output("y", g.apply("a", op, g.input("x")));
  const Graph graph = g.build().value();
  std::vector<float> weights = values_for("a.weight", {32, 32, 3, 3});
  weights[7] = 1e30F;
  StateDict state;
  state.insert("a.weight", tensor_of(weights, {32, 32, 3, 3}));
  state.insert("a.bias", made_up("a.bias", {32}));
  const Model net = Model::create(graph, state).value();
  Tuning tuning;
  Script none;
  none.use(tuning);
  EXPECT_TRUE(same_bits(run(net, {}), run(net, {.tuning = &tuning})));
  EXPECT_EQ(0U, tuning.size());
}

TEST(TunedSessions, ShareOneTable) {
  const Model net = model();
  Tuning tuning;
  Script script;
  script.nanoseconds = {{"direct", 1000}, {"winograd2", 2000}};
  script.use(tuning);
  std::vector<std::vector<float>> found(4);
  std::vector<std::thread> threads;
  for (std::vector<float>& output : found) {
    threads.emplace_back([&] { output = run(net, {.tuning = &tuning}); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::vector<float>& output : found) EXPECT_TRUE(same_bits(output, found[0]));
  EXPECT_EQ(2U, tuning.size());
}

}  // namespace
}  // namespace rushlight::test
