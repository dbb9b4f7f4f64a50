#pragma once

#include <cerrno>
#include <utility>
#include <variant>

namespace bough::proto {

/// A POSIX error number as a value of its own type, so that it cannot be taken for a count or a
/// descriptor. Always positive; the encoder negates it for the wire.
class Errno {
 public:
  constexpr explicit Errno(int value) noexcept : value_(value) {}
  [[nodiscard]] constexpr int value() const noexcept { return value_; }
  friend constexpr bool operator==(Errno, Errno) noexcept = default;

 private:
  int value_;
};

/// A value or the reason why there is none. Has std::expected's member names: the compilers that
/// we build with have that type only in C++23 mode, or cannot parse it.
template <class T>
class [[nodiscard]] Result {
 public:
  using value_type = T;

  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Errno error) : state_(std::in_place_index<1>, error) {}

  [[nodiscard]] bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  [[nodiscard]] T& value() & { return std::get<0>(state_); }
  [[nodiscard]] const T& value() const& { return std::get<0>(state_); }
  [[nodiscard]] T&& value() && { return std::get<0>(std::move(state_)); }
  [[nodiscard]] T& operator*() & { return *std::get_if<0>(&state_); }
  [[nodiscard]] const T& operator*() const& { return *std::get_if<0>(&state_); }
  [[nodiscard]] T&& operator*() && { return std::move(*std::get_if<0>(&state_)); }
  [[nodiscard]] T* operator->() noexcept { return std::get_if<0>(&state_); }
  [[nodiscard]] const T* operator->() const noexcept { return std::get_if<0>(&state_); }

  /// Only when there is no value.
  [[nodiscard]] Errno error() const { return std::get<1>(state_); }

 private:
  std::variant<T, Errno> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;

  constexpr Result() noexcept = default;
  constexpr Result(Errno error) noexcept : error_(error.value()) {}

  [[nodiscard]] constexpr bool has_value() const noexcept { return error_ == 0; }
  constexpr explicit operator bool() const noexcept { return has_value(); }
  [[nodiscard]] constexpr Errno error() const noexcept { return Errno{error_}; }

 private:
  int error_ = 0;
};

}  // namespace bough::proto
