#include "cli/mountinfo.hpp"

#include <doctest/doctest.h>

#include <cerrno>

using bough::cli::mount_of;
using bough::cli::MountInfo;
using bough::cli::parse_mountinfo;

TEST_CASE("a line of mountinfo") {
  const auto info = parse_mountinfo(
      "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime shared:1 master:2 - fuse.boughfs /a\\040b:/c "
      "rw,user_id=0,group_id=0");
  REQUIRE(info);
  CHECK(info->id == 36);
  CHECK(info->device_major == 98);
  CHECK(info->device_minor == 0);
  CHECK(info->root == "/mnt1");
  CHECK(info->mount_point == "/mnt 2");
  CHECK(info->options == "rw,noatime");
  CHECK(info->type == "fuse.boughfs");
  CHECK(info->source == "/a b:/c");
  CHECK(info->super_options == "rw,user_id=0,group_id=0");
  CHECK(parse_mountinfo("36 35 98:0 / /x rw - tmpfs none rw"));
  CHECK(parse_mountinfo("36 35 98:0 / /x rw - tmpfs  rw")->source.empty());
}

TEST_CASE("malformed lines") {
  CHECK_FALSE(parse_mountinfo(""));
  CHECK_FALSE(parse_mountinfo("36 35 98:0 / /x rw"));
  CHECK_FALSE(parse_mountinfo("36 35 98:0 / /x rw - tmpfs none"));
  CHECK_FALSE(parse_mountinfo("36 35 98:0 / /x rw - tmpfs none  "));
  CHECK_FALSE(parse_mountinfo("x 35 98:0 / /x rw - tmpfs none rw"));
  CHECK_FALSE(parse_mountinfo("36 35 98 / /x rw - tmpfs none rw"));
}

TEST_CASE("the mount of a path") {
  const auto proc = mount_of("/proc/self/status");
  REQUIRE(proc);
  CHECK(proc->type == "proc");
  CHECK(proc->mount_point == "/proc");
  CHECK_FALSE(mount_of("/proc/self/there-is-no-such-file"));
  CHECK(errno == ENOENT);
}
