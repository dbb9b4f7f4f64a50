#include "session/wait_tuner.hpp"

#include <algorithm>
#include <utility>

namespace bough::session {

void WaitTuner::waited(Clock::duration time, bool slept) noexcept {
  if (slept && time > kIdle) return;
  const Clock::duration most = slept ? Clock::duration(kMost) : Clock::duration(kIdle);
  sum_ += std::chrono::nanoseconds(std::min(time, most)).count();
  constexpr std::int64_t kEnough = kRound * std::chrono::nanoseconds(kMost).count();
  if (++count_ < kRound && sum_ < kEnough) return;
  count_ = 0;
  finish_round(std::exchange(sum_, 0) / kRound);
}

void WaitTuner::finish_round(std::int64_t mean) noexcept {
  if (probing_) {
    probing_ = false;
    const bool better = mean * 10 < home_mean_ * 9;
    if (better) home_ = probe_;
    gap_ = better ? kFirstProbe : std::min(gap_ * 2, kLastProbe);
    until_probe_ = gap_;
    return;
  }
  home_mean_ = mean;
  if (--until_probe_ > 0) return;
  probing_ = true;
  do probe_ = (probe_ + 1) % ways_;
  while (probe_ == home_);
}

}  // namespace bough::session
