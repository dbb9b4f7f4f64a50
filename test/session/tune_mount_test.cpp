#include "session/tune_mount.hpp"

#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "session/read_ahead.hpp"

using namespace bough::session;
namespace fs = std::filesystem;

namespace {

/// What of /sys is read here: a pool, a disk with a partition, and a network file system.
class Sys {
 public:
  Sys() {
    char name[] = "/tmp/bough-sys-XXXXXX";
    top_ = ::mkdtemp(name);
    put("class/bdi/0:77/read_ahead_kb", "128\n");
    put("class/bdi/0:50/read_ahead_kb", "128\n");
    put("devices/sda/bdi/read_ahead_kb", "128\n");
    put("devices/sda/sda1/dev", "8:1\n");
    fs::create_directories(top_ / "dev/block");
    fs::create_directory_symlink("../../devices/sda", top_ / "dev/block/8:0");
    fs::create_directory_symlink("../../devices/sda/sda1", top_ / "dev/block/8:1");
  }
  ~Sys() { fs::remove_all(top_); }
  void put(const std::string& file, const std::string& text) const {
    fs::create_directories((top_ / file).parent_path());
    std::ofstream(top_ / file) << text;
  }
  [[nodiscard]] std::uint64_t value(const std::string& file) const {
    std::uint64_t value = 0;
    std::ifstream(top_ / file) >> value;
    return value;
  }
  [[nodiscard]] std::string path() const { return top_.string(); }

 private:
  fs::path top_;
};

constexpr const char* kPool = "class/bdi/0:77/read_ahead_kb";
constexpr const char* kDisk = "devices/sda/bdi/read_ahead_kb";
constexpr const char* kNet = "class/bdi/0:50/read_ahead_kb";

std::vector<std::string> tune(const Sys& sys, Settings& settings) {
  const std::vector<BranchDevice> branches{
      {"/a", makedev(8, 1)}, {"/b", makedev(0, 50)}, {"/tmpfs", makedev(0, 3)}};
  return tune_mount(settings, makedev(0, 77), branches, sys.path());
}

}  // namespace

TEST_CASE("a partition reads ahead as its disk does; a file system without a disk by itself") {
  const Sys sys;
  for (const dev_t device : {makedev(8, 0), makedev(8, 1), makedev(0, 50)})
    CHECK(ReadAhead(device, sys.path()).kib() == 128);
  CHECK(ReadAhead(makedev(8, 1), sys.path()).set(64) == 0);
  CHECK(sys.value(kDisk) == 64);
  const ReadAhead none(makedev(0, 3), sys.path());
  CHECK_FALSE(none.kib().has_value());
  CHECK(none.set(64) == ENODEV);
}

TEST_CASE("readahead by the message raises the pool's and no other") {
  const Sys sys;
  Settings settings;
  settings.read_ahead = kReadAheadByMessage;
  CHECK(tune(sys, settings).empty());
  CHECK(sys.value(kPool) == 1024);
  CHECK(settings.read_ahead == 1024);
  CHECK(sys.value(kDisk) == 128);
  CHECK(sys.value(kNet) == 128);

  sys.put(kPool, "4096");
  settings.read_ahead = kReadAheadByMessage;
  CHECK(tune(sys, settings).empty());
  CHECK(sys.value(kPool) == 4096);
  CHECK(settings.read_ahead == 4096);
}

TEST_CASE("a number is for the pool and its branches, and what cannot be set is told") {
  const Sys sys;
  Settings settings;
  settings.read_ahead = 64;
  const auto lines = tune(sys, settings);
  CHECK(sys.value(kPool) == 64);
  CHECK(sys.value(kDisk) == 64);
  CHECK(sys.value(kNet) == 64);
  CHECK(settings.read_ahead == 64);
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].starts_with("readahead of branch /tmpfs cannot be set: "));
}

TEST_CASE("0 leaves all alone, and reads back as what is in force") {
  const Sys sys;
  Settings settings;
  CHECK(tune(sys, settings).empty());
  CHECK(sys.value(kPool) == 128);
  CHECK(sys.value(kDisk) == 128);
  CHECK(settings.read_ahead == 128);
}

TEST_CASE("the limits of background requests are what the kernel made of them") {
  const Sys sys;
  Settings settings;
  CHECK(tune(sys, settings).empty());
  CHECK(settings.max_background == 128);
  sys.put("fs/fuse/connections/77/max_background", "50\n");
  sys.put("fs/fuse/connections/77/congestion_threshold", "40\n");
  settings = {};
  CHECK(tune(sys, settings).empty());
  CHECK(settings.max_background == 50);
  CHECK(settings.congestion_threshold == 40);
}
