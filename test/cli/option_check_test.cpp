#include "cli/option_check.hpp"

#include <doctest/doctest.h>
#include <sys/mount.h>

#include <string>

using namespace bough::cli;

namespace {

std::string told(const Findings& findings) {
  std::string text;
  for (const Finding& finding : findings)
    text += std::to_string(static_cast<int>(finding.level)) + finding.text + "\n";
  return text;
}

CommandLine line_with(const char* options) {
  CommandLine line;
  line.operands = {"/a", "/pool"};
  line.options = split_options(options);
  line.options_before = {0, line.options.size()};
  return line;
}

}  // namespace

TEST_CASE("each option that is refused is told, and the others stay") {
  CommandLine line = line_with("ro,minfrespace=1G,threads=4,threads=many,minfreespace");
  CHECK(
      told(check_options(line)) ==
      "2-o minfrespace=1G: there is no option 'minfrespace', did you mean 'minfreespace'? boughfs "
      "--help lists all\n"
      "2-o threads=many: threads wants a number up to 512, 0 for the default, or -N for one of "
      "each "
      "N processors\n"
      "2-o minfreespace: minfreespace wants a value: minfreespace=SIZE\n");
  CHECK(line.options == std::vector<OptionWord>{{"ro", std::nullopt}, {"threads", "4"}});
  CHECK(line.options_before == std::vector<std::size_t>{0, 2});
}

TEST_CASE("what mounts all the same is not refused in fstab") {
  CommandLine line = line_with("minfrespace=1G,threads=many");
  line.as_mount_helper = true;
  CHECK(check_options(line).empty());
  CHECK(line.options.size() == 2);
  CommandLine remount = line_with("remount,ro");
  remount.as_mount_helper = true;
  CHECK(check_options(remount).size() == 1);
  CHECK(remount.options.size() == 1);
}

TEST_CASE("old names, other names and words without a meaning are noted") {
  CommandLine line = line_with("use_ino,attr_timeout=2,sync_read,cache.attr=3,nofail");
  CHECK(told(check_options(line)) ==
        "0use_ino means nothing, to mergerfs neither: it can be left out\n"
        "0attr_timeout is another name of cache.attr\n"
        "0sync_read is an old name: taken as async-read=false\n");
  CHECK(line.options.size() == 5);
}

TEST_CASE("only what is not as by default is shown") {
  Configuration config;
  CHECK(changed_options(config, false).empty());
  CHECK(changed_options(config, true) == KeyValues{{"allow-other", "false"}});
  config.ops.branches = "/a";
  config.mount.mountpoint = "/pool";
  REQUIRE(config.table.find("attr_timeout")->set("7").empty());
  CHECK(changed_options(config, false) == KeyValues{{"cache.attr", "7"}});
}

TEST_CASE("the flags in force") {
  MountWords words;
  words.flags = MS_RDONLY | MS_NOATIME;
  CHECK(mount_flags(words) == std::vector<std::string>{"ro", "noatime"});
}
