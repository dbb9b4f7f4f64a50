#pragma once

#include <cstdint>
#include <vector>

#include "proto/live_value.hpp"
#include "proto/replies.hpp"
#include "proto/setting.hpp"

namespace bough::ops {

/// The options uid, gid and umask: what the pool shows in place of what the branches say. The
/// kernel checks permissions by it.
struct ShownAttributes {
  static constexpr std::int64_t kAsTheyAre = -1;
  proto::LiveValue<std::int64_t> uid{kAsTheyAre};
  proto::LiveValue<std::int64_t> gid{kAsTheyAre};
  /// The bits of 0777 that nothing has; set-id and sticky bits go with them.
  proto::LiveValue<std::int64_t> umask{kAsTheyAre};

  void apply(proto::Attr& attr) const noexcept;
};

/// Adds the rows of the option table that are bound to `shown`.
void add_shown_attributes(std::vector<proto::Setting>& table, ShownAttributes& shown);

}  // namespace bough::ops
