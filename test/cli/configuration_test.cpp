#include "cli/configuration.hpp"

#include <sys/mount.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include <climits>
#include <set>

#include "cli/exit_status.hpp"
#include "cli/help.hpp"
#include "cli/mergerfs_options.hpp"

using namespace bough;
using cli::CommandLine;
using cli::Configuration;
using cli::StartError;

namespace {

CommandLine command(std::vector<std::string> operands, const std::string& options = "") {
  CommandLine line;
  line.operands = std::move(operands);
  line.options = cli::split_options(options);
  return line;
}

/// What every layer exports, gathered without cli's own composition.
std::vector<std::string> keys_of_all_layers() {
  ops::Settings ops;
  session::Settings session;
  cli::Settings mount;
  std::vector<std::string> keys;
  for (const auto& rows :
       {ops::settings_table(ops), session::settings_table(session), cli::settings_table(mount)}) {
    for (const proto::Setting& row : rows) {
      keys.push_back(row.name);
      keys.insert(keys.end(), row.aliases.begin(), row.aliases.end());
    }
  }
  return keys;
}

}  // namespace

TEST_CASE("every key of every layer is known to the parser and listed by --help") {
  const Configuration config;
  const std::string help = cli::help_text(config.table);
  const std::vector<std::string> keys = keys_of_all_layers();
  REQUIRE(keys.size() > 12);
  for (const std::string& key : keys) {
    CAPTURE(key);
    CHECK(config.table.find(key) != nullptr);
    const auto at = help.find(" " + key);
    CHECK(at != std::string::npos);
  }
}

TEST_CASE("every row is complete, and what it reads back it takes") {
  const Configuration config;
  for (const proto::Setting& row : config.table.rows()) {
    CAPTURE(row.name);
    CHECK(row.name == cli::canonical_key(row.name));
    for (const std::string& alias : row.aliases) CHECK(alias == cli::canonical_key(alias));
    CHECK_FALSE(row.group.empty());
    CHECK_FALSE(row.form.empty());
    CHECK_FALSE(row.help.empty());
    CHECK(row.help.find('\n') == std::string::npos);
    REQUIRE(row.set);
    REQUIRE(row.get);
    const std::string before = row.get();
    if (!before.empty()) {
      CHECK(row.set(before) == "");
      CHECK(row.get() == before);
    }
    if (!row.bare.empty()) CHECK(row.set(row.bare) == "");
  }
}

TEST_CASE("the last operand is the mount point, the others are branches") {
  Configuration config;
  cli::configure(config, command({"/a:/b=RO", "/c", "/pool"}));
  CHECK(config.ops.branches == "/a:/b=RO:/c");
  CHECK(config.mount.mountpoint == "/pool");
  CHECK(config.mount.fsname == "/a:/b=RO:/c");
  CHECK(config.mount.allow_other == (::geteuid() == 0));
}

TEST_CASE("mountpoint= makes every operand a branch, branches= is added to") {
  Configuration one;
  cli::configure(one, command({"/a", "/b"}, "mount=/pool"));
  CHECK(one.ops.branches == "/a:/b");
  CHECK(one.mount.mountpoint == "/pool");
  Configuration other;
  cli::configure(other, command({"/c", "/pool"}, "branches=/a:/b,fsname=films"));
  CHECK(other.ops.branches == "/a:/b:/c");
  CHECK(other.mount.fsname == "films");
  Configuration all;
  cli::configure(all, command({}, "branches=/a,mountpoint=/pool"));
  CHECK(all.ops.branches == "/a");
}

TEST_CASE("branches= replaces the operands before it, and those behind it are added") {
  const auto branches = [](std::initializer_list<const char*> words) {
    std::vector<std::string> text{"boughfs"};
    text.insert(text.end(), words.begin(), words.end());
    std::vector<char*> argv;
    for (std::string& word : text) argv.push_back(word.data());
    argv.push_back(nullptr);
    Configuration config;
    cli::configure(config, cli::read_command_line(static_cast<int>(text.size()), argv.data()));
    CHECK(config.mount.mountpoint == "/pool");
    return config.ops.branches;
  };
  CHECK(branches({"/a", "-o", "branches=/b", "/c:/d", "/pool"}) == "/b:/c:/d");
  CHECK(branches({"none", "/pool", "-o", "branches=/b"}) == "/b");
  CHECK(branches({"/a", "/pool", "-o", "branches=+/b,branches=+</c"}) == "/c:/a:/b");
  CHECK(branches({"/a", "-o", "mountpoint=/pool", "--", "/b"}) == "/a:/b");
  CHECK(branches({"-o", "branches=/b", "/a", "/c", "/pool"}) == "/b:/a:/c");
}

TEST_CASE("branches and a mount point are wanted") {
  for (const auto& operands : std::vector<std::vector<std::string>>{{}, {"/pool"}}) {
    Configuration config;
    CHECK_THROWS_AS(cli::configure(config, command(operands)), StartError);
  }
}

TEST_CASE("mount(2) takes no source as long as PATH_MAX") {
  Configuration config;
  std::string many = "/a";
  while (many.size() < PATH_MAX) many += ":/a";
  cli::configure(config, command({many, "/pool"}));
  CHECK(config.mount.fsname == "boughfs");
}

TEST_CASE("set-id files and devices: not by command, by fstab unless it says so") {
  Configuration by_command;
  cli::configure(by_command, command({"/a", "/pool"}));
  CHECK(by_command.words.flags == (MS_NOSUID | MS_NODEV));
  CommandLine line = command({"/a", "/pool"}, "nodev");
  line.as_mount_helper = true;
  Configuration by_fstab;
  cli::configure(by_fstab, line);
  CHECK(by_fstab.words.flags == MS_NODEV);
}

TEST_CASE("a trace on stderr needs the foreground") {
  Configuration config;
  CHECK_THROWS_AS(cli::configure(config, command({"/a", "/pool"}, "debug")), StartError);
  Configuration staying;
  cli::configure(staying, command({"/a", "/pool"}, "debug,foreground"));
  CHECK(staying.session.debug);
  CHECK(staying.session.trace_file().empty());
  Configuration logging;
  cli::configure(logging, command({"/a", "/pool"}, "debug,log.file=/log"));
  CHECK(logging.session.trace_file() == "/log");
  Configuration silent;
  cli::configure(silent, command({"/a", "/pool"}, "log.file=/log"));
  CHECK(silent.session.trace_file().empty());
}

TEST_CASE("the subtype and the kernel's permission check cannot be chosen") {
  for (const std::string options : {"subtype=other", "default_permissions=false"}) {
    Configuration config;
    CHECK_THROWS_AS(cli::configure(config, command({"/a", "/pool"}, options)), StartError);
  }
  Configuration config;
  cli::configure(config,
                 command({"/a", "/pool"}, "subtype=boughfs,default_permissions,max_read=65536"));
  CHECK(config.mount.max_read == 65536);
}

TEST_CASE("reads cannot be made shorter than a page") {
  for (const std::string number : {"1", "512", "4095"}) {
    Configuration config;
    try {
      cli::configure(config, command({"/a", "/pool"}, "max_read=" + number));
      FAIL("accepted " << number);
    } catch (const StartError& error) {
      const std::string line = error.what();
      CHECK(line.find("max_read=" + number) != std::string::npos);
      CHECK(line.find("at least 4096") != std::string::npos);
      CHECK(line.find("or 0") != std::string::npos);
    }
  }
  for (const std::string number : {"0", "4096"}) {
    Configuration config;
    cli::configure(config, command({"/a", "/pool"}, "max_read=" + number));
    CHECK(std::to_string(config.mount.max_read) == number);
  }
}

TEST_CASE("an old name is that of no row, and stands for one") {
  const Configuration config;
  for (const cli::OldOption& old : cli::old_options()) {
    CAPTURE(old.name);
    CHECK((config.table.find(old.name) != nullptr) == (old.row == old.name));
    CHECK_FALSE(cli::means_nothing(old.name));
    CHECK((old.row.empty() || old.value.empty()) == !old.loss.empty());
    if (!old.row.empty()) CHECK(config.table.find(old.row) != nullptr);
  }
  for (const proto::Setting& row : config.table.rows()) CHECK_FALSE(cli::means_nothing(row.name));
}

TEST_CASE("who mounts by mount(8) or as mergerfs is warned of what a command refuses") {
  CommandLine line = command({"/a", "/pool"}, "minfrespace=1G,debug");
  {
    Configuration config;
    CHECK_THROWS_AS(cli::configure(config, line), StartError);
  }
  for (bool CommandLine::*lenient : {&CommandLine::as_mount_helper, &CommandLine::as_mergerfs}) {
    CommandLine taken = line;
    taken.*lenient = true;
    Configuration config;
    cli::configure(config, taken);
    REQUIRE(config.warnings.size() == 2);
    CHECK(config.warnings[0].find("minfreespace") != std::string::npos);
    CHECK(config.warnings[1].find("log.file=FILE") != std::string::npos);
    CHECK_FALSE(config.session.debug);
    taken.sloppy = true;
    Configuration silent;
    cli::configure(silent, command({"/a", "/pool"}, ""));
    CHECK(silent.warnings.empty());
  }
}

TEST_CASE("as mergerfs its defaults count, unless an option says otherwise") {
  CommandLine line = command({"/a", "/pool"});
  line.as_mergerfs = true;
  Configuration config;
  cli::configure(config, line);
  const auto shown = [](const Configuration& of, const char* key) {
    return of.table.find(key)->get();
  };
  CHECK(config.mount.subtype == "mergerfs");
  CHECK(shown(config, "minfreespace") == "4294967295");
  CHECK(shown(config, "cache.files") == "off");
  CHECK(shown(config, "cache.statfs") == "0");
  CHECK(shown(config, "passthrough.io") == "off");
  CHECK(shown(config, "flush-on-close") == "opened-for-write");
  CHECK(shown(config, "scheduling-priority") == "-10");
  CHECK(shown(config, "moveonenospc") == "pfrd");
  CHECK(shown(config, "allow-idmap") == "true");
  Configuration other;
  line.options = cli::split_options("cache.files=full,subtype=boughfs");
  cli::configure(other, line);
  CHECK(other.mount.subtype == "boughfs");
  CHECK(shown(other, "cache.files") == "full");
  for (const auto& [options, idmap] :
       {std::pair{"follow-symlinks=all", "false"}, std::pair{"follow-symlinks=never", "true"},
        std::pair{"allow-idmap,follow_symlinks=all", "true"}}) {
    Configuration follows;
    line.options = cli::split_options(options);
    cli::configure(follows, line);
    CHECK(shown(follows, "allow-idmap") == idmap);
  }
  const Configuration own;
  CHECK(own.mount.subtype == "boughfs");
  CHECK(shown(own, "cache.files") == "auto");
  CHECK(shown(own, "allow-idmap") == "false");
}

TEST_CASE("a malformed branch list is refused in one line") {
  Configuration config;
  cli::configure(config, command({"/a=SOMETHING", "/pool"}));
  try {
    (void)cli::branch_directories(config);
    FAIL("accepted");
  } catch (const StartError& error) {
    const std::string line = error.what();
    CHECK(line.find('\n') == std::string::npos);
    CHECK(line.find("SOMETHING") != std::string::npos);
  }
}
