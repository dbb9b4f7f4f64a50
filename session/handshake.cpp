#include "session/handshake.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <variant>
#include <vector>

#include "proto/decode.hpp"
#include "proto/encode.hpp"
#include "proto/filesystem.hpp"
#include "proto/opcode.hpp"
#include "proto/render.hpp"
#include "session/device.hpp"
#include "session/inflight.hpp"
#include "session/message_limit.hpp"
#include "session/trace.hpp"

namespace bough::session {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

proto::InitWants session_wants(const Settings& settings, bool default_permissions) {
  using proto::Feature;
  proto::InitWants wants;
  wants.features.add(Feature::kAbortError)
      .add(Feature::kAsyncDio)
      .add(Feature::kBigWrites)
      .add(Feature::kInitExt)
      .add(Feature::kMaxPages)
      .add(Feature::kParallelDirops);
  if (settings.async_read) wants.features.add(Feature::kAsyncRead);
  wants.page_size = static_cast<std::uint32_t>(::sysconf(_SC_PAGESIZE));
  wants.max_pages = std::min(settings.message_pages, kMostMessagePages);
  wants.max_write = wants.max_pages * wants.page_size;
  wants.max_background = static_cast<std::uint16_t>(settings.max_background);
  const std::uint32_t threshold = settings.congestion_threshold != 0
                                      ? settings.congestion_threshold
                                      : std::max(1U, settings.max_background * 3 / 4);
  wants.congestion_threshold = static_cast<std::uint16_t>(threshold);
  wants.default_permissions = default_permissions;
  return wants;
}

std::size_t read_first(Device& device, std::span<std::byte> into, milliseconds patience) {
  const auto deadline = steady_clock::now() + patience;
  for (;;) {
    const auto got = device.read(into);
    if (got) return *got;
    if (got.error().value() != EAGAIN)
      throw HandshakeError(std::string("the connection ended before INIT came: ") +
                           std::strerror(got.error().value()));
    const auto left =
        std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now()).count();
    if (left <= 0) throw HandshakeError("the kernel sent no INIT in time");
    pollfd entry{device.fd(), POLLIN, 0};
    ::poll(&entry, 1, static_cast<int>(left));
  }
}

[[noreturn]] void refuse(Device& device, const proto::RequestHeader& header, int error,
                         const std::string& why) {
  if (proto::opcode_info(header.opcode).replies)
    static_cast<void>(write_error(device, header.unique, proto::Errno{error}));
  throw HandshakeError(why);
}

void correct(Settings& settings, const proto::InitAgreement& agreement) {
  settings.async_read = agreement.features.has(proto::Feature::kAsyncRead);
  settings.message_pages = agreement.max_pages;
  settings.max_background = agreement.max_background;
  settings.congestion_threshold = agreement.congestion_threshold;
}

}  // namespace

proto::InitAgreement shake_hands(Device& device, const proto::Filesystem& fs, Settings& settings,
                                 const HandshakeOptions& options, Trace* trace) {
  std::vector<std::byte> message(proto::abi::kMinReadBuffer);
  message.resize(read_first(device, message, options.deadline));

  const auto header = proto::decode_header(message);
  if (!header) throw HandshakeError("the first message is too short to be a request");
  if (header->opcode != static_cast<std::uint32_t>(proto::abi::Opcode::kInit))
    refuse(device, *header, EIO,
           "the first request is not INIT but " +
               std::string(proto::opcode_info(header->opcode).name));
  const auto decoded = proto::decode(message, {});
  if (!decoded) refuse(device, *header, EINVAL, "the kernel's INIT is malformed");
  const auto& offer = std::get<proto::InitRequest>(decoded->request);

  proto::InitWants wants = session_wants(settings, options.default_permissions);
  fs.want(wants);
  const proto::InitAgreement agreement = proto::agree(offer, wants);
  if (trace != nullptr) trace->init(offer, proto::explain(offer, wants, agreement), agreement);
  if (agreement.refusal != 0)
    refuse(device, *header, agreement.refusal,
           "the kernel speaks FUSE " + std::to_string(offer.major) + '.' +
               std::to_string(offer.minor) + "; needed is 7." +
               std::to_string(proto::kOldestMinor) + " (Linux 5.4) or later");

  std::array<std::byte, 512> reply;
  const std::size_t length =
      proto::encode(std::span(reply).subspan(proto::kReplyHeader), agreement);
  proto::encode_header(std::span(reply).first<proto::kReplyHeader>(), header->unique, length);
  const iovec part{reply.data(), proto::kReplyHeader + length};
  if (const auto written = device.write({&part, 1}); !written)
    throw HandshakeError("the kernel refused the answer to INIT: " +
                         proto::render(written.error()));
  correct(settings, agreement);
  return agreement;
}

}  // namespace bough::session
