#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

namespace bough::session {

/// How far the kernel reads ahead in the files of one file system. It is a number of the disk that
/// the file system lies on, and of every file system on it, or of a file system like ours that has
/// no disk. Asks /sys only, never the file system itself.
class ReadAhead {
 public:
  /// Of the file system whose files have this st_dev. `sys`: where sysfs is.
  explicit ReadAhead(dev_t device, const std::string& sys = "/sys");

  /// In KiB; nothing where the file system reads nothing ahead (tmpfs) or /sys does not lead to it
  /// (btrfs, whose files have a device of their own).
  [[nodiscard]] std::optional<std::uint64_t> kib() const;
  /// 0 or an errno; ENODEV where kib() says nothing. The kernel rounds to whole pages.
  [[nodiscard]] int set(std::uint64_t kib) const;

 private:
  std::string file_;
};

}  // namespace bough::session
