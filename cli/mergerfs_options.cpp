#include "cli/mergerfs_options.hpp"

#include <algorithm>
#include <array>
#include <string>

#include "cli/option_words.hpp"

namespace bough::cli {
namespace {

constexpr auto kNothing = std::to_array<std::string_view>({
    "ac-attr-timeout",
    "atomic-o-trunc",
    "big-writes",
    "blkdev",
    "blksize",
    "cache.open",
    "clone-fd",
    "gid-cache.expire-timeout",
    "gid-cache.remove-timeout",
    "hard-remove",
    "intr",
    "intr-signal",
    "large-read",
    "max-idle-threads",
    "no-remote-flock",
    "no-remote-lock",
    "no-remote-posix-lock",
    "no-splice-move",
    "no-splice-read",
    "no-splice-write",
    "readdir-ino",
    "splice-move",
    "splice-read",
    "splice-write",
    "use-ino",
});

constexpr std::string_view kThreads = "threads are started as they are needed, at most threads=N";

constexpr auto kOld = std::to_array<OldOption>({
    {"allow-root", {}, {}, "root is let in only where all are, by allow-other"},
    {"auto-unmount", {}, {}, "where the server was killed, the next mount clears the place"},
    {"max-readahead", {}, {}, "readahead says how far the kernel reads ahead"},
    {"max-write", {}, {}, "fuse-msg-size says how much one request carries"},
    {"pin-threads", "pin-threads", {}, kThreads},
    {"process-thread-count", "process-thread-count", {}, kThreads},
    {"process-thread-queue-depth", "process-thread-queue-depth", {}, kThreads},
    {"read-thread-count", "read-thread-count", {}, kThreads},
    {"setuid", {}, {}, "who calls mount serves the pool, no other user"},
    {"srcmounts", {}, {}, "branches= names the branches"},
    {"sync-read", "async-read", "false", {}},
});

constexpr auto kOnlyWishes = std::to_array<std::string_view>({
    "congestion-threshold",
    "export-support",
    "kernel-permissions-check",
    "max-background",
    "max-read",
    "pin-threads",
    "process-thread-count",
    "process-thread-queue-depth",
    "read-thread-count",
    "readahead",
    "scheduling-priority",
    "subtype",
    "threads",
});

template <class Names>
bool among(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

bool means_nothing(std::string_view key) {
  return among(kNothing, canonical_key(key));
}

const OldOption* old_option(std::string_view key) {
  const std::string name = canonical_key(key);
  const auto* const found = std::find_if(kOld.begin(), kOld.end(),
                                         [&](const OldOption& each) { return each.name == name; });
  return found == kOld.end() ? nullptr : found;
}

std::span<const OldOption> old_options() {
  return kOld;
}

std::span<const std::string_view> rows_that_may_keep_default() {
  return kOnlyWishes;
}

bool may_keep_default(std::string_view row) {
  return among(kOnlyWishes, row);
}

}  // namespace bough::cli
