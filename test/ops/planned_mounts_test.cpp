#include "ops/planned_mounts.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "test/support/pool_fixture.hpp"

using namespace bough::ops;
using bough::test::TempDir;
namespace fs = std::filesystem;
using Paths = std::vector<std::string>;

namespace {

/// A system of our own: an fstab, units and a table of mounts.
struct Ground {
  TempDir top;
  MountSources sources;

  Ground() {
    sources.fstab = top.path() / "fstab";
    sources.mountinfo = top.path() / "mountinfo";
    sources.units = {top.path() / "etc", top.path() / "run", top.path() / "lib"};
    for (const std::string& each : sources.units) fs::create_directory(each);
    mounted({});
  }
  static void write(const fs::path& file, const std::string& text) {
    fs::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  void mounted(const Paths& places, const std::string& type = "ext4") const {
    std::string text = "20 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n";
    for (const std::string& each : places)
      text += "21 20 8:17 / " + each + " rw,nosuid shared:2 - " + type + " /dev/sdb1 rw\n";
    write(sources.mountinfo, text);
  }
  [[nodiscard]] std::string at(const std::string& name) const { return top.path() / name; }
  void fstab(const Paths& places) const {
    std::string text;
    for (const std::string& each : places) text += "/dev/x " + each + " ext4 defaults 0 2\n";
    write(sources.fstab, text);
  }
  [[nodiscard]] Paths missing() const {
    Paths paths;
    for (const auto& each : missing_mounts(sources)) paths.push_back(each.path);
    return paths;
  }
};

}  // namespace

TEST_CASE("fstab: mount points, noauto ones too; swap, none, comments and scraps are none") {
  const auto found = mount_points_of_fstab(
      "# /dev/a /no ext4 defaults 0 0\n"
      "\n"
      "UUID=1 / ext4 errors=remount-ro 0 1\n"
      "\tUUID=2\t/mnt/disk1/\text4 noauto,nofail 0 2\n"
      "LABEL=a /mnt/my\\040disk xfs defaults 0 0\n"
      "/mnt/a /mnt/b none bind 0 0\n"
      "/swapfile none swap sw 0 0\n"
      "/dev/y /swap swap sw 0 0\n"
      "tmpfs none tmpfs defaults 0 0\n"
      "/dev/z /scrap\n"
      "/dev/last /mnt/last btrfs");
  Paths paths;
  Paths on_demand;
  for (const auto& each : found) {
    paths.push_back(each.path);
    if (each.on_demand) on_demand.push_back(each.path);
  }
  CHECK(paths == Paths{"/", "/mnt/disk1", "/mnt/my disk", "/mnt/b", "/mnt/last"});
  CHECK(on_demand == Paths{"/mnt/disk1"});
  CHECK(mount_points_of_fstab("").empty());
}

TEST_CASE("mount units: Where= is what they mount on") {
  CHECK(mount_point_of_unit("[Unit]\nDescription=x\n[Mount]\nWhat=/dev/a\nWhere=/mnt/d\n") ==
        "/mnt/d");
  CHECK(mount_point_of_unit("[Mount]\n  Where = /mnt/my disk/ \n") == "/mnt/my disk");
  CHECK(mount_point_of_unit("[Mount]\n#Where=/mnt/d\nWhereabouts=/x\nWhere=relative\n").empty());
  CHECK(mount_point_of_unit("").empty());
}

TEST_CASE("mountinfo: what is mounted, blanks and optional fields or not; no automount point") {
  CHECK(mounted_places("20 1 8:1 / / rw - ext4 /dev/a rw\n"
                       "21 20 8:2 / /mnt/my\\040disk rw shared:3 master:1 - xfs /dev/b rw\n"
                       "22 20 0:40 / /mnt/auto rw - autofs systemd-1 rw\n"
                       "broken line\n") == Paths{"/", "/mnt/my disk"});
}

TEST_CASE("a path lies in a directory by whole names") {
  CHECK(is_or_lies_in("/mnt/d", "/mnt/d"));
  CHECK(is_or_lies_in("/mnt/d/x", "/mnt/d"));
  CHECK(is_or_lies_in("/mnt", "/"));
  CHECK_FALSE(is_or_lies_in("/mnt/d2", "/mnt/d"));
  CHECK_FALSE(is_or_lies_in("/mnt", "/mnt/d"));
}

TEST_CASE("missing is what is planned and not mounted") {
  Ground g;
  CHECK(g.missing().empty());
  g.fstab({"/", g.at("one"), g.at("two")});
  CHECK(g.missing() == Paths{g.at("one"), g.at("two")});
  g.mounted({g.at("two")});
  CHECK(g.missing() == Paths{g.at("one")});
  CHECK(missing_mounts(g.sources).front().file == g.sources.fstab);
  SUBCASE("on a path with a symbolic link") {
    fs::create_directory(g.at("real"));
    fs::create_directory_symlink("real", g.at("link"));
    g.fstab({g.at("link/disk")});
    CHECK(g.missing() == Paths{g.at("real/disk")});
    g.mounted({g.at("real/disk")});
    CHECK(g.missing().empty());
  }
  SUBCASE("not where nobody may look") {
    g.fstab({g.at("pool/inside"), g.at("two")});
    CHECK(missing_mounts(g.sources, {fs::canonical(g.top.path()) / "pool"}).size() == 0);
  }
  SUBCASE("an automount point that nobody has looked at") {
    g.mounted({g.at("one"), g.at("two")}, "autofs");
    CHECK(g.missing().size() == 2);
  }
}

TEST_CASE("units count, shipped ones only where something wants them, masked ones not") {
  Ground g;
  const auto unit = [&](const std::string& file, const std::string& where) {
    Ground::write(g.at(file), "[Mount]\nWhere=" + g.at(where) + "\n");
  };
  unit("etc/a.mount", "a");
  unit("etc/b.service", "b");
  unit("lib/c.mount", "c");
  CHECK(g.missing() == Paths{g.at("a")});
  fs::create_directory(g.at("etc/local-fs.target.wants"));
  fs::create_symlink("../../lib/c.mount", g.at("etc/local-fs.target.wants/c.mount"));
  CHECK(g.missing() == Paths{g.at("a"), g.at("c")});
  fs::create_symlink("/dev/null", g.at("run/c.mount"));
  CHECK(g.missing() == Paths{g.at("a")});
  unit("run/a.mount", "elsewhere");
  CHECK(g.missing() == Paths{g.at("a")});
}

TEST_CASE("what is no file that can be read says nothing of mounts") {
  Ground g;
  g.fstab({g.at("one")});
  fs::create_directory(g.at("etc/odd.mount"));
  CHECK(g.missing() == Paths{g.at("one")});
  fs::remove(g.at("fstab"));
  fs::create_directory(g.at("fstab"));
  CHECK(g.missing().empty());
}

TEST_CASE("a pattern means directories on disks that are missing, too") {
  const std::vector<PlannedMount> missing{{"/mnt/disk2", "f", false},
                                          {"/mnt/deep/disk3", "f", false},
                                          {"/srv", "f", false},
                                          {"/mnt/stick", "f", true}};
  CHECK(meant_on_missing("/mnt/disk*", missing) == Paths{"/mnt/disk2"});
  CHECK(meant_on_missing("/mnt/disk2/", missing) == Paths{"/mnt/disk2"});
  CHECK(meant_on_missing("/mnt/disk*/media/all", missing) == Paths{"/mnt/disk2/media/all"});
  CHECK(meant_on_missing("/mnt/disk[0-9]/media", missing) == Paths{"/mnt/disk2/media"});
  CHECK(meant_on_missing("/mnt/d[e]*/disk3", missing) == Paths{"/mnt/deep/disk3"});
  CHECK(meant_on_missing("/mnt/stick/media", missing) == Paths{"/mnt/stick/media"});
  CHECK(meant_on_missing("/srv/photos", missing) == Paths{"/srv/photos"});
  CHECK(meant_on_missing("/mnt/disk*/me*", missing).empty());
  CHECK(meant_on_missing("/mnt", missing).empty());
  CHECK(meant_on_missing("mnt/disk2", missing).empty());
  CHECK(meant_on_missing("/mnt/*", missing) == Paths{"/mnt/disk2"});
}
