/// \file
/// StateDict: names and tensors in file order, with torch's `_metadata`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rushlight/export.hpp"
#include "rushlight/result.hpp"
#include "rushlight/tensor.hpp"
#include "rushlight/value.hpp"

namespace rushlight {

/// An ordered map from names to tensors. A value type; copies share the tensors' storages. Look-up is by hash.
class RUSHLIGHT_API StateDict {
 public:
  using Item = std::pair<std::string, Tensor>;

  StateDict();
  StateDict(const StateDict&);
  StateDict(StateDict&&) noexcept;
  StateDict& operator=(const StateDict&);
  StateDict& operator=(StateDict&&) noexcept;
  ~StateDict();

  [[nodiscard]] std::size_t size() const noexcept { return items_.size(); }
  [[nodiscard]] bool empty() const noexcept { return items_.empty(); }
  [[nodiscard]] auto begin() const noexcept { return items_.begin(); }
  [[nodiscard]] auto end() const noexcept { return items_.end(); }
  /// nullptr when there is no such name.
  [[nodiscard]] const Tensor* find(std::string_view name) const noexcept;
  /// ErrorCode::not_found, with the nearest names as a hint.
  [[nodiscard]] Result<Tensor> at(std::string_view name) const;
  /// Room for so many without growing.
  void reserve(std::size_t count);
  /// Appends; replaces the tensor in place when the name exists.
  void insert(std::string name, Tensor tensor);
  bool erase(std::string_view name);

  /// Where in the file it was found ("model_state_dict", "" for the root), and whether the caller named it.
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  void set_path(std::string path) { path_ = std::move(path); }
  /// The `_metadata` dict of nn.Module.state_dict(), or Value::none().
  [[nodiscard]] const Value& metadata() const noexcept { return metadata_; }
  void set_metadata(Value metadata) { metadata_ = std::move(metadata); }

 private:
  struct Index;
  std::vector<Item> items_;
  std::unique_ptr<Index> index_;  // none before the first name
  std::string path_;
  Value metadata_;
};

}  // namespace rushlight
