#include "cli/branch_facts.hpp"

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <system_error>
#include <utility>

#include "cli/disks.hpp"
#include "cli/mountinfo.hpp"
#include "cli/state_file.hpp"
#include "ops/absences.hpp"
#include "ops/backing.hpp"
#include "ops/branch_presence.hpp"
#include "ops/branch_set.hpp"
#include "ops/minimum_free.hpp"

namespace bough::cli {
namespace {

constexpr const char* kAbout = "branch";

const char* mode_name(ops::BranchMode mode) {
  switch (mode) {
    case ops::BranchMode::kReadOnly:
      return "RO";
    case ops::BranchMode::kNoCreate:
      return "NC";
    case ops::BranchMode::kReadWrite:
      break;
  }
  return "RW";
}

/// Of btrfs and others st_dev names no device, but the mount does.
dev_t block_device(dev_t device, const MountInfo* mount) {
  if (major(device) != 0 || mount == nullptr || !mount->source.starts_with('/')) return device;
  struct stat source = {};
  const bool block = ::stat(mount->source.c_str(), &source) == 0 && S_ISBLK(source.st_mode);
  return block ? source.st_rdev : device;
}

/// Of a list with mistakes each element by itself, so that all of them are told.
std::vector<ops::BranchSpec> read_list(const std::string& list, const ops::KnownPlaces& known,
                                       Findings& findings) {
  std::string mistake;
  std::vector<ops::BranchSpec> specs = ops::parse_branches(list, mistake, known);
  if (mistake.empty()) return specs;
  bool told = false;
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(':', begin), list.size());
    const std::string element = list.substr(begin, end - begin);
    begin = end + 1;
    if (element.empty()) continue;
    std::string wrong;
    for (ops::BranchSpec& spec : ops::parse_branches(element, wrong, known))
      specs.push_back(std::move(spec));
    if (wrong.empty()) continue;
    refuse(findings, kAbout, std::move(wrong));
    told = true;
  }
  if (!told) refuse(findings, kAbout, std::move(mistake));
  return specs;
}

void ask_space(ops::Branch& branch, const Configuration& config, CheckedBranch& into,
               Findings& findings) {
  const auto room = branch.statfs();
  if (!room) {
    refuse(findings, kAbout,
           "branch " + into.path +
               " cannot be asked for its room: " + std::strerror(room.error().value()));
    return;
  }
  const std::uint64_t unit = room->fragment_size;
  into.space = BranchInfo::Space{room->blocks_available * unit, room->blocks * unit};
  into.read_only = room->read_only;
  const std::uint64_t common = config.ops.min_free;
  into.least = branch.spec().min_free.value_or(
      common == ops::kMinFreeBySize ? ops::minimum_by_size(into.space->total) : common);
}

/// The paths of the list that lead elsewhere than they say, by where they lead, the last first.
std::map<std::string, std::vector<std::string>> detours(const std::string& list) {
  std::map<std::string, std::vector<std::string>> by_end;
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(':', begin), list.size());
    const std::string element = list.substr(begin, end - begin);
    begin = end + 1;
    const std::string path = element.substr(0, element.rfind('='));
    std::error_code failed;
    const std::string real = std::filesystem::canonical(path, failed);
    if (!failed) by_end[real].insert(by_end[real].begin(), path);
  }
  return by_end;
}

bool takes_xattrs(const std::string& path) {
  return ::getxattr(path.c_str(), "user.boughfs.check", nullptr, 0) >= 0 || errno != EOPNOTSUPP;
}

}  // namespace

std::optional<Ground> ground_of(const std::string& path) {
  struct stat found = {};
  if (::stat(path.c_str(), &found) != 0) return std::nullopt;
  const std::optional<MountInfo> mount = mount_of(path);
  Ground ground;
  ground.device = found.st_dev;
  ground.ino = found.st_ino;
  if (mount) ground.type = mount->type;
  ground.disks = disks_below(block_device(found.st_dev, mount ? &*mount : nullptr));
  return ground;
}

std::vector<CheckedBranch> examine_branches(const Configuration& config, const std::string& place,
                                            Findings& findings) {
  const std::unique_ptr<ops::Backing> backing = ops::make_posix_backing();
  const ops::BranchWitness witness(*backing, state_file(place), place);
  ops::Absences absences(config.ops);
  absences.examine_by(
      [&](const std::string& path, int root) { return witness.why_not(path, root); },
      [&](int root) { return witness.vouched(root); });
  ops::KnownPlaces known;
  known.expected = witness.expectation();
  std::vector<CheckedBranch> branches;
  auto ways = detours(config.ops.branches);
  for (const ops::BranchSpec& spec : read_list(config.ops.branches, known, findings)) {
    const auto branch = ops::open_or_expect(*backing, 0, spec, absences);
    if (!branch) {
      refuse(findings, kAbout,
             "branch " + spec.path + " cannot be opened: " + std::strerror(branch.error().value()));
      continue;
    }
    CheckedBranch checked;
    checked.path = spec.path;
    if (auto& names = ways[spec.path]; !names.empty()) {
      if (names.back() != spec.path) checked.written = names.back();
      names.pop_back();
    }
    checked.mode = mode_name(spec.mode);
    if ((*branch)->absent()) {
      checked.absent = (*branch)->why_absent();
    } else {
      ask_space(**branch, config, checked, findings);
      if (auto ground = ground_of(spec.path)) checked.ground = *std::move(ground);
      checked.has_xattrs = takes_xattrs(spec.path);
    }
    branches.push_back(std::move(checked));
  }
  return branches;
}

}  // namespace bough::cli
