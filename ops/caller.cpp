#include "ops/caller.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdio>
#include <string_view>

#include "ops/attributes.hpp"
#include "ops/fd.hpp"
#include "proto/kernel_abi.hpp"

namespace bough::ops {
namespace {

/// The last of the four numbers after "Uid:": real, effective, saved, fsuid (proc(5)).
std::optional<std::uint32_t> fsuid_in(std::string_view status) noexcept {
  constexpr std::string_view kKey = "\nUid:\t";
  const auto at = status.find(kKey);
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view line = status.substr(at + kKey.size());
  const auto end = line.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  line = line.substr(0, end);
  const std::string_view last = line.substr(line.rfind('\t') + 1);
  std::uint32_t uid = 0;
  const auto parsed = std::from_chars(last.data(), last.data() + last.size(), uid);
  if (parsed.ec != std::errc{} || parsed.ptr != last.data() + last.size()) return std::nullopt;
  return uid;
}

}  // namespace

bool is_anonymous(const proto::Context& context) noexcept {
  return context.uid == proto::abi::kInvalidId;
}

Payer payer_for(const proto::Context& context, const FileStat& file, bool keeps_set_ids,
                const Identity& daemon) noexcept {
  if (!is_anonymous(context)) return {context.uid, context.gid};
  if (keeps_set_ids && has_set_ids(file)) return {daemon.uid, daemon.gid};
  return {file.uid, file.gid};
}

std::optional<std::uint32_t> uid_of_caller(const proto::Context& context) {
  if (!is_anonymous(context)) return context.uid;
  if (context.pid == 0) return std::nullopt;
  std::array<char, 32> path;
  std::snprintf(path.data(), path.size(), "/proc/%u/status", context.pid);
  const Fd file(::open(path.data(), O_RDONLY | O_CLOEXEC));
  if (!file) return std::nullopt;
  std::array<char, 1024> text;
  const ssize_t got = ::pread(file.get(), text.data(), text.size(), 0);
  if (got <= 0) return std::nullopt;
  return fsuid_in(std::string_view(text.data(), static_cast<std::size_t>(got)));
}

}  // namespace bough::ops
