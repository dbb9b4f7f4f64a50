#include "cli/check_report.hpp"

#include <doctest/doctest.h>

using namespace bough::cli;

namespace {

CheckedPool sample() {
  CheckedPool pool;
  pool.place = "/etc/fstab:7";
  pool.mountpoint = "/pool";
  pool.type = "fuse.boughfs";
  pool.kernel = "6.18.1";
  pool.options = {{"cache.attr", "7"}};
  pool.flags = {"ro", "noatime"};
  CheckedBranch there;
  there.path = "/mnt/a";
  there.mode = "RW";
  there.ground = {1, 2, "ext4", {"sda"}};
  there.space = BranchInfo::Space{std::uint64_t{3} << 30U, std::uint64_t{8} << 30U};
  there.least = 1 << 20;
  CheckedBranch gone;
  gone.path = "/mnt/b";
  gone.mode = "NC";
  gone.absent = "nothing is mounted";
  pool.branches = {there, gone};
  note(pool.findings, "option", "a note");
  warn(pool.findings, "branch", "a warning");
  return pool;
}

}  // namespace

TEST_CASE("a check for people: what counts most comes first") {
  CheckedPool pool = sample();
  const std::string head =
      "/etc/fstab:7: /pool, type fuse.boughfs, Linux 6.18.1\n"
      "options that are not as by default:\n"
      "  cache.attr=7\n"
      "flags: ro,noatime\n"
      "branches:\n"
      "  /mnt/a RW ext4, 3.0G of 8.0G free, minfreespace 1.0M\n"
      "  /mnt/b NC ABSENT\n";
  CHECK(check_text(pool) == head +
                                "warning: branch: a warning\n"
                                "note: option: a note\n"
                                "would be mounted, with 1 warning\n");
  refuse(pool.findings, "kernel", "a refusal");
  CHECK(check_text(pool) == head +
                                "refused: kernel: a refusal\n"
                                "warning: branch: a warning\n"
                                "note: option: a note\n"
                                "would NOT be mounted\n");
  pool.findings.clear();
  CHECK(check_text(pool).ends_with("ABSENT\nwould be mounted\n"));
}

TEST_CASE("a check for programs") {
  CHECK(check_json({}) == "{\"schema\": \"boughfs.check/1\", \"pools\": []}\n");
  CHECK(check_json({sample()}) ==
        R"({"schema": "boughfs.check/1", "pools": [{"place": "/etc/fstab:7", )"
        R"("mount_point": "/pool", "type": "fuse.boughfs", "kernel": "6.18.1", )"
        R"("would_be_mounted": true, "options": {"cache.attr": "7"}, )"
        R"("flags": ["ro", "noatime"], "branches": [)"
        R"({"path": "/mnt/a", "mode": "RW", "absent": null, "type": "ext4", "disks": ["sda"], )"
        R"("free_bytes": 3221225472, "total_bytes": 8589934592, "least_bytes": 1048576, )"
        R"("read_only": false}, )"
        R"({"path": "/mnt/b", "mode": "NC", "absent": "nothing is mounted", "type": null, )"
        R"("disks": [], "free_bytes": null, "total_bytes": null, "least_bytes": null, )"
        R"("read_only": null}], "findings": [)"
        R"({"level": "note", "about": "option", "text": "a note"}, )"
        R"({"level": "warning", "about": "branch", "text": "a warning"}]}]})"
        "\n");
}
