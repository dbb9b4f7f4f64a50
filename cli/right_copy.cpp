#include "cli/right_copy.hpp"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdio>
#include <iostream>

namespace bough::cli {
namespace {

RightCopy asked_for(const std::vector<Copy>& copies) {
  std::printf("  which one is right? 0 to %zu, anything else leaves them: ", copies.size() - 1);
  std::fflush(stdout);
  std::string answer;
  std::getline(std::cin, answer);
  std::size_t number = 0;
  const char* const end = answer.data() + answer.size();
  const auto parsed = std::from_chars(answer.data(), end, number);
  if (parsed.ec != std::errc{} || parsed.ptr != end || number >= copies.size())
    return {nullptr, "none was chosen"};
  return {&copies[number], "the one chosen"};
}

RightCopy on_branch(const std::vector<Copy>& copies, const std::string& branch) {
  for (const Copy& each : copies)
    if (each.branch == branch) return {&each, "on the branch that was named"};
  return {nullptr, branch + " has no copy of it"};
}

bool less_new(const Copy& left, const Copy& right) {
  const timespec& a = left.info.st_mtim;
  const timespec& b = right.info.st_mtim;
  return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}

bool smaller(const Copy& left, const Copy& right) {
  return left.info.st_size < right.info.st_size;
}

}  // namespace

RightCopy right_copy(const std::vector<Copy>& copies, const Wishes& wishes) {
  if (wishes.fix == "manual") return asked_for(copies);
  if (wishes.fix.starts_with('/')) return on_branch(copies, wishes.fix);
  const bool by_size = wishes.fix == "largest";
  const auto less = by_size ? smaller : less_new;
  const Copy& best = *std::max_element(copies.begin(), copies.end(), less);
  const bool content_goes = wishes.copy_file && S_ISREG(best.info.st_mode);
  std::string equals;
  for (const Copy& each : copies) {
    if (&each == &best || less(each, best)) continue;
    if (content_goes && S_ISREG(each.info.st_mode) && !same_content(best, each))
      return {nullptr, best.path + " and " + each.path + " are equally " +
                           (by_size ? "large" : "new") +
                           " and differ in content: say which counts, --fix " + best.branch +
                           " or --fix " + each.branch};
    equals += " and " + each.path;
  }
  if (equals.empty()) return {&best, by_size ? "the largest" : "the newest"};
  return {&best, "as " + std::string(by_size ? "large" : "new") + " as" + equals.substr(4) +
                     (content_goes ? ", of the same content" : "") +
                     ", and the first in the list of branches"};
}

}  // namespace bough::cli
