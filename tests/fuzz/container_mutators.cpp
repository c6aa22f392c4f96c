// The small ones: headers with a length, tar archives, several files in one, and any of them.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.hpp"
#include "fuzz/mutators.hpp"
#include "fuzz/packed_files.hpp"

namespace rushlight::test {
namespace {

constexpr std::size_t kTarBlock = 512;

template <class Mutation>
void mutate_text(std::string& text, std::size_t room, Mutation mutate) {
  const std::size_t size = text.size();
  text.resize(size + std::max<std::size_t>(room, 1));
  text.resize(mutate(reinterpret_cast<std::uint8_t*>(text.data()), size, text.size()));
}

std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return as_text(std::as_bytes(std::span(data, size)));
}

std::size_t put_back(std::string_view mutant, std::uint8_t* data) {
  std::memcpy(data, mutant.data(), mutant.size());
  return mutant.size();
}

// Where the length of the header stands, and how wide it is.
struct HeaderPlace {
  std::size_t length_at;
  std::size_t length_bytes;
};

std::optional<HeaderPlace> header_place(std::string_view file) {
  if (file.starts_with("\x93NUMPY") && file.size() > 12) {
    return file[6] == 1 ? HeaderPlace{8, 2} : HeaderPlace{8, 4};
  }
  if (file.size() > 8 && file[8] == '{') return HeaderPlace{0, 8};
  return std::nullopt;
}

std::string little_endian(std::uint64_t value, std::size_t bytes) {
  std::string text(8, '\0');
  store_le(reinterpret_cast<std::byte*>(text.data()), value);
  text.resize(bytes);
  return text;
}

struct TarMember {
  std::string header;
  std::string data;  // without padding
};

std::vector<TarMember> tar_members(std::string_view file) {
  std::vector<TarMember> members;
  while (file.size() >= kTarBlock && file[0] != '\0') {
    std::size_t size = 0;
    for (const char c : file.substr(124, 11)) {
      if (c >= '0' && c <= '7') size = size * 8 + static_cast<std::size_t>(c - '0');
    }
    size = std::min(size, file.size() - kTarBlock);
    members.push_back({std::string(file.substr(0, kTarBlock)), std::string(file.substr(kTarBlock, size))});
    file.remove_prefix(std::min(file.size(), kTarBlock + (size + kTarBlock - 1) / kTarBlock * kTarBlock));
  }
  return members;
}

// The header says the size of the data, and its own checksum.
void fit_header(TarMember& member) {
  std::array<char, 16> octal{};
  (void)std::snprintf(octal.data(), octal.size(), "%011zo", member.data.size() & 0777777777);
  member.header.replace(124, 12, octal.data(), 12);
  member.header.replace(148, 8, "        ");
  unsigned sum = 0;
  for (const char c : member.header) sum += static_cast<unsigned char>(c);
  (void)std::snprintf(octal.data(), octal.size(), "%06o", sum);
  member.header.replace(148, 8, std::string(octal.data(), 6) + std::string("\0 ", 2));
}

std::string tar_of(const std::vector<TarMember>& members) {
  std::string file;
  for (const TarMember& member : members) {
    file += member.header + member.data;
    file.resize((file.size() + kTarBlock - 1) / kTarBlock * kTarBlock, '\0');
  }
  file.append(2 * kTarBlock, '\0');
  return file;
}

}  // namespace

std::size_t mutate_header(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed,
                          PlainMutation mutate) {
  Dice dice(seed);
  const std::string_view file = text_of(data, size);
  const std::optional<HeaderPlace> place = header_place(file);
  if (!place || dice.one_in(2)) return mutate(data, size, max_size);
  const std::size_t begin = place->length_at + place->length_bytes;
  std::uint64_t length = 0;
  for (std::size_t i = place->length_bytes; i-- > 0;) {
    length = length << 8 | static_cast<unsigned char>(file[place->length_at + i]);
  }
  const auto header_bytes = static_cast<std::size_t>(std::min<std::uint64_t>(length, file.size() - begin));
  std::string header(file.substr(begin, header_bytes));
  std::string rest(file.substr(begin + header_bytes));
  mutate_text(header, std::min<std::size_t>(max_size - std::min(size, max_size), 64), mutate);
  // Now and then as many bytes as another shape would need.
  if (dice.one_in(8)) rest.resize(dice.one_in(2) ? rest.size() / 2 : std::min<std::size_t>(rest.size() * 2, 4096));
  const std::string mutant =
      std::string(file.substr(0, place->length_at)) + little_endian(header.size(), place->length_bytes) + header + rest;
  if (mutant.size() > max_size) return mutate(data, size, max_size);
  return put_back(mutant, data);
}

std::size_t mutate_tar(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed,
                       PlainMutation mutate) {
  Dice dice(seed);
  std::vector<TarMember> members = tar_members(text_of(data, size));
  if (members.empty() || dice.one_in(2)) return mutate(data, size, max_size);
  TarMember& member = members[dice.below(members.size())];
  const std::size_t room = std::min<std::size_t>(max_size - std::min(size, max_size), 512);
  switch (dice.below(8)) {
    case 0:
      member.header[dice.below(kTarBlock)] = static_cast<char>(dice.below(256));
      break;
    case 1:
      std::swap(member, members[dice.below(members.size())]);
      break;
    default:
      mutate_text(member.data, room, [&](std::uint8_t* bytes, std::size_t count, std::size_t most) {
        return mutate_pickle(bytes, count, most, dice.seed(), mutate);
      });
  }
  for (TarMember& one : members) fit_header(one);
  const std::string mutant = tar_of(members);
  if (mutant.size() > max_size) return mutate(data, size, max_size);
  return put_back(mutant, data);
}

std::size_t mutate_files(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed,
                         PlainMutation mutate) {
  Dice dice(seed);
  std::vector<PackedFile> files = unpack_files(std::as_bytes(std::span(data, size)));
  if (files.empty() || dice.one_in(8)) return mutate(data, size, max_size);
  // The first says what is in the others.
  const std::size_t at = dice.one_in(2) ? 0 : dice.below(files.size());
  const std::size_t room = std::min<std::size_t>(max_size - std::min(size, max_size), 512);
  switch (dice.below(16)) {
    case 0:
      mutate_text(files[at].first, 8, mutate);
      break;
    case 1:
      std::swap(files[at].second, files[dice.below(files.size())].second);
      break;
    default:
      mutate_text(files[at].second, room, [&](std::uint8_t* bytes, std::size_t count, std::size_t most) {
        return mutate_any(bytes, count, most, dice.seed(), mutate);
      });
  }
  const std::string mutant = pack_files(files);
  if (mutant.empty() || mutant.size() > max_size) return mutate(data, size, max_size);
  return put_back(mutant, data);
}

std::size_t mutate_any(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed,
                       PlainMutation mutate) {
  const std::string_view file = text_of(data, size);
  if (file.starts_with("PK")) return mutate_checkpoint(data, size, max_size, seed, mutate);
  if (header_place(file)) return mutate_header(data, size, max_size, seed, mutate);
  if (file.size() > kTarBlock && file.substr(257, 5) == "ustar") return mutate_tar(data, size, max_size, seed, mutate);
  if (!file.empty() && static_cast<unsigned char>(file.front()) == 0x80) {
    return mutate_pickle(data, size, max_size, seed, mutate);
  }
  return mutate(data, size, max_size);
}

}  // namespace rushlight::test
