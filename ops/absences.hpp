#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "ops/backing.hpp"
#include "ops/settings.hpp"

namespace bough::ops {

class Branch;

/// The branches whose disk is missing: what they answer, and a thread that looks every second
/// whether one is back. The thread is there only while one is missing. Any thread.
class Absences {
 public:
  /// Why what is at a branch's path (`root`: its descriptor, O_PATH) is not the branch but only the
  /// place for it, for people; empty: it is the branch. Of one that is not there (`root` is
  /// negative): why it is expected; empty: it is not.
  using WhyNot = std::function<std::string(const std::string& path, int root)>;
  /// A branch went (`there` is false) or came back. Called without a lock, one call at a time.
  using Changed = std::function<void(const Branch& branch, bool there)>;

  /// How long a branch that is back may not be noticed.
  static constexpr std::chrono::seconds kPeriod{1};

  /// `settings` outlive this.
  explicit Absences(const Settings& settings);
  /// Waits for the thread as long as a branch takes: call stop() first.
  ~Absences();
  Absences(const Absences&) = delete;
  Absences& operator=(const Absences&) = delete;

  /// What an absent branch answers: ESTALE where it counts as not in the list, which every
  /// operation takes for a branch that takes no part; EIO where it may hold what is asked for.
  [[nodiscard]] Errno error() const noexcept;
  [[nodiscard]] bool any() const noexcept { return count() != 0; }
  [[nodiscard]] std::size_t count() const noexcept;
  /// Whether nothing in the pool may be changed now.
  [[nodiscard]] bool frozen() const noexcept {
    return any() && settings_.branch_absent == BranchAbsent::kReadonly;
  }

  /// Whether the user says of a directory (O_PATH) that it is the branch, whatever was there
  /// before.
  using Vouched = std::function<bool(int root)>;

  /// Before the first branch is opened.
  void examine_by(WhyNot why_not, Vouched vouched) {
    why_not_ = std::move(why_not);
    vouched_ = std::move(vouched);
  }
  [[nodiscard]] bool vouched(int root) const { return vouched_ && vouched_(root); }
  [[nodiscard]] std::string why_not(const std::string& path, int root) const {
    return why_not_ ? why_not_(path, root) : std::string();
  }

  /// A branch has become absent. No call is made to it here. False: neither memory nor a thread is
  /// to be had, and nobody will look for its return.
  [[nodiscard]] bool add(std::weak_ptr<Branch> branch) noexcept;
  /// The branch has left the pool. Nobody is waited for: its disk may hang.
  void forget(const Branch& branch) noexcept;
  /// Tells of those that are absent by now, and looks for their return from now on.
  void start(Changed changed);
  /// From now on nobody looks. False: a branch has not answered in time, and the thread still uses
  /// it.
  [[nodiscard]] bool stop(std::chrono::milliseconds patience) noexcept;

 private:
  struct State;
  const Settings& settings_;
  WhyNot why_not_;
  Vouched vouched_;
  std::shared_ptr<State> state_;
};

}  // namespace bough::ops
