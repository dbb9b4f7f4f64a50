// Texts that users and the system hand in. The first byte chooses the reader: -o lists, a whole
// command line, branch lists (in a directory of a few entries, which is left nowhere), mountinfo,
// sizes.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "cli/command_line.hpp"
#include "cli/configuration.hpp"
#include "cli/exit_status.hpp"
#include "cli/mountinfo.hpp"
#include "cli/option_words.hpp"
#include "ops/branch_set.hpp"
#include "ops/move_record.hpp"
#include "ops/move_words.hpp"
#include "proto/size_text.hpp"
#include "test/fuzz/input.hpp"

using namespace bough;
using test::check;

namespace {

void check_complaint(const cli::StartError& error) {
  const std::string text = error.what();
  check(!text.empty(), "a complaint says something");
  check(error.status == cli::ExitStatus::kUsage, "a wrong word is a usage error");
}

std::string escape(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == ',' || c == '\\') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

void check_split(const std::string& text) {
  const std::vector<cli::OptionWord> words = cli::split_options(text);
  std::string joined;
  for (const cli::OptionWord& word : words) {
    if (!joined.empty()) joined += ',';
    joined += escape(word.key);
    if (word.value) joined += "=" + escape(*word.value);
  }
  check(cli::split_options(joined) == words, "what was split is joined and split again");
}

/// Each option's own spelling of its value is one that it takes.
void check_values(const cli::Configuration& config) {
  for (const proto::Setting& row : config.table.rows()) {
    const std::string value = row.get();
    if (value.empty()) continue;
    check(row.set(value).empty(), "an option takes the value that it tells");
    check(row.get() == value, "and keeps it");
  }
}

void options(const std::string& text) {
  try {
    check_split(text);
    cli::Configuration config;
    config.table.apply(cli::split_options(text), config.words, cli::OptionTable::Unknown::kRefuse);
    check_values(config);
  } catch (const cli::StartError& error) {
    check_complaint(error);
  }
}

/// Arguments are apart by NUL bytes.
void command_line(const std::string& text) {
  std::vector<std::string> words = {"boughfs"};
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('\0', begin), text.size());
    words.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  const auto count = static_cast<int>(arguments.size());
  arguments.push_back(nullptr);
  try {
    const cli::CommandLine line = cli::read_command_line(count, arguments.data());
    if (line.help || line.version) return;
    cli::Configuration config;
    cli::configure(config, line);
    check(!config.mount.mountpoint.empty(), "a mount point is known");
    check(!config.ops.branches.empty(), "branches are known");
    check_values(config);
  } catch (const cli::StartError& error) {
    check_complaint(error);
  }
}

/// A directory of its own with a few entries, while it lives.
class Yard {
 public:
  Yard() {
    std::string name = std::filesystem::temp_directory_path() / "bough_words_XXXXXX";
    if (::mkdtemp(name.data()) == nullptr)
      throw std::system_error(errno, std::generic_category(), name);
    // Branch paths are real paths.
    path_ = std::filesystem::canonical(name);
    for (const char* directory : {"a", "b", "disk1", "disk2", "a/b", "x=y", "{a,b}", "[a]", "a,b"})
      std::filesystem::create_directory(path_ / directory);
    std::filesystem::create_symlink("disk1", path_ / "link");
    std::filesystem::create_symlink("nowhere", path_ / "gone");
    if (::mknod((path_ / "file").c_str(), S_IFREG | 0644, 0) != 0)
      throw std::system_error(errno, std::generic_category(), "mknod");
  }
  ~Yard() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Yard(const Yard&) = delete;
  Yard& operator=(const Yard&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// The working directory is another one while it lives: the fuzzer's own paths may be relative.
class Inside {
 public:
  explicit Inside(const std::filesystem::path& path) : before_(std::filesystem::current_path()) {
    std::filesystem::current_path(path);
  }
  ~Inside() {
    std::error_code ignored;
    std::filesystem::current_path(before_, ignored);
  }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  std::filesystem::path before_;
};

/// The same text, so that no pattern in it leads out of the yard: no "..", and a '/' only behind
/// what keeps it from standing at the beginning.
std::string kept_inside(std::string text) {
  char before = '\0';
  for (char& c : text) {
    const auto byte = static_cast<unsigned char>(before);
    const bool behind_a_name = std::isalnum(byte) != 0 || before == '*' || before == '/';
    if (c == '.' || c == '\0' || (c == '/' && !behind_a_name)) c = '_';
    before = c;
  }
  return text;
}

void branches(const std::string& text) {
  static const Yard yard;
  const Inside inside(yard.path());
  std::string mistake;
  const auto specs = ops::parse_branches(kept_inside(text), mistake);
  check(specs.empty() != mistake.empty(), "there are branches, or it is said why not");
  for (const ops::BranchSpec& spec : specs) {
    check(spec.path.starts_with(yard.path().string()), "a branch is found where it was named");
    check(std::filesystem::is_directory(spec.path), "a branch is a directory");
  }
}

/// As the kernel writes a word.
std::string mangle(std::string_view text) {
  constexpr std::string_view kDigits = "01234567";
  std::string mangled;
  for (const char c : text) {
    if (c != ' ' && c != '\t' && c != '\n' && c != '\\') {
      mangled += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    mangled += {'\\', kDigits[byte >> 6], kDigits[byte >> 3 & 7], kDigits[byte & 7]};
  }
  return mangled;
}

void mountinfo(const std::string& line) {
  const auto info = cli::parse_mountinfo(line);
  if (!info) return;
  const std::string again = std::to_string(info->id) + " 1 " + std::to_string(info->device_major) +
                            ":" + std::to_string(info->device_minor) + " " + mangle(info->root) +
                            " " + mangle(info->mount_point) + " " + info->options + " - " +
                            info->type + " " + mangle(info->source) + " " + info->super_options;
  const auto same = cli::parse_mountinfo(again);
  check(same && same->id == info->id && same->root == info->root &&
            same->mount_point == info->mount_point && same->options == info->options &&
            same->type == info->type && same->source == info->source &&
            same->super_options == info->super_options,
        "a line of mountinfo is read again as it was read");
}

void size(const std::string& text) {
  const auto bytes = proto::parse_size(text);
  if (bytes)
    check(proto::parse_size(proto::size_text(*bytes)) == bytes, "a size is read as written");
}

void move_call(const std::string& text) {
  const auto call = ops::parse_move_call(std::as_bytes(std::span(text)));
  if (!call) return;
  const auto bytes = std::make_unique<ops::MoveBytes>();
  const std::uint32_t command = ops::write_move_call(*call, *bytes);
  if (command == 0) return check(text.size() > bytes->size(), "only what is long is too long");
  const auto again = ops::parse_move_call(std::span(*bytes).first(_IOC_SIZE(command)));
  check(again && again->path == call->path && again->from == call->from && again->to == call->to &&
            again->rate == call->rate && again->verify == call->verify,
        "a wish is read as it was written");
}

void move_record(const std::string& text) {
  const auto record = ops::parse_move_record(text);
  if (!record) return;
  const std::string written = ops::text_of(*record);
  const auto again = ops::parse_move_record(written);
  check(again && ops::text_of(*again) == written, "a record is read as it was written");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t length) {
  test::Input input(data, length);
  constexpr std::array kReaders = {options, command_line, branches,   mountinfo,
                                   size,    move_call,    move_record};
  const auto reader = kReaders[input.u8() % kReaders.size()];
  const auto rest = input.rest();
  reader({reinterpret_cast<const char*>(rest.data()), rest.size()});
  return 0;
}
