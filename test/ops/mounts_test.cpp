#include <doctest/doctest.h>

#include <algorithm>

#include "ops/mounts.hpp"
#include "test/ops/followed_ground.hpp"

namespace bough::test {

TEST_CASE("mounts are listed as they are") {
  if (!may_act_as_root()) return;
  const TempDir place;
  const auto at = place.path() / "two words\\and a tab\t";
  std::filesystem::create_directories(at / "sub");
  const Mounted tmpfs(at, "tmpfs", MS_NOSUID | MS_NODEV);
  std::filesystem::create_directories(at / "root/of it");
  std::filesystem::create_directory(place.path() / "bind");
  const Mounted bind(place.path() / "bind", "bind", MS_NOSUID | MS_NODEV | MS_RDONLY,
                     at / "root/of it");
  const auto mounts = ops::list_mounts();
  REQUIRE(mounts.has_value());
  const auto mounted_at = [&](const std::filesystem::path& point) {
    const auto found = std::find_if(mounts->begin(), mounts->end(), [&](const ops::Mount& mount) {
      return mount.point == point.string();
    });
    REQUIRE(found != mounts->end());
    return *found;
  };
  const ops::Mount first = mounted_at(at);
  CHECK(first.type == "tmpfs");
  CHECK(first.root == "/");
  CHECK(first.device_major == 0);
  CHECK(first.nosuid);
  CHECK_FALSE(first.read_only);
  const ops::Mount second = mounted_at(place.path() / "bind");
  CHECK(second.root == "/root/of it");
  CHECK(second.device_minor == first.device_minor);
  CHECK(second.read_only);
  CHECK(second.id != first.id);
}

TEST_CASE("which disks a process or a file may be behind") {
  namespace fs = std::filesystem;
  const TempDir sysfs;
  const auto add = [&](const std::string& number, const std::string& device,
                       std::initializer_list<const char*> below = {}) {
    const fs::path at = sysfs.path() / "block" / device;
    fs::create_directories(at);
    if (at.parent_path().filename() == "block")
      fs::create_directory(at / "slaves");
    else
      write_file(at / "partition", "1");
    for (const char* const each : below)
      fs::create_symlink(sysfs.path() / "block" / each, at / "slaves" / fs::path(each).filename());
    fs::create_symlink(at, sysfs.path() / number);
  };
  add("8:0", "sda");
  add("8:1", "sda/sda1");
  add("7:0", "loop0");
  add("259:0", "loop0/loop0p1");
  add("43:0", "nbd0");
  add("259:1", "ublkb0");
  add("253:0", "dm-0", {"sda/sda1"});
  add("253:1", "dm-1", {"dm-0"});
  add("253:2", "dm-2", {"sda/sda1", "loop0/loop0p1"});
  add("253:3", "dm-3", {"dm-1", "dm-2"});
  add("9:0", "md0", {"dm-1"});
  add("9:1", "md1", {"nbd0"});
  add("259:2", "md1/md1p1");
  add("253:4", "dm-4", {"gone"});
  const auto served = [&](std::uint32_t major, std::uint32_t minor) {
    return ops::is_served_device(major, minor, sysfs.path());
  };
  for (const auto& [major, minor] : {std::pair{8U, 0U}, {8, 1}, {253, 0}, {253, 1}, {9, 0}})
    CHECK_FALSE(served(major, minor));
  for (const auto& [major, minor] : {std::pair{7U, 0U},
                                     {259, 0},
                                     {43, 0},
                                     {259, 1},
                                     {253, 2},
                                     {253, 3},
                                     {9, 1},
                                     {259, 2},
                                     {253, 4},
                                     {8, 16}})
    CHECK(served(major, minor));
}

}  // namespace bough::test
