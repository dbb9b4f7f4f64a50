#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "ops/fd.hpp"

namespace bough::ops {

/// Tells which names appear in directories (inotify(7)), whoever makes them and by whatever path:
/// the kernel queues the event before the call that makes the name returns. A watch keeps no file
/// system from being unmounted. Not for several threads at once.
class NameWatch {
 public:
  static constexpr int kNone = -1;

  /// kNone: it cannot be watched (no right to read it, limits of inotify).
  [[nodiscard]] int add(int directory) noexcept;
  void remove(int watch) noexcept;

  struct Event {
    enum class What : std::uint8_t {
      /// `name` has appeared.
      kName,
      /// The same, and it is a directory.
      kDirectory,
      /// The directory was moved, removed or unmounted: nobody looks at it any more.
      kGone,
      /// Events were lost, of any directory.
      kLost,
    };
    What what = What::kLost;
    int watch = kNone;
    std::string_view name{};
  };
  /// All that happened since; does not wait.
  void read(const std::function<void(const Event&)>& take) const;
  /// Ends all watches.
  void close() noexcept { queue_ = Fd(); }

 private:
  Fd queue_;
};

}  // namespace bough::ops
