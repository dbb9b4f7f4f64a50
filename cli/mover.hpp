#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/move_plan.hpp"

namespace bough::cli {

/// Has a pool make a plan true: several files at a time, each as a request to the pool, which says
/// when it is moved. SIGINT and SIGTERM end it after what is under way; a second one has that
/// stay where it was.
class Mover {
 public:
  struct How {
    /// Bytes a second; 0: as fast as it goes.
    std::uint64_t rate = 0;
    bool verify = false;
  };
  struct Progress {
    std::size_t files = 0;
    std::size_t all_files = 0;
    std::uint64_t bytes = 0;
    std::uint64_t all_bytes = 0;
    double seconds = 0;
    /// Removed or renamed before their turn; not among `files`.
    std::size_t gone = 0;
  };
  /// The errno of a move of nothing from a branch: ENOENT if this user may move something.
  [[nodiscard]] static int try_rights(const std::string& root, const std::string& branch);
  /// `root` is the root of the pool.
  Mover(std::string root, How how) : root_(std::move(root)), how_(how) {}

  /// Adds to plan.stays what stays; what is gone from its name is neither moved nor stays. May be
  /// called again, with another plan: the progress is that of all together. `tell` is told now and
  /// then, on the calling thread, how far it has come, and `note` lines for people. Whether all was
  /// tried: else a signal came before. For a process without threads.
  [[nodiscard]] bool run(MovePlan& plan, const std::function<void(const Progress&)>& tell,
                         const std::function<void(const std::string&)>& note);

 private:
  /// No errno: it is not there under its name any more.
  static constexpr int kGone = -1;

  void work(int root);
  /// With the mutex: whether the next may begin beside those that are under way.
  [[nodiscard]] bool may_begin() const;
  [[nodiscard]] std::string ending_text();
  /// 0, an errno, or kGone.
  [[nodiscard]] int move(int root, const MoveItem& item);
  void move_all(MovePlan& plan, std::vector<const MoveItem*> items,
                const std::function<void()>& tick);
  [[nodiscard]] Progress progress(const MovePlan& plan) const;

  const std::string root_;
  const How how_;
  std::mutex mutex_;
  std::condition_variable turn_;
  std::deque<const MoveItem*> queue_;
  /// Asked of the pool, and not answered.
  std::size_t files_under_way_ = 0;
  std::uint64_t bytes_under_way_ = 0;
  /// Not all was tried.
  bool broken_off_ = false;
  std::vector<Staying> stays_;
  unsigned at_work_ = 0;
  std::size_t files_ = 0;
  std::size_t gone_ = 0;
  std::uint64_t bytes_ = 0;
  /// When this plan was begun.
  std::size_t files_before_ = 0;
  std::uint64_t bytes_before_ = 0;
  double began_ = 0;
  /// How often the user wanted it to end.
  std::atomic<unsigned> signals_{0};
};

/// How many bytes the pool has copied of what is under way, by its key `moves`.
[[nodiscard]] std::uint64_t copied_bytes(std::string_view moves);

}  // namespace bough::cli
