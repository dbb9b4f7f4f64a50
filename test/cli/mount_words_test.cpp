#include "cli/mount_words.hpp"

#include <sys/mount.h>

#include <doctest/doctest.h>

#include <string>

using bough::cli::MountWords;
using bough::cli::take_mount_word;

namespace {

unsigned long flags_after(unsigned long start, std::initializer_list<const char*> keys) {
  MountWords words;
  words.flags = start;
  for (const char* key : keys) REQUIRE(take_mount_word(key, nullptr, words));
  return words.flags;
}

}  // namespace

TEST_CASE("words set and clear flags in the order given") {
  CHECK(flags_after(0, {"ro"}) == MS_RDONLY);
  CHECK(flags_after(0, {"ro", "rw"}) == 0);
  CHECK(flags_after(0, {"rw", "ro"}) == MS_RDONLY);
  CHECK(flags_after(MS_NOSUID | MS_NODEV, {"suid", "dev"}) == 0);
  CHECK(flags_after(0, {"noexec", "sync", "dirsync"}) == (MS_NOEXEC | MS_SYNCHRONOUS | MS_DIRSYNC));
  CHECK(flags_after(MS_NOEXEC | MS_SYNCHRONOUS, {"exec", "async"}) == 0);
}

TEST_CASE("one atime mode replaces another") {
  CHECK(flags_after(0, {"noatime", "relatime"}) == MS_RELATIME);
  CHECK(flags_after(0, {"relatime", "strictatime"}) == MS_STRICTATIME);
  CHECK(flags_after(0, {"strictatime", "noatime"}) == MS_NOATIME);
  CHECK(flags_after(0, {"noatime", "atime"}) == 0);
  CHECK(flags_after(0, {"nodiratime", "lazytime"}) == (MS_NODIRATIME | MS_LAZYTIME));
}

TEST_CASE("words about users imply what mount(8) says, and a later word lifts it") {
  CHECK(flags_after(0, {"user"}) == (MS_NOEXEC | MS_NOSUID | MS_NODEV));
  CHECK(flags_after(0, {"users", "exec"}) == (MS_NOSUID | MS_NODEV));
  CHECK(flags_after(0, {"owner"}) == (MS_NOSUID | MS_NODEV));
}

TEST_CASE("what is meant for mount(8), systemd or people changes nothing") {
  CHECK(flags_after(0, {"defaults", "nofail", "noauto", "auto", "_netdev", "nouser", "nonempty",
                        "x-systemd.automount", "x-gvfs-show", "X-mount.mkdir"}) == 0);
  MountWords words;
  const std::string value = "a";
  CHECK(take_mount_word("x-systemd.requires", &value, words));
  CHECK(take_mount_word("comment", &value, words));
  CHECK(take_mount_word("user", &value, words));
  CHECK(words.flags == 0);
  CHECK(words.labels.empty());
}

TEST_CASE("labels go to the kernel as they are") {
  MountWords words;
  const std::string label = "system_u:object_r:removable_t:s0";
  CHECK(take_mount_word("context", &label, words));
  CHECK(words.labels == std::vector<std::string>{"context=" + label});
  CHECK_FALSE(take_mount_word("context", nullptr, words));
}

TEST_CASE("other keys, and words with a value that they cannot have, are not taken") {
  MountWords words;
  const std::string value = "1";
  CHECK_FALSE(take_mount_word("minfreespace", nullptr, words));
  CHECK_FALSE(take_mount_word("ro", &value, words));
  CHECK_FALSE(take_mount_word("", nullptr, words));
  CHECK(words.flags == 0);
}
