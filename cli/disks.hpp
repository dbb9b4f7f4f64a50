#pragma once

#include <sys/types.h>

#include <set>
#include <string>

namespace bough::cli {

/// The whole disks ("sda", "nvme0n1") that a block device lies on: a partition's disk, and of
/// device mapper and RAID all that are below it. None: it is no block device that `sys` (where
/// sysfs is) knows.
[[nodiscard]] std::set<std::string> disks_below(dev_t device, const std::string& sys = "/sys");

}  // namespace bough::cli
