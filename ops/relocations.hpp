#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ops/handle_table.hpp"
#include "ops/move_told.hpp"
#include "ops/node_locks.hpp"
#include "ops/node_table.hpp"

namespace bough::ops {

struct Pool;

/// What somebody wants moved (boughfs move, evacuate, balance).
struct Errand {
  BranchId from = kNoBranch;
  /// kNoBranch: where the create policy says.
  BranchId to = kNoBranch;
  /// Bytes a second for all errands together, as the last one says; 0: as fast as it goes.
  std::uint64_t rate = 0;
  bool verify = false;
};

/// The moves of files: of those that have no room left on their branch (the option moveonenospc),
/// and errands. Each is made by a thread of its own kind: no request waits for one as a thread, but
/// is put off (proto::PutOff) until the number of the move. Errands have threads of their own, so
/// that nobody who lacks room waits for them. Threads are started when they are needed and end in
/// the quiet. Any thread.
class Relocations {
 public:
  explicit Relocations(Pool& pool);
  /// Waits for branches as long as they take: call stop() first.
  ~Relocations();
  Relocations(const Relocations&) = delete;
  Relocations& operator=(const Relocations&) = delete;

  /// The node's file is to be moved to where there is room for it and `asked` bytes more. Returns
  /// the number of the move, which may be under way already; 0: there will be none.
  [[nodiscard]] std::uint64_t want(NodeId node, std::uint64_t asked);
  /// The number of the node's move; 0: there is none.
  [[nodiscard]] std::uint64_t of(NodeId node) const;
  [[nodiscard]] bool under_way(std::uint64_t move) const;
  // --- errands
  /// Returns the number of the move; 0: the file is being moved already, or nothing is moved any
  /// more.
  [[nodiscard]] std::uint64_t carry(NodeId node, const Errand& errand);
  /// What came of an errand that ended lately; nothing: it has not ended.
  [[nodiscard]] std::optional<Result<void>> came_of(std::uint64_t move) const;
  /// The file stays where it is, if its copy is not whole yet.
  void give_up(std::uint64_t move);

  /// Of a move that ended lately: it left the file where it was.
  [[nodiscard]] bool came_to_nothing(std::uint64_t move) const;

  // --- for changes of files
  /// For a change that goes by the node, not by one of its open files. Holds nothing if the file is
  /// being moved.
  [[nodiscard]] NodeLocks::Shared share(NodeId node);
  /// Once a handle is in the table, and before anybody knows of it.
  void attend(proto::HandleId handle);

  // --- for people
  [[nodiscard]] std::vector<MoveTold> told() const;
  /// Files that were moved since the start, and that could not be.
  [[nodiscard]] std::uint64_t moved() const noexcept;
  [[nodiscard]] std::uint64_t refused() const noexcept;

  // --- life
  /// Ends the threads that have nothing to do.
  void rest() noexcept;
  /// From now on nothing is moved; what is being copied stays where it is. False: a branch has not
  /// answered in time, and its thread still uses the pool.
  [[nodiscard]] bool stop(std::chrono::milliseconds patience) noexcept;

 private:
  struct Job;
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace bough::ops
