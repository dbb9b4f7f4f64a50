#include "cli/settings.hpp"

#include <algorithm>
#include <charconv>
#include <climits>
#include <string_view>

#include "proto/bool_text.hpp"

namespace bough::cli {
namespace {

using proto::Setting;

constexpr const char* kMountGroup = "Mount";
constexpr std::uint32_t kLeastRead = 4096;

Setting text_row(std::string name, std::string form, std::string help, std::string& field) {
  Setting row;
  row.name = std::move(name);
  row.group = kMountGroup;
  row.form = std::move(form);
  row.help = std::move(help);
  row.set = [&field](std::string_view value) -> std::string {
    if (value.empty()) return "wants a text that is not empty";
    field = value;
    return {};
  };
  row.get = [&field] { return field; };
  return row;
}

Setting switch_row(std::string name, std::string help, bool& field) {
  Setting row;
  row.name = std::move(name);
  row.group = kMountGroup;
  row.form = "BOOL";
  row.fallback = "false";
  row.bare = "true";
  row.help = std::move(help);
  row.set = [&field](std::string_view value) -> std::string {
    const auto parsed = proto::parse_bool(value);
    if (!parsed) return "wants true or false";
    field = *parsed;
    return {};
  };
  row.get = [&field] { return proto::bool_text(field); };
  return row;
}

Setting max_read_row(std::uint32_t& field) {
  Setting row;
  row.name = "max-read";
  row.group = kMountGroup;
  row.form = "BYTES";
  row.fallback = "0";
  row.help = "longest read that the kernel sends; 0: as long as was agreed on";
  row.set = [&field](std::string_view value) -> std::string {
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc{} || end != value.data() + value.size()) {
      return "wants a number of bytes";
    }
    if (number != 0 && number < kLeastRead) {
      return "wants at least " + std::to_string(kLeastRead) +
             ", since the kernel reads whole pages: take a larger number, or 0 for no limit";
    }
    field = number;
    return {};
  };
  row.get = [&field] { return std::to_string(field); };
  return row;
}

Setting priority_row(int& field) {
  Setting row;
  row.name = "scheduling-priority";
  row.group = kMountGroup;
  row.form = "-20…19";
  row.fallback = "0";
  row.help = "nice value of the server; 0: that of who starts it";
  row.set = [&field](std::string_view value) -> std::string {
    int number = 0;
    const char* const end = value.data() + value.size();
    const auto parsed = std::from_chars(value.data(), end, number);
    if (parsed.ec != std::errc{} || parsed.ptr != end || number < -20 || number > 19)
      return "wants a number from -20 to 19";
    field = number;
    return {};
  };
  row.get = [&field] { return std::to_string(field); };
  return row;
}

// mount(2) takes a source of less than PATH_MAX bytes.
Setting fsname_row(std::string& field) {
  Setting row =
      text_row("fsname", "NAME",
               "source that mount tables show; the branches as written, if not given", field);
  row.set = [take = std::move(row.set)](std::string_view value) -> std::string {
    constexpr std::size_t kMost = PATH_MAX - 1;
    if (value.size() <= kMost) return take(value);
    return "wants a name of at most " + std::to_string(kMost) + " bytes, this one has " +
           std::to_string(value.size());
  };
  return row;
}

// The type of the mount is what finds pools again (boughfs status, findmnt -t fuse.boughfs).
Setting subtype_row(std::string& field) {
  Setting row;
  row.name = "subtype";
  row.group = kMountGroup;
  row.form = "boughfs|mergerfs";
  row.fallback = field;
  row.help =
      "the pool is of the type fuse.boughfs, or of fuse.mergerfs, by which tools for mergerfs find "
      "their pools";
  row.set = [&field](std::string_view value) -> std::string {
    const auto& known = session::kMountSubtypes;
    if (std::find(known.begin(), known.end(), value) == known.end())
      return "is boughfs or mergerfs: leave it out, or use fsname=NAME";
    field = value;
    return {};
  };
  row.get = [&field] { return field; };
  return row;
}

/// What cannot be had otherwise.
Setting always_row(std::string name, std::string help) {
  Setting row;
  row.name = std::move(name);
  row.group = kMountGroup;
  row.form = "true";
  row.fallback = "true";
  row.bare = "true";
  row.help = std::move(help);
  row.set = [](std::string_view value) -> std::string {
    return proto::parse_bool(value).value_or(false) ? "" : "cannot be turned off: leave it out";
  };
  row.get = [] { return "true"; };
  return row;
}

Setting branches_timeout_row(std::uint32_t& field) {
  Setting row;
  row.name = "branches-mount-timeout";
  row.group = kMountGroup;
  row.form = "SECONDS";
  row.fallback = "0";
  row.help = "how long to wait at start for the disks of the branches, after mount(8) for each";
  row.set = [&field](std::string_view value) -> std::string {
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc{} || end != value.data() + value.size())
      return "wants a whole number of seconds";
    field = number;
    return {};
  };
  row.get = [&field] { return std::to_string(field); };
  return row;
}

}  // namespace

std::vector<Setting> settings_table(Settings& settings) {
  std::vector<Setting> rows;
  rows.push_back(text_row("mountpoint", "PATH",
                          "where to mount; then every argument is a branch list",
                          settings.mountpoint));
  rows.back().aliases = {"mount"};
  rows.push_back(fsname_row(settings.fsname));
  rows.push_back(subtype_row(settings.subtype));
  rows.push_back(switch_row("allow-other",
                            "other users may enter; always so for a pool that root mounts",
                            settings.allow_other));
  // Without the kernel's check a daemon that runs as root would let everybody do everything.
  rows.push_back(always_row("kernel-permissions-check",
                            "the kernel checks permissions; cannot be turned off"));
  rows.back().aliases = {"default-permissions"};
  rows.push_back(
      always_row("export-support", "NFS finds files again by their handles; cannot be turned off"));
  rows.push_back(max_read_row(settings.max_read));
  rows.push_back(branches_timeout_row(settings.branches_timeout));
  rows.push_back(switch_row("branches-mount-timeout-fail",
                            "not to mount the pool when that time is over",
                            settings.branches_timeout_fails));
  rows.push_back(switch_row("foreground", "stay in the foreground, as -f", settings.foreground));
  rows.push_back(
      switch_row("lazy-umount-mountpoint",
                 "detach what is mounted on the mount point first, so that a pool can take "
                 "the place of another",
                 settings.detach_first));
  rows.push_back(priority_row(settings.priority));
  for (Setting& row : mergerfs_rows(settings.mergerfs_threads)) rows.push_back(std::move(row));
  return rows;
}

}  // namespace bough::cli
