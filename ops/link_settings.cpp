#include "ops/link_settings.hpp"

#include <array>
#include <cstddef>

#include "ops/setting_rows.hpp"

namespace bough::ops {
namespace {

template <class T, std::size_t N>
using Words = std::array<SettingRows::Word<T>, N>;

constexpr Words<RenameExdev, 3> kRenameExdev{{{"passthrough", RenameExdev::kPassthrough},
                                              {"rel-symlink", RenameExdev::kRelative},
                                              {"abs-symlink", RenameExdev::kAbsolute}}};
constexpr Words<LinkExdev, 4> kLinkExdev{{{"passthrough", LinkExdev::kPassthrough},
                                          {"rel-symlink", LinkExdev::kRelative},
                                          {"abs-base-symlink", LinkExdev::kOnBranch},
                                          {"abs-pool-symlink", LinkExdev::kInPool}}};
constexpr Words<FollowSymlinks, 4> kFollow{{{"never", FollowSymlinks::kNever},
                                            {"directory", FollowSymlinks::kDirectory},
                                            {"regular", FollowSymlinks::kRegular},
                                            {"all", FollowSymlinks::kAll}}};

}  // namespace

void add_link_settings(std::vector<proto::Setting>& table, LinkSettings& settings) {
  using When = proto::Setting::When;
  const SettingRows links("Links");
  table.push_back(links.toggle("link-cow", When::kNextOpen, settings.cow,
                               "a file with several names gets one of its own, as a whole copy, "
                               "when it is opened for writing; the other names keep what they "
                               "have"));
  table.push_back(
      links.words<RenameExdev>("rename-exdev", kRenameExdev, When::kRuntime, settings.rename_exdev,
                               "instead of EXDEV, rename moves the file to .mergerfs_rename_exdev "
                               "on its branch and leaves a "
                               "symbolic link to it, relative or through the mount point"));
  table.push_back(links.words<LinkExdev>(
      "link-exdev", kLinkExdev, When::kRuntime, settings.link_exdev,
      "instead of EXDEV, link makes a symbolic link to the file: relative, on its branch, or "
      "through the mount point"));
  table.push_back(links.words<FollowSymlinks>(
      "follow-symlinks", kFollow, When::kRuntime, settings.follow,
      "root's symbolic links on branches are shown as the directory, the regular file or either of "
      "them that they lead to outside of all branches; rm -r goes into such a directory"));
  table.push_back(links.toggle("symlinkify", When::kRuntime, settings.symlinkify,
                               "a file without write bits that has not changed for a while is "
                               "shown as a symbolic link to itself on its branch, unless it is "
                               "open"));
}

}  // namespace bough::ops
