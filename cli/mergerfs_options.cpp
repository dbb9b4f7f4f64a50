#include "cli/mergerfs_options.hpp"

#include <algorithm>
#include <array>
#include <string>

#include "cli/option_words.hpp"

namespace bough::cli {
namespace {

constexpr auto kMissing = std::to_array<std::string_view>({
    "allow-idmap",
    "branches-mount-timeout",
    "branches-mount-timeout-fail",
    "config",
    "follow-symlinks",
    "gid",
    "inodecalc",
    "lazy-umount-mountpoint",
    "link-cow",
    "link-exdev",
    "log.file",
    "moveonenospc",
    "never-forget-nodes",
    "noforget",
    "pin-threads",
    "posix-acl",
    "process-thread-count",
    "process-thread-queue-depth",
    "read-thread-count",
    "remember",
    "remember-nodes",
    "rename-exdev",
    "scheduling-priority",
    "symlinkify",
    "symlinkify-timeout",
    "uid",
    "umask",
});

constexpr auto kAlways = std::to_array<std::string_view>({
    "export-support",
    "kernel-permissions-check",
});

constexpr auto kNothing = std::to_array<std::string_view>({
    "atomic-o-trunc",
    "big-writes",
    "cache.open",
    "gid-cache.expire-timeout",
    "gid-cache.remove-timeout",
    "hard-remove",
    "no-splice-move",
    "no-splice-read",
    "no-splice-write",
    "splice-move",
    "splice-read",
    "splice-write",
    "use-ino",
});

template <class Names>
bool among(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

std::string_view about_mergerfs_option(std::string_view key) {
  const std::string name = canonical_key(key);
  if (among(kMissing, name))
    return "an option of mergerfs that boughfs does not have yet";
  if (among(kAlways, name)) return "an option of mergerfs; here it is always so";
  return {};
}

bool means_nothing(std::string_view key) {
  return among(kNothing, canonical_key(key));
}

}  // namespace bough::cli
