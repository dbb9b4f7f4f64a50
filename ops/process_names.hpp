#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "ops/fd.hpp"
#include "proto/result.hpp"

namespace bough::ops {

using proto::Result;

/// The option cache.files.process-names, and which callers bear one of the names. Any thread.
class ProcessNames {
 public:
  ProcessNames();

  /// `NAME|NAME…`; empty if it was good, else what is wrong with it.
  [[nodiscard]] std::string set(std::string_view text);
  /// Sorted.
  [[nodiscard]] std::string text() const;

  /// Whether the process that the thread `tid` belongs to has one of the names: its own name (comm
  /// of its first thread, of which the kernel keeps 15 characters) or the name of the file that it
  /// runs, since programs rename their first thread ("rtorrent main"). `tid` is as the request's
  /// header has it, in the daemon's pid namespace, where child namespaces are visible. False for 0
  /// and for a thread that is gone; an error when its name could not be asked for (EMFILE, EACCES).
  [[nodiscard]] Result<bool> listed(std::uint32_t tid);

  /// Closes what is kept of callers.
  void let_go() noexcept;

 private:
  /// What is kept of a caller. Descriptors below /proc mean one task for ever: once it is gone they
  /// say ESRCH, whoever has its number then.
  struct Caller {
    std::uint32_t tid = 0;
    /// comm of the thread itself: whether it is still there.
    Fd thread;
    /// The directory of its process.
    Fd process;
    /// comm of the process.
    Fd name;
  };
  using Names = std::vector<std::string>;

  [[nodiscard]] Result<Caller> find(std::uint32_t tid) const;
  [[nodiscard]] static Result<bool> bears(const Caller& caller, const Names& names);

  mutable std::mutex mutex_;
  std::shared_ptr<const Names> names_;
  std::array<Caller, 16> callers_;
};

}  // namespace bough::ops
