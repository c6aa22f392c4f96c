// A growing array of plain values. Unlike std::vector it says when there is no memory instead of throwing, and it grows
// through realloc: large blocks are remapped by the kernel, not copied.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>

namespace rushlight::pickle {

template <class T>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  Buffer() noexcept = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  ~Buffer() { std::free(data_); }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] T* data() noexcept { return data_; }
  [[nodiscard]] const T* data() const noexcept { return data_; }
  [[nodiscard]] T& operator[](std::size_t index) noexcept { return assert(index < size_), data_[index]; }
  [[nodiscard]] const T& operator[](std::size_t index) const noexcept { return assert(index < size_), data_[index]; }
  [[nodiscard]] T& back() noexcept { return (*this)[size_ - 1]; }
  [[nodiscard]] const T& back() const noexcept { return (*this)[size_ - 1]; }
  [[nodiscard]] std::span<const T> span() const noexcept { return {data_, size_}; }

  // False when there is no memory; the content stays as it was.
  [[nodiscard]] bool reserve(std::size_t capacity) noexcept { return capacity <= capacity_ || reallocate(capacity); }
  [[nodiscard]] bool push(T value) noexcept {
    if (size_ == capacity_ && !make_room(1)) return false;
    data_[size_++] = value;
    return true;
  }
  // `values` must not lie in this buffer.
  [[nodiscard]] bool append(const T* values, std::size_t count) noexcept {
    if (count > capacity_ - size_ && !make_room(count)) return false;
    if (count <= kFew) {
      for (std::size_t i = 0; i < count; ++i) data_[size_ + i] = values[i];
    } else {
      std::memcpy(data_ + size_, values, count * sizeof(T));
    }
    size_ += count;
    return true;
  }
  // New elements are not initialised.
  [[nodiscard]] bool grow_by(std::size_t count) noexcept {
    if (count > capacity_ - size_ && !make_room(count)) return false;
    size_ += count;
    return true;
  }
  void shrink_to(std::size_t size) noexcept { assert(size <= size_), size_ = size; }
  void pop() noexcept { assert(size_ > 0), --size_; }

 private:
  static constexpr std::size_t kMaxCapacity = (static_cast<std::size_t>(-1) >> 1) / sizeof(T);
  static constexpr std::size_t kFirstCapacity = 64;
  static constexpr std::size_t kFew = 8;  // copied one by one: a call would take longer

  [[nodiscard]] bool make_room(std::size_t count) noexcept {
    if (count > kMaxCapacity - size_) return false;
    const std::size_t needed = size_ + count;
    const std::size_t doubled = capacity_ > kMaxCapacity / 2 ? kMaxCapacity : capacity_ * 2;
    return reallocate(needed > doubled ? (needed < kFirstCapacity ? kFirstCapacity : needed) : doubled);
  }
  [[nodiscard]] bool reallocate(std::size_t capacity) noexcept {
    if (capacity > kMaxCapacity) return false;
    void* const moved = std::realloc(data_, capacity * sizeof(T));
    if (moved == nullptr) return false;
    data_ = static_cast<T*>(moved);
    capacity_ = capacity;
    return true;
  }

  T* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace rushlight::pickle
