#include "cli/fstab_line.hpp"

#include <algorithm>

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
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto end = std::min(text.find('\n'), text.size());
    auto line = parse_fstab_line(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line || !is_pool(*line)) continue;
    line->number = number;
    pools.push_back(*std::move(line));
  }
  return pools;
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
