#include "ops/shown_attributes.hpp"

#include <sys/stat.h>

#include <charconv>
#include <cstdio>
#include <string>
#include <string_view>

namespace bough::ops {
namespace {

constexpr std::int64_t kPermissions = 0777;
/// The largest id; the one above it means none (chown(2)).
constexpr std::int64_t kMostId = 0xfffffffe;

proto::Setting row_of(std::string name, proto::LiveValue<std::int64_t>& bound, std::int64_t most,
                      bool octal, std::string help) {
  proto::Setting row;
  row.name = std::move(name);
  row.group = "Behaviour";
  row.form = octal ? "OCTAL|-1" : "ID|-1";
  row.fallback = "-1";
  row.when = proto::Setting::When::kRuntime;
  row.help = std::move(help);
  row.set = [&bound, most, octal](std::string_view text) -> std::string {
    std::int64_t number = 0;
    const char* const end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data(), end, number, octal ? 8 : 10);
    const bool unset = text == "-1";
    if (!unset && (parsed.ec != std::errc{} || parsed.ptr != end || number < 0 || number > most))
      return octal ? "wants an octal number up to 777 such as 022, or -1 for none"
                   : "wants the number of a user or group, or -1 for none";
    bound = unset ? ShownAttributes::kAsTheyAre : number;
    return {};
  };
  row.get = [&bound, octal]() -> std::string {
    const std::int64_t number = bound;
    if (!octal || number < 0) return std::to_string(number);
    char text[16];
    std::snprintf(text, sizeof text, "%03o", static_cast<unsigned>(number));
    return text;
  };
  return row;
}

}  // namespace

void ShownAttributes::apply(proto::Attr& attr) const noexcept {
  if (const std::int64_t owner = uid; owner >= 0) attr.uid = static_cast<std::uint32_t>(owner);
  if (const std::int64_t group = gid; group >= 0) attr.gid = static_cast<std::uint32_t>(group);
  if (const std::int64_t mask = umask; mask >= 0)
    attr.mode = (attr.mode & S_IFMT) | static_cast<std::uint32_t>(kPermissions & ~mask);
}

void add_shown_attributes(std::vector<proto::Setting>& table, ShownAttributes& shown) {
  table.push_back(
      row_of("uid", shown.uid, kMostId, false,
             "every file is shown as this user's, and the kernel checks permissions so; "
             "-1: as they are"));
  table.push_back(row_of("gid", shown.gid, kMostId, false, "the same for the group"));
  table.push_back(row_of("umask", shown.umask, kPermissions, true,
                         "every file and directory is shown with all permissions but these; -1: as "
                         "they are"));
}

}  // namespace bough::ops
