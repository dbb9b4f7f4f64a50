#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "proto/dirents.hpp"
#include "proto/features.hpp"
#include "proto/kernel_port.hpp"
#include "proto/replies.hpp"
#include "proto/requests.hpp"
#include "proto/result.hpp"

/// The one renderer of traces. Each text is one line without its end, made of `key=value` pairs
/// apart by blanks; names stand in double quotes with control characters, quotes, backslashes and
/// bytes that are no UTF-8 escaped, so that a line is text; bytes that are data are told by their
/// number alone. Not for hot paths: a trace is on.
namespace bough::proto {

/// "OPCODE node=N ARGUMENTS"; unique and caller are columns of their own in a trace.
[[nodiscard]] std::string render(const RequestHeader& header, const Request& request);
[[nodiscard]] std::string render(const Notification& notification);

[[nodiscard]] std::string render_value(const EntryReply& reply);
[[nodiscard]] std::string render_value(const AttrReply& reply);
[[nodiscard]] std::string render_value(const StatxReply& reply);
[[nodiscard]] std::string render_value(const OpenReply& reply);
[[nodiscard]] std::string render_value(const CreateReply& reply);
[[nodiscard]] std::string render_value(const StatfsReply& reply);
[[nodiscard]] std::string render_value(const IoctlReply& reply);
[[nodiscard]] std::string render_value(const LockReply& reply);
[[nodiscard]] std::string render_value(const DirentPacker& packed);
[[nodiscard]] std::string render_value(const DirentPlusPacker& packed);
/// Counts and offsets: READ, WRITE, READLINK, xattrs, LSEEK, COPY_FILE_RANGE.
[[nodiscard]] std::string render_value(std::uint64_t count);

/// The name ("ENOENT"), or "errno 4000" for a number without one.
[[nodiscard]] std::string render(Errno error);

/// What came of a request: its value, "ok", or the errno by name.
template <class T>
[[nodiscard]] std::string render_reply(const Result<T>& result) {
  return result ? render_value(*result) : render(result.error());
}
[[nodiscard]] inline std::string render_reply(const Result<void>& result) {
  return result ? std::string("ok") : render(result.error());
}
/// READDIR and READDIRPLUS.
template <class Packer>
[[nodiscard]] std::string render_reply(const Result<void>& result, const Packer& packed) {
  return result ? render_value(packed) : render(result.error());
}

/// A string as render() quotes it, for other columns of a trace.
[[nodiscard]] std::string quote(std::string_view text);
/// open(2) flags: "O_RDWR|O_CREAT".
[[nodiscard]] std::string render_open_flags(std::uint32_t flags);
/// FOPEN_* flags of an open reply, without the prefix: "DIRECT_IO|KEEP_CACHE"; "0" for none.
[[nodiscard]] std::string render_open_reply_flags(std::uint32_t flags);

/// INIT as a table of several lines (each with its end): the numbers of both sides, then a row a
/// flag with offered, wanted, agreed, and why not.
[[nodiscard]] std::string render_init(const InitRequest& offer, const std::vector<FeatureRow>& rows,
                                      const InitAgreement& agreement);

}  // namespace bough::proto
