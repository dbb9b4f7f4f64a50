#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "proto/features.hpp"
#include "proto/ids.hpp"
#include "proto/kernel_abi.hpp"
#include "proto/kernel_port.hpp"
#include "proto/replies.hpp"
#include "proto/result.hpp"

/// Replies into bytes. A reply buffer is a payload area with kReplyHeader bytes of room directly in
/// front of it, so that header and payload leave as one contiguous write. Each encode() fills the
/// payload and returns its length; encode_header() completes the message. Claims are not touched:
/// keep them once the write was accepted. A payload area that is too small is a bug of the
/// caller's: std::length_error.
namespace bough::proto {

inline constexpr std::size_t kReplyHeader = sizeof(abi::OutHeader);
/// Out data of an IOCTL reply is put this far into the payload, behind the fixed part.
inline constexpr std::size_t kIoctlOutOffset = sizeof(abi::IoctlOut);

/// With an error the message ends behind the header, whatever `payload_length` says; an errno that
/// the kernel would refuse (outside 1..511) goes out as EIO. `unique` is written exactly as it
/// came.
void encode_header(std::span<std::byte, kReplyHeader> header, Unique unique,
                   std::size_t payload_length, std::optional<Errno> error = std::nullopt) noexcept;

[[nodiscard]] std::size_t encode(std::span<std::byte> payload, const EntryReply& reply);
[[nodiscard]] std::size_t encode(std::span<std::byte> payload, const AttrReply& reply);
[[nodiscard]] std::size_t encode(std::span<std::byte> payload, const StatxReply& reply);
[[nodiscard]] std::size_t encode(std::span<std::byte> payload, const OpenReply& reply);
/// CREATE and TMPFILE: entry, then open.
[[nodiscard]] std::size_t encode(std::span<std::byte> payload, const CreateReply& reply);
[[nodiscard]] std::size_t encode(std::span<std::byte> payload, const StatfsReply& reply);
[[nodiscard]] std::size_t encode(std::span<std::byte> payload, const LockReply& reply);
/// The reply's out data is already at kIoctlOutOffset.
[[nodiscard]] std::size_t encode(std::span<std::byte> payload, const IoctlReply& reply);
/// fuse_init_out, always all 64 bytes (every kernel since 7.23 takes them). Not for a refusal: that
/// is an error reply.
[[nodiscard]] std::size_t encode(std::span<std::byte> payload, const InitAgreement& agreement);

[[nodiscard]] std::size_t encode_write(std::span<std::byte> payload, std::uint32_t written);
[[nodiscard]] std::size_t encode_lseek(std::span<std::byte> payload, std::uint64_t offset);
/// `wide`: opcode 53 (64-bit count); else 47, whose count is cut to 32 bits by the request already.
[[nodiscard]] std::size_t encode_copy_file_range(std::span<std::byte> payload, std::uint64_t copied,
                                                 bool wide);
/// GETXATTR and LISTXATTR of size 0: the length that a value would need.
[[nodiscard]] std::size_t encode_xattr_length(std::span<std::byte> payload, std::size_t length);
[[nodiscard]] std::size_t encode_poll(std::span<std::byte> payload, std::uint32_t revents);
[[nodiscard]] std::size_t encode_bmap(std::span<std::byte> payload, std::uint64_t block);

/// fuse_entry_out as it stands alone and inside a direntplus record.
[[nodiscard]] abi::EntryOut wire_entry(const Entry& entry) noexcept;

/// A whole message, header included, for one write on any descriptor of the connection.
[[nodiscard]] std::vector<std::byte> encode(const Notification& notification);

}  // namespace bough::proto
