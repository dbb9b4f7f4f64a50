#include "ops/union_fs.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <random>
#include <string>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "ops/branch_editor.hpp"
#include "ops/branch_presence.hpp"
#include "ops/caller.hpp"
#include "ops/control_file.hpp"
#include "ops/control_keys.hpp"
#include "ops/first_branches.hpp"
#include "ops/freed_space.hpp"
#include "ops/hash.hpp"
#include "ops/lanes.hpp"
#include "ops/link_cow.hpp"
#include "ops/move_call.hpp"
#include "ops/operations.hpp"
#include "ops/pool.hpp"
#include "ops/pool_report.hpp"
#include "ops/room.hpp"
#include "ops/settle_moves.hpp"
#include "ops/virtual_xattr.hpp"

namespace bough::ops {
namespace {

std::uint64_t random_number() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

/// SplitMix64: a counter and a mixer, so that threads share it without a lock.
class SharedRandom final : public policy::Random {
 public:
  explicit SharedRandom(std::uint64_t seed) noexcept : state_(seed) {}
  std::uint64_t next() override {
    constexpr std::uint64_t kStep = 0x9e3779b97f4a7c15;
    return mix_hash(state_.fetch_add(kStep, std::memory_order_relaxed) + kStep);
  }

 private:
  std::atomic<std::uint64_t> state_;
};

/// Whether this thread can take an id that is not its own, and come back. Root of a user namespace
/// with one single user cannot: there are no others there.
bool can_become_others(Backing& backing, const Identity& own) {
  if (own.uid != 0) return false;
  Identity other = own;
  other.uid = 1;
  other.gid = 1;
  if (!backing.become(other, false)) return false;
  if (const auto back = backing.become(own, true); !back)
    throw std::system_error(back.error().value(), std::generic_category(),
                            "cannot take the daemon's own user again");
  return true;
}

/// Empty: the kernel takes backing files.
std::string why_no_passthrough(const FileSettings& files, const proto::InitAgreement& agreement,
                               proto::KernelPort& port) {
  if (files.null_rw) return "nullrw is on";
  if (files.writeback) return "cache.writeback is on, and the kernel has only one of both";
  if (!agreement.features.has(proto::Feature::kPassthrough))
    return "this kernel does not have it (Linux 6.9 and later do)";
  // Rights are looked at before the descriptor (Linux, fs/fuse: fuse_backing_open()).
  const auto tried = port.open_backing(-1);
  if (!tried && tried.error() == Errno{EBADF}) return {};
  if (!tried && tried.error() == Errno{EPERM})
    return "the kernel grants it to the system's own root alone";
  return "the kernel refuses it";
}

/// For the log: what holds until the branch is back, and what to do.
std::string while_absent(BranchAbsent how, const std::string& mountpoint) {
  switch (how) {
    case BranchAbsent::kHide:
      return "the pool goes on without it (branch-absent=hide) until its disk is mounted";
    case BranchAbsent::kReadonly:
      return "nothing in the pool can be changed (branch-absent=readonly) until its disk is "
             "mounted";
    case BranchAbsent::kEio:
    case BranchAbsent::kRefuse:
      break;
  }
  return "what it may hold gives an I/O error until its disk is mounted; to go on without it: "
         "boughfs ctl " +
         (mountpoint.empty() ? "MOUNT" : mountpoint) + " set branch-absent hide";
}

std::vector<proto::Setting> with_rows(std::vector<proto::Setting> all,
                                      std::vector<proto::Setting> more) {
  std::move(more.begin(), more.end(), std::back_inserter(all));
  return all;
}

class UnionFs final : public proto::Filesystem {
 public:
  UnionFs(Backing& backing, Settings& settings, ControlOptions control)
      : random_(random_number()),
        pool_(backing, settings,
              std::make_shared<const BranchSet>(std::vector<std::shared_ptr<Branch>>()),
              Generation{random_number() | 1}, random_, *this),
        witness_(backing, std::move(control.state_file), control.mountpoint),
        mounted_inside_(control.mounted_inside),
        editor_(pool_, std::move(control.places), witness_),
        control_(with_rows(not_in_vain(std::move(control.rows), pool_), pool_rows(pool_, editor_)),
                 pool_commands(
                     pool_, [this] { UnionFs::idle(); }, std::move(control.mounted_inside)),
                 control.complain) {
    pool_.complain = std::move(control.complain);
    if (const std::string line = witness_.unread(); !line.empty()) pool_.complain(line);
    pool_.notice = std::move(control.notice);
    pool_.absences.examine_by(
        [this](const std::string& path, int root) {
          std::string why = same_as_another(path, root);
          return why.empty() ? witness_.why_not(path, root) : why;
        },
        [this](int root) { return witness_.vouched(root); });
    pool_.branches.replace(open_branches(backing, settings.branches, pool_.absences,
                                         settings.branch_absent, witness_));
    control.hand_over({[this](std::string_view key, std::string_view value, std::string& why) {
                         return control_.change(key, value, why);
                       },
                       [this](std::string_view key) { return control_.value(key); }});
    pool_.mountpoint = std::move(control.mountpoint);
    pool_.own_device = std::move(control.own_device);
  }

  ~UnionFs() override {
    // Its thread uses what goes before the pool does.
    while (!pool_.relocations.stop(std::chrono::hours(1)) ||
           !pool_.absences.stop(std::chrono::hours(1))) {
    }
    static_cast<void>(UnionFs::stop(std::chrono::milliseconds(0)));
  }

  // --- life
  void want(proto::InitWants& wants) const override {
    using proto::Feature;
    for (const Feature feature :
         {Feature::kAtomicOTrunc, Feature::kExportSupport, Feature::kDontMask,
          Feature::kAutoInvalData, Feature::kDoReaddirplus, Feature::kReaddirplusAuto,
          Feature::kSetxattrExt, Feature::kCreateSuppGroup, Feature::kHasExpireOnly})
      wants.features.add(feature);
    if (pool_.settings.cache_symlinks) wants.features.add(Feature::kCacheSymlinks);
    if (pool_.settings.direct_io_allow_mmap) wants.features.add(Feature::kDirectIoAllowMmap);
    if (pool_.settings.posix_acl) wants.features.add(Feature::kPosixAcl);
    if (pool_.settings.allow_idmap) wants.features.add(Feature::kAllowIdmap);
    const FileSettings& files = pool_.settings.files;
    if (files.handle_killpriv) wants.features.add(Feature::kHandleKillprivV2);
    if (files.writeback) wants.features.add(Feature::kWritebackCache);
    if (!files.null_rw) {
      wants.features.add(Feature::kPassthrough);
      wants.max_stack_depth = files.passthrough_stack_depth;
    }
  }

  void start(const proto::InitAgreement& agreement, proto::KernelPort& port) override {
    pool_.agreement = agreement;
    pool_.settings.cache_symlinks = agreement.features.has(proto::Feature::kCacheSymlinks);
    pool_.settings.direct_io_allow_mmap =
        agreement.features.has(proto::Feature::kDirectIoAllowMmap);
    pool_.settings.posix_acl = agreement.features.has(proto::Feature::kPosixAcl);
    pool_.settings.allow_idmap = agreement.features.has(proto::Feature::kAllowIdmap);
    if (pool_.settings.never_forget) pool_.nodes.keep_named();
    FileSettings& files = pool_.settings.files;
    files.handle_killpriv = agreement.features.has(proto::Feature::kHandleKillprivV2);
    files.writeback = agreement.features.has(proto::Feature::kWritebackCache);
    pool_.port = &port;
    start_passthrough(agreement, port);
    pool_.own = pool_.backing.identity();
    pool_.may_become = can_become_others(pool_.backing, pool_.own);
    for (const auto& branch : *pool_.branches.snapshot())
      if (!branch->absent()) note_use(*branch);
    finish_moves(pool_);
    pool_.absences.start(
        [this](const Branch& branch, bool there) { branch_changed(branch, there); });
  }

  void thread_started() override {
    auto done = pool_.backing.own_thread_state();
    if (done) done = pool_.backing.become(pool_.own, true);
    if (!done)
      throw std::system_error(done.error().value(), std::generic_category(),
                              "cannot give a thread its own umask");
  }

  void idle() noexcept override {
    for (const auto& branch : *pool_.branches.snapshot()) branch->let_go();
    pool_.directories.clear();
    pool_.name_index.clear();
    pool_.settings.files.process_names.let_go();
    let_go_of_listings(pool_);
    pool_.refresher.rest();
    pool_.listers.rest();
    pool_.relocations.rest();
  }

  bool stop(std::chrono::milliseconds patience) noexcept override {
    const bool looked = pool_.absences.stop(patience);
    const bool refreshed = pool_.refresher.stop(patience);
    const bool settled = pool_.relocations.stop(patience);
    const bool alone = pool_.listers.stop(patience) && refreshed && looked && settled;
    pool_.handles.clear();
    pool_.nodes.clear();
    return alone;
  }

  // --- claims
  void drop_lookup(NodeId node, std::uint64_t count) noexcept override {
    pool_.nodes.forget(node, count);
  }
  void drop_handle(proto::HandleId handle) noexcept override { close_handle(pool_, handle); }

  [[nodiscard]] bool still_waits(std::uint64_t until) const noexcept override {
    return pool_.relocations.under_way(until);
  }

  // --- for people
  [[nodiscard]] std::string pool_path(NodeId node) const override {
    return ops::pool_path(pool_, node);
  }
  void count(std::vector<proto::Counter>& into) const override { count_pool(pool_, into); }

  // --- order
  /// A file handle's id carries the lane of its branch; that of a directory, 0. The control file
  /// waits for no branch.
  [[nodiscard]] std::uint32_t lane(const proto::RequestHeader& header,
                                   const proto::Request& request) const noexcept override {
    if (is_control_node(header.node)) return kControlLane;
    if (const auto* const look = std::get_if<proto::LookupRequest>(&request);
        look != nullptr && look->name && is_control_name(header.node, look->name->view()))
      return kControlLane;
    const auto by_handle = [this](const auto& in) -> std::uint32_t {
      if constexpr (requires { in.handle_in; }) {
        const std::uint32_t from = lane_of_file(in.handle_in);
        return from == lane_of_file(in.handle_out) ? from : 0;
      } else if constexpr (requires { in.handle.has_value(); }) {
        return in.handle ? lane_of_file(*in.handle) : 0;
      } else if constexpr (requires { in.handle; }) {
        return lane_of_file(in.handle);
      } else {
        return 0;
      }
    };
    return std::visit(by_handle, request);
  }

  // --- names
  Result<proto::EntryReply> lookup(const Context& context,
                                   const proto::LookupRequest& request) override {
    using Target = proto::LookupRequest::Target;
    if (is_control_node(context.node)) {
      if (request.target == Target::kSelf) return control_entry(context.node);
      if (request.target == Target::kName) return Errno{ENOTDIR};
      Context above = context;
      above.node = proto::kRootNode;
      proto::LookupRequest root = request;
      root.target = Target::kSelf;
      return lookup(above, root);
    }
    if (request.name && is_control_name(context.node, request.name->view()))
      return control_entry(control_node(context.node, request.name->view()));
    return by_path([&] { return ops::lookup(pool_, context, request); });
  }
  void forget(NodeId node, std::uint64_t count) noexcept override {
    if (is_control_node(node)) return;
    pool_.nodes.forget(node, count);
  }
  Result<proto::EntryReply> symlink(const Context& context,
                                    const proto::SymlinkRequest& request) override {
    if (is_control_name(context.node, request.name.view())) return Errno{EEXIST};
    return by_path([&] {
      return with_freed_space(pool_, [&] { return ops::symlink(pool_, context, request); });
    });
  }
  Result<proto::EntryReply> mknod(const Context& context,
                                  const proto::MknodRequest& request) override {
    if (is_control_name(context.node, request.name.view())) return Errno{EEXIST};
    return by_path([&] {
      return with_freed_space(pool_, [&] { return ops::mknod(pool_, context, request); });
    });
  }
  Result<proto::EntryReply> mkdir(const Context& context,
                                  const proto::MkdirRequest& request) override {
    if (is_control_name(context.node, request.name.view())) return Errno{EEXIST};
    return by_path([&] {
      return with_freed_space(pool_, [&] { return ops::mkdir(pool_, context, request); });
    });
  }
  Result<void> unlink(const Context& context, const proto::UnlinkRequest& request) override {
    if (is_control_name(context.node, request.name.view())) return Errno{EPERM};
    return by_path([&] { return ops::unlink(pool_, context, request); });
  }
  Result<void> rmdir(const Context& context, const proto::RmdirRequest& request) override {
    if (is_control_name(context.node, request.name.view())) return Errno{ENOTDIR};
    return by_path([&] { return ops::rmdir(pool_, context, request); });
  }
  Result<void> rename(const Context& context, const proto::RenameRequest& request) override {
    if (is_control_name(context.node, request.old_name.view())) return Errno{EPERM};
    if (is_control_name(request.new_parent, request.new_name.view()))
      return Errno{(request.flags & kNoReplace) != 0 ? EEXIST : EPERM};
    if (!moves_directory(context, request))
      return by_path([&] { return ops::rename(pool_, context, request); });
    const Gate::Closure alone(pool_.gate, kMovePatience);
    if (!alone.closed()) return Errno{EBUSY};
    auto done = ops::rename(pool_, context, request);
    pool_.directories.moved();
    return done;
  }
  Result<proto::EntryReply> link(const Context& context,
                                 const proto::LinkRequest& request) override {
    if (is_control_name(context.node, request.new_name.view())) return Errno{EEXIST};
    if (is_control_node(request.old_node)) return Errno{EPERM};
    return by_path([&] {
      return with_freed_space(pool_, [&] { return ops::link(pool_, context, request); });
    });
  }

  // --- attributes
  Result<proto::AttrReply> getattr(const Context& context,
                                   const proto::GetattrRequest& request) override {
    if (is_control_node(context.node)) return control_attr(context.node);
    return by_path([&] { return ops::getattr(pool_, context, request); });
  }
  Result<proto::StatxReply> statx(const Context& context,
                                  const proto::StatxRequest& request) override {
    if (is_control_node(context.node)) {
      proto::StatxReply reply;
      reply.attr_valid = pool_.settings.attr_valid;
      reply.mask = STATX_BASIC_STATS;
      reply.attr = control_.attr(context.node, pool_.own);
      return reply;
    }
    return by_path([&] { return ops::statx(pool_, context, request); });
  }
  Result<proto::AttrReply> setattr(const Context& context,
                                   const proto::SetattrRequest& request) override {
    if (is_control_node(context.node)) return Errno{EPERM};
    if (request.handle) {
      const auto handle = pool_.handles.file(*request.handle);
      if (!handle) return Errno{EBADF};
      return change_attributes(context, request, *handle);
    }
    if (!request.size) return change_attributes(context, request, context.node);
    const auto same_file = own_file(pool_, context, context.node, true);
    if (!same_file) return same_file.error();
    return change_attributes(context, request, context.node);
  }
  Result<void> access(const Context& context, const proto::AccessRequest& request) override {
    if (is_control_node(context.node)) {
      const proto::Attr attr = control_.attr(context.node, pool_.own);
      return may_access(context, attr.mode, attr.uid, attr.gid, request.mask);
    }
    return by_path([&] { return ops::access(pool_, context, request); });
  }
  Result<std::size_t> readlink(const Context& context, const proto::ReadlinkRequest&,
                               std::span<std::byte> out) override {
    if (is_control_node(context.node)) return Errno{EINVAL};
    return by_path([&] { return ops::readlink(pool_, context, out); });
  }
  Result<proto::StatfsReply> statfs(const Context& context, const proto::StatfsRequest&) override {
    return ops::statfs(pool_, context);
  }
  Result<void> setxattr(const Context& context, const proto::SetxattrRequest& request) override {
    if (is_control_node(context.node)) {
      if (!may_control(context)) return Errno{EPERM};
      return control_.set(request.name, request.value, request.flags);
    }
    if (const auto refused = refused_xattr(pool_.settings, request.name)) return *refused;
    if (own_key(request.name)) return Errno{EPERM};
    return by_path([&] {
      return unless_moving(pool_, context, context.node, [&] {
        return with_freed_space(pool_, [&] { return ops::setxattr(pool_, context, request); });
      });
    });
  }
  Result<std::size_t> getxattr(const Context& context, const proto::GetxattrRequest& request,
                               std::span<std::byte> out) override {
    const auto room = out.first(std::min<std::size_t>(out.size(), request.size));
    if (is_control_node(context.node)) return control_.get(request.name, room);
    if (const auto refused = refused_xattr(pool_.settings, request.name)) return *refused;
    if (const auto key = own_key(request.name))
      return by_path([&] { return get_virtual(pool_, context, *key, room); });
    return by_path([&] { return ops::getxattr(pool_, context, request, out); });
  }
  Result<std::size_t> listxattr(const Context& context, const proto::ListxattrRequest& request,
                                std::span<std::byte> out) override {
    if (is_control_node(context.node))
      return control_.list(context.node,
                           out.first(std::min<std::size_t>(out.size(), request.size)));
    return by_path([&] { return ops::listxattr(pool_, context, request, out); });
  }
  Result<void> removexattr(const Context& context,
                           const proto::RemovexattrRequest& request) override {
    if (is_control_node(context.node)) return Errno{ENODATA};
    if (const auto refused = refused_xattr(pool_.settings, request.name)) return *refused;
    if (own_key(request.name)) return Errno{EPERM};
    return by_path([&] {
      return unless_moving(pool_, context, context.node,
                           [&] { return ops::removexattr(pool_, context, request); });
    });
  }

  // --- files
  Result<proto::OpenReply> open(const Context& context,
                                const proto::OpenRequest& request) override {
    if (is_control_node(context.node)) return Errno{EPERM};
    const bool changes = (request.flags & O_ACCMODE) != O_RDONLY || (request.flags & O_TRUNC) != 0;
    const auto same_file = own_file(pool_, context, context.node, changes);
    if (!same_file) return same_file.error();
    const auto open = [&] { return ops::open(pool_, context, request); };
    if ((request.flags & O_TRUNC) == 0) return by_path(open);
    return by_path([&] { return unless_moving(pool_, context, context.node, open); });
  }
  Result<proto::CreateReply> create(const Context& context,
                                    const proto::CreateRequest& request) override {
    if (is_control_name(context.node, request.name.view())) return Errno{EEXIST};
    return by_path([&] {
      return with_freed_space(pool_, [&] { return ops::create(pool_, context, request); });
    });
  }
  Result<proto::CreateReply> tmpfile(const Context& context,
                                     const proto::TmpfileRequest& request) override {
    return by_path([&] {
      return with_freed_space(pool_, [&] { return ops::tmpfile(pool_, context, request); });
    });
  }
  Result<std::size_t> read(const Context& context, const proto::ReadRequest& request,
                           std::span<std::byte> out) override {
    return ops::read(pool_, context, request, out);
  }
  Result<std::uint32_t> write(const Context& context, const proto::WriteRequest& request) override {
    return ops::write(pool_, context, request);
  }
  Result<void> flush(const Context& context, const proto::FlushRequest& request) override {
    return ops::flush(pool_, context, request);
  }
  Result<void> release(const Context&, const proto::ReleaseRequest& request) override {
    close_handle(pool_, request.handle);
    return {};
  }
  Result<void> fsync(const Context& context, const proto::FsyncRequest& request) override {
    return ops::fsync(pool_, context, request);
  }
  Result<void> fallocate(const Context& context, const proto::FallocateRequest& request) override {
    return ops::fallocate(pool_, context, request);
  }
  Result<std::uint64_t> lseek(const Context& context, const proto::LseekRequest& request) override {
    return ops::lseek(pool_, context, request);
  }
  Result<std::uint64_t> copy_file_range(const Context& context,
                                        const proto::CopyFileRangeRequest& request) override {
    return ops::copy_file_range(pool_, context, request);
  }
  Result<proto::IoctlReply> ioctl(const Context& context, const proto::IoctlRequest& request,
                                  std::span<std::byte> out) override {
    if (is_control_node(context.node)) return Errno{ENOTTY};
    if (is_move_call(request.command)) {
      if (!may_move(context)) return Errno{EPERM};
      return serve_move_call(pool_, context, request);
    }
    const auto run = [&] { return ops::ioctl(pool_, context, request, out); };
    if (const auto file = pool_.handles.file(request.handle))
      return by_path([&] { return unless_moving(pool_, context, *file, run); });
    return by_path(run);
  }
  // Locks are the kernel's own while POSIX_LOCKS and FLOCK_LOCKS are not wanted: none of these
  // comes.
  Result<proto::LockReply> getlk(const Context&, const proto::GetlkRequest&) override {
    return Errno{EOPNOTSUPP};
  }
  Result<void> setlk(const Context&, const proto::SetlkRequest&) override {
    return Errno{EOPNOTSUPP};
  }
  void setlkw(const Context&, const proto::SetlkwRequest&, proto::Reply<void> reply) override {
    reply.answer(Errno{EOPNOTSUPP});
  }

  // --- directories
  Result<proto::OpenReply> opendir(const Context& context,
                                   const proto::OpendirRequest& request) override {
    if (is_control_node(context.node)) return Errno{ENOTDIR};
    return by_path([&] { return ops::opendir(pool_, context, request); });
  }
  Result<void> readdir(const Context& context, const proto::ReaddirRequest& request,
                       proto::DirentPacker& out) override {
    return by_path([&] { return ops::readdir(pool_, context, request, out); });
  }
  Result<void> readdirplus(const Context& context, const proto::ReaddirplusRequest& request,
                           proto::DirentPlusPacker& out) override {
    return by_path([&] { return ops::readdirplus(pool_, context, request, out); });
  }
  Result<void> releasedir(const Context&, const proto::ReleasedirRequest& request) override {
    close_handle(pool_, request.handle);
    return {};
  }
  Result<void> fsyncdir(const Context& context, const proto::FsyncdirRequest& request) override {
    return by_path([&] { return ops::fsyncdir(pool_, context, request); });
  }
  /// sync(2) reaches the branches' file systems by itself, and syncfs(2) is only sent to mounts of
  /// other kinds than ours.
  Result<void> syncfs(const Context&, const proto::SyncfsRequest&) override { return {}; }

 private:
  /// Longer than a disk takes to spin up.
  static constexpr std::chrono::seconds kMovePatience{30};
  /// RENAME_NOREPLACE of renameat2(2).
  static constexpr std::uint32_t kNoReplace = 1;
  /// Above those of the branches.
  static constexpr std::uint32_t kControlLane = 255;

  /// Of an open file's branch, which is not the one that its id tells once files have moved.
  [[nodiscard]] std::uint32_t lane_of_file(proto::HandleId id) const noexcept {
    const std::uint32_t opened = HandleTable::tag(id);
    if (opened == 0 || pool_.relocations.moved() == 0) return opened;
    const BranchId branch = pool_.handles.branch_of(id);
    return branch == kNoBranch ? opened : lane_of(branch);
  }

  /// On the thread of Absences, or before the first request.
  void branch_changed(const Branch& branch, bool there) {
    if (there)
      pool_.notice("branch " + branch.path() + " is back");
    else
      pool_.complain("branch " + branch.path() + " is absent: " + branch.why_absent() + "; " +
                     while_absent(pool_.settings.branch_absent, pool_.mountpoint));
    pool_.directories.clear();
    pool_.free_names.forget_all();
    expire_names(pool_, mounted_inside_);
    if (!there) return;
    finish_moves(pool_);
    if (Branch* const back = pool_.branches.snapshot()->by_id(branch.id())) note_use(*back);
  }

  /// Else each of its names would have two copies that are one file.
  [[nodiscard]] std::string same_as_another(const std::string& path, int root) const {
    const auto found = pool_.backing.stat(root);
    if (!found) return {};
    for (const auto& other : *pool_.branches.snapshot()) {
      const FileId id = other->root_id();
      if (!other->absent() && other->path() != path && other->device() == found->id.device &&
          id.ino == found->id.ino && id.birth_ns == found->id.birth_ns)
        return "it is the same directory as branch " + other->path();
    }
    return {};
  }

  void note_use(Branch& branch) {
    if (const std::string line = witness_.uses(branch); !line.empty()) pool_.complain(line);
  }

  void start_passthrough(const proto::InitAgreement& agreement, proto::KernelPort& port) {
    FileSettings& files = pool_.settings.files;
    files.no_passthrough = why_no_passthrough(files, agreement, port);
    if (files.no_passthrough.empty()) return pool_.passthrough.start(port);
    const PassthroughIo asked = files.passthrough;
    files.passthrough = PassthroughIo::kOff;
    if (asked != PassthroughIo::kOff && asked != PassthroughIo::kAuto)
      pool_.complain("passthrough.io is off: " + files.no_passthrough);
  }

  /// Nothing is counted: the node is always there.
  [[nodiscard]] proto::EntryReply control_entry(NodeId control) const {
    proto::EntryReply reply;
    reply.entry.node = control;
    reply.entry.entry_valid = pool_.settings.entry_valid;
    reply.entry.attr_valid = pool_.settings.attr_valid;
    reply.entry.attr = control_.attr(control, pool_.own);
    return reply;
  }
  [[nodiscard]] proto::AttrReply control_attr(NodeId control) const {
    return {pool_.settings.attr_valid, control_.attr(control, pool_.own)};
  }

  /// By one of the file's handles, or by its node.
  template <class Subject>
  Result<proto::AttrReply> change_attributes(const Context& context,
                                             const proto::SetattrRequest& request,
                                             Subject&& subject) {
    return by_path([&] {
      return with_room(pool_, context, subject, request.size.value_or(0),
                       [&] { return ops::setattr(pool_, context, request); });
    });
  }

  /// The kernel has checked who may write the control file, by its owner. Where the pool is
  /// idmapped that owner is somebody else, root of a container perhaps, who must not choose
  /// directories of this system as branches.
  [[nodiscard]] bool may_control(const Context& context) const {
    if (!is_anonymous(context)) return true;
    const auto uid = uid_of_caller(context);
    return uid && (*uid == 0 || *uid == pool_.own.uid);
  }

  /// Who may set the control file may also say where files are. The kernel has looked at nothing.
  [[nodiscard]] bool may_move(const Context& context) const {
    if (is_anonymous(context)) return may_control(context);
    return context.uid == 0 || context.uid == pool_.own.uid;
  }

  template <class Operation>
  auto by_path(Operation operation) -> decltype(operation()) {
    const Gate::Passage passage(pool_.gate);
    return operation();
  }

  /// Whether a RENAME moves a directory, or may for all that is known.
  [[nodiscard]] bool moves_directory(const Context& context,
                                     const proto::RenameRequest& request) const {
    constexpr std::uint32_t kExchange = 2;
    const auto is_file = [this](NodeId parent, std::string_view name) {
      NodeView view;
      const NodeId child = pool_.nodes.child(parent, name);
      return child != proto::kNoNode && pool_.nodes.view(child, view) && !view.directory;
    };
    if (!is_file(context.node, request.old_name.view())) return true;
    return (request.flags & kExchange) != 0 &&
           !is_file(request.new_parent, request.new_name.view());
  }

  SharedRandom random_;
  Pool pool_;
  BranchWitness witness_;
  std::function<std::string()> mounted_inside_;
  BranchEditor editor_;
  ControlFile control_;
};

}  // namespace

std::unique_ptr<proto::Filesystem> make_union_fs(Backing& backing, Settings& settings,
                                                 ControlOptions control) {
  return std::make_unique<UnionFs>(backing, settings, std::move(control));
}

}  // namespace bough::ops
