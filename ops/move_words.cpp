#include "ops/move_words.hpp"

#include <charconv>
#include <cstring>
#include <string_view>

namespace bough::ops {
namespace {

/// Fields that each end in NUL.
constexpr std::size_t kFields = 5;

}  // namespace

std::uint32_t write_move_call(const MoveCall& call, MoveBytes& into) noexcept {
  std::array<char, 24> rate{};
  *std::to_chars(rate.data(), rate.data() + rate.size() - 1, call.rate).ptr = '\0';
  std::size_t at = 0;
  for (const std::string_view field :
       {std::string_view(call.path), std::string_view(call.from), std::string_view(call.to),
        std::string_view(rate.data()), std::string_view(call.verify ? "verify" : "")}) {
    if (field.size() + 1 > into.size() - at) return 0;
    std::memcpy(into.data() + at, field.data(), field.size());
    at += field.size();
    into[at++] = std::byte{0};
  }
  return _IOC(_IOC_WRITE, 'b', 0x6d, static_cast<std::uint32_t>(at));
}

std::optional<MoveCall> parse_move_call(std::span<const std::byte> bytes) {
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::array<std::string_view, kFields> fields;
  for (std::string_view& field : fields) {
    const std::size_t end = text.find('\0');
    if (end == std::string_view::npos) return std::nullopt;
    field = text.substr(0, end);
    text.remove_prefix(end + 1);
  }
  MoveCall call{std::string(fields[0]), std::string(fields[1]), std::string(fields[2])};
  const char* const last = fields[3].data() + fields[3].size();
  const auto read = std::from_chars(fields[3].data(), last, call.rate);
  if (read.ec != std::errc{} || read.ptr != last) return std::nullopt;
  if (!fields[4].empty() && fields[4] != "verify") return std::nullopt;
  call.verify = !fields[4].empty();
  return call;
}

}  // namespace bough::ops
