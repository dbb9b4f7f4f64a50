#include "cli/mount_words.hpp"

#include <sys/mount.h>

#include <algorithm>
#include <array>

namespace bough::cli {
namespace {

constexpr unsigned long kUserImplies = MS_NOEXEC | MS_NOSUID | MS_NODEV;
constexpr unsigned long kOwnerImplies = MS_NOSUID | MS_NODEV;
constexpr unsigned long kAtime = MS_NOATIME | MS_RELATIME | MS_STRICTATIME;

// mount(8), "FILESYSTEM-INDEPENDENT MOUNT OPTIONS". Words about when and by whom a line of fstab is
// mounted are for mount(8) and systemd; those about users imply flags, as that page says.
constexpr auto kWords = std::to_array<MountWord>({
    {"ro", MS_RDONLY, 0},
    {"rw", 0, MS_RDONLY},
    {"suid", 0, MS_NOSUID},
    {"nosuid", MS_NOSUID, 0},
    {"dev", 0, MS_NODEV},
    {"nodev", MS_NODEV, 0},
    {"exec", 0, MS_NOEXEC},
    {"noexec", MS_NOEXEC, 0},
    {"sync", MS_SYNCHRONOUS, 0},
    {"async", 0, MS_SYNCHRONOUS},
    {"dirsync", MS_DIRSYNC, 0},
    {"atime", 0, MS_NOATIME},
    {"noatime", MS_NOATIME, kAtime},
    {"diratime", 0, MS_NODIRATIME},
    {"nodiratime", MS_NODIRATIME, 0},
    {"relatime", MS_RELATIME, kAtime},
    {"norelatime", 0, MS_RELATIME},
    {"strictatime", MS_STRICTATIME, kAtime},
    {"nostrictatime", 0, MS_STRICTATIME},
    {"lazytime", MS_LAZYTIME, 0},
    {"nolazytime", 0, MS_LAZYTIME},
    {"user", kUserImplies, 0},
    {"users", kUserImplies, 0},
    {"owner", kOwnerImplies, 0},
    {"group", kOwnerImplies, 0},
    {"nouser"},
    {"nousers"},
    {"noowner"},
    {"nogroup"},
    {"defaults"},
    {"auto"},
    {"noauto"},
    {"nofail"},
    {"_netdev"},
    {"nonempty"},
    {"silent"},
    {"loud"},
});

constexpr std::array<std::string_view, 4> kLabels = {"context", "fscontext", "defcontext",
                                                     "rootcontext"};

}  // namespace

std::span<const MountWord> mount_words() {
  return kWords;
}
std::span<const std::string_view> label_words() {
  return kLabels;
}

bool take_mount_word(std::string_view key, const std::string* value, MountWords& into) {
  // For mount(8), systemd and people. "user=" with a name is what libmount records for umount.
  if (key.starts_with("x-") || key.starts_with("X-")) return true;
  if (value) {
    if (key == "comment" || key == "user") return true;
    if (std::find(kLabels.begin(), kLabels.end(), key) == kLabels.end()) return false;
    into.labels.push_back(std::string(key) + "=" + *value);
    return true;
  }
  const auto word = std::find_if(kWords.begin(), kWords.end(),
                                 [&](const MountWord& each) { return each.name == key; });
  if (word == kWords.end()) return false;
  into.flags = (into.flags & ~word->clear) | word->set;
  return true;
}

}  // namespace bough::cli
