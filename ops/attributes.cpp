#include "ops/attributes.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <optional>

#include "ops/converted_link.hpp"
#include "ops/inode_number.hpp"

namespace bough::ops {
namespace {

/// The kernel's 32-bit device number (Linux, new_encode_dev()).
std::uint32_t encode_device(std::uint32_t major, std::uint32_t minor) noexcept {
  return (minor & 0xffU) | (major << 8) | ((minor & ~0xffU) << 12);
}

std::chrono::nanoseconds for_now(const Pool& pool, std::chrono::nanoseconds time) noexcept {
  constexpr std::chrono::nanoseconds kMost = std::chrono::seconds(1);
  return pool.absences.any() ? std::min(time, kMost) : time;
}

}  // namespace

proto::Attr to_attr(const Pool& pool, const FileStat& stat, std::uint64_t ino) noexcept {
  proto::Attr attr;
  attr.ino = ino;
  attr.size = stat.size;
  attr.blocks = stat.blocks;
  attr.atime = stat.atime;
  attr.mtime = stat.mtime;
  attr.ctime = stat.ctime;
  attr.mode = stat.mode;
  attr.nlink = stat.nlink;
  attr.uid = stat.uid;
  attr.gid = stat.gid;
  attr.rdev = encode_device(stat.rdev_major, stat.rdev_minor);
  const bool power_of_two = (stat.block_size & (stat.block_size - 1)) == 0;
  attr.block_size = power_of_two ? stat.block_size : 0;
  pool.settings.shown.apply(attr);
  return attr;
}

std::uint64_t number_of(Pool& pool, NodeId node, std::uint64_t own, const FileStat& stat,
                        BranchId branch) {
  const InodeCalc calc = pool.settings.inode_calc;
  const bool directory = stat.is_directory();
  // The root of a pool without a branch that answers is no inode at all.
  if (calc == InodeCalc::kPassthrough && stat.id.ino == 0) return own;
  return shown_ino(
      calc, stat,
      [&] {
        const auto sum = directory ? std::nullopt : pool.nodes.path_sum_of(node);
        return sum ? path_ino(*sum) : own;
      },
      [&] {
        if (!directory || node == proto::kRootNode) return own;
        if (pool.nodes.followed_directory(node)) return number_outside(pool, stat.id);
        const auto set = pool.branches.snapshot();
        const Branch* const on = set->by_id(branch);
        return on != nullptr ? on->user_ino(stat.id) : own;
      });
}

bool has_set_ids(const FileStat& stat) noexcept {
  constexpr std::uint32_t kRunsAsGroup = S_ISGID | S_IXGRP;
  return stat.is_regular() &&
         ((stat.mode & S_ISUID) != 0 || (stat.mode & kRunsAsGroup) == kRunsAsGroup);
}

std::chrono::nanoseconds attr_validity(const Pool& pool, const FileStat& stat) noexcept {
  if (pool.passthrough.started() && has_set_ids(stat)) return std::chrono::nanoseconds(0);
  return for_now(pool, pool.settings.attr_valid);
}

std::chrono::nanoseconds entry_validity(const Pool& pool) noexcept {
  return for_now(pool, pool.settings.entry_valid);
}

std::chrono::nanoseconds negative_validity(const Pool& pool) noexcept {
  if (pool.absences.any()) return std::chrono::nanoseconds(0);
  return pool.settings.negative_valid;
}

namespace {

proto::EntryReply reply_of(Pool& pool, const NodeTable::Counted& counted, const FileStat& stat,
                           BranchId branch) {
  proto::EntryReply reply;
  reply.claim = proto::LookupClaim(pool.owner, counted.node);
  reply.entry.node = counted.node;
  reply.entry.generation = pool.nodes.generation(counted.node);
  reply.entry.entry_valid = entry_validity(pool);
  reply.entry.attr_valid = attr_validity(pool, stat);
  reply.entry.attr = to_attr(pool, stat, number_of(pool, counted.node, counted.ino, stat, branch));
  return reply;
}

}  // namespace

Result<proto::EntryReply> make_entry(Pool& pool, NodeId parent, std::string_view name,
                                     const Branch& branch, const FileStat& stat) {
  // OPEN tells a node, not the name that it is opened by: what breaks links must know the name.
  // But who writes shares the node, since the kernel has one size and one page cache for each.
  const bool cow = stat.nlink > 1 && stat.is_regular() && pool.settings.links.cow;
  const NodeId writer = cow ? pool.handles.writer_of(stat.id) : proto::kNoNode;
  const bool apart = cow && writer == proto::kNoNode;
  const Location where{branch.id(), stat.id};
  const auto counted =
      stat.is_directory()
          ? pool.nodes.count_directory(parent, name, where)
          : pool.nodes.count_file(parent, name, where, number_in(pool, parent, branch, stat.id),
                                  apart, writer);
  if (!counted) return Errno{ESTALE};
  pool.free_names.found(parent, name);
  return reply_of(pool, *counted, stat, branch.id());
}

Result<proto::EntryReply> show_entry(Pool& pool, NodeId parent, std::string_view name,
                                     const Branch& branch, const Shown& shown) {
  const FileStat& stat = shown.stat;
  const Location where{branch.id(), stat.id};
  if (shown.followed) {
    const auto counted = pool.nodes.count_followed(
        parent, name, where, number_outside(pool, stat.id), stat.is_directory());
    if (!counted) return Errno{ESTALE};
    pool.free_names.found(parent, name);
    return reply_of(pool, *counted, stat, branch.id());
  }
  if (!pool.settings.links.symlinkify || !is_due(pool.settings.links, stat))
    return make_entry(pool, parent, name, branch, stat);
  PathText directory;
  if (!pool.nodes.directory_path(parent, directory)) return Errno{ESTALE};
  const std::size_t size = link_size(branch, directory.view(), name);
  if (size > kLinkMax) return make_entry(pool, parent, name, branch, stat);
  const auto counted = pool.nodes.count_link(parent, name, where, branch.user_ino(stat.id));
  if (!counted) return make_entry(pool, parent, name, branch, stat);
  pool.free_names.found(parent, name);
  auto reply = reply_of(pool, *counted, as_link(stat, size), branch.id());
  // Who goes by the link changes the file where we do not see it.
  reply.entry.entry_valid = std::chrono::nanoseconds(0);
  return reply;
}

}  // namespace bough::ops
