#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "ops/backing.hpp"
#include "ops/node_table.hpp"
#include "ops/pool_memory.hpp"
#include "policy/facts.hpp"

namespace bough::ops {

using policy::BranchMode;

/// A directory of a branch, ready for *at() calls: a descriptor that others use as well, such as
/// that of the branch's own root, or one made for this request.
class DirRef {
 public:
  DirRef() noexcept = default;
  explicit DirRef(std::shared_ptr<const Fd> shared) noexcept : shared_(std::move(shared)) {}
  explicit DirRef(Fd own) noexcept : own_(std::move(own)) {}
  [[nodiscard]] int fd() const noexcept { return shared_ ? shared_->get() : own_.get(); }
  /// The descriptor, of one that was made for this request.
  [[nodiscard]] Fd take() && noexcept { return std::move(own_); }
  explicit operator bool() const noexcept { return fd() >= 0; }

 private:
  std::shared_ptr<const Fd> shared_;
  Fd own_;
};

/// One branch as the user wrote it.
struct BranchSpec {
  std::string path;
  BranchMode mode = BranchMode::kReadWrite;
  /// Bytes; absent: the pool's minfreespace.
  std::optional<std::uint64_t> min_free;
};

class Absences;

/// For people: what it means that a branch's root failed with `error`.
[[nodiscard]] std::string why_out_of_reach(Errno error);

/// One directory of one file system that takes part in the pool. Its root is reached by a cached
/// descriptor that an idle pool lets go of; every time it is opened anew, in a pool in use once a
/// second, it must still be the directory of the file system that it was at first, else the branch
/// is absent: a missing disk must not look like an empty branch. Shared by snapshots of the branch
/// list; any thread.
class Branch : public std::enable_shared_from_this<Branch> {
 public:
  /// Opens the root and remembers what it is. Errors as from open(2), statfs(2).
  [[nodiscard]] static Result<std::shared_ptr<Branch>> open(Backing& backing, BranchId id,
                                                            BranchSpec spec);
  /// One whose disk is missing, to be given to attend(): no call is made. It is whatever
  /// look_again() finds first. `why`: for people, the end of "branch PATH is absent: ".
  [[nodiscard]] static std::shared_ptr<Branch> expect(Backing& backing, BranchId id,
                                                      BranchSpec spec, std::string why);
  /// Once, before the branch is in a set that requests use. Without it nothing is absent for longer
  /// than a call: the root's error is told as it is. `absences` outlives the branch.
  void attend(Absences& absences);

  [[nodiscard]] BranchId id() const noexcept { return id_; }
  [[nodiscard]] const std::string& path() const noexcept { return spec_.path; }
  /// As it was written when it came into the pool; what is in force is BranchSet's to say.
  [[nodiscard]] const BranchSpec& spec() const noexcept { return spec_; }
  /// Nothing in the pool may be changed now (branch-absent=readonly).
  [[nodiscard]] bool frozen() const noexcept;

  /// Whether its disk is missing. Then nothing here asks it: Absences::error() is the answer.
  [[nodiscard]] bool absent() const noexcept { return absent_.load(std::memory_order_acquire); }
  /// What it is absent for; of use while absent().
  [[nodiscard]] std::string why_absent() const;
  /// Whether it went because something else is at its path, or nothing, and not because its disk
  /// fails.
  [[nodiscard]] bool replaced() const;
  /// For Absences alone: whether an absent branch is there again. It is in use at once then, and
  /// else its why_absent() is what holds now.
  [[nodiscard]] bool look_again();

  /// The root, O_PATH.
  [[nodiscard]] Result<DirRef> root();
  /// The directory at a pool path ("" is the root), O_PATH. ENOENT, ENOTDIR, ELOOP (a symlink in
  /// the way) mean that this branch does not have it. ESTALE is an absent branch that takes no
  /// part; what is stale below the root (NFS) is EIO.
  [[nodiscard]] Result<DirRef> directory(std::string_view path);
  /// The same, readable (for getdents and fsync).
  [[nodiscard]] Result<Fd> readable_directory(std::string_view path);
  [[nodiscard]] Result<FsStat> statfs();
  /// What statfs() last said, and how long ago it was asked.
  struct LastStatfs {
    FsStat stat;
    std::chrono::nanoseconds age;
  };
  [[nodiscard]] std::optional<LastStatfs> last_statfs() const;
  /// Much room may have been taken at once: what statfs() last said counts no more, nor what one
  /// says that is under way.
  void forget_statfs() noexcept;

  // --- for Refresher: who begins a refresh does it or gives it up
  /// False: one is under way.
  [[nodiscard]] bool begin_refresh() noexcept { return !refreshing_.exchange(true); }
  /// statfs(), except that a disk that an idle pool has let go of is not reached for. What it last
  /// said is forgotten when it says nothing now.
  void refresh() noexcept;
  void give_up_refresh() noexcept;

  /// Whether the branch's own file system is one of those that we know: a local one, where close(2)
  /// of a file has nothing to do or report.
  /// (Linux: its file_operations have no flush, unlike those of network file systems, which write
  /// back.)
  [[nodiscard]] bool closes_quietly() const noexcept {
    return closes_quietly_.load(std::memory_order_relaxed);
  }

  /// What the root was when the branch was opened; all 0 of one that was never there.
  [[nodiscard]] FileId root_id() const;
  /// The number of an inode of this branch (inode_ino()).
  [[nodiscard]] std::uint64_t user_ino(const FileId& file) const noexcept;
  /// st_dev of the root; another number when the same file system came back on another device.
  [[nodiscard]] std::uint64_t device() const noexcept {
    return device_.load(std::memory_order_relaxed);
  }

  /// Lets go of the cached root descriptor.
  void let_go() noexcept;
  /// It has left the pool: from now on no descriptor is kept for later, so that only what is open
  /// on it, and requests under way, keep its disk busy.
  void retire() noexcept;
  [[nodiscard]] bool retired() const noexcept { return retired_.load(); }

 private:
  Branch(Backing& backing, BranchId id, BranchSpec spec);
  /// From now on the directory `fd` is the branch.
  [[nodiscard]] Result<void> adopt(int fd);
  [[nodiscard]] Result<void> verify_root(int fd);
  [[nodiscard]] Result<Fd> open_same();
  /// After `error` from its root.
  [[nodiscard]] Errno go(Errno error);
  /// What is at its path is not the branch: `error` of its root (negative: none) says so.
  [[nodiscard]] std::string why_away(Errno error, int root) const;
  /// The next root() looks whether the branch is still there.
  void suspect() noexcept;
  [[nodiscard]] Errno from_below(Errno error) noexcept;
  [[nodiscard]] Result<FsStat> statfs(int root);

  Backing& backing_;
  const BranchId id_;
  const BranchSpec spec_;
  Absences* absences_ = nullptr;
  std::atomic<bool> absent_{false};
  std::atomic<std::uint64_t> device_{0};
  std::atomic<std::uint64_t> fsid_{0};
  std::atomic<bool> closes_quietly_{false};
  mutable std::mutex mutex_;
  FileId root_id_;
  RootMark root_mark_;
  bool known_ = false;
  std::string why_absent_;
  bool replaced_ = false;
  std::shared_ptr<const Fd> root_;
  /// Until then `root_` is good.
  std::chrono::steady_clock::time_point look_at_;
  std::optional<FsStat> last_statfs_;
  std::chrono::steady_clock::time_point last_statfs_at_;
  /// How often it was forgotten.
  std::uint64_t statfs_forgotten_ = 0;
  std::atomic<bool> refreshing_{false};
  std::atomic<bool> retired_{false};
};

}  // namespace bough::ops
