#include "proto/render.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstring>
#include <iterator>
#include <optional>
#include <span>
#include <variant>

#include "proto/kernel_abi.hpp"
#include "proto/opcode.hpp"
#include "proto/utf8.hpp"

namespace bough::proto {

namespace {

struct FlagText {
  std::uint32_t bits;
  std::string_view name;
};

std::string number(std::uint64_t value, int base = 10, std::string_view prefix = {}) {
  std::array<char, 24> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value, base).ptr;
  std::string text(prefix);
  text.append(digits.data(), end);
  return text;
}

std::string hexadecimal(std::uint64_t value) {
  return number(value, 16, "0x");
}

std::string octal(std::uint32_t value) {
  return number(value, 8, value == 0 ? "" : "0");
}

/// The names of the bits that are set, and what has no name in hexadecimal. A row of several bits
/// must stand before the rows of its single ones.
std::string join(std::uint32_t flags, std::span<const FlagText> names) {
  std::string text;
  const auto append = [&text](std::string_view part) {
    if (!text.empty()) text += '|';
    text += part;
  };
  for (const FlagText& flag : names) {
    if ((flags & flag.bits) != flag.bits) continue;
    append(flag.name);
    flags &= ~flag.bits;
  }
  if (flags != 0) append(hexadecimal(flags));
  return text.empty() ? "0" : text;
}

std::string signed_number(std::int64_t value) {
  return value < 0 ? number(~static_cast<std::uint64_t>(value) + 1, 10, "-")
                   : number(static_cast<std::uint64_t>(value));
}

/// A time as "seconds.nanoseconds".
std::string time_text(std::int64_t seconds, std::uint32_t nanoseconds) {
  std::string fraction = number(nanoseconds);
  if (fraction.size() < 9) fraction.insert(0, 9 - fraction.size(), '0');
  return signed_number(seconds) + '.' + fraction;
}

/// A length of time in seconds with as many decimals as it needs: "1.5s".
std::string duration_text(std::chrono::nanoseconds duration) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  const std::int64_t count = std::max<std::int64_t>(duration.count(), 0);
  std::string text = number(static_cast<std::uint64_t>(count / kSecond));
  if (count % kSecond != 0) {
    std::string fraction = number(static_cast<std::uint64_t>(count % kSecond));
    fraction.insert(0, 9 - fraction.size(), '0');
    fraction.erase(fraction.find_last_not_of('0') + 1);
    text.append(1, '.').append(fraction);
  }
  return text + 's';
}

#if defined(__aarch64__) || defined(__arm__)
constexpr std::uint32_t kKernelLargeFile = 0400000;
#elif defined(__powerpc__)
constexpr std::uint32_t kKernelLargeFile = 0200000;
#else
/// What the kernel itself sets; the C library's O_LARGEFILE is 0 on 64-bit machines.
constexpr std::uint32_t kKernelLargeFile = 0100000;
#endif
/// Set by execve(2) in the flags of its own open.
constexpr std::uint32_t kKernelExec = 040;

constexpr FlagText kOpenFlags[] = {
    {O_CREAT, "O_CREAT"},
    {O_EXCL, "O_EXCL"},
    {O_NOCTTY, "O_NOCTTY"},
    {O_TRUNC, "O_TRUNC"},
    {O_APPEND, "O_APPEND"},
    {O_NONBLOCK, "O_NONBLOCK"},
    {O_SYNC, "O_SYNC"},
    {O_DSYNC, "O_DSYNC"},
    {O_ASYNC, "O_ASYNC"},
    {O_DIRECT, "O_DIRECT"},
    {kKernelLargeFile, "O_LARGEFILE"},
    {O_TMPFILE, "O_TMPFILE"},
    {O_DIRECTORY, "O_DIRECTORY"},
    {O_NOFOLLOW, "O_NOFOLLOW"},
    {O_NOATIME, "O_NOATIME"},
    {O_CLOEXEC, "O_CLOEXEC"},
    {O_PATH, "O_PATH"},
    {kKernelExec, "FMODE_EXEC"},
};

constexpr FlagText kOpenReplyFlags[] = {
    {abi::open_reply::kDirectIo, "DIRECT_IO"},
    {abi::open_reply::kKeepCache, "KEEP_CACHE"},
    {abi::open_reply::kNonseekable, "NONSEEKABLE"},
    {abi::open_reply::kCacheDir, "CACHE_DIR"},
    {abi::open_reply::kStream, "STREAM"},
    {abi::open_reply::kNoflush, "NOFLUSH"},
    {abi::open_reply::kParallelDirectWrites, "PARALLEL_DIRECT_WRITES"},
    {abi::open_reply::kPassthrough, "PASSTHROUGH"},
    {abi::open_reply::kIoUringZeroCopy, "IO_URING_ZERO_COPY"},
};

constexpr FlagText kRenameFlags[] = {
    {1, "RENAME_NOREPLACE"}, {2, "RENAME_EXCHANGE"}, {4, "RENAME_WHITEOUT"}};
constexpr FlagText kXattrFlags[] = {{1, "XATTR_CREATE"}, {2, "XATTR_REPLACE"}};
constexpr FlagText kFallocateModes[] = {
    {0x01, "FALLOC_FL_KEEP_SIZE"},      {0x02, "FALLOC_FL_PUNCH_HOLE"},
    {0x08, "FALLOC_FL_COLLAPSE_RANGE"}, {0x10, "FALLOC_FL_ZERO_RANGE"},
    {0x20, "FALLOC_FL_INSERT_RANGE"},   {0x40, "FALLOC_FL_UNSHARE_RANGE"},
};
constexpr FlagText kIoctlFlags[] = {
    {abi::kIoctlCompat, "COMPAT"}, {abi::kIoctlUnrestricted, "UNRESTRICTED"},
    {abi::kIoctlRetry, "RETRY"},   {abi::kIoctl32Bit, "32BIT"},
    {abi::kIoctlDir, "DIR"},       {abi::kIoctlCompatX32, "COMPAT_X32"},
};
constexpr FlagText kAccessMask[] = {{R_OK, "R_OK"}, {W_OK, "W_OK"}, {X_OK, "X_OK"}};
constexpr FlagText kPollEvents[] = {
    {POLLIN, "POLLIN"},         {POLLPRI, "POLLPRI"},       {POLLOUT, "POLLOUT"},
    {POLLERR, "POLLERR"},       {POLLHUP, "POLLHUP"},       {POLLNVAL, "POLLNVAL"},
    {POLLRDNORM, "POLLRDNORM"}, {POLLRDBAND, "POLLRDBAND"}, {POLLWRNORM, "POLLWRNORM"},
    {POLLWRBAND, "POLLWRBAND"},
};

std::string access_text(std::uint32_t mask) {
  return mask == 0 ? "F_OK" : join(mask, kAccessMask);
}

std::string whence_text(std::uint32_t whence) {
  constexpr std::string_view kNames[] = {"SEEK_SET", "SEEK_CUR", "SEEK_END", "SEEK_DATA",
                                         "SEEK_HOLE"};
  return whence < std::size(kNames) ? std::string(kNames[whence]) : number(whence);
}

std::string lock_type_text(std::uint32_t type) {
  constexpr std::string_view kNames[] = {"F_RDLCK", "F_WRLCK", "F_UNLCK"};
  return type < std::size(kNames) ? std::string(kNames[type]) : number(type);
}

std::string ioctl_text(std::uint32_t command) {
  switch (command) {
    case FS_IOC_GETFLAGS:
      return "FS_IOC_GETFLAGS";
    case FS_IOC_SETFLAGS:
      return "FS_IOC_SETFLAGS";
    case FS_IOC_GETVERSION:
      return "FS_IOC_GETVERSION";
    case FS_IOC_FSGETXATTR:
      return "FS_IOC_FSGETXATTR";
    case FS_IOC_FSSETXATTR:
      return "FS_IOC_FSSETXATTR";
    default:
      return hexadecimal(command);
  }
}

/// A line of key=value pairs under construction.
class Line {
 public:
  Line& word(std::string_view text) {
    if (!text_.empty()) text_ += ' ';
    text_ += text;
    return *this;
  }
  Line& add(std::string_view key, std::string_view value) {
    word(key);
    text_ += '=';
    text_ += value;
    return *this;
  }
  Line& add(std::string_view key, std::uint64_t value) { return add(key, number(value)); }
  Line& add(std::string_view key, NodeId value) { return add(key, value.value); }
  Line& add(std::string_view key, HandleId value) { return add(key, value.value); }
  Line& quoted(std::string_view key, std::string_view value) { return add(key, quote(value)); }
  template <class T>
  Line& maybe(std::string_view key, const std::optional<T>& value) {
    return value ? add(key, *value) : *this;
  }
  Line& flag(std::string_view name, bool set) { return set ? word(name) : *this; }

  Line& lock(const FileLock& lock) {
    return add("type", lock_type_text(lock.type))
        .add("start", lock.start)
        .add("end", lock.end)
        .add("lock_pid", lock.pid);
  }
  Line& attr(const Attr& attr) {
    add("ino", attr.ino).add("mode", octal(attr.mode)).add("nlink", attr.nlink);
    add("uid", attr.uid).add("gid", attr.gid).add("size", attr.size).add("blocks", attr.blocks);
    if (attr.rdev != 0) add("rdev", hexadecimal(attr.rdev));
    return add("atime", time_text(attr.atime.seconds, attr.atime.nanoseconds))
        .add("mtime", time_text(attr.mtime.seconds, attr.mtime.nanoseconds))
        .add("ctime", time_text(attr.ctime.seconds, attr.ctime.nanoseconds));
  }
  Line& time(std::string_view key, const std::optional<TimeChange>& change) {
    if (!change) return *this;
    return add(key,
               change->now ? std::string("now") : time_text(change->seconds, change->nanoseconds));
  }
  Line& extensions(const Extensions& extensions) {
    if (extensions.label) {
      quoted("label", extensions.label->xattr_name);
      add("label_size", extensions.label->value.size());
    }
    return maybe("group", extensions.group);
  }

  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

struct ArgumentRenderer {
  Line& line;

  void operator()(const UnservedRequest& r) const { line.add("opcode", r.opcode); }
  void operator()(const LookupRequest& r) const {
    switch (r.target) {
      case LookupRequest::Target::kName:
        line.quoted("name", r.name ? r.name->view() : std::string_view{});
        break;
      case LookupRequest::Target::kSelf:
        line.quoted("name", ".");
        break;
      case LookupRequest::Target::kParent:
        line.quoted("name", "..");
        break;
    }
  }
  void operator()(const ForgetRequest& r) const { line.add("count", r.count); }
  void operator()(const BatchForgetRequest& r) const { line.add("items", r.count); }
  void operator()(const GetattrRequest& r) const { line.maybe("fh", r.handle); }
  void operator()(const StatxRequest& r) const {
    line.maybe("fh", r.handle).add("flags", hexadecimal(r.flags)).add("mask", hexadecimal(r.mask));
  }
  void operator()(const SetattrRequest& r) const {
    line.maybe("fh", r.handle);
    if (r.mode) line.add("mode", octal(*r.mode));
    line.maybe("uid", r.uid).maybe("gid", r.gid).maybe("size", r.size);
    line.time("atime", r.atime).time("mtime", r.mtime).time("ctime", r.ctime);
    line.maybe("lock_owner", r.lock_owner).flag("kill_suidgid", r.kill_suidgid);
  }
  void operator()(const ReadlinkRequest&) const {}
  void operator()(const SymlinkRequest& r) const {
    line.quoted("name", r.name.view()).quoted("target", r.target).extensions(r.extensions);
  }
  void operator()(const MknodRequest& r) const {
    line.quoted("name", r.name.view()).add("mode", octal(r.mode));
    line.add("rdev", hexadecimal(r.rdev)).add("umask", octal(r.umask)).extensions(r.extensions);
  }
  void operator()(const MkdirRequest& r) const {
    line.quoted("name", r.name.view()).add("mode", octal(r.mode));
    line.add("umask", octal(r.umask)).extensions(r.extensions);
  }
  void operator()(const UnlinkRequest& r) const { line.quoted("name", r.name.view()); }
  void operator()(const RmdirRequest& r) const { line.quoted("name", r.name.view()); }
  void operator()(const RenameRequest& r) const {
    line.quoted("name", r.old_name.view()).add("new_parent", r.new_parent);
    line.quoted("new_name", r.new_name.view()).add("flags", join(r.flags, kRenameFlags));
  }
  void operator()(const LinkRequest& r) const {
    line.add("old_node", r.old_node).quoted("new_name", r.new_name.view());
  }
  void operator()(const OpenRequest& r) const {
    line.add("flags", render_open_flags(r.flags)).flag("kill_suidgid", r.kill_suidgid);
  }
  void operator()(const OpendirRequest& r) const { line.add("flags", render_open_flags(r.flags)); }
  void operator()(const CreateRequest& r) const {
    line.quoted("name", r.name.view()).add("flags", render_open_flags(r.flags));
    line.add("mode", octal(r.mode)).add("umask", octal(r.umask));
    line.flag("kill_suidgid", r.kill_suidgid).extensions(r.extensions);
  }
  void operator()(const TmpfileRequest& r) const {
    line.add("flags", render_open_flags(r.flags)).add("mode", octal(r.mode));
    line.add("umask", octal(r.umask)).extensions(r.extensions);
  }
  void operator()(const ReadRequest& r) const {
    line.add("fh", r.handle).add("offset", r.offset).add("size", r.size);
    line.add("flags", render_open_flags(r.flags)).maybe("lock_owner", r.lock_owner);
  }
  void operator()(const WriteRequest& r) const {
    line.add("fh", r.handle).add("offset", r.offset).add("size", r.data.size());
    line.add("flags", render_open_flags(r.flags)).flag("from_cache", r.from_cache);
    line.flag("kill_suidgid", r.kill_suidgid).maybe("lock_owner", r.lock_owner);
  }
  void operator()(const StatfsRequest&) const {}
  void operator()(const ReleaseRequest& r) const {
    line.add("fh", r.handle).add("flags", render_open_flags(r.flags));
    line.add("lock_owner", r.lock_owner).flag("flush", r.flush);
    line.flag("flock_unlock", r.flock_unlock);
  }
  void operator()(const ReleasedirRequest& r) const { line.add("fh", r.handle); }
  void operator()(const FsyncRequest& r) const {
    line.add("fh", r.handle).flag("data_only", r.data_only);
  }
  void operator()(const FsyncdirRequest& r) const {
    line.add("fh", r.handle).flag("data_only", r.data_only);
  }
  void operator()(const FlushRequest& r) const {
    line.add("fh", r.handle).add("lock_owner", r.lock_owner);
  }
  void operator()(const SetxattrRequest& r) const {
    line.quoted("name", r.name).add("size", r.value.size());
    line.add("flags", join(r.flags, kXattrFlags)).flag("acl_kill_sgid", r.acl_kill_sgid);
  }
  void operator()(const GetxattrRequest& r) const {
    line.quoted("name", r.name).add("size", r.size);
  }
  void operator()(const ListxattrRequest& r) const { line.add("size", r.size); }
  void operator()(const RemovexattrRequest& r) const { line.quoted("name", r.name); }
  void operator()(const ReaddirRequest& r) const {
    line.add("fh", r.handle).add("offset", r.offset).add("size", r.size);
  }
  void operator()(const ReaddirplusRequest& r) const {
    line.add("fh", r.handle).add("offset", r.offset).add("size", r.size);
  }
  void operator()(const GetlkRequest& r) const { lock(r); }
  void operator()(const SetlkRequest& r) const { lock(r); }
  void operator()(const SetlkwRequest& r) const { lock(r); }
  void operator()(const AccessRequest& r) const { line.add("mask", access_text(r.mask)); }
  void operator()(const InterruptRequest& r) const { line.add("target", r.target.value); }
  void operator()(const BmapRequest& r) const {
    line.add("block", r.block).add("block_size", r.block_size);
  }
  void operator()(const DestroyRequest&) const {}
  void operator()(const IoctlRequest& r) const {
    line.add("fh", r.handle).add("command", ioctl_text(r.command));
    line.add("argument", hexadecimal(r.argument)).add("flags", join(r.flags, kIoctlFlags));
    line.add("in_size", r.in.size()).add("out_size", r.out_size);
  }
  void operator()(const PollRequest& r) const {
    line.add("fh", r.handle).add("kernel_handle", r.kernel_handle);
    line.add("events", join(r.events, kPollEvents));
    line.flag("schedule_notify", (r.flags & abi::kPollScheduleNotify) != 0);
  }
  void operator()(const NotifyReplyRequest& r) const {
    line.add("offset", r.offset).add("size", r.data.size());
  }
  void operator()(const FallocateRequest& r) const {
    line.add("fh", r.handle).add("offset", r.offset).add("length", r.length);
    line.add("mode", join(r.mode, kFallocateModes));
  }
  void operator()(const LseekRequest& r) const {
    line.add("fh", r.handle).add("offset", r.offset).add("whence", whence_text(r.whence));
  }
  void operator()(const CopyFileRangeRequest& r) const {
    line.add("fh_in", r.handle_in).add("offset_in", r.offset_in).add("node_out", r.node_out);
    line.add("fh_out", r.handle_out).add("offset_out", r.offset_out).add("length", r.length);
    line.add("flags", hexadecimal(r.flags));
  }
  void operator()(const SyncfsRequest&) const {}
  void operator()(const InitRequest& r) const {
    line.add("protocol", number(r.major) + '.' + number(r.minor));
    line.add("max_readahead", r.max_readahead).add("flags", hexadecimal(r.flags));
  }

 private:
  template <class R>
  void lock(const R& r) const {
    line.add("fh", r.handle).add("owner", hexadecimal(r.owner)).lock(r.lock);
    line.flag("flock", r.flock);
  }
};

struct NotificationRenderer {
  std::string operator()(const InvalidateInode& n) const {
    Line line;
    line.word("INVAL_INODE").add("node", n.node);
    if (n.offset < 0) return line.word("attributes_only").take();
    line.add("offset", signed_number(n.offset));
    return line.add("length", signed_number(n.length)).take();
  }
  std::string operator()(const InvalidateEntry& n) const {
    Line line;
    line.word("INVAL_ENTRY").add("parent", n.parent).quoted("name", n.name);
    return line.flag("expire_only", n.expire_only).take();
  }
  std::string operator()(const NotifyDelete& n) const {
    Line line;
    line.word("DELETE").add("parent", n.parent).add("child", n.child);
    return line.quoted("name", n.name).take();
  }
  std::string operator()(const NotifyPoll& n) const {
    return Line().word("POLL").add("kernel_handle", n.kernel_handle).take();
  }
  std::string operator()(const NotifyStore& n) const {
    Line line;
    line.word("STORE").add("node", n.node).add("offset", n.offset);
    return line.add("size", n.data.size()).take();
  }
  std::string operator()(const NotifyRetrieve& n) const {
    Line line;
    line.word("RETRIEVE").add("unique", n.unique.value).add("node", n.node);
    return line.add("offset", n.offset).add("size", n.size).take();
  }
  std::string operator()(const NotifyResend&) const { return "RESEND"; }
  std::string operator()(const NotifyIncrementEpoch&) const { return "INC_EPOCH"; }
  std::string operator()(const NotifyPrune& n) const {
    std::string nodes;
    for (const NodeId node : n.nodes) {
      if (!nodes.empty()) nodes += ',';
      nodes += number(node.value);
    }
    return Line().word("PRUNE").add("nodes", nodes).take();
  }
};

template <class Packer>
std::string packed_text(const Packer& packed) {
  return Line().add("entries", packed.entries()).add("size", packed.size()).take();
}

std::string padded(std::string_view text, std::size_t width) {
  std::string cell(text);
  if (cell.size() < width) cell.append(width - cell.size(), ' ');
  return cell;
}

std::string_view yes_no(bool value) {
  return value ? "yes" : "no";
}

}  // namespace

std::string quote(std::string_view text) {
  std::string out = "\"";
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    const auto byte = static_cast<unsigned char>(c);
    const std::size_t length = utf8_length(text, i);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7f || length == 0) {
      constexpr std::string_view kDigits = "0123456789abcdef";
      out += "\\x";
      out += kDigits[byte >> 4];
      out += kDigits[byte & 0xf];
    } else {
      out += text.substr(i, length);
    }
    i += std::max<std::size_t>(length, 1);
  }
  return out += '"';
}

std::string render_open_flags(std::uint32_t flags) {
  constexpr std::string_view kAccess[] = {"O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"};
  std::string text(kAccess[flags & O_ACCMODE]);
  const std::uint32_t others = flags & ~static_cast<std::uint32_t>(O_ACCMODE);
  if (others != 0) text.append(1, '|').append(join(others, kOpenFlags));
  return text;
}

std::string render_open_reply_flags(std::uint32_t flags) {
  return join(flags, kOpenReplyFlags);
}

std::string render(Errno error) {
  const char* const name = ::strerrorname_np(error.value());
  if (name != nullptr) return name;
  std::string text = "errno ";
  text += signed_number(error.value());
  return text;
}

std::string render(const RequestHeader& header, const Request& request) {
  Line line;
  line.word(opcode_info(header.opcode).name).add("node", header.node);
  std::visit(ArgumentRenderer{line}, request);
  return line.take();
}

std::string render(const Notification& notification) {
  return std::visit(NotificationRenderer{}, notification);
}

std::string render_value(const EntryReply& reply) {
  const Entry& entry = reply.entry;
  Line line;
  line.add("node", entry.node);
  if (entry.node == kNoNode)
    return line.add("entry_valid", duration_text(entry.entry_valid)).take();
  line.add("generation", entry.generation.value);
  line.add("entry_valid", duration_text(entry.entry_valid));
  line.add("attr_valid", duration_text(entry.attr_valid));
  return line.attr(entry.attr).take();
}

std::string render_value(const AttrReply& reply) {
  return Line().add("attr_valid", duration_text(reply.attr_valid)).attr(reply.attr).take();
}

std::string render_value(const StatxReply& reply) {
  Line line;
  line.add("attr_valid", duration_text(reply.attr_valid)).add("mask", hexadecimal(reply.mask));
  line.attr(reply.attr).add("btime", time_text(reply.btime.seconds, reply.btime.nanoseconds));
  line.add("attributes", hexadecimal(reply.attributes));
  return line.add("attributes_mask", hexadecimal(reply.attributes_mask)).take();
}

std::string render_value(const OpenReply& reply) {
  Line line;
  line.add("fh", reply.claim.handle()).add("open", render_open_reply_flags(reply.flags));
  if ((reply.flags & abi::open_reply::kPassthrough) != 0)
    line.add("backing_id", signed_number(reply.backing_id));
  return line.take();
}

std::string render_value(const CreateReply& reply) {
  return render_value(reply.entry) + ' ' + render_value(reply.open);
}

std::string render_value(const StatfsReply& reply) {
  Line line;
  line.add("blocks", reply.blocks).add("free", reply.blocks_free);
  line.add("available", reply.blocks_available).add("files", reply.files);
  line.add("files_free", reply.files_free).add("block_size", reply.block_size);
  return line.add("fragment_size", reply.fragment_size).add("name_max", reply.name_max).take();
}

std::string render_value(const IoctlReply& reply) {
  return Line().add("result", signed_number(reply.result)).add("out_size", reply.out_size).take();
}

std::string render_value(const LockReply& reply) {
  return Line().lock(reply.lock).take();
}

std::string render_value(const DirentPacker& packed) {
  return packed_text(packed);
}

std::string render_value(const DirentPlusPacker& packed) {
  return packed_text(packed);
}

std::string render_value(std::uint64_t count) {
  return number(count);
}

std::string render_init(const InitRequest& offer, const std::vector<FeatureRow>& rows,
                        const InitAgreement& agreement) {
  constexpr std::size_t kNarrow = 8;
  std::size_t name_width = std::string_view("flag").size();
  for (const FeatureRow& row : rows) name_width = std::max(name_width, row.name.size());
  name_width += 2;

  Line summary;
  summary.word("INIT").add("kernel", number(offer.major) + '.' + number(offer.minor));
  if (agreement.refusal != 0) {
    summary.add("refused", render(Errno{agreement.refusal}));
  } else {
    summary.add("agreed", number(abi::kMajor) + '.' + number(agreement.minor));
    summary.add("max_write", agreement.max_write).add("max_pages", agreement.max_pages);
    summary.add("max_readahead", agreement.max_readahead);
    summary.add("max_background", agreement.max_background);
    summary.add("congestion_threshold", agreement.congestion_threshold);
    summary.add("time_granularity", agreement.time_granularity);
    summary.add("max_stack_depth", agreement.max_stack_depth);
    summary.add("request_timeout", agreement.request_timeout);
  }
  std::string table = summary.take() + '\n';
  table += padded("flag", name_width) + padded("offered", kNarrow) + padded("wanted", kNarrow) +
           padded("agreed", kNarrow) + "why not\n";
  for (const FeatureRow& row : rows) {
    std::string text = padded(row.name, name_width) + padded(yes_no(row.offered), kNarrow) +
                       padded(yes_no(row.wanted), kNarrow) + padded(yes_no(row.agreed), kNarrow) +
                       std::string(row.why_not);
    text.erase(text.find_last_not_of(' ') + 1);
    table += text + '\n';
  }
  return table;
}

}  // namespace bough::proto
