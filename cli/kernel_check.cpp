#include "cli/kernel_check.hpp"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string_view>
#include <utility>

#include "session/fusermount.hpp"

namespace bough::cli {
namespace {

constexpr const char* kAbout = "kernel";
constexpr const char* kPageLimit = "/proc/sys/fs/fuse/max_pages_limit";

bool older(const KernelFacts& kernel, int major, int minor) {
  return std::pair(kernel.major, kernel.minor) < std::pair(major, minor);
}

/// A default that is not met is no fault; what somebody asked for is.
void lacking(Findings& findings, bool asked_for, std::string text) {
  asked_for ? warn(findings, kAbout, std::move(text)) : note(findings, kAbout, std::move(text));
}

void check_passthrough(const KernelFacts& kernel, const Configuration& config, bool as_root,
                       Findings& findings) {
  const ops::FileSettings& files = config.ops.files;
  const ops::PassthroughIo wish = files.passthrough;
  if (wish == ops::PassthroughIo::kOff) return;
  const bool asked_for = wish != ops::PassthroughIo::kAuto;
  const std::string off = "no passthrough: ";
  if (files.null_rw)
    lacking(findings, asked_for, off + "nullrw is on");
  else if (files.writeback)
    lacking(findings, asked_for,
            off + "cache.writeback is on, and the kernel has only one of both");
  else if (older(kernel, 6, 9))
    lacking(findings, asked_for,
            off + "this kernel is " + kernel.release + ", Linux 6.9 and later have it");
  else if (!as_root)
    lacking(findings, asked_for,
            off + "the kernel grants it to root alone: mount the pool as root");
}

void check_idmap(const KernelFacts& kernel, const Configuration& config, Findings& findings) {
  if (config.ops.allow_idmap && older(kernel, 6, 12))
    note(findings, kAbout,
         "no allow-idmap: this kernel is " + kernel.release + ", Linux 6.12 and later have it");
}

/// The reasons that ops/followed_link has, as far as they can be told before.
void check_follow(const KernelFacts& kernel, const Configuration& config, Findings& findings) {
  if (config.ops.links.follow == ops::FollowSymlinks::kNever) return;
  const ops::ShownAttributes& shown = config.ops.shown;
  constexpr auto kAsTheyAre = ops::ShownAttributes::kAsTheyAre;
  const std::string nothing = "follow-symlinks follows nothing: ";
  if (older(kernel, 5, 8))
    warn(findings, kAbout,
         nothing + "this kernel is " + kernel.release + ", it takes Linux 5.8 or later");
  else if (config.ops.allow_idmap)
    warn(findings, kAbout, nothing + "allow-idmap is on");
  else if (shown.uid != kAsTheyAre || shown.gid != kAsTheyAre || shown.umask != kAsTheyAre)
    warn(findings, kAbout, nothing + "uid, gid or umask is set");
}

void check_message(const KernelFacts& kernel, const Configuration& config, bool as_root,
                   Findings& findings) {
  const std::uint32_t wanted = config.session.message_pages;
  if (wanted <= kernel.most_pages || (as_root && kernel.limit_can_be_raised)) return;
  const std::string text = "fuse-msg-size would be " + std::to_string(kernel.most_pages) +
                           " pages instead of " + std::to_string(wanted) + ": ";
  if (!kernel.limit_can_be_raised)
    warn(findings, kAbout,
         text + "this kernel is " + kernel.release + ", Linux 6.13 and later take more");
  else
    warn(findings, kAbout,
         text + "root has to raise the limit: sysctl fs.fuse.max_pages_limit=" +
             std::to_string(wanted));
}

void check_device(const KernelFacts& kernel, Findings& findings) {
  const int error = kernel.device_error;
  if (error == 0) return;
  if (error == ENOENT || error == ENODEV || error == ENXIO)
    refuse(findings, kAbout, "/dev/fuse is missing: load the kernel module with modprobe fuse");
  else
    refuse(findings, kAbout,
           std::string("/dev/fuse cannot be used (") + std::strerror(error) +
               "): its mode has to let this user read and write it (chmod 666 /dev/fuse)");
}

void check_user(const KernelFacts& kernel, const Configuration& config, Findings& findings) {
  if (!kernel.has_fusermount)
    refuse(findings, kAbout,
           "only root may mount by itself, and fusermount3 is missing: install the package fuse3");
  else if (config.mount.allow_other && !kernel.user_allow_other)
    refuse(findings, kAbout,
           "allow-other is refused to ordinary users: add the line user_allow_other to "
           "/etc/fuse.conf");
}

}  // namespace

bool allows_other(std::string_view fuse_conf) {
  constexpr std::string_view kBlank = " \t\r";
  while (!fuse_conf.empty()) {
    const auto end = std::min(fuse_conf.find('\n'), fuse_conf.size());
    std::string_view line = fuse_conf.substr(0, end);
    line.remove_prefix(std::min(line.find_first_not_of(kBlank), line.size()));
    line = line.substr(0, line.find_last_not_of(kBlank) + 1);
    if (line == "user_allow_other") return true;
    fuse_conf.remove_prefix(std::min(end + 1, fuse_conf.size()));
  }
  return false;
}

KernelFacts ask_kernel() {
  KernelFacts kernel;
  utsname name = {};
  if (::uname(&name) == 0) {
    kernel.release = name.release;
    std::sscanf(name.release, "%d.%d", &kernel.major, &kernel.minor);
  }
  if (::access("/dev/fuse", R_OK | W_OK) != 0) kernel.device_error = errno;
  if (std::ifstream limit(kPageLimit); limit >> kernel.most_pages)
    kernel.limit_can_be_raised = true;
  else
    kernel.most_pages = KernelFacts().most_pages;
  kernel.has_fusermount = session::Fusermount::find().exists();
  std::ifstream conf("/etc/fuse.conf");
  kernel.user_allow_other = allows_other(std::string(std::istreambuf_iterator<char>(conf), {}));
  return kernel;
}

Findings check_kernel(const KernelFacts& kernel, const Configuration& config, bool as_root) {
  Findings findings;
  if (older(kernel, 5, 4))
    refuse(findings, kAbout, "this kernel is " + kernel.release + ": Linux 5.4 or later is wanted");
  check_device(kernel, findings);
  if (!as_root) check_user(kernel, config, findings);
  check_passthrough(kernel, config, as_root, findings);
  check_idmap(kernel, config, findings);
  check_follow(kernel, config, findings);
  check_message(kernel, config, as_root, findings);
  if (!older(kernel, 5, 4) && older(kernel, 6, 6))
    note(findings, kAbout,
         "files that are open without the page cache cannot be mapped (mmap): this kernel is " +
             kernel.release + ", Linux 6.6 and later allow it");
  return findings;
}

}  // namespace bough::cli
