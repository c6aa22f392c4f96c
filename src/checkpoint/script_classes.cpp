#include "checkpoint/script_classes.hpp"

#include <algorithm>
#include <utility>

#include "base/bytes.hpp"

namespace rushlight::checkpoint {
namespace {

// The texts of a list as torch prints it: ["weight", "bias", ]. Escapes keep the character behind the backslash: names
// of attributes have no others.
std::vector<std::string> parse_texts(std::string_view list) {
  std::vector<std::string> texts;
  std::size_t at = 0;
  while ((at = list.find('"', at)) != std::string_view::npos) {
    std::string text;
    for (++at; at < list.size() && list[at] != '"'; ++at) {
      if (list[at] == '\\' && at + 1 < list.size()) ++at;
      text += list[at];
    }
    if (at == list.size()) break;
    ++at;
    texts.push_back(std::move(text));
  }
  return texts;
}

}  // namespace

ScriptClassTable parse_script_classes(std::string_view source) {
  constexpr std::string_view kClass = "class ";
  constexpr std::string_view kParameters = "  __parameters__ = [";
  constexpr std::string_view kBuffers = "  __buffers__ = [";
  ScriptClassTable classes;
  ScriptClass* current = nullptr;
  while (!source.empty()) {
    const std::size_t end = std::min(source.find('\n'), source.size());
    const std::string_view line = source.substr(0, end);
    source.remove_prefix(std::min(end + 1, source.size()));
    if (line.starts_with(kClass)) {
      const std::string_view name = line.substr(kClass.size(), line.find_first_of("(:", kClass.size()) - kClass.size());
      current = &classes[std::string(name)];
      *current = {};
    } else if (!line.empty() && line[0] != ' ') {
      current = nullptr;
    } else if (current != nullptr && line.starts_with(kParameters)) {
      current->parameters = parse_texts(line.substr(kParameters.size()));
    } else if (current != nullptr && line.starts_with(kBuffers)) {
      current->buffers = parse_texts(line.substr(kBuffers.size()));
    }
  }
  return classes;
}

const ScriptClass* ScriptClasses::find(std::string_view qualified_name) {
  const std::size_t dot = qualified_name.rfind('.');
  if (dot == std::string_view::npos) return nullptr;
  const ScriptClassTable& table = file_of(qualified_name.substr(0, dot));
  const auto found = table.find(qualified_name.substr(dot + 1));
  return found == table.end() ? nullptr : &found->second;
}

const ScriptClassTable& ScriptClasses::file_of(std::string_view module) {
  if (const auto known = files_.find(module); known != files_.end()) return known->second;
  ScriptClassTable& table = files_[std::string(module)];
  std::string record = "code/" + std::string(module) + ".py";
  std::replace(record.begin(), record.end() - 3, '.', '/');
  const zip::Entry* entry = container_.find(record);
  if (entry == nullptr || entry->is_directory() || entry->size_bytes > bytes_left_) return table;
  bytes_left_ -= entry->size_bytes;
  const Result<zip::RecordBytes> bytes = container_.read(*entry, entry->size_bytes);
  if (bytes) table = parse_script_classes(as_text(bytes->span()));
  return table;
}

}  // namespace rushlight::checkpoint
