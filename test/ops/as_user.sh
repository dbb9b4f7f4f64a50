#!/bin/sh
# as_user.sh PROGRAM ARGUMENT...: runs it as an ordinary user, in a directory of his; 77 where this is none of
# root's processes: then every run is one.
set -eu
[ "$(id -u)" -eq 0 ] || exit 77
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
# The build may lie where he cannot go.
cp "$1" "$place/program"
shift
chmod 755 "$place" "$place/program"
mkdir "$place/his"
chown 65534:65534 "$place/his"
TMPDIR=$place/his setpriv --reuid 65534 --regid 65534 --clear-groups "$place/program" "$@"
