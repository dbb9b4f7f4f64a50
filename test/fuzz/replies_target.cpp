// What goes to the kernel in parts that somebody put together: listings and notifications. The
// first byte chooses between READDIR, READDIRPLUS and notifications; the rest are entries or
// fields.
#include <deque>
#include <string>
#include <vector>

#include "proto/dirents.hpp"
#include "proto/encode.hpp"
#include "proto/render.hpp"
#include "test/fuzz/input.hpp"
#include "test/fuzz/listing.hpp"
#include "test/support/wire.hpp"

using namespace bough::proto;
using bough::test::check;
using bough::test::Input;

namespace {

constexpr std::size_t kLargestListing = 8192;
constexpr std::uint64_t kLargestCookie = INT64_MAX;

class Owner final : public ClaimOwner {
 public:
  void drop_lookup(NodeId, std::uint64_t count) noexcept override { dropped += count; }
  void drop_handle(HandleId) noexcept override { check(false, "no listing owns a handle"); }
  std::uint64_t dropped = 0;
};

/// The entries that were taken, as they must be found again.
struct Expected {
  std::deque<std::string> names;
  std::vector<bough::test::Listed> entries;
  std::uint64_t claims = 0;
};

Dirent read_entry(Input& input, Expected& into) {
  const std::size_t length = 1 + input.u8();
  std::string name = input.text(length);
  if (name.empty()) name = "x";
  into.names.push_back(std::move(name));
  Dirent entry;
  entry.name = into.names.back();
  entry.ino = input.u64();
  entry.cookie = 1 + input.u64() % kLargestCookie;
  entry.type = input.u8() % 16U;
  return entry;
}

void expect(const Dirent& entry, std::uint64_t node, Expected& into) {
  into.entries.push_back({entry.name, entry.ino, entry.cookie, entry.type, node});
}

bool has_room(std::size_t used, std::size_t fixed, std::string_view name, std::size_t size) {
  return used + (fixed + name.size() + 7) / 8 * 8 <= size;
}

void check_found(std::span<const std::byte> payload, bool plus, const Expected& expected) {
  const auto found = bough::test::walk_listing(payload, plus);
  check(found.size() == expected.entries.size(), "every entry that was taken is there");
  for (std::size_t i = 0; i < found.size(); ++i) {
    const auto& a = found[i];
    const auto& b = expected.entries[i];
    check(a.name == b.name && a.ino == b.ino && a.offset == b.offset && a.type == b.type &&
              a.node == b.node,
          "an entry is found as it was put");
  }
}

void readdir(Input& input) {
  std::vector<std::byte> out(input.u16() % kLargestListing);
  DirentPacker packer(out);
  Expected expected;
  while (!input.done()) {
    const Dirent entry = read_entry(input, expected);
    const bool room = has_room(packer.size(), 24, entry.name, out.size());
    check(packer.add(entry) == room, "an entry is taken if there is room");
    if (room) expect(entry, 0, expected);
  }
  check(packer.entries() == expected.entries.size(), "entries are counted");
  check(!render_value(packer).empty(), "a listing is told");
  check_found(std::span(out).first(packer.size()), false, expected);
}

void readdirplus(Input& input) {
  std::vector<std::byte> out(input.u16() % kLargestListing);
  Owner owner;
  Expected expected;
  bool keep = false;
  {
    DirentPlusPacker packer(out, owner);
    while (!input.done()) {
      const std::uint8_t how = input.u8();
      keep = (how & 2) != 0;
      const Dirent entry = read_entry(input, expected);
      const bool room = has_room(packer.size(), 152, entry.name, out.size());
      check(packer.fits(entry.name) == room, "room is known beforehand");
      if ((how & 1) != 0) {
        check(packer.add_plain(entry) == room, "an entry is taken if there is room");
        if (room) expect(entry, 0, expected);
        continue;
      }
      EntryReply reply;
      reply.entry.node = NodeId{1 + entry.ino % kLargestCookie};
      reply.claim = LookupClaim(owner, reply.entry.node);
      check(packer.add(entry, reply) == room, "an entry is taken if there is room");
      if (!room) reply.keep();
      if (room) expect(entry, reply.entry.node.value, expected);
      if (room) ++expected.claims;
    }
    check(owner.dropped == 0, "counts are owned until the reply is settled");
    check(!render_value(packer).empty(), "a listing is told");
    check_found(std::span(out).first(packer.size()), true, expected);
    if (keep) packer.keep();
  }
  check(owner.dropped == (keep ? 0 : expected.claims),
        "what the kernel did not take is given back");
}

Notification read_notification(Input& input) {
  const std::uint8_t kind = input.u8();
  const NodeId node{input.u64()};
  const std::uint64_t number = input.u64();
  const std::string text = input.text(input.u8());
  switch (kind % 9) {
    case 0:
      return InvalidateInode{node, static_cast<std::int64_t>(number), kind};
    case 1:
      return InvalidateEntry{node, text, kind > 127};
    case 2:
      return NotifyDelete{node, NodeId{number}, text};
    case 3:
      return NotifyPoll{number};
    case 4: {
      const auto data = input.rest();
      return NotifyStore{node, number, {data.begin(), data.end()}};
    }
    case 5:
      return NotifyRetrieve{Unique{number}, node, number, kind};
    case 6:
      return NotifyResend{};
    case 7:
      return NotifyIncrementEpoch{};
    default:
      return NotifyPrune{std::vector<NodeId>(text.size(), node)};
  }
}

void notify(Input& input) {
  const Notification notification = read_notification(input);
  const auto message = encode(notification);
  const auto head = bough::test::reply_head(message);
  check(head.length == message.size(), "a notification says its length");
  check(head.unique == 0, "and is no reply");
  check(head.error >= 1 && head.error <= 9, "but has a code");
  bough::test::check_line(render(notification));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  switch (input.u8() % 3) {
    case 0:
      readdir(input);
      break;
    case 1:
      readdirplus(input);
      break;
    default:
      notify(input);
  }
  return 0;
}
