#pragma once

#include <mutex>
#include <vector>

#include "ops/handle_table.hpp"
#include "ops/pool.hpp"

namespace bough::ops {

/// Takes all open files of a node from one file to another: each descriptor keeps its number, so
/// that who reads by it need not be waited for. From take() to let_go() nobody opens the node or
/// changes its file. The last descriptors of the file that was left are closed when this goes.
class HandleSwitch {
 public:
  explicit HandleSwitch(Pool& pool) noexcept : pool_(pool) {}
  HandleSwitch(const HandleSwitch&) = delete;
  HandleSwitch& operator=(const HandleSwitch&) = delete;

  /// Nothing changes yet. ETIMEDOUT: somebody is doing something with one of them.
  [[nodiscard]] Result<void> take(NodeId node);
  /// Opens the file `target` for each of them, as it was opened. Once.
  [[nodiscard]] Result<void> prepare(int target);
  /// They are the new file. After a failure they are the old one; before leave() only.
  [[nodiscard]] Result<void> run();
  /// Lets go of the old file as far as it was open for writing.
  void leave() noexcept;
  /// They are the old file again, which `source` has open. False: one of them could not be, and all
  /// are the new one.
  [[nodiscard]] bool back(int source) noexcept;
  /// Others may do something with the handles again.
  void let_go() noexcept;

 private:
  struct One {
    int number = -1;
    /// As it was opened.
    int flags = 0;
    std::uint32_t asked = 0;
    Fd fresh;
    Fd old;
    bool switched = false;
  };
  [[nodiscard]] bool reopen_old(One& one, int source) noexcept;
  [[nodiscard]] bool replace_all(bool by_new) noexcept;
  [[nodiscard]] Result<void> add(FileHandle& handle, int target);
  [[nodiscard]] Result<void> add(int number, int target, int flags, std::uint32_t asked);

  Pool& pool_;
  std::vector<HandleRef<FileHandle>> files_;
  /// FileHandle::making_twin of each; given back before the handles.
  std::vector<std::unique_lock<std::mutex>> locks_;
  std::vector<One> all_;
};

}  // namespace bough::ops
