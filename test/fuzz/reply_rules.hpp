#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "proto/requests.hpp"

namespace bough::test {

/// Whether the kernel waits for an answer to a message of this opcode. By number, so that a mistake
/// in our own table is none here.
[[nodiscard]] constexpr bool wants_reply(std::uint32_t opcode) {
  constexpr std::uint32_t kForget = 2;
  constexpr std::uint32_t kInterrupt = 36;
  constexpr std::uint32_t kNotifyReply = 41;
  constexpr std::uint32_t kBatchForget = 42;
  return opcode != kForget && opcode != kInterrupt && opcode != kNotifyReply &&
         opcode != kBatchForget;
}

/// How long the payload of a successful reply may be: the kernel refuses any other (copy_out_args
/// of fs/fuse/dev.c).
struct PayloadRule {
  std::size_t least = 0;
  std::size_t most = 0;

  static constexpr PayloadRule exactly(std::size_t size) { return {size, size}; }
  static constexpr PayloadRule up_to(std::size_t size) { return {0, size}; }
  /// Only an error answers it.
  static constexpr PayloadRule never() { return {std::numeric_limits<std::size_t>::max(), 0}; }
};

/// Sizes are those of protocol 7.31 and later, with no struct of ours.
struct PayloadRules {
  static constexpr std::size_t kEntry = 128;
  static constexpr std::size_t kAttr = 104;
  static constexpr std::size_t kOpen = 16;
  static constexpr std::size_t kPathMax = 4095;

  template <class Nothing>
  PayloadRule operator()(const Nothing&) const {
    return PayloadRule::exactly(0);
  }
  PayloadRule operator()(const proto::UnservedRequest&) const { return PayloadRule::never(); }
  PayloadRule operator()(const proto::BmapRequest&) const { return PayloadRule::never(); }
  PayloadRule operator()(const proto::InitRequest&) const { return PayloadRule::never(); }
  PayloadRule operator()(const proto::LookupRequest&) const { return PayloadRule::exactly(kEntry); }
  PayloadRule operator()(const proto::SymlinkRequest&) const {
    return PayloadRule::exactly(kEntry);
  }
  PayloadRule operator()(const proto::MknodRequest&) const { return PayloadRule::exactly(kEntry); }
  PayloadRule operator()(const proto::MkdirRequest&) const { return PayloadRule::exactly(kEntry); }
  PayloadRule operator()(const proto::LinkRequest&) const { return PayloadRule::exactly(kEntry); }
  PayloadRule operator()(const proto::GetattrRequest&) const { return PayloadRule::exactly(kAttr); }
  PayloadRule operator()(const proto::SetattrRequest&) const { return PayloadRule::exactly(kAttr); }
  PayloadRule operator()(const proto::StatxRequest&) const { return PayloadRule::exactly(288); }
  PayloadRule operator()(const proto::ReadlinkRequest&) const {
    return PayloadRule::up_to(kPathMax);
  }
  PayloadRule operator()(const proto::OpenRequest&) const { return PayloadRule::exactly(kOpen); }
  PayloadRule operator()(const proto::OpendirRequest&) const { return PayloadRule::exactly(kOpen); }
  PayloadRule operator()(const proto::CreateRequest&) const {
    return PayloadRule::exactly(kEntry + kOpen);
  }
  PayloadRule operator()(const proto::TmpfileRequest&) const {
    return PayloadRule::exactly(kEntry + kOpen);
  }
  PayloadRule operator()(const proto::ReadRequest& r) const { return PayloadRule::up_to(r.size); }
  PayloadRule operator()(const proto::ReaddirRequest& r) const {
    return PayloadRule::up_to(r.size);
  }
  PayloadRule operator()(const proto::ReaddirplusRequest& r) const {
    return PayloadRule::up_to(r.size);
  }
  PayloadRule operator()(const proto::WriteRequest&) const { return PayloadRule::exactly(8); }
  PayloadRule operator()(const proto::StatfsRequest&) const { return PayloadRule::exactly(80); }
  PayloadRule operator()(const proto::GetxattrRequest& r) const { return xattr(r.size); }
  PayloadRule operator()(const proto::ListxattrRequest& r) const { return xattr(r.size); }
  PayloadRule operator()(const proto::GetlkRequest&) const { return PayloadRule::exactly(24); }
  PayloadRule operator()(const proto::IoctlRequest& r) const {
    return {16, std::size_t{16} + r.out_size};
  }
  PayloadRule operator()(const proto::PollRequest&) const { return PayloadRule::exactly(8); }
  PayloadRule operator()(const proto::LseekRequest&) const { return PayloadRule::exactly(8); }
  PayloadRule operator()(const proto::CopyFileRangeRequest&) const {
    return PayloadRule::exactly(8);
  }

 private:
  static PayloadRule xattr(std::size_t size) {
    return size == 0 ? PayloadRule::exactly(8) : PayloadRule::up_to(size);
  }
};

}  // namespace bough::test
