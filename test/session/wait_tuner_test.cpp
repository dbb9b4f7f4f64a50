#include "session/wait_tuner.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <map>

using bough::session::Wait;
using bough::session::WaitTuner;
using namespace std::chrono_literals;

namespace {

using Times = std::map<Wait, std::chrono::nanoseconds>;

/// How often each way was taken while `messages` came, each way taking its time.
std::map<Wait, int> use(WaitTuner& tuner, const Times& times, int messages) {
  std::map<Wait, int> used;
  for (int i = 0; i < messages; ++i) {
    const Wait way = tuner.way();
    ++used[way];
    tuner.waited(times.at(way), way == Wait::kSleep);
  }
  return used;
}

}  // namespace

TEST_CASE("wait tuner: the way that brings messages soonest is taken, whichever it is") {
  for (const Wait best : {Wait::kSleep, Wait::kYield, Wait::kSpin}) {
    Times times{{Wait::kSleep, 20us}, {Wait::kYield, 20us}, {Wait::kSpin, 20us}};
    times[best] = 10us;
    WaitTuner tuner(true);
    (void)use(tuner, times, 2000);
    CHECK(use(tuner, times, 20000)[best] > 19000);
  }
}

TEST_CASE("wait tuner: when the best way changes, it is found again") {
  WaitTuner tuner(true);
  (void)use(tuner, {{Wait::kSleep, 30us}, {Wait::kYield, 20us}, {Wait::kSpin, 10us}}, 50000);
  // Another program wants the processor: who yields waits for milliseconds.
  const Times busy{{Wait::kSleep, 30us}, {Wait::kYield, 3ms}, {Wait::kSpin, 3ms}};
  (void)use(tuner, busy, 10000);
  CHECK(use(tuner, busy, 20000)[Wait::kSleep] > 19000);
}

TEST_CASE("wait tuner: what differs little is not changed for") {
  WaitTuner tuner(true);
  CHECK(use(tuner, {{Wait::kSleep, 10us}, {Wait::kYield, 10500ns}, {Wait::kSpin, 10us}},
            20000)[Wait::kYield] > 18000);
}

TEST_CASE("wait tuner: nobody spins on a single core") {
  WaitTuner tuner(false);
  CHECK(use(tuner, {{Wait::kSleep, 30us}, {Wait::kYield, 20us}, {Wait::kSpin, 10us}},
            50000)[Wait::kSpin] == 0);
}

TEST_CASE("wait tuner: a client that has nothing to ask says nothing about the ways") {
  WaitTuner tuner(true);
  const Wait way = tuner.way();
  for (int i = 0; i < 10000; ++i) tuner.waited(1s, true);
  CHECK(tuner.way() == way);
}

TEST_CASE("wait tuner: on a crowded machine it learns within a few messages not to yield") {
  WaitTuner tuner(true);
  // Many programs, each of which keeps the core for milliseconds.
  const Times crowded{{Wait::kSleep, 30us}, {Wait::kYield, 100ms}, {Wait::kSpin, 100ms}};
  CHECK(use(tuner, crowded, 1000)[Wait::kSleep] > 980);
}
