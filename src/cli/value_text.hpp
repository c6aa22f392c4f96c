// Values that are no tensors, for people and for JSON.
#pragma once

#include <string>
#include <string_view>

#include "cli/json_writer.hpp"
#include "rushlight/value.hpp"

namespace rushlight::cli {

// A leaf in one line, escaped: 3, 0.25, 'Adam', b'..', torch.float16.
std::string format_leaf(const Value& value);
void write_leaf(JsonWriter& json, const Value& value);
// A whole value as Python would print it, containers met again as "...", at most `max_items` items in all.
std::string format_tree(const Value& value, std::size_t max_items);

}  // namespace rushlight::cli
