/// \file
/// Result<T>: a value or an Error. Nothing in Rushlight throws; `.value()` does, for those who like it.
///
/// Not std::expected: the type must not change with the consumer's -std, since it is part of the ABI.
#pragma once

#include <cassert>
#include <cstdlib>
#include <new>
#include <type_traits>
#include <utility>

#include "rushlight/error.hpp"

#if defined(__cpp_exceptions)
#include <stdexcept>
#endif

namespace rushlight {

#if defined(__cpp_exceptions)
/// What Result::value() throws when there is an error instead.
class RUSHLIGHT_API Exception : public std::runtime_error {
 public:
  explicit Exception(Error error) : std::runtime_error(to_string(error)), error_(std::move(error)) {}
  [[nodiscard]] const Error& error() const noexcept { return error_; }

 private:
  Error error_;
};
#endif

namespace detail {
[[noreturn]] inline void throw_error([[maybe_unused]] const Error& error) {
#if defined(__cpp_exceptions)
  throw Exception(error);
#else
  std::abort();  // a build without exceptions asked for the value of a failure: the caller's bug
#endif
}
}  // namespace detail

/// A value of type T, or an Error. There is no empty state, and no default constructor: `return {}` must not compile.
template <class T>
class [[nodiscard]] Result {
  static_assert(!std::is_reference_v<T> && !std::is_same_v<std::remove_cv_t<T>, Error>);

 public:
  using value_type = T;

  // NOLINTNEXTLINE(google-explicit-constructor): `return value;` is the point.
  Result(T value) noexcept(std::is_nothrow_move_constructible_v<T>) : ok_(true) {
    ::new (static_cast<void*>(&value_)) T(std::move(value));
  }
  template <class U>
  requires(std::is_constructible_v<T, U&&>&& std::is_convertible_v<U&&, T> &&
           !std::is_same_v<std::remove_cvref_t<U>, Result> && !std::is_same_v<std::remove_cvref_t<U>, Error> &&
           !std::is_same_v<std::remove_cvref_t<U>, T>) Result(U&& value)
      : ok_(true) {  // NOLINT(google-explicit-constructor)
    ::new (static_cast<void*>(&value_)) T(std::forward<U>(value));
  }
  Result(Error error) noexcept : ok_(false) {  // NOLINT(google-explicit-constructor)
    ::new (static_cast<void*>(&error_)) Error(std::move(error));
  }
  Result(const Result& other) : ok_(other.ok_) { construct(other); }
  Result(Result&& other) noexcept : ok_(other.ok_) { construct(std::move(other)); }
  Result& operator=(const Result& other) {
    if (this != &other) {
      Result copy(other);
      *this = std::move(copy);
    }
    return *this;
  }
  Result& operator=(Result&& other) noexcept {
    if (this != &other) {
      destroy();
      ok_ = other.ok_;
      construct(std::move(other));
    }
    return *this;
  }
  ~Result() { destroy(); }

  [[nodiscard]] bool has_value() const noexcept { return ok_; }
  explicit operator bool() const noexcept { return ok_; }

  /// The value; it must exist (asserted).
  T& operator*() & noexcept { return assert(ok_), value_; }
  const T& operator*() const& noexcept { return assert(ok_), value_; }
  /// By value from a temporary, so that `for (x : *f())` never runs over what is gone.
  T operator*() && { return assert(ok_), std::move(value_); }
  T* operator->() noexcept { return assert(ok_), &value_; }
  const T* operator->() const noexcept { return assert(ok_), &value_; }

  /// The value, or an Exception (std::abort in builds without exceptions).
  T& value() & { return check(), value_; }
  const T& value() const& { return check(), value_; }
  T value() && {
    check();
    return std::move(value_);
  }
  template <class U>
  T value_or(U&& fallback) && {
    return ok_ ? std::move(value_) : static_cast<T>(std::forward<U>(fallback));
  }

  /// The failure; it must exist (asserted).
  Error& error() & noexcept { return assert(!ok_), error_; }
  const Error& error() const& noexcept { return assert(!ok_), error_; }
  Error&& error() && noexcept { return assert(!ok_), std::move(error_); }

 private:
  void check() const {
    if (!ok_) detail::throw_error(error_);
  }
  template <class Other>
  void construct(Other&& other) {
    if (ok_) {
      ::new (static_cast<void*>(&value_)) T(std::forward<Other>(other).value_);
    } else {
      ::new (static_cast<void*>(&error_)) Error(std::forward<Other>(other).error_);
    }
  }
  void destroy() noexcept {
    if (ok_) {
      value_.~T();
    } else {
      error_.~Error();
    }
  }

  union {
    T value_;
    Error error_;
  };
  bool ok_;
};

/// Success, or an Error. Success costs nothing: an Error is only made where there is one.
template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;

  Result() noexcept : ok_(true) {}
  Result(Error error) noexcept : ok_(false) {  // NOLINT(google-explicit-constructor)
    ::new (static_cast<void*>(&error_)) Error(std::move(error));
  }
  Result(const Result& other) : ok_(other.ok_) {
    if (!ok_) ::new (static_cast<void*>(&error_)) Error(other.error_);
  }
  Result(Result&& other) noexcept : ok_(other.ok_) {
    if (!ok_) ::new (static_cast<void*>(&error_)) Error(std::move(other.error_));
  }
  Result& operator=(const Result& other) {
    if (this != &other) {
      Result copy(other);
      *this = std::move(copy);
    }
    return *this;
  }
  Result& operator=(Result&& other) noexcept {
    if (this != &other) {
      if (!ok_) error_.~Error();
      ok_ = other.ok_;
      if (!ok_) ::new (static_cast<void*>(&error_)) Error(std::move(other.error_));
    }
    return *this;
  }
  ~Result() {
    if (!ok_) error_.~Error();
  }

  [[nodiscard]] bool has_value() const noexcept { return ok_; }
  explicit operator bool() const noexcept { return ok_; }

  /// Nothing, or an Exception (std::abort in builds without exceptions).
  void value() const {
    if (!ok_) detail::throw_error(error_);
  }

  /// The failure; it must exist (asserted).
  Error& error() & noexcept { return assert(!ok_), error_; }
  const Error& error() const& noexcept { return assert(!ok_), error_; }
  Error&& error() && noexcept { return assert(!ok_), std::move(error_); }

 private:
  union {
    Error error_;
  };
  bool ok_;
};

using Status = Result<void>;

}  // namespace rushlight
