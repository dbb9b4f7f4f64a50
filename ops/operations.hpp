#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "ops/pool.hpp"
#include "proto/filesystem.hpp"

/// The operations of the pool, one source file a family (named in front of each group). UnionFs
/// delegates to these; their contracts are proto::Filesystem's.
namespace bough::ops {

using proto::Context;

// lookup.cpp
Result<proto::EntryReply> lookup(Pool&, const Context&, const proto::LookupRequest&);

// attr.cpp
Result<proto::AttrReply> getattr(Pool&, const Context&, const proto::GetattrRequest&);
Result<proto::StatxReply> statx(Pool&, const Context&, const proto::StatxRequest&);
Result<proto::AttrReply> setattr(Pool&, const Context&, const proto::SetattrRequest&);
Result<void> access(Pool&, const Context&, const proto::AccessRequest&);
/// Whether mode and owner let the caller do what `mask` (R_OK, W_OK, X_OK) asks for; EACCES if not.
Result<void> may_access(const Context&, std::uint32_t mode, std::uint32_t uid, std::uint32_t gid,
                        std::uint32_t mask) noexcept;
Result<std::size_t> readlink(Pool&, const Context&, std::span<std::byte> out);

// create.cpp
Result<proto::EntryReply> symlink(Pool&, const Context&, const proto::SymlinkRequest&);
Result<proto::EntryReply> mknod(Pool&, const Context&, const proto::MknodRequest&);
Result<proto::EntryReply> mkdir(Pool&, const Context&, const proto::MkdirRequest&);
Result<proto::CreateReply> create(Pool&, const Context&, const proto::CreateRequest&);
Result<proto::CreateReply> tmpfile(Pool&, const Context&, const proto::TmpfileRequest&);

// remove.cpp
Result<void> unlink(Pool&, const Context&, const proto::UnlinkRequest&);
Result<void> rmdir(Pool&, const Context&, const proto::RmdirRequest&);

// rename.cpp
Result<void> rename(Pool&, const Context&, const proto::RenameRequest&);

// link.cpp
Result<proto::EntryReply> link(Pool&, const Context&, const proto::LinkRequest&);

// open.cpp
Result<proto::OpenReply> open(Pool&, const Context&, const proto::OpenRequest&);
Result<void> flush(Pool&, const Context&, const proto::FlushRequest&);
/// RELEASE, RELEASEDIR, and a handle whose reply the kernel refused.
void close_handle(Pool&, proto::HandleId) noexcept;
/// The reply for a file that is open now: its handle is in the table, its node held. Used by create
/// and tmpfile too. `stat` is the file's from before the open or soon after it. ESTALE: the node is
/// bound to another file.
Result<proto::OpenReply> add_file_handle(Pool&, const Context&, NodeId, Fd, BranchId,
                                         const FileStat& stat, std::uint32_t flags);
/// The flags for the branch's descriptor: what must stay on our side of the wire is taken off, and
/// with cache.writeback a file is readable too, since the kernel fills up pages that a program
/// wrote in part.
int branch_open_flags(std::uint32_t flags, bool writeback) noexcept;
/// A file once more, by a descriptor of it. `flags` are the branch's, `asked` open(2)'s.
Result<Fd> reopen_file(Pool&, int path_fd, int flags, std::uint32_t asked);

// io.cpp
Result<std::size_t> read(Pool&, const Context&, const proto::ReadRequest&,
                         std::span<std::byte> out);
Result<std::uint32_t> write(Pool&, const Context&, const proto::WriteRequest&);
Result<void> fsync(Pool&, const Context&, const proto::FsyncRequest&);
Result<void> fallocate(Pool&, const Context&, const proto::FallocateRequest&);
Result<std::uint64_t> lseek(Pool&, const Context&, const proto::LseekRequest&);
Result<std::uint64_t> copy_file_range(Pool&, const Context&, const proto::CopyFileRangeRequest&);
/// Clears set-uid, and set-gid where the group may execute (HANDLE_KILLPRIV_V2).
Result<void> clear_set_ids(Pool&, int path_fd);

// dir.cpp
Result<proto::OpenReply> opendir(Pool&, const Context&, const proto::OpendirRequest&);
Result<void> readdir(Pool&, const Context&, const proto::ReaddirRequest&, proto::DirentPacker&);
Result<void> readdirplus(Pool&, const Context&, const proto::ReaddirplusRequest&,
                         proto::DirentPlusPacker&);
Result<void> fsyncdir(Pool&, const Context&, const proto::FsyncdirRequest&);
/// Drops what idle directory handles can read again.
void let_go_of_listings(Pool&) noexcept;

// xattr.cpp
/// What the options xattr and security-capability say of a name, before anybody is asked. `nosys`
/// is EOPNOTSUPP, which programs would see anyway: after an ENOSYS the kernel would ask no more,
/// not for the control file either, whatever is set later.
[[nodiscard]] std::optional<Errno> refused_xattr(const Settings&, std::string_view name) noexcept;
Result<void> setxattr(Pool&, const Context&, const proto::SetxattrRequest&);
Result<std::size_t> getxattr(Pool&, const Context&, const proto::GetxattrRequest&,
                             std::span<std::byte> out);
Result<std::size_t> listxattr(Pool&, const Context&, const proto::ListxattrRequest&,
                              std::span<std::byte> out);
Result<void> removexattr(Pool&, const Context&, const proto::RemovexattrRequest&);

// statfs.cpp
Result<proto::StatfsReply> statfs(Pool&, const Context&);

// ioctl.cpp
Result<proto::IoctlReply> ioctl(Pool&, const Context&, const proto::IoctlRequest&,
                                std::span<std::byte> out);

}  // namespace bough::ops
