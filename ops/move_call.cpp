#include "ops/move_call.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>
#include <vector>

namespace bough::ops {
namespace {

/// Fields that each end in NUL, the last of them in a second one.
constexpr std::size_t kFields = 5;

/// kNoBranch: there is none.
BranchId branch_at(const BranchSet& set, std::string_view path) {
  for (std::size_t i = 0; i < set.size(); ++i)
    if (set[i].path() == path) return set[i].id();
  return kNoBranch;
}

NodeId node_at(const Pool& pool, std::string_view path) {
  NodeId node = proto::kRootNode;
  while (!path.empty() && node != proto::kNoNode) {
    const std::size_t end = std::min(path.find('/'), path.size());
    node = pool.nodes.child(node, path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return node;
}

Result<void> begin(Pool& pool, const Context& context, const MoveCall& call) {
  const auto set = pool.branches.snapshot();
  Errand errand;
  errand.from = branch_at(*set, call.from);
  if (errand.from == kNoBranch) return Errno{ENODEV};
  if (!call.to.empty()) {
    errand.to = branch_at(*set, call.to);
    if (errand.to == kNoBranch || errand.to == errand.from) return Errno{ENODEV};
  }
  errand.rate = call.rate;
  errand.verify = call.verify;
  const NodeId node = node_at(pool, call.path);
  NodeView view;
  if (call.path.empty() || node == proto::kNoNode || !pool.nodes.view(node, view))
    return Errno{ENOENT};
  if (view.link || view.followed) return Errno{EOPNOTSUPP};
  context.put_off->until = pool.relocations.carry(node, errand);
  if (context.put_off->until == 0) return Errno{EBUSY};
  return {};
}

}  // namespace

bool write_move_call(const MoveCall& call, MoveBytes& into) noexcept {
  std::array<char, 24> rate{};
  *std::to_chars(rate.data(), rate.data() + rate.size() - 1, call.rate).ptr = '\0';
  std::size_t at = 0;
  into.fill(std::byte{0});
  for (const std::string_view field :
       {std::string_view(call.path), std::string_view(call.from), std::string_view(call.to),
        std::string_view(rate.data()), std::string_view(call.verify ? "verify" : "")}) {
    // One byte more for the end of it all.
    if (field.size() + 2 > into.size() - at) return false;
    std::memcpy(into.data() + at, field.data(), field.size());
    at += field.size() + 1;
  }
  return true;
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

Result<proto::IoctlReply> serve_move_call(Pool& pool, const Context& context,
                                          const proto::IoctlRequest& request) {
  if (context.put_off == nullptr) return Errno{EBUSY};
  if (const std::uint64_t move = context.put_off->after; move != 0) {
    const auto result = pool.relocations.came_of(move);
    if (!result) {
      pool.relocations.give_up(move);
      return Errno{EINTR};
    }
    if (!*result) return result->error();
    return proto::IoctlReply{};
  }
  const auto call = parse_move_call(request.in);
  if (!call || !pool.handles.directory(request.handle)) return Errno{EINVAL};
  if (const auto begun = begin(pool, context, *call); !begun) return begun.error();
  return proto::IoctlReply{};
}

}  // namespace bough::ops
