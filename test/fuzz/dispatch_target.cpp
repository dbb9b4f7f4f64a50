// One session on one thread: messages go to its dispatcher, over a file system without files, and
// what it writes is held against what the kernel takes (fuse_dev_do_write of fs/fuse/dev.c).
//
// Three bytes say how the session runs, which replies the kernel refuses and how locks are
// answered; then messages, each behind its length in two bytes, whose highest bit puts it into the
// backlog. Each gets a unique of its own: 2, 4, 6, …, as the kernel counts.
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <map>
#include <memory>
#include <stdexcept>
#include <variant>
#include <vector>

#include "session/connection.hpp"
#include "session/device.hpp"
#include "session/dispatch.hpp"
#include "test/fuzz/input.hpp"
#include "test/fuzz/listing.hpp"
#include "test/fuzz/reply_rules.hpp"
#include "test/support/null_filesystem.hpp"
#include "test/support/wire.hpp"

using namespace bough;
using test::check;

namespace {

constexpr std::size_t kHeader = 40;
constexpr std::size_t kReplyHeader = 16;
constexpr std::size_t kPayload = 128 * 1024;
constexpr std::uint16_t kQueueBit = 0x8000;
constexpr std::size_t kMostMessages = 64;

/// Keeps what is written; refuses the replies to some uniques, as for requests that are gone.
class Kernel final : public session::Device {
 public:
  explicit Kernel(std::uint8_t refused)
      : Device(session::Fd(::open("/dev/null", O_WRONLY | O_CLOEXEC))), refused_(refused) {}

  struct Written {
    std::vector<std::byte> message;
    bool accepted = false;
  };
  proto::Result<void> write(std::span<const iovec> parts) noexcept override {
    Written now;
    for (const iovec& part : parts) {
      const auto* const begin = static_cast<const std::byte*>(part.iov_base);
      now.message.insert(now.message.end(), begin, begin + part.iov_len);
    }
    check(now.message.size() >= kReplyHeader, "a reply has a header");
    const auto head = test::reply_head(now.message);
    now.accepted = ((refused_ >> (head.unique / 2 % 8)) & 1) == 0;
    const bool accepted = now.accepted;
    written.push_back(std::move(now));
    if (!accepted) return proto::Errno{ENOENT};
    return {};
  }

  std::vector<Written> written;

 private:
  std::uint8_t refused_;
};

struct Sent {
  std::vector<std::byte> message;
  std::uint64_t unique = 0;
  /// Views into `message`.
  std::optional<proto::Decoded> decoded;
  std::uint32_t opcode = 0;
  int replies = 0;
};

proto::InitAgreement agreement_of(std::uint8_t how) {
  proto::InitRequest offer;
  offer.major = 7;
  offer.minor = proto::kOldestMinor + how % (proto::kOurMinor - proto::kOldestMinor + 1);
  offer.max_readahead = kPayload;
  proto::InitWants wants;
  wants.features.add(proto::Feature::kDoReaddirplus);
  if ((how & 0x10) != 0) wants.features.add(proto::Feature::kSetxattrExt);
  offer.flags = wants.features.bits();
  return proto::agree(offer, wants);
}

std::shared_ptr<session::Trace> trace_of(std::uint8_t how) {
  if ((how & 0x20) == 0) return nullptr;
  return std::make_shared<session::Trace>(
      session::Fd(::open("/dev/null", O_WRONLY | O_CLOEXEC)), "/dev/null",
      [](const auto&...) { check(false, "the trace is written"); });
}

/// The counts that the kernel must hold in the end, from what it sent and what it got.
struct Balance {
  std::uint64_t lookups = 0;
  std::uint64_t handles = 0;
};

std::uint64_t forgotten(const proto::Decoded& decoded) {
  std::uint64_t count = 0;
  if (const auto* one = std::get_if<proto::ForgetRequest>(&decoded.request)) count = one->count;
  if (const auto* batch = std::get_if<proto::BatchForgetRequest>(&decoded.request))
    for (std::uint32_t i = 0; i < batch->count; ++i) count += proto::forget_item(*batch, i).count;
  return count;
}

void settle(const Sent& sent, std::span<const std::byte> payload, bool accepted, Balance& into) {
  const proto::Request& request = sent.decoded->request;
  const auto is = [&]<class... Kinds>(const std::variant<Kinds...>*) {
    return (std::holds_alternative<Kinds>(request) || ...);
  };
  using Entries = std::variant<proto::LookupRequest, proto::SymlinkRequest, proto::MknodRequest,
                               proto::MkdirRequest, proto::LinkRequest, proto::CreateRequest,
                               proto::TmpfileRequest>;
  using Opens = std::variant<proto::OpenRequest, proto::OpendirRequest, proto::CreateRequest,
                             proto::TmpfileRequest>;
  using Releases = std::variant<proto::ReleaseRequest, proto::ReleasedirRequest>;
  if (is(static_cast<const Releases*>(nullptr))) --into.handles;
  const bool plus = std::holds_alternative<proto::ReaddirplusRequest>(request);
  if (plus || std::holds_alternative<proto::ReaddirRequest>(request)) {
    for (const auto& listed : test::walk_listing(payload, plus))
      if (accepted && listed.node != 0) ++into.lookups;
  }
  if (!accepted) return;
  if (is(static_cast<const Entries*>(nullptr))) ++into.lookups;
  if (is(static_cast<const Opens*>(nullptr))) ++into.handles;
}

class Run {
 public:
  explicit Run(test::Input& input)
      : how_(input.u8()),
        kernel_(std::make_shared<Kernel>(input.u8())),
        lock_answers_(input.u8()),
        connection_(
            std::make_shared<session::Connection>(fs_, agreement_of(how_), trace_of(how_), 1)),
        dispatcher_(connection_, connection_->inflight.slot(0), counters_, buffers()) {
    fs_.let_go("*");
  }

  void send(test::Input& input) {
    const std::uint16_t frame = input.u16();
    const auto bytes = input.take(frame & ~kQueueBit);
    Sent& sent = sent_.emplace_back();
    sent.message.assign(bytes.begin(), bytes.end());
    sent.unique = 2 * sent_.size();
    if (sent.message.size() >= kHeader) {
      std::memcpy(sent.message.data() + 8, &sent.unique, sizeof sent.unique);
      std::memcpy(&sent.opcode, sent.message.data() + 4, sizeof sent.opcode);
    }
    if (const auto decoded = proto::decode(sent.message, connection_->wire)) {
      sent.decoded = *decoded;
      expected_.lookups -= forgotten(*decoded);
    }
    const bool queued =
        dispatcher_.serve(sent.message, kernel_,
                          (frame & kQueueBit) != 0 ? session::Dispatcher::Blocking::kQueue
                                                   : session::Dispatcher::Blocking::kServe);
    check(queued || !sent.decoded || sent.opcode == kSetlkw || settled(sent),
          "what is not queued is answered at once");
  }

  void end() {
    while (auto waiting = connection_->backlog.take()) dispatcher_.serve(std::move(*waiting));
    check(connection_->backlog.empty(), "nothing is left in the backlog");
    for (int i = fs_.calls("setlkw"); i > 0; --i) answer_lock(fs_.take_lock(), i);
    for (std::uint32_t lane = 0; lane < session::Lanes::kLanes; ++lane)
      check(connection_->lanes.enter(lane), "every lane is empty in the end");
    check_replies();
  }

 private:
  static constexpr std::uint32_t kSetlkw = 33;

  /// Mapped once: its length is what bounds a reply.
  static session::Buffers& buffers() {
    static session::Buffers all(kPayload);
    return all;
  }

  [[nodiscard]] bool settled(const Sent& sent) const {
    return !test::wants_reply(sent.opcode) ||
           std::any_of(kernel_->written.begin(), kernel_->written.end(), [&](const auto& each) {
             return test::reply_head(each.message).unique == sent.unique;
           });
  }

  void answer_lock(proto::Reply<void> lock, int turn) {
    switch ((lock_answers_ >> turn % 4 * 2) & 3) {
      case 0:
        return lock.answer({});
      case 1:
        return lock.answer(proto::Errno{EDEADLK});
      default:
        return;  // dropped: answered in its destructor
    }
  }

  void check_replies() {
    for (const auto& [message, accepted] : kernel_->written) check_reply(message, accepted);
    for (const Sent& sent : sent_) {
      const bool wanted = sent.message.size() >= kHeader && test::wants_reply(sent.opcode);
      check(sent.replies == (wanted ? 1 : 0), "exactly one reply to each message that wants one");
    }
    check(fs_.lookups() == static_cast<std::int64_t>(expected_.lookups),
          "the lookup counts are those that the kernel holds");
    check(fs_.handles() == static_cast<std::int64_t>(expected_.handles),
          "the handles are those that the kernel holds");
  }

  void check_reply(std::span<const std::byte> message, bool accepted) {
    const auto head = test::reply_head(message);
    check(head.length == message.size(), "a reply says its length");
    check(head.unique != 0 && head.unique % 2 == 0 && head.unique / 2 <= sent_.size(),
          "a reply is to a request");
    Sent& sent = sent_[head.unique / 2 - 1];
    ++sent.replies;
    check(head.error <= 0 && head.error > -512, "a reply has an errno that the kernel knows");
    if (head.error != 0) {
      check(message.size() == kReplyHeader, "an error stands alone");
      check(sent.decoded || head.error == -EINVAL, "a malformed request is EINVAL");
      return;
    }
    check(sent.decoded.has_value(), "only a request that can be read succeeds");
    const auto payload = message.subspan(kReplyHeader);
    const test::PayloadRule rule = std::visit(test::PayloadRules{}, sent.decoded->request);
    check(payload.size() >= rule.least && payload.size() <= rule.most,
          "a payload has the size that the kernel wants");
    settle(sent, payload, accepted, expected_);
  }

  const std::uint8_t how_;
  test::NullFilesystem fs_;
  std::shared_ptr<Kernel> kernel_;
  const std::uint8_t lock_answers_;
  std::shared_ptr<session::Connection> connection_;
  session::Counters counters_;
  session::Dispatcher dispatcher_;
  std::deque<Sent> sent_;
  Balance expected_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  test::Input input(data, size);
  Run run(input);
  for (std::size_t i = 0; i < kMostMessages && !input.done(); ++i) run.send(input);
  run.end();
  return 0;
}
