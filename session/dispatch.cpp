#include "session/dispatch.hpp"

#include <poll.h>

#include <cstring>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>

#include "proto/decode.hpp"
#include "proto/encode.hpp"
#include "proto/filesystem.hpp"
#include "proto/opcode.hpp"
#include "proto/render.hpp"
#include "session/connection.hpp"
#include "session/deferred.hpp"
#include "session/device.hpp"

namespace bough::session {
namespace {

using proto::Errno;
using proto::Result;

/// What a poll on a regular file or directory always finds: ready.
constexpr std::uint32_t kReady = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;

/// One request on its way through: calls the handler and answers, exactly once.
class Exchange {
 public:
  Exchange(const std::shared_ptr<Connection>& connection, Slot& slot, Counters& counters,
           Buffers& buffers, const std::shared_ptr<Device>& device,
           const proto::RequestHeader& header, std::optional<TraceEntry>& entry, bool interrupted,
           proto::PutOff& put_off)
      : connection_(connection),
        fs_(connection->fs),
        slot_(slot),
        counters_(counters),
        buffers_(buffers),
        device_(device),
        entry_(entry),
        interrupted_(interrupted),
        put_off_(put_off) {
    context_.unique = header.unique;
    context_.node = header.node;
    context_.uid = header.uid;
    context_.gid = header.gid;
    context_.pid = header.pid;
    context_.note = entry ? &entry->note() : nullptr;
    context_.put_off = &put_off;
  }

  /// For a handler that threw; nothing if it had answered already.
  void fail(Errno error) noexcept {
    if (!answered_) send(0, error, [error] { return proto::render(error); });
  }

  // --- without an answer
  void operator()(const proto::ForgetRequest& request) {
    counters_.add(Figure::kForgets, request.count);
    fs_.forget(context_.node, request.count);
    silent("none");
  }
  void operator()(const proto::BatchForgetRequest& request) {
    for (std::uint32_t i = 0; i < request.count; ++i) {
      const proto::ForgetItem item = proto::forget_item(request, i);
      counters_.add(Figure::kForgets, item.count);
      fs_.forget(item.node, item.count);
    }
    silent("none");
  }
  void operator()(const proto::InterruptRequest& request) {
    counters_.add(Figure::kInterrupts);
    // The last look is for one that is being put off: see Dispatcher::put_off().
    const bool known = connection_->backlog.interrupt(request.target) ||
                       connection_->inflight.interrupt(request.target) ||
                       connection_->backlog.interrupt(request.target);
    if (!known) counters_.add(Figure::kInterruptsEarly);
    silent(known ? "passed on" : "not known");
  }
  void operator()(const proto::NotifyReplyRequest&) { silent("none"); }

  // --- the session's own
  void operator()(const proto::UnservedRequest&) {
    counters_.add(Figure::kUnserved);
    fail(Errno{ENOSYS});
  }
  void operator()(const proto::BmapRequest&) {
    counters_.add(Figure::kUnserved);
    fail(Errno{ENOSYS});
  }
  void operator()(const proto::InitRequest&) { fail(Errno{EPROTO}); }
  void operator()(const proto::DestroyRequest&) { reply(Result<void>()); }
  void operator()(const proto::PollRequest& request) {
    const std::uint32_t ready = request.events & kReady;
    send(proto::encode_poll(buffers_.payload(), ready), std::nullopt,
         [ready] { return proto::render_value(std::uint64_t{ready}); });
  }

  // --- names
  void operator()(const proto::LookupRequest& r) { reply(fs_.lookup(context_, r)); }
  void operator()(const proto::SymlinkRequest& r) { reply(fs_.symlink(context_, r)); }
  void operator()(const proto::MknodRequest& r) { reply(fs_.mknod(context_, r)); }
  void operator()(const proto::MkdirRequest& r) { reply(fs_.mkdir(context_, r)); }
  void operator()(const proto::UnlinkRequest& r) { reply(fs_.unlink(context_, r)); }
  void operator()(const proto::RmdirRequest& r) { reply(fs_.rmdir(context_, r)); }
  void operator()(const proto::RenameRequest& r) { reply(fs_.rename(context_, r)); }
  void operator()(const proto::LinkRequest& r) { reply(fs_.link(context_, r)); }

  // --- attributes
  void operator()(const proto::GetattrRequest& r) { reply(fs_.getattr(context_, r)); }
  void operator()(const proto::StatxRequest& r) { reply(fs_.statx(context_, r)); }
  void operator()(const proto::SetattrRequest& r) { reply(fs_.setattr(context_, r)); }
  void operator()(const proto::AccessRequest& r) { reply(fs_.access(context_, r)); }
  void operator()(const proto::StatfsRequest& r) { reply(fs_.statfs(context_, r)); }
  void operator()(const proto::SetxattrRequest& r) { reply(fs_.setxattr(context_, r)); }
  void operator()(const proto::RemovexattrRequest& r) { reply(fs_.removexattr(context_, r)); }
  void operator()(const proto::ReadlinkRequest& r) {
    reply_bytes(fs_.readlink(context_, r, buffers_.payload()), buffers_.payload().size());
  }
  void operator()(const proto::GetxattrRequest& r) {
    reply_xattr(r, [&](std::span<std::byte> out) { return fs_.getxattr(context_, r, out); });
  }
  void operator()(const proto::ListxattrRequest& r) {
    reply_xattr(r, [&](std::span<std::byte> out) { return fs_.listxattr(context_, r, out); });
  }

  // --- files
  void operator()(const proto::OpenRequest& r) { reply(fs_.open(context_, r)); }
  void operator()(const proto::CreateRequest& r) { reply(fs_.create(context_, r)); }
  void operator()(const proto::TmpfileRequest& r) { reply(fs_.tmpfile(context_, r)); }
  void operator()(const proto::FlushRequest& r) { reply(fs_.flush(context_, r)); }
  void operator()(const proto::ReleaseRequest& r) { reply(fs_.release(context_, r)); }
  void operator()(const proto::FsyncRequest& r) { reply(fs_.fsync(context_, r)); }
  void operator()(const proto::FallocateRequest& r) { reply(fs_.fallocate(context_, r)); }
  void operator()(const proto::GetlkRequest& r) { reply(fs_.getlk(context_, r)); }
  void operator()(const proto::SetlkRequest& r) { reply(fs_.setlk(context_, r)); }
  void operator()(const proto::ReadRequest& r) {
    if (!fits(r.size)) return fail(Errno{EINVAL});
    reply_bytes(fs_.read(context_, r, buffers_.payload().first(r.size)), r.size);
  }
  void operator()(const proto::WriteRequest& r) {
    reply_count(fs_.write(context_, r), [&](std::uint32_t written) {
      if (written > r.data.size()) throw std::length_error("more written than was sent");
      return proto::encode_write(buffers_.payload(), written);
    });
  }
  void operator()(const proto::LseekRequest& r) {
    reply_count(fs_.lseek(context_, r), [&](std::uint64_t offset) {
      return proto::encode_lseek(buffers_.payload(), offset);
    });
  }
  void operator()(const proto::CopyFileRangeRequest& r) {
    reply_count(fs_.copy_file_range(context_, r), [&](std::uint64_t copied) {
      return proto::encode_copy_file_range(buffers_.payload(), copied, r.wide);
    });
  }
  void operator()(const proto::IoctlRequest& r) {
    if (!fits(r.out_size + proto::kIoctlOutOffset)) return fail(Errno{EINVAL});
    reply(fs_.ioctl(context_, r, buffers_.payload().subspan(proto::kIoctlOutOffset, r.out_size)));
  }
  void operator()(const proto::SetlkwRequest& r) {
    // The deferred reply writes the trace line too, later and on another thread than the handler's.
    context_.note = nullptr;
    auto deferred = std::make_shared<DeferredReply>(connection_, device_, context_.unique,
                                                    std::exchange(entry_, std::nullopt));
    const bool gave_up = connection_->inflight.defer(deferred) || interrupted_;
    answered_ = true;
    proto::Reply<void> duty(deferred);
    if (gave_up) deferred->interrupt();
    fs_.setlkw(context_, r, std::move(duty));
  }

  // --- directories
  void operator()(const proto::OpendirRequest& r) { reply(fs_.opendir(context_, r)); }
  void operator()(const proto::ReleasedirRequest& r) { reply(fs_.releasedir(context_, r)); }
  void operator()(const proto::FsyncdirRequest& r) { reply(fs_.fsyncdir(context_, r)); }
  void operator()(const proto::SyncfsRequest& r) { reply(fs_.syncfs(context_, r)); }
  void operator()(const proto::ReaddirRequest& r) {
    if (!fits(r.size)) return fail(Errno{EINVAL});
    proto::DirentPacker packer(buffers_.payload().first(r.size));
    const Result<void> result = fs_.readdir(context_, r, packer);
    send(packer.size(), error_of(result), [&] { return proto::render_reply(result, packer); });
  }
  void operator()(const proto::ReaddirplusRequest& r) {
    if (!fits(r.size)) return fail(Errno{EINVAL});
    proto::DirentPlusPacker packer(buffers_.payload().first(r.size), fs_);
    const Result<void> result = fs_.readdirplus(context_, r, packer);
    const bool accepted =
        send(packer.size(), error_of(result), [&] { return proto::render_reply(result, packer); });
    if (accepted && result) packer.keep();
  }

 private:
  template <class T>
  [[nodiscard]] static std::optional<Errno> error_of(const Result<T>& result) {
    if (result) return std::nullopt;
    return result.error();
  }

  [[nodiscard]] bool fits(std::size_t size) {
    if (size <= buffers_.payload().size()) return true;
    counters_.add(Figure::kMalformed);
    return false;
  }

  /// What the kernel did not take is undone when `result` goes out of the caller's scope.
  template <class Out>
  void reply(Result<Out> result) {
    std::size_t length = 0;
    if constexpr (!std::is_void_v<Out>)
      if (result) length = proto::encode(buffers_.payload(), *result);
    const bool accepted =
        send(length, error_of(result), [&] { return proto::render_reply(result); });
    if constexpr (requires { result->keep(); })
      if (accepted && result) result->keep();
  }

  /// The payload is in place already.
  void reply_bytes(const Result<std::size_t>& filled, std::size_t most) {
    if (filled && *filled > most) throw std::length_error("more filled than was asked for");
    send(filled ? *filled : 0, error_of(filled),
         [&] { return filled ? proto::render_value(*filled) : proto::render(filled.error()); });
  }

  template <class Request, class Call>
  void reply_xattr(const Request& request, Call call) {
    if (!fits(request.size)) return fail(Errno{EINVAL});
    const Result<std::size_t> result = call(buffers_.payload().first(request.size));
    if (request.size != 0) return reply_bytes(result, request.size);
    reply_count(result, [&](std::size_t needed) {
      return proto::encode_xattr_length(buffers_.payload(), needed);
    });
  }

  template <class Count, class Encode>
  void reply_count(const Result<Count>& result, Encode encode) {
    const std::size_t length = result ? encode(*result) : 0;
    send(length, error_of(result), [&] {
      return result ? proto::render_value(std::uint64_t{*result}) : proto::render(result.error());
    });
  }

  /// Whether the kernel took the reply, and with it everything that the reply hands over.
  template <class Render>
  bool send(std::size_t length, std::optional<Errno> error, Render render) noexcept {
    answered_ = true;
    if (put_off_.until != 0) {
      if (entry_) entry_->finish("put off");
      return false;
    }
    if (!connection_->inflight.claim(slot_)) {
      counters_.add(Figure::kLateAnswers);
      trace_line(render, " (late: answered already)");
      return false;
    }
    const auto header = buffers_.header();
    proto::encode_header(header, context_.unique, length, error);
    const iovec part{header.data(), header.size() + (error ? 0 : length)};
    const Result<void> written = device_->write({&part, 1});
    if (!written) counters_.add(Figure::kRefusedReplies);
    trace_line(render, written ? "" : " (refused)");
    return written.has_value();
  }

  template <class Render>
  void trace_line(Render render, const char* suffix) noexcept {
    if (!entry_) return;
    try {
      entry_->finish(render() + suffix);
    } catch (const std::exception&) {
      entry_->finish("answered");
    }
  }
  void silent(std::string_view outcome) noexcept {
    answered_ = true;
    if (entry_) entry_->finish(outcome);
  }

  const std::shared_ptr<Connection>& connection_;
  proto::Filesystem& fs_;
  Slot& slot_;
  Counters& counters_;
  Buffers& buffers_;
  const std::shared_ptr<Device>& device_;
  std::optional<TraceEntry>& entry_;
  const bool interrupted_;
  proto::PutOff& put_off_;
  proto::Context context_;
  bool answered_ = false;
};

}  // namespace

bool Dispatcher::serve(std::span<const std::byte> message, const std::shared_ptr<Device>& device,
                       Blocking blocking) noexcept {
  const auto decoded = proto::decode(message, connection_->wire);
  if (!decoded) {
    refuse(message, *device);
    return false;
  }
  if (!proto::opcode_info(decoded->header.opcode).branch)
    return run(*decoded, device, {message, 0, false, {}});
  const std::uint32_t lane = connection_->fs.lane(decoded->header, decoded->request);
  if (blocking == Blocking::kQueue || !connection_->lanes.enter(lane))
    return queue(message, *decoded, device, lane);
  const bool queued = run(*decoded, device, {message, lane, false, {}});
  connection_->lanes.leave(lane);
  return queued;
}

void Dispatcher::serve(Backlog::Message waited) noexcept {
  const auto message = buffers_.receive().first(waited.size);
  std::memcpy(message.data(), waited.bytes.get(), waited.size);
  waited.bytes.reset();
  if (const auto decoded = proto::decode(message, connection_->wire))
    (void)run(*decoded, waited.device, {message, waited.lane, waited.interrupted, waited.put_off});
  else
    refuse(message, *waited.device);
  connection_->lanes.leave(waited.lane);
}

bool Dispatcher::queue(std::span<const std::byte> message, const proto::Decoded& decoded,
                       const std::shared_ptr<Device>& device, std::uint32_t lane) noexcept {
  const proto::Unique unique = decoded.header.unique;
  try {
    connection_->backlog.put(message, unique, device, lane);
  } catch (const std::bad_alloc&) {
    counters_.add(Figure::kOutOfMemory);
    if (!write_error(*device, unique, Errno{ENOMEM})) counters_.add(Figure::kRefusedReplies);
    return false;
  }
  counters_.add(Figure::kQueued);
  // Its INTERRUPT may have been read by another worker before it was put, and by now a third one
  // may serve it.
  if (connection_->inflight.take_early(unique) && !connection_->backlog.interrupt(unique))
    connection_->inflight.interrupt(unique);
  return true;
}

void Dispatcher::refuse(std::span<const std::byte> message, Device& device) noexcept {
  counters_.add(Figure::kMalformed);
  const auto header = proto::decode_header(message);
  if (!header) return;
  counters_.request(header->opcode);
  std::optional<TraceEntry> entry;
  if (connection_->tracing()) entry.emplace(*connection_->trace, *header);
  const bool wants_reply = proto::opcode_info(header->opcode).replies;
  if (wants_reply && !write_error(device, header->unique, Errno{EINVAL}))
    counters_.add(Figure::kRefusedReplies);
  if (entry) entry->finish(wants_reply ? "EINVAL" : "none");
}

/// Lays the request aside: from here on resume() and an INTERRUPT find it in the backlog.
bool Dispatcher::put_off(const Turn& turn, const proto::PutOff& how, proto::Unique unique,
                         const std::shared_ptr<Device>& device) noexcept {
  Inflight& inflight = connection_->inflight;
  proto::PutOff again = how;
  ++again.times;
  try {
    connection_->backlog.put_off(turn.message, unique, device, turn.lane, again);
  } catch (const std::bad_alloc&) {
    counters_.add(Figure::kOutOfMemory);
    if (inflight.claim(slot_) && !write_error(*device, unique, Errno{ENOMEM}))
      counters_.add(Figure::kRefusedReplies);
    (void)inflight.end(slot_);
    return false;
  }
  // An INTERRUPT marks the slot, or else is remembered and then looks into the backlog once more.
  const bool gave_up = inflight.end(slot_);
  if (gave_up || inflight.take_early(unique)) connection_->backlog.interrupt(unique);
  if (!connection_->fs.still_waits(how.until)) connection_->backlog.resume(how.until);
  return true;
}

bool Dispatcher::run(const proto::Decoded& decoded, const std::shared_ptr<Device>& device,
                     const Turn& turn) noexcept {
  const proto::RequestHeader& header = decoded.header;
  counters_.request(header.opcode);
  std::optional<TraceEntry> entry;
  if (connection_->tracing())
    entry.emplace(*connection_->trace, connection_->fs, header, decoded.request);

  Inflight& inflight = connection_->inflight;
  const proto::OpcodeInfo& info = proto::opcode_info(header.opcode);
  // A deferred request has an entry of its own.
  const bool running = info.replies && info.kind != proto::OpcodeClass::kWait;
  if (running) inflight.begin(slot_, header.unique, *device, turn.interrupted);
  proto::PutOff how = turn.put_off;
  how.after = std::exchange(how.until, 0);
  Exchange exchange(connection_, slot_, counters_, buffers_, device, header, entry,
                    turn.interrupted, how);
  try {
    std::visit(exchange, decoded.request);
  } catch (const std::bad_alloc&) {
    counters_.add(Figure::kOutOfMemory);
    exchange.fail(Errno{ENOMEM});
  } catch (...) {
    counters_.add(Figure::kHandlerExceptions);
    exchange.fail(Errno{EIO});
  }
  if (how.until != 0 && running) return put_off(turn, how, header.unique, device);
  (void)inflight.end(slot_);
  return std::holds_alternative<proto::InterruptRequest>(decoded.request) &&
         connection_->backlog.ready();
}

}  // namespace bough::session
