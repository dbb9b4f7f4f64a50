// The floor of FUSE here: a passthrough server that does as little for a request as a correct
// answer allows, so that what any server costs beyond it is that server's own. One branch and no
// policy, no credentials (it serves root alone), no xattrs, no FLUSH; threads that block in
// read(2). A measuring tool: never installed, and not to be trusted with files.
//
//   bench_floor [--slow-writes MS] DIRECTORY MOUNTPOINT      serves until it is unmounted
//
// --slow-writes makes it a slow disk for tests: files are open for direct I/O with parallel writes,
// and each WRITE takes so many milliseconds, however many run at once.

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "proto/decode.hpp"
#include "proto/dirents.hpp"
#include "proto/encode.hpp"
#include "proto/features.hpp"
#include "proto/kernel_abi.hpp"
#include "test/bench/floor_tree.hpp"

namespace bough::bench {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::chrono::seconds kValid{1};
/// More writes than any test has at once.
constexpr unsigned kSlowThreads = 24;

/// What a reply's payload came to: its length or the reason why there is none.
using Length = proto::Result<std::size_t>;

proto::Errno failed() {
  return proto::Errno{errno};
}

/// linux_dirent64 as getdents64(2) writes it, without the name.
struct RawDirent {
  std::uint64_t ino;
  std::int64_t next;
  std::uint16_t length;
  std::uint8_t type;
};
constexpr std::size_t kRawName = 19;

proto::Time to_time(const timespec& time) {
  return {time.tv_sec, static_cast<std::uint32_t>(time.tv_nsec)};
}

proto::Attr to_attr(const struct stat& stat) {
  proto::Attr attr;
  attr.ino = stat.st_ino;
  attr.size = static_cast<std::uint64_t>(stat.st_size);
  attr.blocks = static_cast<std::uint64_t>(stat.st_blocks);
  attr.atime = to_time(stat.st_atim);
  attr.mtime = to_time(stat.st_mtim);
  attr.ctime = to_time(stat.st_ctim);
  attr.mode = stat.st_mode;
  attr.nlink = static_cast<std::uint32_t>(stat.st_nlink);
  attr.uid = stat.st_uid;
  attr.gid = stat.st_gid;
  const unsigned minor = ::minor(stat.st_rdev);
  attr.rdev = (minor & 0xffU) | (::major(stat.st_rdev) << 8U) | ((minor & ~0xffU) << 12U);
  attr.block_size = static_cast<std::uint32_t>(stat.st_blksize);
  return attr;
}

timespec to_timespec(const std::optional<proto::TimeChange>& change) {
  if (!change) return {0, UTIME_OMIT};
  if (change->now) return {0, UTIME_NOW};
  return {change->seconds, static_cast<long>(change->nanoseconds)};
}

int file_of(proto::HandleId handle) {
  return static_cast<int>(handle.value);
}

/// Claims are kept at once: a reply that the kernel refuses leaks, which ends with the process.
struct Nobody final : proto::ClaimOwner {
  void drop_lookup(proto::NodeId, std::uint64_t) noexcept override {}
  void drop_handle(proto::HandleId) noexcept override {}
};

/// Serves requests on one thread.
class Server {
 public:
  Server(Tree& tree, int device, std::size_t max_payload, std::chrono::milliseconds write_time)
      : tree_(tree),
        device_(device),
        write_time_(write_time),
        half_(kPage + (max_payload + kPage - 1) / kPage * kPage + kPage),
        pages_(static_cast<std::byte*>(std::aligned_alloc(kPage, 2 * half_))),
        receive_(pages_ + kPage - kWritePrefix),
        payload_(pages_ + half_ + kPage, half_ - kPage) {
    if (pages_ == nullptr) std::abort();
  }
  ~Server() { std::free(pages_); }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  void run() {
    for (;;) {
      const ssize_t got = ::read(device_, receive_, half_ - kPage + kWritePrefix);
      if (got < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT)) continue;
      if (got < 0) return;
      const auto message = std::span<const std::byte>(receive_, static_cast<std::size_t>(got));
      const auto decoded = proto::decode(message, {});
      if (decoded)
        serve(*decoded);
      else if (const auto header = proto::decode_header(message))
        answer(header->unique, decoded.error());
    }
  }

 private:
  /// A WRITE's data then begins at a page, as O_DIRECT wants.
  static constexpr std::size_t kWritePrefix =
      sizeof(proto::abi::InHeader) + sizeof(proto::abi::WriteIn);

  void answer(proto::Unique unique, const Length& length) {
    std::byte* const start = payload_.data() - proto::kReplyHeader;
    const std::span<std::byte, proto::kReplyHeader> header(start, proto::kReplyHeader);
    std::size_t size = proto::kReplyHeader;
    if (length) {
      size += *length;
      proto::encode_header(header, unique, *length);
    } else {
      proto::encode_header(header, unique, 0, length.error());
    }
    // Refused with ENOENT if the request was interrupted meanwhile.
    (void)!::write(device_, start, size);
  }

  void serve(const proto::Decoded& decoded) {
    node_ = decoded.header.node;
    std::visit(
        [&](const auto& request) {
          using Request = std::remove_cvref_t<decltype(request)>;
          if constexpr (std::is_same_v<Request, proto::ForgetRequest>) {
            tree_.forget(node_, request.count);
          } else if constexpr (std::is_same_v<Request, proto::BatchForgetRequest>) {
            for (std::uint32_t i = 0; i < request.count; ++i) {
              const proto::ForgetItem item = proto::forget_item(request, i);
              tree_.forget(item.node, item.count);
            }
          } else if constexpr (!std::is_same_v<Request, proto::InterruptRequest> &&
                               !std::is_same_v<Request, proto::NotifyReplyRequest>) {
            answer(decoded.header.unique, on(request));
          }
        },
        decoded.request);
  }

  /// Every request that is not named below: the kernel sends it no second time.
  template <class Request>
  Length on(const Request&) {
    return proto::Errno{ENOSYS};
  }

  // --- names
  Length on(const proto::LookupRequest& request) {
    if (!request.name) return proto::Errno{ESTALE};
    const auto place = tree_.inside(node_, request.name->view());
    if (!place) return failed();
    return entry(*place);
  }
  Length on(const proto::MkdirRequest& request) {
    return make(request.name, [&](const Place& place) {
      return ::mkdirat(place.dir(), place.c_str(), request.mode & ~request.umask);
    });
  }
  Length on(const proto::MknodRequest& request) {
    return make(request.name, [&](const Place& place) {
      return ::mknodat(place.dir(), place.c_str(), request.mode & ~request.umask, request.rdev);
    });
  }
  Length on(const proto::SymlinkRequest& request) {
    return make(request.name, [&](const Place& place) {
      return ::symlinkat(request.target.data(), place.dir(), place.c_str());
    });
  }
  Length on(const proto::LinkRequest& request) {
    const Place old = tree_.place(request.old_node);
    return make(request.new_name, [&](const Place& place) {
      return ::linkat(old.dir(), old.c_str(), place.dir(), place.c_str(), 0);
    });
  }
  Length on(const proto::UnlinkRequest& request) { return remove(request.name, 0); }
  Length on(const proto::RmdirRequest& request) { return remove(request.name, AT_REMOVEDIR); }
  Length on(const proto::RenameRequest& request) {
    const auto from = tree_.inside(node_, request.old_name.view());
    const auto to = tree_.inside(request.new_parent, request.new_name.view());
    if (!from || !to) return failed();
    if (::renameat2(from->dir(), from->c_str(), to->dir(), to->c_str(), request.flags) != 0)
      return failed();
    tree_.moved(*from, *to);
    return std::size_t{0};
  }
  Length on(const proto::ReadlinkRequest&) {
    const Place place = tree_.place(node_);
    const ssize_t length = ::readlinkat(place.dir(), place.c_str(),
                                        reinterpret_cast<char*>(payload_.data()), kPage - 1);
    return counted(length);
  }

  // --- attributes
  Length on(const proto::GetattrRequest& request) { return attributes(request.handle); }
  Length on(const proto::SetattrRequest& request) {
    const Place place = tree_.place(node_);
    if (request.mode && ::fchmodat(place.dir(), place.c_str(), *request.mode, 0) != 0)
      return failed();
    if ((request.uid || request.gid) &&
        ::fchownat(place.dir(), place.c_str(), request.uid.value_or(~0U), request.gid.value_or(~0U),
                   AT_SYMLINK_NOFOLLOW) != 0)
      return failed();
    if (request.size && !resize(place, request)) return failed();
    if (request.atime || request.mtime) {
      const std::array<timespec, 2> times{to_timespec(request.atime), to_timespec(request.mtime)};
      if (::utimensat(place.dir(), place.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0)
        return failed();
    }
    return attributes(request.handle);
  }
  Length on(const proto::StatfsRequest&) {
    struct statvfs fs = {};
    const Place place = tree_.place(proto::kRootNode);
    if (::fstatvfs(place.dir(), &fs) != 0) return failed();
    proto::StatfsReply reply;
    reply.blocks = fs.f_blocks;
    reply.blocks_free = fs.f_bfree;
    reply.blocks_available = fs.f_bavail;
    reply.files = fs.f_files;
    reply.files_free = fs.f_ffree;
    reply.block_size = static_cast<std::uint32_t>(fs.f_bsize);
    reply.fragment_size = static_cast<std::uint32_t>(fs.f_frsize);
    reply.name_max = static_cast<std::uint32_t>(fs.f_namemax);
    return proto::encode(payload_, reply);
  }

  // --- files: a handle is the descriptor
  Length on(const proto::OpenRequest& request) {
    const Place place = tree_.place(node_);
    const int flags = static_cast<int>(request.flags) & ~(O_CREAT | O_EXCL | O_APPEND);
    return opened(::openat(place.dir(), place.c_str(), flags | O_NOFOLLOW | O_CLOEXEC), flags);
  }
  Length on(const proto::CreateRequest& request) {
    const auto place = tree_.inside(node_, request.name.view());
    if (!place) return failed();
    const int flags = static_cast<int>(request.flags) & ~O_APPEND;
    const int fd = ::openat(place->dir(), place->c_str(), flags | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
                            request.mode & ~request.umask);
    struct stat stat = {};
    if (fd < 0 || ::fstat(fd, &stat) != 0) return failed();
    proto::CreateReply reply;
    reply.entry.entry = describe(*place, stat);
    reply.open = open_reply(fd, flags);
    const std::size_t length = proto::encode(payload_, reply);
    reply.keep();
    return length;
  }
  Length on(const proto::ReadRequest& request) {
    return counted(::pread(file_of(request.handle), payload_.data(), request.size,
                           static_cast<off_t>(request.offset)));
  }
  Length on(const proto::WriteRequest& request) {
    const int fd = file_of(request.handle);
    if (write_time_.count() > 0) std::this_thread::sleep_for(write_time_);
    ssize_t written = 0;
    if ((request.flags & O_APPEND) != 0) {
      const iovec data{const_cast<std::byte*>(request.data.data()), request.data.size()};
      written = ::pwritev2(fd, &data, 1, static_cast<off_t>(request.offset), RWF_APPEND);
    } else {
      written = ::pwrite(fd, request.data.data(), request.data.size(),
                         static_cast<off_t>(request.offset));
    }
    if (written < 0) return failed();
    return proto::encode_write(payload_, static_cast<std::uint32_t>(written));
  }
  Length on(const proto::FsyncRequest& request) {
    const int fd = file_of(request.handle);
    return done(request.data_only ? ::fdatasync(fd) : ::fsync(fd));
  }
  Length on(const proto::FallocateRequest& request) {
    return done(::fallocate(file_of(request.handle), static_cast<int>(request.mode),
                            static_cast<off_t>(request.offset),
                            static_cast<off_t>(request.length)));
  }
  Length on(const proto::ReleaseRequest& request) { return done(::close(file_of(request.handle))); }

  // --- directories
  Length on(const proto::OpendirRequest&) {
    const Place place = tree_.place(node_);
    return opened(::openat(place.dir(), place.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), 0);
  }
  Length on(const proto::ReleasedirRequest& request) {
    return done(::close(file_of(request.handle)));
  }
  Length on(const proto::ReaddirRequest& request) {
    proto::DirentPacker packer(payload_.first(request.size));
    return list(request.handle, request.offset, request.size,
                [&](const proto::Dirent& entry) { return packer.add(entry); })
               ? Length(packer.size())
               : failed();
  }
  Length on(const proto::ReaddirplusRequest& request) {
    proto::DirentPlusPacker packer(payload_.first(request.size), nobody_);
    // A record with attributes is some five times as long.
    const bool listed =
        list(request.handle, request.offset, request.size / 5, [&](const proto::Dirent& entry) {
          if (entry.name == "." || entry.name == "..") return packer.add_plain(entry);
          if (!packer.fits(entry.name)) return false;
          const auto place = tree_.inside(node_, entry.name);
          struct stat stat = {};
          if (!place || ::fstatat(place->dir(), place->c_str(), &stat, AT_SYMLINK_NOFOLLOW) != 0)
            return packer.add_plain(entry);
          proto::EntryReply reply;
          reply.entry = describe(*place, stat);
          return packer.add(entry, reply);
        });
    packer.keep();
    if (!listed) return failed();
    return packer.size();
  }

  // --- what several of them do
  template <class Add>
  bool list(proto::HandleId handle, std::uint64_t offset, std::size_t room, Add add) {
    const int fd = file_of(handle);
    if (::lseek(fd, static_cast<off_t>(offset), SEEK_SET) < 0) return false;
    alignas(RawDirent) std::array<char, 32 * 1024> records;
    const ssize_t got = ::getdents64(fd, records.data(), std::clamp(room, kPage, records.size()));
    if (got < 0) return false;
    for (std::size_t at = 0; at < static_cast<std::size_t>(got);) {
      RawDirent raw{};
      std::memcpy(&raw, records.data() + at, kRawName);
      const proto::Dirent entry{records.data() + at + kRawName, raw.ino,
                                static_cast<std::uint64_t>(raw.next), raw.type};
      if (!add(entry)) return true;
      at += raw.length;
    }
    return true;
  }

  proto::Entry describe(const Place& place, const struct stat& stat) {
    proto::Entry entry;
    entry.node = tree_.found(place, stat.st_ino);
    entry.entry_valid = kValid;
    entry.attr_valid = kValid;
    entry.attr = to_attr(stat);
    return entry;
  }

  Length entry(const Place& place) {
    struct stat stat = {};
    if (::fstatat(place.dir(), place.c_str(), &stat, AT_SYMLINK_NOFOLLOW) != 0) return failed();
    proto::EntryReply reply;
    reply.entry = describe(place, stat);
    return proto::encode(payload_, reply);
  }

  template <class Call>
  Length make(proto::Name name, Call call) {
    const auto place = tree_.inside(node_, name.view());
    if (!place || call(*place) != 0) return failed();
    return entry(*place);
  }

  Length remove(proto::Name name, int flags) {
    const auto place = tree_.inside(node_, name.view());
    if (!place || ::unlinkat(place->dir(), place->c_str(), flags) != 0) return failed();
    tree_.removed(*place);
    return std::size_t{0};
  }

  Length attributes(const std::optional<proto::HandleId>& handle) {
    struct stat stat = {};
    int result = 0;
    if (handle) {
      result = ::fstat(file_of(*handle), &stat);
    } else {
      const Place place = tree_.place(node_);
      result = ::fstatat(place.dir(), place.c_str(), &stat, AT_SYMLINK_NOFOLLOW);
    }
    if (result != 0) return failed();
    return proto::encode(payload_, proto::AttrReply{kValid, to_attr(stat)});
  }

  static bool resize(const Place& place, const proto::SetattrRequest& request) {
    const auto size = static_cast<off_t>(*request.size);
    if (request.handle) return ::ftruncate(file_of(*request.handle), size) == 0;
    const int fd = ::openat(place.dir(), place.c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return false;
    const Descriptor closed(fd);
    return ::ftruncate(fd, size) == 0;
  }

  static proto::HandleId handle_of(int fd) {
    return proto::HandleId{static_cast<std::uint64_t>(fd)};
  }
  /// Who asks for direct I/O gets it as quick as FUSE can do it: writers of one file side by side.
  proto::OpenReply open_reply(int fd, int open_flags) {
    proto::OpenReply reply;
    reply.claim = proto::HandleClaim(nobody_, handle_of(fd));
    namespace flags = proto::abi::open_reply;
    if (write_time_.count() > 0 || (open_flags & O_DIRECT) != 0)
      reply.flags = flags::kDirectIo | flags::kParallelDirectWrites;
    return reply;
  }
  Length opened(int fd, int open_flags) {
    if (fd < 0) return failed();
    proto::OpenReply reply = open_reply(fd, open_flags);
    const std::size_t length = proto::encode(payload_, reply);
    reply.keep();
    return length;
  }
  static Length counted(ssize_t count) {
    if (count < 0) return failed();
    return static_cast<std::size_t>(count);
  }
  static Length done(int result) {
    if (result != 0) return failed();
    return std::size_t{0};
  }

  Tree& tree_;
  const int device_;
  const std::chrono::milliseconds write_time_;
  /// The receive buffer's half of the pages, and the reply's.
  const std::size_t half_;
  std::byte* const pages_;
  std::byte* const receive_;
  const std::span<std::byte> payload_;
  proto::NodeId node_;
  Nobody nobody_;
};

[[noreturn]] void give_up(const char* what) {
  std::perror(what);
  std::exit(1);
}

/// The features that boughfs asks for where they say how much goes to and fro.
proto::InitAgreement shake_hands(int device) {
  std::vector<std::byte> buffer(std::size_t{256} * kPage);
  const ssize_t got = ::read(device, buffer.data(), buffer.size());
  if (got < 0) give_up("reading INIT");
  const auto decoded = proto::decode(std::span(buffer).first(static_cast<std::size_t>(got)), {});
  if (!decoded || !std::holds_alternative<proto::InitRequest>(decoded->request)) std::exit(1);
  proto::InitWants wants;
  using proto::Feature;
  for (const Feature feature :
       {Feature::kAsyncRead, Feature::kAsyncDio, Feature::kAtomicOTrunc, Feature::kBigWrites,
        Feature::kMaxPages, Feature::kDontMask, Feature::kAutoInvalData, Feature::kDoReaddirplus,
        Feature::kReaddirplusAuto, Feature::kParallelDirops, Feature::kHandleKillprivV2,
        Feature::kInitExt})
    wants.features.add(feature);
  wants.max_background = 128;
  const proto::InitAgreement agreement =
      proto::agree(std::get<proto::InitRequest>(decoded->request), wants);
  const std::span<std::byte> reply(buffer);
  const std::size_t length = proto::encode(reply.subspan(proto::kReplyHeader), agreement);
  proto::encode_header(reply.first<proto::kReplyHeader>(), decoded->header.unique, length);
  if (::write(device, reply.data(), proto::kReplyHeader + length) < 0) give_up("answering INIT");
  return agreement;
}

int serve(const char* directory, const char* mountpoint, std::chrono::milliseconds write_time) {
  const int root = ::open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) give_up(directory);
  const int device = ::open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (device < 0) give_up("/dev/fuse");
  ::umask(0);
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  const std::string options = "fd=" + std::to_string(device) +
                              ",rootmode=40000,user_id=0,group_id=0,allow_other,"
                              "default_permissions";
  if (::mount("bench_floor", mountpoint, "fuse.bench_floor", MS_NOSUID | MS_NODEV,
              options.c_str()) != 0)
    give_up(mountpoint);
  const proto::InitAgreement agreement = shake_hands(device);

  Tree tree(root);
  std::vector<std::jthread> threads;
  const unsigned count =
      write_time.count() > 0 ? kSlowThreads : std::max(2U, std::thread::hardware_concurrency());
  for (unsigned i = 0; i < count; ++i)
    threads.emplace_back([&] { Server(tree, device, agreement.max_payload(), write_time).run(); });
  return 0;
}

}  // namespace
}  // namespace bough::bench

int main(int argc, char** argv) {
  const bool slow = argc == 5 && std::strcmp(argv[1], "--slow-writes") == 0;
  if (argc != 3 && !slow) {
    std::fputs("usage: bench_floor [--slow-writes MS] DIRECTORY MOUNTPOINT\n", stderr);
    return 2;
  }
  const std::chrono::milliseconds write_time(slow ? std::atoi(argv[2]) : 0);
  return bough::bench::serve(argv[argc - 2], argv[argc - 1], write_time);
}
