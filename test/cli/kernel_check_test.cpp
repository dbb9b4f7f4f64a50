#include "cli/kernel_check.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <string>

using namespace bough::cli;

namespace {

KernelFacts recent() {
  KernelFacts kernel;
  kernel.release = "6.18.1";
  kernel.major = 6;
  kernel.minor = 18;
  kernel.limit_can_be_raised = true;
  kernel.has_fusermount = true;
  return kernel;
}

std::string told(const KernelFacts& kernel, const Configuration& config, bool as_root) {
  std::string text;
  for (const Finding& finding : check_kernel(kernel, config, as_root))
    text += std::to_string(static_cast<int>(finding.level)) + finding.text + "\n";
  return text;
}

void set(Configuration& config, const char* key, const char* value) {
  REQUIRE(config.table.find(key)->set(value).empty());
}

}  // namespace

TEST_CASE("root's pool on a recent kernel lacks nothing") {
  Configuration config;
  CHECK(told(recent(), config, true).empty());
  set(config, "fuse-msg-size", "4M");
  CHECK(told(recent(), config, true).empty());
}

TEST_CASE("why there is no passthrough") {
  Configuration config;
  KernelFacts kernel = recent();
  CHECK(told(kernel, config, false) ==
        "0no passthrough: the kernel grants it to root alone: mount the pool as root\n");
  kernel.minor = 8;
  kernel.release = "6.8.0";
  CHECK(told(kernel, config, true) ==
        "0no passthrough: this kernel is 6.8.0, Linux 6.9 and later have it\n");
  set(config, "passthrough.io", "rw");
  CHECK(told(kernel, config, true).starts_with("1no passthrough: this kernel is 6.8.0"));
  set(config, "passthrough.io", "off");
  CHECK(told(kernel, config, true).empty());
  kernel.minor = 5;
  CHECK(told(kernel, config, true).find("Linux 6.6 and later allow it") != std::string::npos);
  kernel.major = 5;
  kernel.minor = 3;
  CHECK(told(kernel, config, true).starts_with("2this kernel is 6.8.0: Linux 5.4 or later"));
}

TEST_CASE("messages that are larger than the kernel takes") {
  Configuration config;
  set(config, "passthrough.io", "off");
  config.session.message_pages = 1024;
  KernelFacts kernel = recent();
  CHECK(told(kernel, config, false) ==
        "1fuse-msg-size would be 256 pages instead of 1024: root has to raise the limit: sysctl "
        "fs.fuse.max_pages_limit=1024\n");
  kernel.most_pages = 1024;
  CHECK(told(kernel, config, false).empty());
  kernel.most_pages = 256;
  kernel.limit_can_be_raised = false;
  CHECK(told(kernel, config, true).find("Linux 6.13 and later take more") != std::string::npos);
}

TEST_CASE("what an ordinary user needs") {
  Configuration config;
  set(config, "passthrough.io", "off");
  KernelFacts kernel = recent();
  CHECK(told(kernel, config, false).empty());
  config.mount.allow_other = true;
  CHECK(told(kernel, config, false).starts_with("2allow-other is refused to ordinary users"));
  CHECK(told(kernel, config, true).empty());
  kernel.user_allow_other = true;
  CHECK(told(kernel, config, false).empty());
  kernel.has_fusermount = false;
  CHECK(told(kernel, config, false).find("install the package fuse3") != std::string::npos);
  kernel.device_error = EACCES;
  CHECK(told(kernel, config, true).starts_with("2/dev/fuse cannot be used (Permission denied)"));
  kernel.device_error = ENOENT;
  CHECK(told(kernel, config, true) ==
        "2/dev/fuse is missing: load the kernel module with modprobe fuse\n");
}

TEST_CASE("user_allow_other stands alone on its line") {
  CHECK(allows_other("mount_max = 9\n  user_allow_other \n"));
  CHECK(allows_other("user_allow_other"));
  CHECK_FALSE(allows_other("#user_allow_other\n"));
  CHECK_FALSE(allows_other("user_allow_other_not\n"));
  CHECK_FALSE(allows_other(""));
}

TEST_CASE("why the pool cannot be idmapped") {
  Configuration config;
  KernelFacts kernel = recent();
  kernel.minor = 11;
  kernel.release = "6.11.4";
  CHECK(told(kernel, config, true).empty());
  set(config, "allow-idmap", "true");
  CHECK(told(kernel, config, true) ==
        "0no allow-idmap: this kernel is 6.11.4, Linux 6.12 and later have it\n");
  kernel.minor = 12;
  CHECK(told(kernel, config, true).empty());
}

TEST_CASE("why no link is followed") {
  Configuration config;
  set(config, "passthrough.io", "off");
  set(config, "follow-symlinks", "all");
  KernelFacts kernel = recent();
  CHECK(told(kernel, config, true).empty());
  set(config, "umask", "022");
  CHECK(told(kernel, config, true) ==
        "1follow-symlinks follows nothing: uid, gid or umask is set\n");
  set(config, "allow-idmap", "true");
  CHECK(told(kernel, config, true) == "1follow-symlinks follows nothing: allow-idmap is on\n");
  kernel.major = 5;
  kernel.minor = 7;
  kernel.release = "5.7.1";
  CHECK(told(kernel, config, true).find("it takes Linux 5.8 or later") != std::string::npos);
  set(config, "follow-symlinks", "never");
  CHECK(told(kernel, config, true).find("follow-symlinks") == std::string::npos);
}
