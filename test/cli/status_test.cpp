#include "cli/subcommands/status.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace bough::cli;

namespace {

PoolStatus sample() {
  PoolStatus status;
  status.mount.id = 36;
  status.mount.device_major = 0;
  status.mount.device_minor = 52;
  status.mount.mount_point = "/pool";
  status.mount.options = "rw,nosuid";
  status.mount.type = "fuse.boughfs";
  status.mount.source = "/a:/b";
  status.mount.super_options = "rw,user_id=0";
  status.waiting = 3;
  return status;
}

ExitStatus run(std::vector<std::string> words) {
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  return status_command(static_cast<int>(words.size()), argv.data());
}

}  // namespace

TEST_CASE("status for people and for programs") {
  CHECK(status_text(sample()) ==
        "mount point: /pool\nsource: /a:/b\noptions: rw,nosuid\npool options: rw,user_id=0\n"
        "mount id: 36\ndevice: 0:52\nunanswered requests: 3\n");
  CHECK(status_json(sample()) ==
        R"({"schema": "boughfs.status/1", "mount_point": "/pool", "source": "/a:/b", )"
        R"("options": "rw,nosuid", "pool_options": "rw,user_id=0", "mount_id": 36, )"
        R"("device": "0:52", "unanswered_requests": 3})"
        "\n");
  PoolStatus unknown = sample();
  unknown.waiting = -1;
  CHECK(status_json(unknown).find("\"unanswered_requests\": null") != std::string::npos);
  CHECK(status_text(unknown).find("unanswered") == std::string::npos);
}

TEST_CASE("what the pool says of itself") {
  PoolInfo info;
  info.version = "1.2";
  info.pid = "77";
  info.branches = parse_shown_branches("/a=RW:/b=NC,4G:/c=RW");
  info.branches[0].space = BranchInfo::Space{25'000'000'000, 100'000'000'000};
  info.branches[0].open_files = 3;
  info.branches[0].read_only = true;
  info.branches[1].absent = "nothing is mounted on /b";
  info.left.push_back({"/old", {}, {}, {}, false, 1, {}});
  info.policies = {{"category.create", "ff,mfs"}, {"func.create", "mfs"}};
  info.changed = {{"category.create", "ff,mfs"}, {"func.create", "mfs"}, {"cache.attr", "5"}};
  info.caching = {{"passthrough.why-off", "nullrw is on"}};
  CHECK(pool_text(info) ==
        "version: 1.2\npid: 77\n"
        "branch: /a RW, [###############.....] 75%, 23.3G free of 93.1G, ITS FILE SYSTEM IS "
        "READ-ONLY, open files: 3\n"
        "branch: /b NC, ABSENT: nothing is mounted on /b, minimum 4G, open files: 0\n"
        "branch: /c RW, does not say how much room it has, open files: 0\n"
        "taken out of the pool but in use: /old, open files: 1\n"
        "category.create: ff,mfs\nfunc.create: mfs\ncache.attr: 5\n"
        "passthrough is off: nullrw is on\n");
  const std::string json = status_json(sample(), pool_json(info));
  CHECK(json.find(R"("absent": "nothing is mounted on /b")") != std::string::npos);
  CHECK(json.find(R"("left_branches": [{"path": "/old", "mode": null, )") != std::string::npos);
  CHECK(json.find(R"("read_only": true, "open_files": 3)") != std::string::npos);
  CHECK(json.ends_with("}}\n"));
}

TEST_CASE("a path that is in no pool") {
  try {
    (void)run({"status", "/proc"});
    FAIL("accepted");
  } catch (const StartError& error) {
    CHECK(error.status == ExitStatus::kNotAPool);
    CHECK(std::string(error.what()) == "/proc is in no boughfs pool, but in proc at /proc");
  }
  CHECK_THROWS_AS((void)run({"status", "/proc/there-is-no-such-file"}), StartError);
}
