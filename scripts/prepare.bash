# Sourced by scripts/run, scripts/test and scripts/bench: what a bare Debian machine lacks.
# shellcheck shell=bash

fail() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

is_installed() {
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2> /dev/null)" = installed ]
}

# Installs those of the named packages that are missing, as root or by sudo.
need_packages() {
  local missing=() package
  for package in "$@"; do
    is_installed "$package" || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0

  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo > /dev/null ||
      fail "packages are missing, and you are neither root nor have sudo; as root: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  echo "installing: ${missing[*]}"
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0)
  "${apt[@]}" update < /dev/null
  "${apt[@]}" install -y --no-install-recommends "${missing[@]}" < /dev/null > /dev/null ||
    fail "apt-get could not install: ${missing[*]}"
}

# A bare root directory (debootstrap) has no /dev/fuse even where the kernel has FUSE, and not the
# /etc/mtab that a first boot makes and fusermount3 reads.
need_fuse() {
  [ -e /proc/self/mountinfo ] || fail "/proc is not mounted here: mount -t proc proc /proc"
  if [ "$(id -u)" -eq 0 ] && [ ! -e /etc/mtab ]; then ln -sf ../proc/self/mounts /etc/mtab; fi
  [ -e /dev/fuse ] && return 0
  [ "$(id -u)" -eq 0 ] || fail "/dev/fuse is missing; as root: modprobe fuse"
  modprobe fuse 2> /dev/null || true
  [ -e /dev/fuse ] || mknod -m 0666 /dev/fuse c 10 229
}

# Likewise: images of file systems are mounted over loop devices. $1: how many at once; 32.
need_loop_devices() {
  [ "$(id -u)" -eq 0 ] || return 0
  local number
  [ -e /dev/loop-control ] || mknod -m 0600 /dev/loop-control c 10 237
  for number in $(seq 0 $((${1:-32} - 1))); do
    [ -e "/dev/loop$number" ] || mknod -m 0600 "/dev/loop$number" b 7 "$number"
  done
}

# The tests that mount do so in namespaces of their own. A plain chroot has none: the kernel refuses them
# to a process whose root directory is not the root of its mount namespace.
need_namespaces() {
  [ "$(id -u)" -eq 0 ] || return 0
  if unshare --mount --propagation private true && unshare --user --map-root-user true; then
    return 0
  fi 2> /dev/null
  fail "mount and user namespaces are wanted here; enter a bare root directory by pivot_root" \
    "(systemd-nspawn, or unshare -m), not by chroot alone"
}

build_packages=(cmake g++ libboost1.81-dev libcli11-dev libxxhash-dev ninja-build)
fuzz_packages=(clang libclang-rt-14-dev llvm)
package_packages=(debhelper dpkg-dev doctest-dev git groff-base python3 xz-utils)
