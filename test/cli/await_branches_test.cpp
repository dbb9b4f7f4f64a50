#include "cli/await_branches.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "cli/exit_status.hpp"

using bough::cli::await_branches;
using bough::cli::Configuration;
using bough::cli::is_mounted;
using bough::cli::StartError;

namespace {

namespace fs = std::filesystem;

struct Places {
  Places() {
    std::string pattern = (fs::temp_directory_path() / "boughfs-await-XXXXXX").string();
    root = fs::canonical(::mkdtemp(pattern.data()));
    fs::create_directory(branch());
    fs::create_directory(root / "pool");
    struct stat own = {};
    REQUIRE(::stat(root.c_str(), &own) == 0);
    device = own.st_dev;
  }
  ~Places() {
    std::error_code ignored;
    fs::remove_all(root, ignored);
  }
  Places(const Places&) = delete;
  Places& operator=(const Places&) = delete;

  [[nodiscard]] std::string branch() const { return root / "branch"; }
  void entry(const char* name) const { std::ofstream(branch() + "/" + name) << "x"; }
  /// False: the file system has no such attributes.
  [[nodiscard]] bool mark(const char* xattr) const {
    return ::setxattr(branch().c_str(), xattr, "", 0, 0) == 0;
  }

  fs::path root;
  dev_t device = 0;
};

void wait_for(Configuration& config, const Places& places, const char* timeout) {
  config.ops.branches = places.branch();
  config.mount.mountpoint = places.root / "pool";
  REQUIRE(config.table.find("branches-mount-timeout")->set(timeout).empty());
}

std::vector<std::string> await(const Configuration& config, std::string& warned) {
  return await_branches(config, [&](const std::string& line) { warned += line; });
}

}  // namespace

TEST_CASE("a branch is mounted if it says so, else if it is on another device") {
  const Places places;
  CHECK_FALSE(is_mounted(places.branch(), places.device));
  CHECK(is_mounted(places.branch(), places.device + 1));
  CHECK_FALSE(is_mounted(places.branch() + "/nothing", places.device + 1));
  for (const char* entry : {".mergerfs.branch_mounts_here", ".boughfs.branch_mounts_here"}) {
    places.entry(entry);
    CHECK_FALSE(is_mounted(places.branch(), places.device + 1));
    fs::remove(places.branch() + "/" + entry);
  }
  places.entry(".mergerfs.branch_mounts_here");
  for (const char* entry : {".mergerfs.branch", ".boughfs.branch"}) {
    places.entry(entry);
    CHECK(is_mounted(places.branch(), places.device));
    fs::remove(places.branch() + "/" + entry);
  }
}

TEST_CASE("what an attribute says of a branch counts before what lies in it") {
  for (const char* name : {"mergerfs", "boughfs"}) {
    const Places places;
    const std::string here = "user." + std::string(name) + ".branch_mounts_here";
    if (!places.mark(here.c_str())) {
      MESSAGE("no user attributes here: " << std::strerror(errno));
      return;
    }
    CHECK_FALSE(is_mounted(places.branch(), places.device + 1));
    CHECK(places.mark(("user." + std::string(name) + ".branch").c_str()));
    CHECK(is_mounted(places.branch(), places.device));
  }
}

TEST_CASE("without branches-mount-timeout nobody waits") {
  const Places places;
  Configuration config;
  wait_for(config, places, "0");
  std::string warned;
  CHECK(await(config, warned) == std::vector<std::string>{places.branch()});
  CHECK(warned.empty());
}

TEST_CASE("a branch that is not mounted in time is told of, or no pool is mounted") {
  const Places places;
  Configuration config;
  wait_for(config, places, "1");
  std::string warned;
  CHECK(await(config, warned) == std::vector<std::string>{places.branch()});
  CHECK(warned.find(places.branch()) != std::string::npos);
  REQUIRE(config.table.find("branches-mount-timeout-fail")->set("true").empty());
  CHECK_THROWS_AS((void)await(config, warned), StartError);
  places.entry(".mergerfs.branch");
  warned.clear();
  CHECK(await(config, warned) == std::vector<std::string>{places.branch()});
  CHECK(warned.empty());
  config.ops.branches += "=XX";
  CHECK_THROWS_AS((void)await(config, warned), StartError);
  CHECK(config.table.find("branches-mount-timeout")->set("1s") != "");
  CHECK(config.table.find("branches-mount-timeout")->set("") != "");
}
