#include "cli/command_line.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "cli/exit_status.hpp"

using bough::cli::CommandLine;
using bough::cli::OptionWord;
using bough::cli::read_command_line;
using bough::cli::StartError;

namespace {

CommandLine read(std::vector<std::string> words) {
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  return read_command_line(static_cast<int>(words.size()), argv.data());
}

using Words = std::vector<OptionWord>;
using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("options may stand before, between and behind the operands") {
  const CommandLine line =
      read({"boughfs", "-o", "a=1,b", "/x", "-oc=2", "/y", "-r", "/pool", "-o", "d"});
  CHECK(line.operands == Texts{"/x", "/y", "/pool"});
  CHECK(
      line.options ==
      Words{
          {"a", "1"}, {"b", std::nullopt}, {"c", "2"}, {"ro", std::nullopt}, {"d", std::nullopt}});
  CHECK_FALSE(line.foreground);
  CHECK_FALSE(line.as_mount_helper);
}

TEST_CASE("POSIXLY_CORRECT does not hide options behind operands") {
  ::setenv("POSIXLY_CORRECT", "1", 1);
  const CommandLine line = read({"boughfs", "/x", "/pool", "-o", "ro"});
  ::unsetenv("POSIXLY_CORRECT");
  CHECK(line.operands == Texts{"/x", "/pool"});
  CHECK(line.options == Words{{"ro", std::nullopt}});
}

TEST_CASE("-- ends the options") {
  CHECK(read({"boughfs", "-r", "--", "-x", "/pool"}).operands == Texts{"-x", "/pool"});
}

TEST_CASE("flags of the command") {
  CHECK(read({"boughfs", "-f", "/x", "/y"}).foreground);
  const CommandLine debug = read({"boughfs", "-d", "/x", "/y"});
  CHECK(debug.foreground);
  CHECK(debug.options == Words{{"debug", "true"}});
  CHECK(read({"boughfs", "-h"}).help);
  CHECK(read({"boughfs", "--help"}).help);
  CHECK(read({"boughfs", "-v"}).version);
  CHECK(read({"boughfs", "-V"}).version);
  CHECK(read({"boughfs", "--version"}).version);
  const CommandLine ignored = read({"boughfs", "-n", "-s", "/x", "/y"});
  CHECK(ignored.options.empty());
  CHECK_FALSE(ignored.sloppy);
}

TEST_CASE("mount(8) calls its helpers with flags of its own") {
  const CommandLine line =
      read({"/sbin/mount.boughfs", "/x:/y", "/pool", "-sfnv", "-o", "rw,nofail", "-t", "boughfs"});
  CHECK(line.as_mount_helper);
  CHECK(line.operands == Texts{"/x:/y", "/pool"});
  CHECK(line.fake);
  CHECK(line.sloppy);
  CHECK_FALSE(line.foreground);
  CHECK_FALSE(line.version);
  CHECK(line.options == Words{{"rw", std::nullopt}, {"nofail", std::nullopt}});
  CHECK(read({"mount.fuse.boughfs", "/x", "/y"}).as_mount_helper);
  CHECK_FALSE(read({"/opt/mount.d/boughfs", "/x", "/y"}).as_mount_helper);
  CHECK_FALSE(read({"/sbin/mount.boughfs", "/x", "/y"}).as_mergerfs);
  CHECK_FALSE(read({"/opt/mergerfs/boughfs", "/x", "/y"}).as_mergerfs);
  for (const char* name :
       {"mergerfs", "/usr/bin/mergerfs", "/sbin/mount.mergerfs", "mount.fuse.mergerfs"}) {
    const CommandLine as_mergerfs = read({name, "/x", "/y"});
    CHECK(as_mergerfs.as_mergerfs);
    CHECK(as_mergerfs.as_mount_helper ==
          (std::string_view(name).find("mount.") != std::string_view::npos));
  }
  const CommandLine debug = read({"mergerfs", "-d", "/x", "/y"});
  CHECK(debug.options == Words{{"debug", "true"}});
  CHECK_FALSE(debug.foreground);
}

TEST_CASE("unknown flags and missing arguments are named") {
  CHECK_THROWS_WITH_AS((void)read({"boughfs", "-x", "/a"}),
                       "there is no flag -x; boughfs --help lists all", StartError);
  CHECK_THROWS_WITH_AS((void)read({"boughfs", "--wrong", "/a"}),
                       "there is no flag --wrong; boughfs --help lists all", StartError);
  CHECK_THROWS_WITH_AS((void)read({"boughfs", "/a", "-o"}),
                       "-o wants an argument; boughfs --help explains", StartError);
}
