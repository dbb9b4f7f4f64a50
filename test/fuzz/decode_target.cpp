// One message: decoded or refused, and if decoded, rendered, packed again and agreed upon. The
// first byte: bit 0, SETXATTR_EXT is agreed; bit 1, the length in the header is put right.
#include <cerrno>
#include <string>
#include <variant>
#include <vector>

#include "proto/decode.hpp"
#include "proto/encode.hpp"
#include "proto/features.hpp"
#include "proto/opcode.hpp"
#include "proto/render.hpp"
#include "test/fuzz/input.hpp"
#include "test/fuzz/repack.hpp"
#include "test/support/wire.hpp"

using namespace bough::proto;
using bough::test::check;
using bough::test::check_line;
using bough::test::Fields;
using bough::test::repack;

namespace {

constexpr std::size_t kHeader = 40;
/// Where the header says how long the extensions are.
constexpr std::size_t kExtensionsAt = 36;
constexpr std::size_t kInitReply = 64;

void check_text(const Decoded& decoded) {
  const std::string line = render(decoded.header, decoded.request);
  check_line(line);
  const std::string begin = std::string(opcode_info(decoded.header.opcode).name) + " node=";
  check(line.starts_with(begin), "a trace line begins with opcode and node");
}

/// What was decoded holds all that the message says, and nothing that hangs on where it stood.
void check_repacked(const Decoded& decoded, const WireOptions& options, std::size_t size,
                    bool has_extensions) {
  const auto packed = repack(decoded, options);
  const auto again = decode(packed, options);
  check(again.has_value(), "a request that is packed again is decoded again");
  check(again->request.index() == decoded.request.index(), "as the same kind of request");
  check(render(again->header, again->request) == render(decoded.header, decoded.request),
        "which is told by the same words");
  check(repack(*again, options) == packed, "and is packed into the same bytes");
  if (std::holds_alternative<UnservedRequest>(decoded.request) ||
      std::holds_alternative<TmpfileRequest>(decoded.request) ||
      std::holds_alternative<InitRequest>(decoded.request))
    return;
  check(packed.size() <= size, "a request says no more than its message");
  check(packed.size() == size || has_extensions, "and, but for extensions, as much");
}

/// The numbers of our own side come from the header's fields that INIT does not use.
InitWants wants_of(const RequestHeader& header) {
  InitWants wants;
  wants.features = FeatureSet(header.node.value);
  wants.max_write = 4096 + header.uid % (16U << 20);
  wants.max_pages = 1 + header.gid % 65535;
  wants.max_readahead = header.pid;
  wants.max_background = static_cast<std::uint16_t>(header.uid >> 16);
  wants.congestion_threshold = static_cast<std::uint16_t>(header.gid >> 16);
  wants.max_stack_depth = header.pid % 3;
  wants.request_timeout = static_cast<std::uint16_t>(header.pid >> 16);
  wants.default_permissions = header.pid % 2 == 0;
  return wants;
}

void check_agreement(const InitRequest& offer, const RequestHeader& header) {
  const InitWants wants = wants_of(header);
  const InitAgreement agreed = agree(offer, wants);
  const auto rows = explain(offer, wants, agreed);
  check(!render_init(offer, rows, agreed).empty(), "INIT is told as a table");
  if (agreed.refusal != 0) {
    check(agreed.refusal > 0 && agreed.refusal < 512, "a refusal is an errno of the wire");
    return;
  }
  const std::uint64_t ext = FeatureSet().add(Feature::kInitExt).bits();
  check(offer.major == 7 && offer.minor >= kOldestMinor, "only versions that we know are agreed");
  check(agreed.minor <= offer.minor && agreed.minor <= kOurMinor, "the lower version is agreed");
  check((agreed.features.bits() & ~offer.flags) == 0, "what is not offered is off");
  check((agreed.features.bits() & ~(wants.features.bits() | ext)) == 0, "nor what is not wanted");
  check(agreed.features.bits() >> 32 == 0 || agreed.features.has(Feature::kInitExt),
        "the upper flags go with INIT_EXT only");
  for (const FeatureRow& row : rows)
    check(row.agreed == agreed.features.has(row.feature) && row.agreed == row.why_not.empty(),
          "the table says what is agreed, and else why not");
  std::vector<std::byte> reply(kInitReply);
  check(encode(reply, agreed) == kInitReply, "INIT is answered with the whole struct");
  Fields fields(reply);
  check(fields.u32() == 7 && fields.u32() == agreed.minor, "which begins with the version");
  check(fields.u32() <= offer.max_readahead, "reads ahead no more than offered");
  check(fields.u32() == static_cast<std::uint32_t>(agreed.features.bits()), "and has the flags");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  bough::test::Input input(data, size);
  const std::uint8_t how = input.u8();
  const WireOptions options{.setxattr_ext = (how & 1) != 0};
  const auto rest = input.rest();
  // A block of its own size: the sanitizer sees the first byte too far.
  std::vector<std::byte> message(rest.begin(), rest.end());
  if ((how & 2) != 0 && message.size() >= sizeof(std::uint32_t)) {
    const auto length = static_cast<std::uint32_t>(message.size());
    std::memcpy(message.data(), &length, sizeof length);
  }

  check(decode_header(message).has_value() == (message.size() >= kHeader),
        "a header is there or not");
  const auto decoded = decode(message, options);
  if (!decoded) {
    check(decoded.error() == Errno{EINVAL}, "a malformed message is EINVAL");
    return 0;
  }
  check_text(*decoded);
  std::uint16_t extensions = 0;
  std::memcpy(&extensions, message.data() + kExtensionsAt, sizeof extensions);
  check_repacked(*decoded, options, message.size(), extensions != 0);
  if (const auto* offer = std::get_if<InitRequest>(&decoded->request))
    check_agreement(*offer, decoded->header);
  return 0;
}
