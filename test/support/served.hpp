#pragma once

#include <utility>

#include "test/support/pool_fixture.hpp"

namespace bough::test {

/// Makes a call (Result(const proto::Context&)) as a session does: again and again, each time that
/// what it was put off until is over.
template <class Call>
auto served(PoolFixture& pool, proto::NodeId node, Call call)
    -> decltype(call(std::declval<const proto::Context&>())) {
  proto::PutOff how;
  proto::Context context = pool.as(node);
  context.put_off = &how;
  for (;;) {
    auto result = call(context);
    if (how.until == 0) return result;
    REQUIRE(pool.port().wait_resumed(how.until));
    how.after = std::exchange(how.until, 0);
    ++how.times;
  }
}

}  // namespace bough::test
