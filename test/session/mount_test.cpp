#include "session/mount.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "session/fusermount.hpp"
#include "session/mount_table.hpp"

using namespace bough;

namespace {

std::string refusal(const std::string& target) {
  session::MountOptions options;
  options.target = target;
  try {
    static_cast<void>(session::Mount::attach(options));
  } catch (const session::MountError& error) {
    return error.what();
  }
  return {};
}

/// An empty directory that goes away with the object.
struct Scratch {
  std::string path = "/tmp/bough-mount-XXXXXX";
  Scratch() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
  ~Scratch() {
    for (const char* name : {"/fusermount3", "/file"}) ::unlink((path + name).c_str());
    ::rmdir(path.c_str());
  }
  void script(const std::string& text) const {
    const std::string name = path + "/fusermount3";
    const int fd = ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    REQUIRE(fd >= 0);
    REQUIRE(::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    ::close(fd);
  }
};

/// PATH with one directory in front, until the end of the scope.
struct FirstInPath {
  std::string before = std::getenv("PATH");
  explicit FirstInPath(const std::string& path) {
    ::setenv("PATH", (path + ":" + before).c_str(), 1);
  }
  ~FirstInPath() { ::setenv("PATH", before.c_str(), 1); }
};

}  // namespace

TEST_CASE("a mount point that is missing or no directory is named with its remedy") {
  const Scratch scratch;
  const std::string missing = scratch.path + "/missing";
  CHECK(refusal(missing).find(missing + " does not exist") != std::string::npos);
  const std::string file = scratch.path + "/file";
  ::close(::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  CHECK(refusal(file).find("not a directory") != std::string::npos);
  CHECK(refusal("/dev/fd/777").find("no open descriptor") != std::string::npos);
}

TEST_CASE("labels that the kernel would cut short are refused by name and length") {
  const Scratch scratch;
  session::MountOptions options;
  options.target = scratch.path + "/missing";
  options.extra = {"fscontext=a", "context=" + std::string(5000, 'c')};
  try {
    static_cast<void>(session::Mount::attach(options));
    FAIL("accepted");
  } catch (const session::MountError& error) {
    const std::string line = error.what();
    CHECK(line.find("-o context=") != std::string::npos);
    CHECK(line.find("5008") != std::string::npos);
    CHECK(line.find("3900") != std::string::npos);
    CHECK(line.size() < 200);
  }
}

TEST_CASE("a given descriptor is taken over and never unmounted") {
  int pair[2];
  REQUIRE(::pipe2(pair, O_CLOEXEC) == 0);
  session::MountOptions options;
  options.target = "/dev/fd/" + std::to_string(pair[1]);
  {
    auto mount = session::Mount::attach(options);
    CHECK(mount.device() == pair[1]);
    CHECK(mount.target() == options.target);
    CHECK((::fcntl(pair[1], F_GETFD) & FD_CLOEXEC) != 0);
    mount.unmount();
  }
  CHECK(::fcntl(pair[1], F_GETFD) == -1);
  ::close(pair[0]);
}

TEST_CASE("the helper's options, complaint and descriptor") {
  const Scratch scratch;
  const FirstInPath path(scratch.path);
  SUBCASE("a complaint") {
    scratch.script("#!/bin/sh\necho \"$@\" >&2\nexit 1\n");
    const auto outcome = session::Fusermount::find().mount("fsname=a\\,b,ro", "/mnt/x");
    CHECK_FALSE(outcome.device);
    CHECK(outcome.complaint == "-o fsname=a\\,b,ro -- /mnt/x");
  }
  SUBCASE("silence") {
    scratch.script("#!/bin/sh\nexit 0\n");
    CHECK(session::Fusermount::find().mount("", "/mnt/x").complaint.find("no descriptor") !=
          std::string::npos);
  }
  SUBCASE("its success is its status") {
    scratch.script("#!/bin/sh\n[ \"$*\" = \"-u -z -q -- /mnt/x\" ]\n");
    CHECK(session::Fusermount::find().unmount("/mnt/x"));
    CHECK_FALSE(session::Fusermount::find().unmount("/mnt/y"));
  }
}

TEST_CASE("the mount table: topmost, exact, escaped") {
  const std::string table =
      "30 1 0:1 / / rw - ext4 /dev/sda1 rw\n"
      "31 30 0:2 / /mnt/a\\040b rw,nosuid shared:5 master:1 - tmpfs none rw\n"
      "32 31 0:3 / /mnt/a\\040b rw - fuse.boughfs pool rw\n"
      "33 30 0:4 / /mnt/a rw - xfs /dev/sdb rw\n";
  CHECK(session::mount_at(table, "/mnt/a b")->type == "fuse.boughfs");
  CHECK(session::mount_at(table, "/mnt/a b")->id == "32");
  CHECK(session::mount_at(table, "/mnt/a")->type == "xfs");
  CHECK_FALSE(session::mount_at(table, "/mnt"));
  CHECK(session::mount_at("/proc")->type == "proc");
}
