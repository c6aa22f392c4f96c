// The arguments of one call, read with their types: every mistake is an error that names the call, the argument's
// position (from 0), and the type that was expected (hostile-inputs P33).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/value_builder.hpp"

namespace rushlight::checkpoint {

class Arguments {
 public:
  Arguments(const ValueBuilder& builder, pickle::ObjectId call, std::string_view callee,
            std::span<const pickle::ObjectId> items, int nesting = 0) noexcept
      : builder_(builder), call_(call), callee_(callee), items_(items), nesting_(nesting) {}

  [[nodiscard]] pickle::ObjectId call() const noexcept { return call_; }
  [[nodiscard]] std::string_view callee() const noexcept { return callee_; }
  [[nodiscard]] std::size_t size() const noexcept { return items_.size(); }
  [[nodiscard]] pickle::ObjectId operator[](std::size_t position) const noexcept { return items_[position]; }
  // How many calls that make tensors stand around this one.
  [[nodiscard]] int nesting() const noexcept { return nesting_; }

  [[nodiscard]] Status count(std::size_t least, std::size_t most) const;
  [[nodiscard]] Result<bool> boolean(std::size_t position, std::string_view what) const;
  [[nodiscard]] Result<std::int64_t> integer(std::size_t position, std::string_view what) const;
  // A tuple, list or torch.Size of ints.
  [[nodiscard]] Status integers(std::size_t position, std::string_view what, std::vector<std::int64_t>& out) const;
  [[nodiscard]] Result<DType> dtype(std::size_t position, std::string_view what) const;
  // Backward hooks: None or a dict, whose content is left out (torch writes empty ones only).
  [[nodiscard]] Status hooks(std::size_t position) const;
  // {"conj": bool, "neg": bool}, both optional.
  [[nodiscard]] Status bits(std::size_t position, TensorOptions& options) const;

  // A device, as text or as torch.device.
  [[nodiscard]] Status device(std::size_t position) const;
  // Attributes: None, a dict, or a pair of them (`__dict__` and slots).
  [[nodiscard]] Status state(std::size_t position) const;

  // "CALLEE: argument 2 (size), expected a tuple of int, found str".
  [[nodiscard]] Error wrong_type(std::size_t position, std::string_view what, std::string_view expected) const;
  [[nodiscard]] Error too_deep() const;

 private:
  [[nodiscard]] Error too_large(std::string_view where, pickle::ObjectId at) const;

  const ValueBuilder& builder_;
  pickle::ObjectId call_;
  std::string_view callee_;
  std::span<const pickle::ObjectId> items_;
  int nesting_;
};

}  // namespace rushlight::checkpoint
