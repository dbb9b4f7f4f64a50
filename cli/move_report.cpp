#include "cli/move_report.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <utility>

#include "cli/json_text.hpp"
#include "cli/size_for_people.hpp"

namespace bough::cli {
namespace {

struct Sum {
  std::size_t files = 0;
  std::uint64_t bytes = 0;
};

std::string files_text(std::size_t count) {
  return std::to_string(count) + (count == 1 ? " file" : " files");
}

std::uint64_t rate_of(const Mover::Progress& now) {
  return now.seconds < 1 ? 0
                         : static_cast<std::uint64_t>(static_cast<double>(now.bytes) / now.seconds);
}

std::string duration_text(std::uint64_t seconds) {
  constexpr std::uint64_t kMinute = 60;
  constexpr std::uint64_t kHour = 3600;
  if (seconds < 2 * kMinute) return std::to_string(seconds) + " s";
  if (seconds < 2 * kHour) return std::to_string(seconds / kMinute) + " min";
  return std::to_string(seconds / kHour) + " h";
}

/// Nothing can tell how long the rest takes.
constexpr std::uint64_t kUnknown = ~std::uint64_t{0};

std::uint64_t seconds_left(const Mover::Progress& now) {
  if (now.seconds < 1) return kUnknown;
  // Small files are a matter of their number.
  const double by_bytes = now.bytes == 0 ? 0
                                         : static_cast<double>(now.all_bytes - now.bytes) /
                                               static_cast<double>(now.bytes);
  const double by_files = now.files == 0 ? 0
                                         : static_cast<double>(now.all_files - now.files) /
                                               static_cast<double>(now.files);
  if (now.bytes == 0 && now.files == 0) return kUnknown;
  return static_cast<std::uint64_t>(now.seconds * (now.bytes == 0 ? by_files : by_bytes));
}

std::string room_text(const BranchInfo& branch) {
  return branch.space ? size_for_people(branch.space->free) + " free" : "room not known";
}

}  // namespace

std::string progress_text(const Mover::Progress& now) {
  std::string text = std::to_string(now.files) + " of " + files_text(now.all_files) + ", " +
                     size_for_people(now.bytes) + " of " + size_for_people(now.all_bytes);
  if (const std::uint64_t rate = rate_of(now); rate != 0)
    text += ", " + size_for_people(rate) + "/s";
  const std::uint64_t left = seconds_left(now);
  if (left != kUnknown) text += ", " + duration_text(left) + " left";
  return text;
}

MoveReport::MoveReport(std::string subcommand, bool json)
    : subcommand_(std::move(subcommand)), json_(json), terminal_(!json && ::isatty(1) == 1) {}

void MoveReport::put(const std::string& line) {
  if (std::exchange(line_open_, false)) std::fputs("\r\033[K", stdout);
  std::fputs((line + "\n").c_str(), stdout);
  std::fflush(stdout);
}

void MoveReport::put_event(const std::string& event, const std::string& fields) {
  put(R"({"schema": "boughfs.move/1", "subcommand": )" + json_text(subcommand_) +
      ", \"event\": " + json_text(event) + fields + "}");
}

void MoveReport::put_stays(const MovePlan& plan) {
  for (const Staying& each : plan.stays) {
    if (!told_stays_.insert(each.path).second) continue;
    if (json_)
      put_event("stays",
                ", \"path\": " + json_text(each.path) + ", \"why\": " + json_text(each.why));
    else
      put("stays: " + each.path + ": " + each.why);
  }
}

void MoveReport::plan(const MovePlan& plan, const std::vector<BranchInfo>& branches, bool goes) {
  std::map<std::string, Sum> from;
  std::map<std::string, Sum> to;
  for (const MoveItem& item : plan.items) {
    if (item.directory) continue;
    for (Sum* const sum : {&from[item.from], &to[item.to]}) {
      ++sum->files;
      sum->bytes += item.bytes;
    }
  }
  std::uint64_t elsewhere = 0;
  std::string parts;
  std::string lines;
  const auto add = [&](const char* key, const std::string& path, const Sum& sum,
                       const std::string& room, bool enough) {
    lines += std::string("  ") + key + " " + path + ": " + files_text(sum.files) + ", " +
             size_for_people(sum.bytes) + (room.empty() ? "" : "; " + room) +
             (enough ? "" : ", WHICH IS NOT ENOUGH") + "\n";
    parts += std::string(parts.empty() ? "" : ", ") + "{\"" + key + "\": " + json_text(path) +
             ", \"files\": " + std::to_string(sum.files) +
             ", \"bytes\": " + std::to_string(sum.bytes) +
             ", \"enough_room\": " + (enough ? "true" : "false") + "}";
  };
  for (const auto& [path, sum] : from) add("from", path, sum, "", true);
  for (const BranchInfo& branch : branches)
    if (branch.mode == "RW" && !from.contains(branch.path) && branch.absent.empty() && branch.space)
      elsewhere += branch.space->free;
  for (const auto& [path, sum] : to) {
    if (path.empty()) {
      add("to", "other branches, by the create policy", sum, size_for_people(elsewhere) + " free",
          elsewhere > sum.bytes);
      continue;
    }
    for (const BranchInfo& branch : branches)
      if (branch.path == path)
        add("to", path, sum, room_text(branch), !branch.space || branch.space->free > sum.bytes);
  }
  if (json_) {
    put_event("plan", ", \"files\": " + std::to_string(plan.files()) + ", \"bytes\": " +
                          std::to_string(plan.bytes()) + ", \"go\": " + (goes ? "true" : "false") +
                          ", \"parts\": [" + parts + "]");
  } else {
    put(subcommand_ + ": " + files_text(plan.files()) + ", " + size_for_people(plan.bytes()) +
        " on the disk");
    if (!lines.empty()) put(lines.substr(0, lines.size() - 1));
  }
  put_stays(plan);
  if (!json_ && !goes)
    put(plan.items.empty() ? "there is nothing to do"
                           : "nothing was done yet: the same with --go does it");
}

void MoveReport::note(const std::string& line) {
  if (json_)
    put_event("note", ", \"text\": " + json_text(line));
  else
    put(line);
}

void MoveReport::progress(const Mover::Progress& now) {
  last_ = now;
  if (json_) {
    const std::uint64_t left = seconds_left(now);
    put_event("progress",
              ", \"files\": " + std::to_string(now.files) + ", \"all_files\": " +
                  std::to_string(now.all_files) + ", \"bytes\": " + std::to_string(now.bytes) +
                  ", \"all_bytes\": " + std::to_string(now.all_bytes) +
                  ", \"bytes_per_second\": " + std::to_string(rate_of(now)) +
                  ", \"seconds_left\": " + (left == kUnknown ? "null" : std::to_string(left)));
  } else if (terminal_) {
    std::fputs(("\r" + progress_text(now) + "\033[K").c_str(), stdout);
    std::fflush(stdout);
    line_open_ = true;
  }
}

void MoveReport::end(const MovePlan& plan, bool all) {
  put_stays(plan);
  if (json_) {
    put_event("end", ", \"files\": " + std::to_string(last_.files) + ", \"bytes\": " +
                         std::to_string(last_.bytes) + ", \"gone\": " + std::to_string(last_.gone) +
                         ", \"stays\": " + std::to_string(plan.stays.size()) +
                         ", \"broken_off\": " + (all ? "false" : "true"));
    return;
  }
  std::string text = "moved " + files_text(last_.files) + ", " + size_for_people(last_.bytes);
  if (last_.gone != 0)
    text += "; " + std::to_string(last_.gone) + " were removed or renamed before their turn";
  if (!plan.stays.empty())
    text += "; " + std::to_string(plan.stays.size()) + " stay where they are";
  put(text);
  if (!all) put("broken off: the same command goes on with what is left");
}

}  // namespace bough::cli
