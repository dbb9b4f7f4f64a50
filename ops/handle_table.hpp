#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "ops/node_table.hpp"
#include "ops/passthrough.hpp"
#include "proto/ids.hpp"

namespace bough::ops {

using proto::HandleId;

/// The names of a directory that several branches hold, sorted by cookie. See ops/dir.
class DirSnapshot;

/// What an open handle is. Owned by the table from add() on; kept alive by every HandleRef.
struct Handle {
  virtual ~Handle() = default;
  Handle(NodeId node_id, bool is_directory) : node(node_id), directory(is_directory) {}

  const NodeId node;
  const bool directory;

 private:
  friend class HandleTable;
  friend class HandleRefBase;
  std::atomic<std::uint32_t> refs_{1};
};

/// Says whether an open file may be changed, and lets who wants to move it wait for those who do.
/// Any thread; entering and leaving is one atomic operation each.
class ChangeGate {
 public:
  /// One change that is being made by this handle. False: the file is being moved, and nothing may
  /// be changed now.
  class Passage {
   public:
    explicit Passage(ChangeGate& gate) noexcept : gate_(gate) {
      open_ = (gate.word_.fetch_add(1, std::memory_order_acq_rel) & kClosed) == 0;
      if (!open_) leave();
    }
    ~Passage() {
      if (open_) leave();
    }
    Passage(const Passage&) = delete;
    Passage& operator=(const Passage&) = delete;
    [[nodiscard]] explicit operator bool() const noexcept { return open_; }

   private:
    void leave() noexcept { gate_.word_.fetch_sub(1, std::memory_order_acq_rel); }
    ChangeGate& gate_;
    bool open_ = false;
  };

  void close() noexcept { word_.fetch_or(kClosed, std::memory_order_acq_rel); }
  void open() noexcept { word_.fetch_and(~kClosed, std::memory_order_acq_rel); }
  /// Of a closed one: no change is being made any more. (Who finds it closed is counted for a
  /// moment.)
  [[nodiscard]] bool drained() const noexcept {
    return word_.load(std::memory_order_acquire) == kClosed;
  }

 private:
  static constexpr std::uint32_t kClosed = 1U << 31;
  std::atomic<std::uint32_t> word_{0};
};

struct FileHandle final : Handle {
  FileHandle(NodeId node_id, Fd descriptor, BranchId on, std::uint32_t open_flags,
             Passthrough::Share of_node = {}, const FileId& opened = {})
      : Handle(node_id, false),
        share(std::move(of_node)),
        fd(std::move(descriptor)),
        branch(on),
        file(opened),
        flags(open_flags) {}
  ~FileHandle() override;

  /// Holds the node.
  const Passthrough::Share share;

  /// The number stays; what it has open is another file once the file is moved
  /// (Backing::replace()).
  const Fd fd;
  std::atomic<BranchId> branch;
  /// Changes and is compared under the lock of the table's shard.
  FileId file;
  ChangeGate changes;
  /// open(2)'s flags as the caller gave them.
  const std::uint32_t flags;
  /// The same file for the other kind of I/O: without O_DIRECT if `fd` has it, else with it. Made
  /// when it is first needed, see ops/file_handle. -1: not yet; kNoTwin: cannot be made, and `fd`
  /// is without O_DIRECT.
  std::atomic<int> twin{-1};
  static constexpr int kNoTwin = -2;
  /// Held while the twin is made, and while both become another file: else the twin could be the
  /// old one's. Across an open(2) on the branch.
  std::mutex making_twin;
  /// Where pieces of O_DIRECT calls ended that the kernel may have cut there. See ops/file_handle.
  std::array<std::atomic<std::uint64_t>, 4> cuts{kNotCut, kNotCut, kNotCut, kNotCut};
  std::atomic<std::uint32_t> next_cut{0};
  static constexpr std::uint64_t kNotCut = ~std::uint64_t{0};
};

struct DirHandle final : Handle {
  explicit DirHandle(NodeId node_id) : Handle(node_id, true) {}

  /// Guards what follows; held across branch calls, which is fine: the kernel serialises the
  /// readers of one handle, and no other lock is taken under it but the node table's.
  std::mutex mutex;
  /// One populated branch: its directory, whose own offsets are the cookies.
  Fd fd;
  BranchId branch = kNoBranch;
  /// Several: the merged listing; may be dropped at any time and is then read anew.
  std::shared_ptr<const DirSnapshot> snapshot;
  /// BranchSet::serial() of those that the snapshot was taken of.
  std::uint64_t taken_of = 0;
  /// The shape of the cookies was decided (by the first READDIR, and again by each at offset 0).
  bool decided = false;
};

class HandleRefBase {
 public:
  HandleRefBase() noexcept = default;
  HandleRefBase(HandleRefBase&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  HandleRefBase& operator=(HandleRefBase&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~HandleRefBase() { drop(handle_); }
  explicit operator bool() const noexcept { return handle_ != nullptr; }

 protected:
  friend class HandleTable;
  explicit HandleRefBase(Handle* handle) noexcept : handle_(handle) {}
  static void drop(Handle* handle) noexcept;
  Handle* handle_ = nullptr;
};

/// Keeps a handle alive while a request uses it: a RELEASE meanwhile takes it from the table, the
/// last reference destroys it.
template <class T>
class HandleRef : public HandleRefBase {
 public:
  HandleRef() noexcept = default;
  explicit HandleRef(T* handle) noexcept : HandleRefBase(handle) {}
  T* operator->() const noexcept { return static_cast<T*>(handle_); }
  T& operator*() const noexcept { return *static_cast<T*>(handle_); }
};

/// Every open file and directory, by an id that carries a generation: an old id is told from a new
/// one (EBADF). Sharded, one mutex a shard, held for a few instructions only. Any thread.
class HandleTable {
 public:
  HandleTable();
  ~HandleTable();
  HandleTable(const HandleTable&) = delete;
  HandleTable& operator=(const HandleTable&) = delete;

  /// `tag` travels in the id.
  [[nodiscard]] HandleId add(std::unique_ptr<Handle> handle, std::uint8_t tag = 0);
  /// The tag of an id, whether or not it is open. Takes no lock.
  [[nodiscard]] static std::uint8_t tag(HandleId id) noexcept {
    return static_cast<std::uint8_t>(id.value >> kTagShift);
  }
  /// Empty: not open, or of the other kind.
  [[nodiscard]] HandleRef<FileHandle> file(HandleId id);
  [[nodiscard]] HandleRef<DirHandle> directory(HandleId id);
  /// The branch of an open file; kNoBranch: `id` is none.
  [[nodiscard]] BranchId branch_of(HandleId id) const noexcept;
  /// Some open file of the node; empty if there is none. Looks at every handle: for the rare case
  /// only.
  [[nodiscard]] HandleRef<FileHandle> any_file_of(NodeId node);
  /// All open files of the node. Looks at every handle.
  [[nodiscard]] std::vector<HandleRef<FileHandle>> files_of(NodeId node);
  /// Whether those who have the file open are the open files of the node. (Files that were renamed
  /// behind the pool may have two nodes.)
  [[nodiscard]] bool are_all_of(const FileId& file, NodeId node) const;
  /// Whether anybody has the file open.
  [[nodiscard]] bool is_open(const FileId& file) const { return !are_all_of(file, proto::kNoNode); }
  /// ChangeGate::close() and open() of each.
  void close_changes(NodeId node) noexcept;
  void open_changes(NodeId node) noexcept;
  /// They are this file from now on.
  void relocate(NodeId node, const Location& where) noexcept;
  /// The node through which the file is open for writing; kNoNode: it is not. Looks at every
  /// handle.
  [[nodiscard]] NodeId writer_of(const FileId& file);
  /// How many files are open for writing that the kernel reads and writes itself. Looks at every
  /// handle.
  [[nodiscard]] std::uint64_t pinned_writers() const;
  /// Of every open file.
  [[nodiscard]] std::set<BranchId> branches_of_files();
  /// Takes it out; what it held goes when the last reference does. Empty: was not there.
  HandleRefBase remove(HandleId id) noexcept;

  /// Calls `visit` for every open handle of the kind, without a lock held.
  template <class Visit>
  void each_directory(Visit visit) {
    for (const HandleId id : ids())
      if (auto handle = directory(id)) visit(*handle);
  }
  template <class Visit>
  void each_file(Visit visit) {
    for (const HandleId id : ids())
      if (auto handle = file(id)) visit(*handle);
  }
  [[nodiscard]] std::uint64_t size() const noexcept;
  /// How many files are open on each branch that has any. Looks at every handle.
  [[nodiscard]] std::map<BranchId, std::uint64_t> files_by_branch() const;
  void clear() noexcept;

 private:
  [[nodiscard]] Handle* find(HandleId id, bool directory);
  [[nodiscard]] std::vector<HandleId> ids() const;
  /// Under each shard's lock.
  template <class Visit>
  void visit_files_of(NodeId node, Visit visit);
  struct Shard;
  static constexpr std::size_t kShards = 16;
  static constexpr unsigned kTagShift = 56;
  std::unique_ptr<Shard[]> shards_;
  std::atomic<std::uint32_t> next_shard_{0};
};

}  // namespace bough::ops
