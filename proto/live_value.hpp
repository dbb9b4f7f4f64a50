#pragma once

#include <atomic>
#include <type_traits>

namespace bough::proto {

/// A setting that may change while requests run: each read sees some value that was set, and no
/// order among several settings is promised. Reads cost what a plain variable's do. Any thread.
template <class T>
class LiveValue {
  static_assert(std::atomic<T>::is_always_lock_free);

 public:
  constexpr LiveValue() noexcept : value_(T{}) {}
  // NOLINTNEXTLINE(google-explicit-constructor): stands where the plain value would
  constexpr LiveValue(T value) noexcept : value_(value) {}
  LiveValue& operator=(T value) noexcept {
    value_.store(value, std::memory_order_relaxed);
    return *this;
  }
  [[nodiscard]] T get() const noexcept { return value_.load(std::memory_order_relaxed); }
  // NOLINTNEXTLINE(google-explicit-constructor): stands where the plain value would
  operator T() const noexcept { return get(); }
  [[nodiscard]] T operator->() const noexcept requires std::is_pointer_v<T> { return get(); }

 private:
  std::atomic<T> value_;
};

}  // namespace bough::proto
