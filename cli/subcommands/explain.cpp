#include "cli/subcommands/explain.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <initializer_list>

#include "cli/control_client.hpp"
#include "cli/json_text.hpp"
#include "cli/pool_of.hpp"
#include "cli/pulse.hpp"
#include "cli/read_all.hpp"
#include "cli/size_for_people.hpp"

namespace bough::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 4> kMaking{"create", "mkdir", "mknod", "symlink"};
constexpr std::array<std::string_view, 16> kOthers{
    "access",   "chmod",       "chown",  "getattr", "getxattr", "link",     "listxattr", "open",
    "readlink", "removexattr", "rename", "rmdir",   "setxattr", "truncate", "unlink",    "utimens"};
constexpr std::size_t kFieldsOfBranch = 6;
/// XATTR_NAME_MAX.
constexpr std::size_t kLongestName = 255;

bool makes(std::string_view function) {
  return std::find(kMaking.begin(), kMaking.end(), function) != kMaking.end();
}

std::string all_functions() {
  std::string text;
  for (const auto& list : {std::vector<std::string_view>(kMaking.begin(), kMaking.end()),
                           std::vector<std::string_view>(kOthers.begin(), kOthers.end())})
    for (const std::string_view name : list) text += (text.empty() ? "" : " ") + std::string(name);
  return text;
}

bool known(std::string_view function) {
  return makes(function) || std::find(kOthers.begin(), kOthers.end(), function) != kOthers.end();
}

/// Where the pool is asked, and of what.
struct Question {
  std::string directory;
  std::string attribute;
};

Question question_about(const std::string& function, const std::string& path) {
  std::error_code failed;
  fs::path place = fs::absolute(path, failed).lexically_normal();
  if (!place.has_filename()) place = place.parent_path();
  const std::string whole = "user.boughfs.explain." + function;
  if (place == place.root_path() || place == fs::path(pool_of(path).mount_point))
    return {place, whole};
  if (makes(function)) return {place.parent_path(), whole};
  std::string named = whole + "/" + place.filename().string();
  if (named.size() > kLongestName) return {place, whole};
  return {place.parent_path(), std::move(named)};
}

[[noreturn]] void unanswered(const std::string& path, const Question& question, int error) {
  if (error == ENODATA || error == EOPNOTSUPP)
    throw StartError(ExitStatus::kSystem, "the pool that " + path +
                                              " lies in explains nothing: another boughfs serves "
                                              "it, or it is mounted with -o xattr");
  if (error == ENOENT || error == ENOTDIR)
    throw StartError(ExitStatus::kUsage, question.directory + ": " + std::strerror(error));
  std::string text = question.directory + " cannot be asked: " + std::strerror(error);
  if (error == EIO) {
    const std::string absent = ControlClient(pool_of(path).mount_point).get("absent-branches");
    if (!absent.empty()) text += ", since a disk is missing: " + absent;
  }
  throw StartError(ExitStatus::kSystem, text);
}

/// Of a name that does not exist its directory says which pool it is in.
std::string place_in_pool(const std::string& path) {
  if (mount_of(path)) return path;
  const int why = errno;
  std::error_code ignored;
  fs::path directory = fs::absolute(path, ignored).parent_path();
  // While a disk is missing its directories may be known to nobody.
  while (!mount_of(directory) && errno == EIO && directory.has_relative_path())
    directory = directory.parent_path();
  if (!mount_of(directory)) throw StartError(ExitStatus::kUsage, path + ": " + std::strerror(why));
  return directory;
}

bool is_among(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

/// What the kernel says by itself, as far as access(2) and statvfs(2) know: not who owns what.
void ask_kernel(Explanation& into) {
  const std::string& function = into.function;
  std::error_code ignored;
  fs::path path = fs::absolute(into.path, ignored).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  const std::string parent = path.parent_path();
  const bool in_parent = makes(function) || is_among(function, {"rename", "rmdir", "unlink"});
  const bool changes = in_parent || !is_among(function, {"access", "getattr", "getxattr",
                                                         "listxattr", "open", "readlink"});
  struct statvfs pool = {};
  if (changes && ::statvfs((in_parent ? parent : path.string()).c_str(), &pool) == 0 &&
      (pool.f_flag & ST_RDONLY) != 0) {
    into.error = EROFS;
    into.refused = "the pool is mounted read-only";
    return;
  }
  const auto denied = [](const std::string& place, int mode) {
    return ::faccessat(AT_FDCWD, place.c_str(), mode, AT_EACCESS) != 0 && errno == EACCES;
  };
  const bool writes = is_among(function, {"truncate", "setxattr", "removexattr"});
  const bool reads = is_among(function, {"open", "getxattr"});
  if (in_parent && denied(parent, W_OK | X_OK))
    into.refused = "you may not write to " + parent;
  else if (!in_parent && (writes || reads) && denied(into.path, writes ? W_OK : R_OK))
    into.refused = std::string("you may not ") + (writes ? "write" : "read") + " it";
  if (!into.refused.empty()) into.error = EACCES;
}

Explanation ask(const std::string& function, const std::string& path) {
  Explanation explanation;
  explanation.function = function;
  explanation.path = path;
  struct stat found = {};
  const bool exists = ::lstat(path.c_str(), &found) == 0;
  // While a branch is absent nobody knows whether there is such a name; the pool knows why.
  const int error = exists ? 0 : errno;
  if (error == ENOENT && function == "link")
    throw StartError(ExitStatus::kUsage,
                     path +
                         " does not exist: name the file that is to have another name, which "
                         "comes to the branch of that file");
  if (error != 0 && error != EIO && (!makes(function) || error != ENOENT))
    throw StartError(ExitStatus::kUsage, path + ": " + std::strerror(error));
  if (error != EIO)
    explanation.exists = exists;
  else
    explanation.exists.reset();
  const Question question = question_about(function, path);
  std::string answer;
  const auto read = [&](char* at, std::size_t size) {
    return ::getxattr(question.directory.c_str(), question.attribute.c_str(), at, size);
  };
  if (read_all(read, answer) < 0) unanswered(path, question, errno);
  if (!parse_explanation(answer, explanation)) unanswered(path, question, EOPNOTSUPP);
  ask_kernel(explanation);
  return explanation;
}

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, value);
  if (text.empty() || read.ec != std::errc() || read.ptr != end) return std::nullopt;
  return value;
}

std::string room(const Explanation::Branch& branch) {
  if (!branch.free) return {};
  std::string text = size_for_people(*branch.free) + " free";
  if (branch.least) text += ", at least " + size_for_people(*branch.least) + " wanted";
  return text;
}

/// What all have to say to an error; empty: of that they know nothing.
std::string why_failed(const Explanation& explanation) {
  if (!explanation.refused.empty()) return explanation.refused;
  std::string absent;
  bool frozen = false;
  for (const Explanation::Branch& branch : explanation.branches) {
    if (branch.verdict == "absent") absent += (absent.empty() ? "" : ", ") + branch.path;
    frozen = frozen || branch.verdict == "frozen";
  }
  if (absent.empty() || (explanation.error != EIO && !frozen)) return {};
  return "nothing is taken while a disk is missing: " + absent +
         (frozen ? " (branch-absent=readonly)" : "");
}

std::string reason(const Explanation& explanation, const Explanation::Branch& branch) {
  const std::string_view verdict = branch.verdict;
  const bool fails = explanation.error != 0;
  const bool nobody = fails && explanation.refused.empty();
  const std::string space = room(branch);
  const auto with_space = [&](const std::string& text) {
    return space.empty() ? text : text + ": " + space;
  };
  if (verdict == "chosen") return with_space(fails ? "would be taken" : "TAKEN");
  if (verdict == "fits")
    return with_space(nobody ? "would do, but nothing is taken"
                             : "would do, another one is preferred");
  if (verdict == "not-asked")
    return nobody ? "not looked at" : "not looked at: one before it is taken";
  if (verdict == "absent") return "ABSENT: its disk is missing";
  if (verdict == "frozen") return "nothing is changed there while another one is absent";
  if (verdict == "read-only") return "its mode is RO: nothing is changed there";
  if (verdict == "no-create") return "its mode is NC: nothing new is put there";
  if (verdict == "missing") return "does not have the path";
  if (verdict == "silent") return "does not answer: its disk is gone or broken";
  if (verdict == "read-only-disk") return "its file system is mounted read-only";
  if (verdict == "no-room") return with_space("too full");
  return std::string(verdict);
}

}  // namespace

bool parse_explanation(std::string_view answer, Explanation& into) {
  std::vector<std::string_view> fields;
  while (!answer.empty()) {
    const auto end = answer.find('\0');
    if (end == std::string_view::npos) return false;
    fields.push_back(answer.substr(0, end));
    answer.remove_prefix(end + 1);
  }
  constexpr std::size_t kHead = 3;
  if (fields.size() < kHead || (fields.size() - kHead) % kFieldsOfBranch != 0) return false;
  into.policy = fields[0];
  into.error = static_cast<int>(number(fields[1]).value_or(0));
  into.by_chance = !fields[2].empty();
  for (std::size_t at = kHead; at < fields.size(); at += kFieldsOfBranch) {
    Explanation::Branch branch;
    branch.path = fields[at];
    branch.mode = fields[at + 1];
    branch.verdict = fields[at + 2];
    branch.free = number(fields[at + 3]);
    branch.least = number(fields[at + 4]);
    branch.shown = !fields[at + 5].empty();
    into.branches.push_back(std::move(branch));
  }
  return true;
}

std::string explanation_text(const Explanation& explanation) {
  std::string text;
  if (explanation.exists.value_or(false) && makes(explanation.function))
    text += explanation.path + " exists: nothing would be made; if it did not:\n";
  text += explanation.function + " " + explanation.path + ", by policy " + explanation.policy;
  if (explanation.error != 0) {
    text += ": fails with " + std::string(::strerrorname_np(explanation.error)) + " (" +
            std::strerror(explanation.error) + ")";
    const std::string why = why_failed(explanation);
    text += (why.empty() ? "" : ": " + why) + "\n";
  } else {
    text += explanation.by_chance ? ", drawn at random each time:\n" : ":\n";
  }
  for (const Explanation::Branch& branch : explanation.branches)
    text += "  " + branch.path + " " + branch.mode + (branch.shown ? ", shown to users" : "") +
            ": " + reason(explanation, branch) + "\n";
  return text;
}

std::string explanation_json(const Explanation& explanation) {
  std::string branches;
  const auto bytes = [](const std::optional<std::uint64_t>& value) {
    return value ? std::to_string(*value) : "null";
  };
  for (const Explanation::Branch& branch : explanation.branches)
    branches += std::string(branches.empty() ? "" : ", ") + "{\"path\": " + json_text(branch.path) +
                ", \"mode\": " + json_text(branch.mode) +
                ", \"verdict\": " + json_text(branch.verdict) +
                ", \"shown\": " + (branch.shown ? "true" : "false") +
                ", \"free_bytes\": " + bytes(branch.free) +
                ", \"least_bytes\": " + bytes(branch.least) + "}";
  return R"({"schema": "boughfs.explain/1", "function": )" + json_text(explanation.function) +
         ", \"path\": " + json_text(explanation.path) +
         ", \"policy\": " + json_text(explanation.policy) + ", \"error\": " +
         (explanation.error == 0 ? "null" : json_text(::strerrorname_np(explanation.error))) +
         ", \"by_chance\": " + (explanation.by_chance ? "true" : "false") + ", \"exists\": " +
         (!explanation.exists   ? "null"
          : *explanation.exists ? "true"
                                : "false") +
         ", \"refused\": " +
         (explanation.refused.empty() ? "null" : json_text(explanation.refused)) +
         ", \"branches\": [" + branches + "]}\n";
}

ExitStatus explain_command(int argc, char* const argv[]) {
  CLI::App app(
      "Which branches a function of the pool would take for PATH now, and why none of the others.",
      "boughfs explain");
  std::string function;
  std::string path;
  bool json = false;
  app.add_option("FUNCTION", function, "one of: " + all_functions())->required();
  app.add_option("PATH", path,
                 "in a pool; for create, mkdir, mknod and symlink what would be made, for "
                 "link and rename what there is")
      ->required();
  app.add_flag("--json", json, "one JSON object, schema boughfs.explain/1");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0)
      throw StartError(ExitStatus::kUsage,
                       std::string(error.what()) + "; boughfs explain --help explains");
    app.exit(error);
    return ExitStatus::kOk;
  }
  constexpr std::string_view kPrefix = "func.";
  if (function.starts_with(kPrefix)) function.erase(0, kPrefix.size());
  if (function == "readdir")
    throw StartError(ExitStatus::kUsage,
                     "readdir is no choice among branches: a listing is of all that have the "
                     "directory; func.readdir says how they are read");
  if (!known(function))
    throw StartError(ExitStatus::kUsage,
                     "there is no function '" + function + "': one of " + all_functions());
  const std::string text = ask_pool(place_in_pool(path), [&] {
    const Explanation explanation = ask(function, path);
    return json ? explanation_json(explanation) : explanation_text(explanation);
  });
  std::fputs(text.c_str(), stdout);
  return ExitStatus::kOk;
}

}  // namespace bough::cli
