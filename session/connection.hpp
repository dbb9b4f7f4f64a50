#pragma once

#include <cstddef>
#include <memory>

#include "proto/decode.hpp"
#include "proto/features.hpp"
#include "session/backlog.hpp"
#include "session/counters.hpp"
#include "session/inflight.hpp"
#include "session/lanes.hpp"
#include "session/trace.hpp"

namespace bough::proto {
class Filesystem;
}

namespace bough::session {

/// What every part of one connection shares. Held by shared pointer, because a deferred reply may
/// be answered after the session's end.
struct Connection {
  Connection(proto::Filesystem& filesystem, const proto::InitAgreement& agreed,
             std::shared_ptr<Trace> tracer, unsigned threads)
      : fs(filesystem),
        agreement(agreed),
        trace(std::move(tracer)),
        inflight(threads + 1),
        lanes(Lanes::limit_for(threads)),
        backlog(lanes) {
    wire.setxattr_ext = agreed.features.has(proto::Feature::kSetxattrExt);
  }

  [[nodiscard]] bool tracing() const noexcept { return trace && trace->on(); }

  proto::Filesystem& fs;
  const proto::InitAgreement agreement;
  proto::WireOptions wire;
  /// Null: never.
  const std::shared_ptr<Trace> trace;
  /// A slot for each worker and one for the control worker.
  Inflight inflight;
  Lanes lanes;
  Backlog backlog;
  /// For threads that are not workers.
  Counters counters;
};

}  // namespace bough::session
