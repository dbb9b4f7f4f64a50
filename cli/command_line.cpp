#include "cli/command_line.hpp"

#include <getopt.h>

#include <iterator>

#include "cli/exit_status.hpp"

namespace bough::cli {
namespace {

constexpr int kHelp = 'h';
constexpr int kVersion = 'V';

// "-" hands out operands where they stand, whatever POSIXLY_CORRECT says; ":" tells a missing
// argument from an unknown flag, and prints neither.
constexpr const char* kOwnFlags = "-:o:fdhvVrns";
// mount(8), "EXTERNAL HELPERS".
constexpr const char* kHelperFlags = "-:o:t:sfnvrhV";
constexpr int kOperand = 1;

constexpr option kLongFlags[] = {{"help", no_argument, nullptr, kHelp},
                                 {"version", no_argument, nullptr, kVersion},
                                 {nullptr, 0, nullptr, 0}};

void append(std::vector<OptionWord>& to, std::vector<OptionWord> words) {
  to.insert(to.end(), std::make_move_iterator(words.begin()), std::make_move_iterator(words.end()));
}

void take_flag(int flag, CommandLine& line) {
  switch (flag) {
    case kOperand:
      line.operands.emplace_back(optarg);
      line.options_before.push_back(line.options.size());
      break;
    case 'o':
      append(line.options, split_options(optarg));
      break;
    case 'r':
      line.options.push_back({"ro", std::nullopt});
      break;
    case 'd':
      line.options.push_back({"debug", "true"});
      line.foreground = line.foreground || !line.as_mergerfs;
      break;
    case 'f':
      (line.as_mount_helper ? line.fake : line.foreground) = true;
      break;
    case 's':
      line.sloppy = line.as_mount_helper;
      break;
    case 'v':
      line.version = line.version || !line.as_mount_helper;
      break;
    case kVersion:
      line.version = true;
      break;
    case kHelp:
      line.help = true;
      break;
    default:  // -n and -t say nothing that is not known
      break;
  }
}

[[noreturn]] void refuse(int outcome, char* const argv[]) {
  // For a long option optopt is 0 and the word stands before optind.
  const std::string flag =
      optopt != 0 ? std::string("-") + static_cast<char>(optopt) : std::string(argv[optind - 1]);
  if (outcome == ':') {
    throw StartError(ExitStatus::kUsage, flag + " wants an argument; boughfs --help explains");
  }
  throw StartError(ExitStatus::kUsage, "there is no flag " + flag + "; boughfs --help lists all");
}

}  // namespace

std::string_view program_name(std::string_view program) {
  const auto slash = program.rfind('/');
  return slash == std::string_view::npos ? program : program.substr(slash + 1);
}

bool is_mount_helper_name(std::string_view program) {
  return program_name(program).starts_with("mount.");
}

bool is_mergerfs_name(std::string_view program) {
  std::string_view name = program_name(program);
  for (const std::string_view prefix : {"mount.", "fuse."})
    if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
  return name == "mergerfs";
}

CommandLine read_command_line(int argc, char* const argv[]) {
  CommandLine line;
  line.as_mount_helper = argc > 0 && is_mount_helper_name(argv[0]);
  line.as_mergerfs = argc > 0 && is_mergerfs_name(argv[0]);
  const char* flags = line.as_mount_helper ? kHelperFlags : kOwnFlags;
  optind = 0;
  for (;;) {
    const int flag = getopt_long(argc, argv, flags, kLongFlags, nullptr);
    if (flag == -1) break;
    if (flag == '?' || flag == ':') refuse(flag, argv);
    take_flag(flag, line);
  }
  line.operands.insert(line.operands.end(), argv + optind, argv + argc);
  return line;
}

}  // namespace bough::cli
