#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "ops/absences.hpp"
#include "ops/backing.hpp"
#include "ops/branch_crew.hpp"
#include "ops/branch_set.hpp"
#include "ops/directory_cache.hpp"
#include "ops/free_names.hpp"
#include "ops/gate.hpp"
#include "ops/handle_table.hpp"
#include "ops/name_index.hpp"
#include "ops/node_locks.hpp"
#include "ops/node_table.hpp"
#include "ops/passthrough.hpp"
#include "ops/refresher.hpp"
#include "ops/relocations.hpp"
#include "ops/seen_files.hpp"
#include "ops/settings.hpp"
#include "ops/unsettled.hpp"
#include "policy/facts.hpp"
#include "proto/claim.hpp"
#include "proto/features.hpp"
#include "proto/kernel_port.hpp"

namespace bough::ops {

/// What every operation works on. One a mount; owned by UnionFs; outlives every request.
struct Pool {
  Pool(Backing& backing_calls, Settings& pool_settings, std::shared_ptr<const BranchSet> first,
       Generation epoch, policy::Random& randomness, proto::ClaimOwner& claim_owner)
      : backing(backing_calls),
        settings(pool_settings),
        branches(std::move(first)),
        nodes(epoch),
        random(randomness),
        owner(claim_owner) {}

  Backing& backing;
  Settings& settings;
  Absences absences{settings};
  Branches branches;
  NodeTable nodes;
  Passthrough passthrough{nodes};
  HandleTable handles;
  DirectoryCache directories;
  FreeNames free_names;
  NameIndex name_index;
  SeenFiles seen_files;
  Refresher refresher;
  BranchCrew listers;
  /// Closed while a directory moves; see UnionFs, its only user.
  Gate gate;
  /// Between cloning a directory as it is and changing the attributes of all its copies: a change
  /// must not miss a copy that is just being made. Held across those branch calls, inside the gate.
  std::mutex directory_copies;
  /// With link-cow: shared while a file is opened, alone while its link is broken. Held across
  /// those branch calls, outside the gate.
  NodeLocks link_breaks;
  /// What moves of files could not end.
  Unsettled unsettled;
  /// Called from any thread.
  policy::Random& random;
  /// Takes back claims that the kernel never got: UnionFs.
  proto::ClaimOwner& owner;

  /// Set once, before the first request.
  proto::InitAgreement agreement;
  proto::KernelPort* port = nullptr;
  /// The daemon may act as its callers (it is root in its user namespace).
  bool may_become = false;
  /// Said once, however many links there are.
  std::atomic<bool> told_why_nothing_is_followed{false};
  /// The absolute path of the mount point; empty where it is not known.
  std::string mountpoint;
  Identity own;
  /// ControlOptions::own_device.
  std::function<std::optional<std::uint64_t>()> own_device;
  /// One line for the log. Any thread.
  std::function<void(const std::string&)> complain = [](const std::string&) {};
  /// The same of what is as it should be.
  std::function<void(const std::string&)> notice = [](const std::string&) {};

  /// When a file's descriptor was last kept because its name went.
  std::atomic<std::chrono::steady_clock::time_point> last_removal{};

  struct Figures {
    std::atomic<std::uint64_t> demotions{0};
    std::atomic<std::uint64_t> replays{0};
    std::atomic<std::uint64_t> descriptor_shortages{0};
    std::atomic<std::uint64_t> unpinned_victims{0};
    /// Pieces of a legal O_DIRECT call that the kernel cut where O_DIRECT cannot go on.
    std::atomic<std::uint64_t> cut_direct_calls{0};
    /// Files that the kernel would not take as backing files.
    std::atomic<std::uint64_t> backing_refusals{0};
  } figures;

  /// Works with all of the above.
  Relocations relocations{*this};
};

}  // namespace bough::ops
