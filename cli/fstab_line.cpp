#include "cli/fstab_line.hpp"

#include <algorithm>
#include <array>

#include "cli/option_table.hpp"
#include "ops/planned_mounts.hpp"

namespace bough::cli {
namespace {

std::vector<std::string> fields_of(std::string_view line) {
  constexpr std::string_view kBlank = " \t\r\n";
  std::vector<std::string> fields;
  for (;;) {
    const auto begin = line.find_first_not_of(kBlank);
    if (begin == std::string_view::npos) return fields;
    line.remove_prefix(begin);
    const auto end = std::min(line.find_first_of(kBlank), line.size());
    fields.push_back(ops::unescape_octal(line.substr(0, end)));
    line.remove_prefix(end);
  }
}

/// Calls `take` (void(std::size_t number, std::string_view)) for each line, from 1 on.
template <class Take>
void each_line(std::string_view text, Take take) {
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto end = std::min(text.find('\n'), text.size());
    take(number, text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

bool is_pool_program(std::string_view name) {
  return name == "boughfs" || name == "mergerfs";
}

/// PROGRAM of `PROGRAM#SOURCE` with the type fuse, which mount.fuse(8) starts; else nothing.
std::string_view program_in_source(const FstabLine& line) {
  if (line.type != "fuse" && line.type != "fuse3") return {};
  const auto hash = line.source.find('#');
  if (hash == std::string::npos) return {};
  return program_name(std::string_view(line.source).substr(0, hash));
}

}  // namespace

std::optional<FstabLine> parse_fstab_line(std::string_view line) {
  std::vector<std::string> fields = fields_of(line);
  if (fields.size() < 3 || fields[0].starts_with('#')) return std::nullopt;
  if (fields.size() < 4) fields.emplace_back("defaults");
  return FstabLine{0, std::move(fields[0]), std::move(fields[1]), std::move(fields[2]),
                   std::move(fields[3])};
}

bool is_pool(const FstabLine& line) {
  constexpr std::string_view kFuse = "fuse.";
  std::string_view type = line.type;
  if (type.starts_with(kFuse)) type.remove_prefix(kFuse.size());
  return is_pool_program(type) || is_pool_program(program_in_source(line));
}

std::vector<FstabLine> pools_of_fstab(std::string_view text) {
  std::vector<FstabLine> pools;
  each_line(text, [&](std::size_t number, std::string_view each) {
    auto line = parse_fstab_line(each);
    if (!line || !is_pool(*line)) return;
    line->number = number;
    pools.push_back(*std::move(line));
  });
  return pools;
}

std::vector<DoubtfulLine> doubtful_lines(std::string_view text) {
  constexpr std::array<std::string_view, 4> kTypes{"boughfs", "mergerfs", "fuse.boughfs",
                                                   "fuse.mergerfs"};
  std::vector<DoubtfulLine> doubtful;
  each_line(text, [&](std::size_t number, std::string_view line) {
    const std::vector<std::string> fields = fields_of(line);
    if (fields.empty() || fields[0].starts_with('#')) return;
    const std::string target = fields.size() < 2 ? std::string() : fields[1];
    if (fields.size() < 3) {
      doubtful.push_back({number, target,
                          "the line has " + std::to_string(fields.size()) +
                              (fields.size() == 1 ? " field" : " fields") +
                              ", and is passed over: BRANCHES MOUNTPOINT boughfs OPTIONS are "
                              "wanted"});
      return;
    }
    const auto parsed = parse_fstab_line(line);
    const std::string_view meant = nearest_key(fields[2], kTypes);
    if (parsed && !is_pool(*parsed) && !meant.empty())
      doubtful.push_back(
          {number, target,
           "there is no type '" + fields[2] + "', did you mean '" + std::string(meant) + "'?"});
  });
  return doubtful;
}

std::size_t line_with_target(std::string_view text, const std::string& target, std::size_t number) {
  const auto bare = [](std::string path) {
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    return path;
  };
  std::size_t found = 0;
  each_line(text, [&](std::size_t at, std::string_view line) {
    const auto parsed = parse_fstab_line(line);
    if (found == 0 && at < number && parsed && bare(parsed->target) == bare(target)) found = at;
  });
  return found;
}

CommandLine command_of(const FstabLine& line) {
  CommandLine command;
  const std::string_view program = program_in_source(line);
  command.as_mount_helper = program.empty();
  command.as_mergerfs = is_mergerfs_name(program.empty() ? line.type : program);
  command.operands = {program.empty() ? line.source : line.source.substr(line.source.find('#') + 1),
                      line.target};
  command.options_before = {0, 0};
  command.options = split_options(line.options);
  return command;
}

}  // namespace bough::cli
