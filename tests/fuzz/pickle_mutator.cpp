// Opcodes of src/pickle/opcodes.def, cut out of the stream, moved about and put together again.
#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.hpp"
#include "fuzz/mutators.hpp"
#include "pickle/argument.hpp"
#include "pickle/opcodes.hpp"

namespace rushlight::test {
namespace {

using pickle::Argument;
using pickle::ArgumentFault;
using pickle::ArgumentKind;
using pickle::OpcodeInfo;

// An opcode and its argument, length fields included.
struct Step {
  const OpcodeInfo* info = nullptr;
  std::string argument;
};

struct Stream {
  std::vector<Step> steps;
  std::string tail;  // from the first byte that is no opcode
};

Stream cut(ByteSpan bytes) {
  Stream stream;
  ByteReader reader(bytes);
  std::size_t end = 0;
  while (const auto byte = reader.read<std::uint8_t>()) {
    const OpcodeInfo* info = pickle::find_opcode(*byte);
    Argument argument;
    if (info == nullptr || read_argument(info->argument, reader, argument) != ArgumentFault::none) break;
    const std::size_t begin = end + 1;
    end = static_cast<std::size_t>(reader.position());
    stream.steps.push_back({info, std::string(as_text(bytes.subspan(begin, end - begin)))});
  }
  stream.tail = std::string(as_text(bytes.subspan(end)));
  return stream;
}

std::string joined(const Stream& stream) {
  std::string bytes;
  for (const Step& step : stream.steps) {
    bytes += static_cast<char>(step.info->opcode);
    bytes += step.argument;
  }
  return bytes + stream.tail;
}

// Bytes of the length field of a counted argument; 0 for the others.
std::size_t length_bytes(ArgumentKind kind) {
  switch (kind) {
    case ArgumentKind::string1:
    case ArgumentKind::bytes1:
    case ArgumentKind::unicode1:
    case ArgumentKind::long1:
      return 1;
    case ArgumentKind::string4:
    case ArgumentKind::bytes4:
    case ArgumentKind::unicode4:
    case ArgumentKind::long4:
      return 4;
    case ArgumentKind::bytes8:
    case ArgumentKind::bytearray8:
    case ArgumentKind::unicode8:
      return 8;
    default:
      return 0;
  }
}

std::size_t number_bytes(ArgumentKind kind) {
  switch (kind) {
    case ArgumentKind::u1:
      return 1;
    case ArgumentKind::u2:
      return 2;
    case ArgumentKind::u4:
    case ArgumentKind::i4:
      return 4;
    case ArgumentKind::u8:
    case ArgumentKind::f8_be:
      return 8;
    default:
      return 0;
  }
}

std::string number(std::uint64_t value, std::size_t bytes) {
  std::string text(8, '\0');
  store_le(reinterpret_cast<std::byte*>(text.data()), value);
  text.resize(bytes);
  return text;
}

std::uint64_t odd_number(Dice& dice) {
  constexpr std::array<std::uint64_t, 12> kOdd = {
      0, 1, 2, 127, 128, 255, 256, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF};
  return dice.one_in(2) ? dice.below(8) : kOdd[dice.below(kOdd.size())];
}

void mutate_text(std::string& text, std::size_t room, PlainMutation mutate) {
  const std::size_t size = text.size();
  text.resize(size + std::max<std::size_t>(room, 1));
  text.resize(mutate(reinterpret_cast<std::uint8_t*>(text.data()), size, text.size()));
}

void change_argument(Step& step, std::size_t room, Dice& dice, PlainMutation mutate) {
  const ArgumentKind kind = step.info->argument;
  if (const std::size_t width = number_bytes(kind); width > 0) {
    step.argument = number(odd_number(dice), width);
  } else if (const std::size_t prefix = length_bytes(kind); prefix > 0) {
    std::string content = step.argument.substr(prefix);
    mutate_text(content, std::min<std::size_t>(room, 16), mutate);
    if (prefix == 1 && content.size() > 0xFF) content.resize(0xFF);
    // Now and then the length lies.
    const std::uint64_t length = dice.one_in(16) ? odd_number(dice) : content.size();
    step.argument = number(length, prefix) + content;
  } else if (kind != ArgumentKind::none) {
    // Lines: what is not text any more ends them early, which is as it should be.
    std::string text = step.argument.substr(0, step.argument.size() - 1);
    if (kind == ArgumentKind::integer_line && dice.one_in(2)) {
      text = std::to_string(odd_number(dice));
    } else {
      mutate_text(text, std::min<std::size_t>(room, 16), mutate);
    }
    step.argument = text + "\n";
  }
}

// The shortest argument that is right.
std::string plain_argument(ArgumentKind kind, Dice& dice) {
  if (const std::size_t width = number_bytes(kind); width > 0) return number(dice.below(8), width);
  if (const std::size_t prefix = length_bytes(kind); prefix > 0) return number(1, prefix) + "a";
  switch (kind) {
    case ArgumentKind::two_lines:
      return "collections\nOrderedDict\n";
    case ArgumentKind::quoted_line:
      return "'a'\n";
    case ArgumentKind::none:
      return {};
    default:
      return "1\n";
  }
}

Step new_step(Dice& dice) {
  const std::span<const OpcodeInfo> table = pickle::opcodes();
  const OpcodeInfo& info = table[dice.below(table.size())];
  return {&info, plain_argument(info.argument, dice)};
}

void change(Stream& stream, std::size_t room, Dice& dice, PlainMutation mutate) {
  std::vector<Step>& steps = stream.steps;
  const std::size_t at = dice.below(steps.size());
  const auto place = steps.begin() + static_cast<std::ptrdiff_t>(at);
  switch (dice.below(10)) {
    case 0:
      steps.erase(place);
      break;
    case 1: {
      const Step copy = *place;
      steps.insert(steps.begin() + static_cast<std::ptrdiff_t>(dice.below(steps.size() + 1)), copy);
      break;
    }
    case 2:
      std::swap(*place, steps[dice.below(steps.size())]);
      break;
    case 3:
      steps.insert(place, new_step(dice));
      break;
    case 4: {  // another opcode with the same kind of argument
      std::vector<const OpcodeInfo*> alike;
      for (const OpcodeInfo& info : pickle::opcodes()) {
        if (info.argument == place->info->argument) alike.push_back(&info);
      }
      place->info = alike[dice.below(alike.size())];
      break;
    }
    case 5: {  // a run of them once more, elsewhere
      const std::size_t count = 1 + dice.below(std::min<std::size_t>(8, steps.size() - at));
      const std::vector<Step> run(place, place + static_cast<std::ptrdiff_t>(count));
      const std::size_t target = dice.below(steps.size() + 1);
      steps.insert(steps.begin() + static_cast<std::ptrdiff_t>(target), run.begin(), run.end());
      break;
    }
    case 6:
      if (!stream.tail.empty()) {
        mutate_text(stream.tail, std::min<std::size_t>(room, 16), mutate);
        break;
      }
      [[fallthrough]];
    default: {
      // Most steps have no argument: look on for one that has.
      const auto has_argument = [](const Step& step) { return step.info->argument != ArgumentKind::none; };
      const auto found = std::find_if(place, steps.end(), has_argument);
      if (found != steps.end()) change_argument(*found, room, dice, mutate);
    }
  }
}

}  // namespace

std::size_t mutate_pickle(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed,
                          PlainMutation mutate) {
  Dice dice(seed);
  if (dice.one_in(3)) return mutate(data, size, max_size);
  Stream stream = cut(std::as_bytes(std::span(data, size)));
  for (std::size_t changes = 1 + dice.below(3); changes > 0 && !stream.steps.empty(); --changes) {
    change(stream, max_size - std::min(size, max_size), dice, mutate);
  }
  const std::string mutant = joined(stream);
  if (mutant.empty() || mutant.size() > max_size) return mutate(data, size, max_size);
  std::memcpy(data, mutant.data(), mutant.size());
  return mutant.size();
}

}  // namespace rushlight::test
