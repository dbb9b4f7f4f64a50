#include "ops/control_file.hpp"

#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "ops/value_out.hpp"
#include "proto/utf8.hpp"

namespace bough::ops {
namespace {

using proto::Setting;

proto::Time now() noexcept {
  using namespace std::chrono;
  const auto since = system_clock::now().time_since_epoch();
  const auto whole = duration_cast<seconds>(since);
  return {whole.count(),
          static_cast<std::uint32_t>(duration_cast<nanoseconds>(since - whole).count())};
}

/// The spelling that keys are kept by; empty: none of ours.
std::string spelling(std::string_view xattr) {
  std::string key(own_key(xattr).value_or(std::string_view{}));
  std::replace(key.begin(), key.end(), '_', '-');
  return key;
}

/// One line that whoever reads it can take for text.
std::string printable(std::string_view bytes) {
  std::string text;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t length = proto::utf8_length(bytes, at);
    const auto first = static_cast<unsigned char>(bytes[at]);
    if (length == 0 || first < ' ' || first == 0x7f)
      text += '?';
    else
      text += bytes.substr(at, length);
    at += std::max<std::size_t>(length, 1);
  }
  return text;
}

/// Only the beginning of much.
std::string beginning(std::string_view value) {
  constexpr std::size_t kMost = 200;
  const std::string text = printable(value.substr(0, kMost));
  return value.size() > kMost ? text + "..." : text;
}

}  // namespace

std::string refused_text(std::string_view key, std::string_view value) {
  std::string name(key);
  std::replace(name.begin(), name.end(), '_', '-');
  return name + "=" + beginning(value) + ": ";
}

ControlFile::ControlFile(std::vector<Setting> rows, std::vector<Command> commands,
                         std::function<void(const std::string&)> complain)
    : complain_(std::move(complain)), born_(now()) {
  Setting last;
  last.name = "last-refusal";
  last.get = [this] {
    const std::lock_guard lock(refusing_);
    return last_refusal_;
  };
  rows.push_back(std::move(last));
  for (Setting& each : rows) {
    const auto row = std::make_shared<const Setting>(std::move(each));
    keys_[row->name] = row;
    for (const std::string& alias : row->aliases) keys_[alias] = row;
  }
  for (const auto& [key, row] : keys_)
    if (key == row->name) listed_.push_back(key);
  for (Command& each : commands) {
    std::string name = each.name;
    commands_.emplace(std::move(name), std::move(each));
  }
}

proto::Attr ControlFile::attr(NodeId control, const Identity& owner) const noexcept {
  constexpr std::uint32_t kMode = S_IFREG | 0664;
  proto::Attr attr;
  attr.ino = control.value;
  attr.atime = attr.mtime = attr.ctime = born_;
  attr.mode = kMode;
  attr.nlink = 1;
  attr.uid = owner.uid;
  attr.gid = owner.gid;
  return attr;
}

const Setting* ControlFile::find(std::string_view xattr) const {
  const auto found = keys_.find(spelling(xattr));
  return found == keys_.end() ? nullptr : found->second.get();
}

Result<std::size_t> ControlFile::get(std::string_view xattr, std::span<std::byte> out) const {
  const Setting* const row = find(xattr);
  if (row == nullptr) return Errno{ENODATA};
  return value_out(row->get(), out);
}

Result<std::size_t> ControlFile::list(NodeId control, std::span<std::byte> out) const {
  const std::string_view prefix = kOwnPrefixes[control.value - kFirstControlNode];
  std::string names;
  for (const std::string& key : listed_) {
    names += prefix;
    names += key;
    names += '\0';
  }
  return value_out(names, out);
}

Result<void> ControlFile::set(std::string_view xattr, std::span<const std::byte> value,
                              std::uint32_t flags) {
  const std::string key = spelling(xattr);
  if (commands_.find(key) == commands_.end() && keys_.find(key) == keys_.end())
    return Errno{ENODATA};
  if ((flags & XATTR_CREATE) != 0) return Errno{EEXIST};
  const std::string_view text(reinterpret_cast<const char*>(value.data()), value.size());
  std::string why;
  const auto done = change(key, text, why);
  const auto row = keys_.find(key);
  if (!done && !why.empty())
    refused(refused_text(key, text) + key + " " + why,
            row != keys_.end() && row->second->tells_log);
  return done;
}

void ControlFile::refused(const std::string& reason, bool told) {
  const std::string line = printable(reason);
  {
    const std::lock_guard lock(refusing_);
    last_refusal_ = std::to_string(++refusals_) + " " + line;
  }
  if (!told) complain_("control file: " + line);
}

Result<void> ControlFile::change(std::string_view key, std::string_view value, std::string& why) {
  const std::lock_guard lock(setting_);
  if (const auto command = commands_.find(key); command != commands_.end())
    return command->second.run(why);
  const auto row = keys_.find(key);
  if (row == keys_.end()) return Errno{ENODATA};
  const Setting& setting = *row->second;
  if (setting.when == Setting::When::kMount) return Errno{EROFS};
  why = setting.set(value);
  if (why.empty()) return {};
  const int refusal = setting.refusal ? setting.refusal() : EINVAL;
  return Errno{refusal != 0 ? refusal : EINVAL};
}

std::optional<std::string> ControlFile::value(std::string_view key) const {
  const auto row = keys_.find(key);
  if (row == keys_.end()) return std::nullopt;
  return row->second->get();
}

}  // namespace bough::ops
