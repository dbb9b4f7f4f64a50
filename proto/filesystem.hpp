#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "proto/claim.hpp"
#include "proto/dirents.hpp"
#include "proto/features.hpp"
#include "proto/kernel_port.hpp"
#include "proto/replies.hpp"
#include "proto/reply.hpp"
#include "proto/requests.hpp"
#include "proto/result.hpp"

namespace bough::proto {

/// What a handler adds to the trace line of its request. Exists only while a trace is on.
struct TraceNote {
  std::string branch;
};

/// How a handler has its request served once more, from the beginning, instead of answering it:
/// what it waits for is no thread's to wait for. One a request; it goes along from one time to the
/// next.
struct PutOff {
  /// Set by a handler: what the request waits for, until KernelPort::resume() names it; what the
  /// handler returns counts for nothing then. A number is used for one wait only. 0 whenever a
  /// handler is called.
  std::uint64_t until = 0;
  /// What it waited for last; 0: it did not.
  std::uint64_t after = 0;
  /// How often it was put off.
  std::uint32_t times = 0;
  /// The handler's to use: what it has done so far, in bytes. 0 at first.
  std::uint64_t done = 0;
};

/// Who asks, and about which node.
struct Context {
  Unique unique;
  NodeId node;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t pid = 0;
  /// Null unless a trace is on.
  TraceNote* note = nullptr;
  /// Null: the request has to be answered now.
  PutOff* put_off = nullptr;
};

/// One figure of a report, such as the one SIGUSR1 prints.
struct Counter {
  std::string_view name;
  std::uint64_t value = 0;
};

/// What a session calls: one function an operation. Returning is replying. Called by many threads
/// at once, each of which has called thread_started() before; a call may block in a branch, but
/// never on another request. An errno is a positive POSIX number that native would give; ENOSYS
/// only for an operation that no runtime key and no file could want later, since the kernel
/// remembers it.
///
/// Where a handler fills a buffer (`out`), the buffer is the reply's payload itself, page-aligned
/// and at least as long as the request's size; the result is how much of it was filled.
class Filesystem : public ClaimOwner {
 public:
  // --- life
  /// Before the handshake: sets in `wants` what this file system implements and its settings ask
  /// for.
  virtual void want(InitWants& wants) const = 0;
  /// After the handshake, before any request; settings that ask for a feature are corrected to what
  /// was agreed, so that they read back as in force. `port` outlives the last request.
  virtual void start(const InitAgreement& agreement, KernelPort& port) = 0;
  /// On each thread that is going to call handlers, once, first.
  virtual void thread_started() = 0;
  /// No request for some seconds: let go of what an idle pool need not hold. Any one thread,
  /// possibly beside a request that has just come.
  virtual void idle() noexcept = 0;
  /// The connection ended and no handler runs: drop every node and handle (no FORGET or RELEASE
  /// comes for what was still known at an unmount). False: a thread of its own is stuck in a branch
  /// for longer than `patience`; the process must then leave by _exit(), destroying nothing.
  [[nodiscard]] virtual bool stop(std::chrono::milliseconds patience) noexcept = 0;

  /// Whether requests that were put off until `until` have to go on waiting: KernelPort::resume()
  /// is called for it after this says no. Asked for each of them when it has been laid aside.
  [[nodiscard]] virtual bool still_waits(std::uint64_t until) const noexcept = 0;

  // --- for people
  /// The pool path of a node ("/" for the root), or something like "(unlinked)"; only for traces.
  [[nodiscard]] virtual std::string pool_path(NodeId node) const = 0;
  virtual void count(std::vector<Counter>& into) const = 0;

  // --- order
  /// Which requests wait for each other when one branch hangs: the session serves only so many of a
  /// lane at once, and those of a lane in the order they came. Lane 0 is for names and for whatever
  /// may ask several branches; only the lowest 8 bits of a lane count. Asked about every request
  /// that may block in a branch, so it costs next to nothing: no lock, no allocation.
  [[nodiscard]] virtual std::uint32_t lane(const RequestHeader& header,
                                           const Request& request) const noexcept = 0;

  // --- names
  virtual Result<EntryReply> lookup(const Context&, const LookupRequest&) = 0;
  virtual void forget(NodeId node, std::uint64_t count) noexcept = 0;
  virtual Result<EntryReply> symlink(const Context&, const SymlinkRequest&) = 0;
  virtual Result<EntryReply> mknod(const Context&, const MknodRequest&) = 0;
  virtual Result<EntryReply> mkdir(const Context&, const MkdirRequest&) = 0;
  virtual Result<void> unlink(const Context&, const UnlinkRequest&) = 0;
  virtual Result<void> rmdir(const Context&, const RmdirRequest&) = 0;
  virtual Result<void> rename(const Context&, const RenameRequest&) = 0;
  virtual Result<EntryReply> link(const Context&, const LinkRequest&) = 0;

  // --- attributes
  virtual Result<AttrReply> getattr(const Context&, const GetattrRequest&) = 0;
  virtual Result<StatxReply> statx(const Context&, const StatxRequest&) = 0;
  virtual Result<AttrReply> setattr(const Context&, const SetattrRequest&) = 0;
  virtual Result<void> access(const Context&, const AccessRequest&) = 0;
  virtual Result<std::size_t> readlink(const Context&, const ReadlinkRequest&,
                                       std::span<std::byte> out) = 0;
  virtual Result<StatfsReply> statfs(const Context&, const StatfsRequest&) = 0;
  virtual Result<void> setxattr(const Context&, const SetxattrRequest&) = 0;
  /// With size 0 the result is the length that a value would need; too small a buffer is ERANGE.
  virtual Result<std::size_t> getxattr(const Context&, const GetxattrRequest&,
                                       std::span<std::byte> out) = 0;
  virtual Result<std::size_t> listxattr(const Context&, const ListxattrRequest&,
                                        std::span<std::byte> out) = 0;
  virtual Result<void> removexattr(const Context&, const RemovexattrRequest&) = 0;

  // --- files
  virtual Result<OpenReply> open(const Context&, const OpenRequest&) = 0;
  virtual Result<CreateReply> create(const Context&, const CreateRequest&) = 0;
  virtual Result<CreateReply> tmpfile(const Context&, const TmpfileRequest&) = 0;
  virtual Result<std::size_t> read(const Context&, const ReadRequest&,
                                   std::span<std::byte> out) = 0;
  virtual Result<std::uint32_t> write(const Context&, const WriteRequest&) = 0;
  virtual Result<void> flush(const Context&, const FlushRequest&) = 0;
  virtual Result<void> release(const Context&, const ReleaseRequest&) = 0;
  virtual Result<void> fsync(const Context&, const FsyncRequest&) = 0;
  virtual Result<void> fallocate(const Context&, const FallocateRequest&) = 0;
  virtual Result<std::uint64_t> lseek(const Context&, const LseekRequest&) = 0;
  virtual Result<std::uint64_t> copy_file_range(const Context&, const CopyFileRangeRequest&) = 0;
  virtual Result<IoctlReply> ioctl(const Context&, const IoctlRequest&,
                                   std::span<std::byte> out) = 0;
  virtual Result<LockReply> getlk(const Context&, const GetlkRequest&) = 0;
  virtual Result<void> setlk(const Context&, const SetlkRequest&) = 0;
  /// Deferred: must return soon, and answer through `reply` whenever the lock is granted.
  virtual void setlkw(const Context&, const SetlkwRequest&, Reply<void> reply) = 0;

  // --- directories
  virtual Result<OpenReply> opendir(const Context&, const OpendirRequest&) = 0;
  /// An empty pack is the end of the directory; a pack with anything in it never means the end.
  virtual Result<void> readdir(const Context&, const ReaddirRequest&, DirentPacker& out) = 0;
  virtual Result<void> readdirplus(const Context&, const ReaddirplusRequest&,
                                   DirentPlusPacker& out) = 0;
  virtual Result<void> releasedir(const Context&, const ReleasedirRequest&) = 0;
  virtual Result<void> fsyncdir(const Context&, const FsyncdirRequest&) = 0;
  virtual Result<void> syncfs(const Context&, const SyncfsRequest&) = 0;
};

}  // namespace bough::proto
