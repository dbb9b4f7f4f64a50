#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "proto/filesystem.hpp"

namespace bough::test {

/// A file system without files: each operation answers something simple and is counted, and the
/// counts and handles that the kernel was given are kept track of. Names mean behaviour, for
/// LOOKUP, CREATE and friends alike: "missing" is ENOENT, "throw" throws, "nomem" throws
/// std::bad_alloc, and a name that begins with "park" waits until the test lets it go. A LOOKUP's
/// name that ends with '@' and a digit is of that lane; nothing else shares a lane with its next
/// hundred neighbours. Any thread.
class NullFilesystem : public proto::Filesystem {
 public:
  // --- for the test
  [[nodiscard]] int calls(const std::string& operation) const;
  /// Lookup counts that the kernel holds, all nodes together.
  [[nodiscard]] std::int64_t lookups() const { return lookups_.load(); }
  [[nodiscard]] std::int64_t handles() const { return handles_.load(); }
  [[nodiscard]] int threads() const { return threads_.load(); }
  [[nodiscard]] int idles() const { return idles_.load(); }
  [[nodiscard]] int starts() const { return starts_.load(); }
  /// What stop() is to say: a thread of the file system's own hangs.
  std::atomic<bool> stuck_at_stop{false};
  /// A WRITE is put off until kLater while this is set, unless it was interrupted (EINTR); else it
  /// has "written" a byte for each time that it was.
  std::atomic<bool> puts_writes_off{false};
  static constexpr std::uint64_t kLater = 77;
  /// Called before a WRITE is put off.
  std::function<void()> before_put_off = [] {};
  [[nodiscard]] int stops() const { return stops_.load(); }
  /// Requests inside handlers that wait for let_go(), by name.
  [[nodiscard]] bool wait_parked(const std::string& name) const;
  [[nodiscard]] bool wait_parked_count(std::size_t count) const;
  /// Lets this name go, now and from now on; "*" is every name.
  void let_go(const std::string& name);
  /// Whether its handler found its request interrupted when it was let go.
  [[nodiscard]] bool saw_interrupt(const std::string& name) const;
  /// Lock requests that wait, oldest first; answered in the test's own time.
  [[nodiscard]] bool wait_locks(std::size_t count) const;
  [[nodiscard]] proto::Reply<void> take_lock();
  proto::KernelPort* port() const { return port_; }
  /// Memory of the last WRITE's data modulo the page size.
  [[nodiscard]] std::size_t write_misalignment() const { return write_misalignment_.load(); }
  [[nodiscard]] std::size_t read_misalignment() const { return read_misalignment_.load(); }

  // --- proto::ClaimOwner
  void drop_lookup(proto::NodeId node, std::uint64_t count) noexcept override;
  void drop_handle(proto::HandleId handle) noexcept override;

  // --- proto::Filesystem
  void want(proto::InitWants& wants) const override;
  void start(const proto::InitAgreement& agreement, proto::KernelPort& port) override;
  void thread_started() override { ++threads_; }
  void idle() noexcept override { ++idles_; }
  bool stop(std::chrono::milliseconds patience) noexcept override;
  [[nodiscard]] bool still_waits(std::uint64_t until) const noexcept override {
    return until == kLater && puts_writes_off.load();
  }
  std::string pool_path(proto::NodeId node) const override;
  void count(std::vector<proto::Counter>& into) const override;

  [[nodiscard]] std::uint32_t lane(const proto::RequestHeader& header,
                                   const proto::Request& request) const noexcept override;
  proto::Result<proto::EntryReply> lookup(const proto::Context&,
                                          const proto::LookupRequest&) override;
  void forget(proto::NodeId node, std::uint64_t count) noexcept override;
  proto::Result<proto::EntryReply> symlink(const proto::Context&,
                                           const proto::SymlinkRequest&) override;
  proto::Result<proto::EntryReply> mknod(const proto::Context&,
                                         const proto::MknodRequest&) override;
  proto::Result<proto::EntryReply> mkdir(const proto::Context&,
                                         const proto::MkdirRequest&) override;
  proto::Result<void> unlink(const proto::Context&, const proto::UnlinkRequest&) override;
  proto::Result<void> rmdir(const proto::Context&, const proto::RmdirRequest&) override;
  proto::Result<void> rename(const proto::Context&, const proto::RenameRequest&) override;
  proto::Result<proto::EntryReply> link(const proto::Context&, const proto::LinkRequest&) override;
  proto::Result<proto::AttrReply> getattr(const proto::Context&,
                                          const proto::GetattrRequest&) override;
  proto::Result<proto::StatxReply> statx(const proto::Context&,
                                         const proto::StatxRequest&) override;
  proto::Result<proto::AttrReply> setattr(const proto::Context&,
                                          const proto::SetattrRequest&) override;
  proto::Result<void> access(const proto::Context&, const proto::AccessRequest&) override;
  proto::Result<std::size_t> readlink(const proto::Context&, const proto::ReadlinkRequest&,
                                      std::span<std::byte> out) override;
  proto::Result<proto::StatfsReply> statfs(const proto::Context&,
                                           const proto::StatfsRequest&) override;
  proto::Result<void> setxattr(const proto::Context&, const proto::SetxattrRequest&) override;
  proto::Result<std::size_t> getxattr(const proto::Context&, const proto::GetxattrRequest&,
                                      std::span<std::byte> out) override;
  proto::Result<std::size_t> listxattr(const proto::Context&, const proto::ListxattrRequest&,
                                       std::span<std::byte> out) override;
  proto::Result<void> removexattr(const proto::Context&, const proto::RemovexattrRequest&) override;
  proto::Result<proto::OpenReply> open(const proto::Context&, const proto::OpenRequest&) override;
  proto::Result<proto::CreateReply> create(const proto::Context&,
                                           const proto::CreateRequest&) override;
  proto::Result<proto::CreateReply> tmpfile(const proto::Context&,
                                            const proto::TmpfileRequest&) override;
  proto::Result<std::size_t> read(const proto::Context&, const proto::ReadRequest&,
                                  std::span<std::byte> out) override;
  proto::Result<std::uint32_t> write(const proto::Context&, const proto::WriteRequest&) override;
  proto::Result<void> flush(const proto::Context&, const proto::FlushRequest&) override;
  proto::Result<void> release(const proto::Context&, const proto::ReleaseRequest&) override;
  proto::Result<void> fsync(const proto::Context&, const proto::FsyncRequest&) override;
  proto::Result<void> fallocate(const proto::Context&, const proto::FallocateRequest&) override;
  proto::Result<std::uint64_t> lseek(const proto::Context&, const proto::LseekRequest&) override;
  proto::Result<std::uint64_t> copy_file_range(const proto::Context&,
                                               const proto::CopyFileRangeRequest&) override;
  proto::Result<proto::IoctlReply> ioctl(const proto::Context&, const proto::IoctlRequest&,
                                         std::span<std::byte> out) override;
  proto::Result<proto::LockReply> getlk(const proto::Context&, const proto::GetlkRequest&) override;
  proto::Result<void> setlk(const proto::Context&, const proto::SetlkRequest&) override;
  void setlkw(const proto::Context&, const proto::SetlkwRequest&,
              proto::Reply<void> reply) override;
  proto::Result<proto::OpenReply> opendir(const proto::Context&,
                                          const proto::OpendirRequest&) override;
  proto::Result<void> readdir(const proto::Context&, const proto::ReaddirRequest&,
                              proto::DirentPacker& out) override;
  proto::Result<void> readdirplus(const proto::Context&, const proto::ReaddirplusRequest&,
                                  proto::DirentPlusPacker& out) override;
  proto::Result<void> releasedir(const proto::Context&, const proto::ReleasedirRequest&) override;
  proto::Result<void> fsyncdir(const proto::Context&, const proto::FsyncdirRequest&) override;
  proto::Result<void> syncfs(const proto::Context&, const proto::SyncfsRequest&) override;

 private:
  void called(const char* operation);
  proto::Result<void> behave(const proto::Context& context, std::string_view name);
  proto::EntryReply entry(std::uint32_t mode);
  proto::OpenReply opened();

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::map<std::string, int> calls_;
  std::multiset<std::string> parked_;
  std::set<std::string> released_;
  std::set<std::string> interrupted_;
  std::vector<proto::Reply<void>> locks_;
  std::atomic<std::int64_t> lookups_{0};
  std::atomic<std::int64_t> handles_{0};
  std::atomic<std::uint64_t> next_node_{100};
  std::atomic<std::uint64_t> next_handle_{1};
  std::atomic<int> threads_{0};
  std::atomic<int> idles_{0};
  std::atomic<int> starts_{0};
  std::atomic<int> stops_{0};
  std::atomic<std::size_t> write_misalignment_{0};
  std::atomic<std::size_t> read_misalignment_{0};
  proto::KernelPort* port_ = nullptr;
};

}  // namespace bough::test
