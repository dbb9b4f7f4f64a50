#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "proto/decode.hpp"
#include "session/backlog.hpp"
#include "session/buffers.hpp"
#include "session/counters.hpp"
#include "session/inflight.hpp"

namespace bough::session {

struct Connection;
class Device;

/// Turns one message into one call of the file system and one reply. One object a worker, on its
/// thread.
class Dispatcher {
 public:
  Dispatcher(std::shared_ptr<Connection> connection, Slot& slot, Counters& counters,
             Buffers& buffers)
      : connection_(std::move(connection)), slot_(slot), counters_(counters), buffers_(buffers) {}

  /// What becomes of a request that may block in a branch.
  enum class Blocking : std::uint8_t {
    kServe,  ///< served, unless its lane is full
    kQueue,  ///< left to another worker
  };
  /// Serves a whole message as it was read from `device`, where its reply goes, or puts it into the
  /// backlog; true: it is there now, see Backlog. A malformed one is answered EINVAL; nothing that
  /// a message holds and nothing that a handler throws gets out of here.
  bool serve(std::span<const std::byte> message, const std::shared_ptr<Device>& device,
             Blocking blocking) noexcept;
  /// Serves one from the backlog, then leaves its lane.
  void serve(Backlog::Message waited) noexcept;

 private:
  bool queue(std::span<const std::byte> message, const proto::Decoded& decoded,
             const std::shared_ptr<Device>& device, std::uint32_t lane) noexcept;
  /// How a request comes to its handler: the first time, or from the backlog.
  struct Turn {
    std::span<const std::byte> message;
    std::uint32_t lane = 0;
    bool interrupted = false;
    proto::PutOff put_off;
  };
  /// True: something is in the backlog now.
  bool run(const proto::Decoded& decoded, const std::shared_ptr<Device>& device,
           const Turn& turn) noexcept;
  bool put_off(const Turn& turn, const proto::PutOff& how, proto::Unique unique,
               const std::shared_ptr<Device>& device) noexcept;
  void refuse(std::span<const std::byte> message, Device& device) noexcept;

  std::shared_ptr<Connection> connection_;
  Slot& slot_;
  Counters& counters_;
  Buffers& buffers_;
};

}  // namespace bough::session
