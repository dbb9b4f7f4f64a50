#include "cli/mergerfs_defaults.hpp"

#include <stdexcept>
#include <string>
#include <string_view>

namespace bough::cli {
namespace {

struct Default {
  std::string_view row;
  std::string_view value;
};

// Not `fsname`: ours is the first column of fstab, by which mount -a sees what is mounted already.
constexpr Default kDefaults[] = {
    {"subtype", "mergerfs"},        {"minfreespace", "4294967295"},
    {"cache.files", "off"},         {"cache.statfs", "0"},
    {"passthrough.io", "off"},      {"flush-on-close", "opened-for-write"},
    {"scheduling-priority", "-10"}, {"allow-idmap", "true"},
};

}  // namespace

void take_mergerfs_defaults(const OptionTable& table) {
  for (const Default& each : kDefaults) {
    const proto::Setting* const row = table.find(each.row);
    if (row == nullptr || !row->set(each.value).empty())
      throw std::logic_error("no row takes mergerfs' default of " + std::string(each.row));
  }
}

}  // namespace bough::cli
