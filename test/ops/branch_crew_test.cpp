#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "ops/branch_crew.hpp"

namespace bough::test {
namespace {

using ops::BranchCrew;
using namespace std::chrono_literals;

/// Opens when so many threads are at it at once.
class Meeting {
 public:
  explicit Meeting(int wanted) : wanted_(wanted) {}
  bool come() {
    std::unique_lock lock(mutex_);
    ++here_;
    met_.notify_all();
    return met_.wait_for(lock, 20s, [this] { return here_ >= wanted_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable met_;
  int here_ = 0;
  const int wanted_;
};

bool threads_become(const BranchCrew& crew, std::size_t count) {
  for (int tries = 0; tries < 2000 && crew.threads() != count; ++tries)
    std::this_thread::sleep_for(5ms);
  return crew.threads() == count;
}

}  // namespace

TEST_CASE("a crew makes each call once") {
  BranchCrew crew;
  for (const std::size_t count : {0U, 1U, 2U, 7U, 100U}) {
    std::vector<std::atomic<int>> calls(count);
    crew.each(count, {4, 8}, [&](std::size_t i) { ++calls[i]; });
    for (const auto& each : calls) CHECK(each == 1);
  }
  CHECK(crew.threads() <= 4);
}

TEST_CASE("a crew works at once: the caller and as many threads as may be") {
  BranchCrew crew;
  Meeting four(4);
  std::atomic<int> met{0};
  crew.each(4, {3, 6}, [&](std::size_t) { met += four.come() ? 1 : 0; });
  CHECK(met == 4);
  CHECK(crew.threads() == 3);
  // Never more, whoever asks.
  std::vector<std::thread> callers;
  std::atomic<int> calls{0};
  for (int i = 0; i < 4; ++i)
    callers.emplace_back([&] {
      for (int k = 0; k < 50; ++k) crew.each(8, {3, 6}, [&](std::size_t) { ++calls; });
    });
  for (auto& each : callers) each.join();
  CHECK(calls == 4 * 50 * 8);
  CHECK(crew.threads() == 3);
}

TEST_CASE("a crew's threads end in the quiet and come again") {
  BranchCrew crew;
  Meeting two(2);
  crew.each(2, {2, 4}, [&](std::size_t) { CHECK(two.come()); });
  crew.rest();
  CHECK(threads_become(crew, 0));
  Meeting again(2);
  crew.each(2, {2, 4}, [&](std::size_t) { CHECK(again.come()); });
  CHECK(crew.threads() > 0);
}

TEST_CASE("a crew that is caught keeps nobody from his own work, and is told of at the end") {
  BranchCrew crew;
  std::mutex hang;
  std::unique_lock held(hang);
  std::atomic<int> caught{0};
  std::thread stuck([&] {
    crew.each(2, {1, 2}, [&](std::size_t) {
      ++caught;
      const std::lock_guard wait(hang);
    });
  });
  while (caught < 2) std::this_thread::sleep_for(1ms);
  int calls = 0;
  crew.each(5, {1, 2}, [&](std::size_t) { ++calls; });
  CHECK(calls == 5);
  CHECK_FALSE(crew.stop(50ms));
  held.unlock();
  stuck.join();
  CHECK(crew.stop(20s));
}

}  // namespace bough::test
