#include "checkpoint/arguments.hpp"

#include <utility>

#include "base/fail.hpp"
#include "base/quote.hpp"

namespace rushlight::checkpoint {

using pickle::ObjectId;
using pickle::ObjectKind;

Error Arguments::wrong_type(std::size_t position, std::string_view what, std::string_view expected) const {
  const std::string found = builder_.describe(items_[position]);
  return builder_.failure(Category::type, "TYPE-ARGUMENT", call_,
                          std::string(callee_) + ": argument " + std::to_string(position) + " (" + std::string(what) +
                              "), expected " + std::string(expected) + ", found " + found,
                          found, std::string(expected));
}

Error Arguments::too_large(std::string_view where, ObjectId at) const {
  return builder_.failure(Category::tensor, "TENSOR-OVERFLOW", at,
                          std::string(callee_) + ": " + std::string(where) + " does not fit 64 bits");
}

Error Arguments::too_deep() const {
  return builder_.failure(Category::limit, "LIMIT-TENSOR-NESTING", call_,
                          std::string(callee_) + ": too many calls that make tensors stand inside each other");
}

Status Arguments::count(std::size_t least, std::size_t most) const {
  if (items_.size() >= least && items_.size() <= most) return {};
  std::string expected = std::to_string(least);
  if (most > least) expected += (most == least + 1 ? " or " : " to ") + std::to_string(most);
  const std::string found = std::to_string(items_.size());
  return builder_.failure(
      Category::type, "TYPE-ARGUMENT-COUNT", call_,
      std::string(callee_) + ": wrong number of arguments, expected " + expected + ", found " + found, found, expected);
}

Result<bool> Arguments::boolean(std::size_t position, std::string_view what) const {
  if (builder_.kind_of(items_[position]) != ObjectKind::boolean) return wrong_type(position, what, "bool");
  return builder_.graph_.boolean(items_[position]);
}

Result<std::int64_t> Arguments::integer(std::size_t position, std::string_view what) const {
  const ObjectId id = items_[position];
  if (builder_.kind_of(id) == ObjectKind::big_integer) {
    return too_large("argument " + std::to_string(position) + " (" + std::string(what) + ")", call_);
  }
  if (builder_.kind_of(id) != ObjectKind::integer) return wrong_type(position, what, "int");
  return builder_.graph_.integer(id);
}

Status Arguments::integers(std::size_t position, std::string_view what, std::vector<std::int64_t>& out) const {
  const pickle::ObjectGraph& graph = builder_.graph_;
  ObjectId id = items_[position];
  if (builder_.kind_of(id) == ObjectKind::call && builder_.roles_[id] == Role::size) {
    const std::span<const ObjectId> arguments = graph.items(graph.arguments(id));
    if (arguments.size() == 1) id = arguments[0];
  }
  if (builder_.kind_of(id) != ObjectKind::tuple && builder_.kind_of(id) != ObjectKind::list) {
    return wrong_type(position, what, "a tuple of int");
  }
  const std::span<const ObjectId> parts = graph.items(id);
  const std::uint64_t most = builder_.options_.limits.tensor_dims;
  if (parts.size() > most) {
    return builder_.failure(Category::limit, "LIMIT-TENSOR-DIMS", call_,
                            std::string(callee_) + ": argument " + std::to_string(position) + " (" + std::string(what) +
                                ") has more dimensions than the limit tensor_dims, expected at most " +
                                std::to_string(most) + ", found " + std::to_string(parts.size()),
                            std::to_string(parts.size()), std::to_string(most));
  }
  out.clear();
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const ObjectKind kind = builder_.kind_of(parts[i]);
    if (kind == ObjectKind::integer) {
      out.push_back(graph.integer(parts[i]));
      continue;
    }
    const std::string where =
        "argument " + std::to_string(position) + " (" + std::string(what) + ") at dimension " + std::to_string(i);
    if (kind == ObjectKind::big_integer) return too_large(where, call_);
    const std::string found = builder_.describe(parts[i]);
    return builder_.failure(Category::type, "TYPE-ARGUMENT", call_,
                            std::string(callee_) + ": " + where + ", expected int, found " + found, found, "int");
  }
  return {};
}

Result<DType> Arguments::dtype(std::size_t position, std::string_view what) const {
  const ObjectId id = items_[position];
  if (builder_.kind_of(id) == ObjectKind::global) {
    const auto& known = builder_.names_[id].known;
    if (known && known->meaning == Meaning::dtype) return known->dtype;
  }
  return wrong_type(position, what, "a torch dtype");
}

Status Arguments::hooks(std::size_t position) const {
  const ObjectId id = items_[position];
  const ObjectKind kind = builder_.kind_of(id);
  if (kind == ObjectKind::none || kind == ObjectKind::dict) return {};
  if (kind == ObjectKind::call && builder_.roles_[id] == Role::dict) return {};
  return wrong_type(position, "backward hooks", "a dict or None");
}

Status Arguments::bits(std::size_t position, TensorOptions& options) const {
  const pickle::ObjectGraph& graph = builder_.graph_;
  const ObjectId id = items_[position];
  if (builder_.kind_of(id) == ObjectKind::none) return {};
  if (builder_.kind_of(id) != ObjectKind::dict) return wrong_type(position, "metadata", "a dict");
  const std::span<const ObjectId> pairs = graph.pairs(id);
  for (std::size_t i = 0; i + 1 < pairs.size(); i += 2) {
    const std::string_view key = builder_.is_text(pairs[i]) ? graph.text(pairs[i]) : std::string_view();
    if ((key != "conj" && key != "neg") || builder_.kind_of(pairs[i + 1]) != ObjectKind::boolean) {
      return wrong_type(position, "metadata", "'conj' and 'neg' with a bool each");
    }
    (key == "conj" ? options.conj : options.neg) = graph.boolean(pairs[i + 1]);
  }
  return {};
}

Status Arguments::device(std::size_t position) const {
  const ObjectId id = items_[position];
  const bool object = builder_.kind_of(id) == ObjectKind::call && builder_.roles_[id] == Role::device;
  if (object || builder_.is_text(id)) return {};
  return wrong_type(position, "device", "a device");
}

Status Arguments::state(std::size_t position) const {
  const pickle::ObjectGraph& graph = builder_.graph_;
  const auto is_dict = [&](ObjectId id) {
    const ObjectKind kind = builder_.kind_of(id);
    return kind == ObjectKind::none || kind == ObjectKind::dict ||
           (kind == ObjectKind::call && builder_.roles_[id] == Role::dict);
  };
  const ObjectId id = items_[position];
  if (is_dict(id)) return {};
  if (builder_.kind_of(id) == ObjectKind::tuple && graph.items(id).size() == 2 && is_dict(graph.items(id)[0]) &&
      is_dict(graph.items(id)[1])) {
    return {};
  }
  return wrong_type(position, "state", "a dict");
}

}  // namespace rushlight::checkpoint
