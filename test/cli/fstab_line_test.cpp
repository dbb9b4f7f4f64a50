#include "cli/fstab_line.hpp"

#include <doctest/doctest.h>

#include "cli/exit_status.hpp"

using namespace bough::cli;

TEST_CASE("the fields of a line of fstab") {
  const auto line = parse_fstab_line("/a\\040b:/c\t/pool  boughfs ro,minfreespace=1G 0 0\r");
  REQUIRE(line);
  CHECK(line->source == "/a b:/c");
  CHECK(line->target == "/pool");
  CHECK(line->type == "boughfs");
  CHECK(line->options == "ro,minfreespace=1G");
  CHECK(parse_fstab_line("/a /pool boughfs")->options == "defaults");
  CHECK_FALSE(parse_fstab_line("/a /pool"));
  CHECK_FALSE(parse_fstab_line(""));
  CHECK_FALSE(parse_fstab_line("  # /a /pool boughfs defaults"));
}

TEST_CASE("which lines are pools") {
  const auto pools = pools_of_fstab(
      "LABEL=x / ext4 defaults 0 1\n"
      "# /a /p0 boughfs\n"
      "/a /p1 boughfs\n"
      "/a /p2 fuse.boughfs\n"
      "/a /p3 mergerfs\n"
      "\n"
      "/a /p4 fuse.mergerfs defaults\n"
      "mergerfs#/a /p5 fuse defaults\n"
      "sshfs#/a /p6 fuse defaults\n"
      "/a /p7 fuse.sshfs defaults");
  std::string found;
  for (const FstabLine& line : pools)
    found += line.target + ":" + std::to_string(line.number) + " ";
  CHECK(found == "/p1:3 /p2:4 /p3:5 /p4:7 /p5:8 ");
}

TEST_CASE("the command that mount(8) makes of a line") {
  const CommandLine ours = command_of(*parse_fstab_line("/a:/b /pool fuse.boughfs ro,x=1\\,2"));
  CHECK(ours.as_mount_helper);
  CHECK_FALSE(ours.as_mergerfs);
  CHECK(ours.operands == std::vector<std::string>{"/a:/b", "/pool"});
  CHECK(ours.options == std::vector<OptionWord>{{"ro", std::nullopt}, {"x", "1,2"}});
  CHECK(ours.options_before == std::vector<std::size_t>{0, 0});
  CHECK(command_of(*parse_fstab_line("/a /pool fuse.mergerfs")).as_mergerfs);
  CHECK(command_of(*parse_fstab_line("/a /pool mergerfs")).as_mergerfs);
  const CommandLine old = command_of(*parse_fstab_line("mergerfs#/a#b /pool fuse"));
  CHECK_FALSE(old.as_mount_helper);
  CHECK(old.as_mergerfs);
  CHECK(old.operands[0] == "/a#b");
  CHECK_THROWS_AS((void)command_of(*parse_fstab_line("/a /pool boughfs x\\")), StartError);
}
