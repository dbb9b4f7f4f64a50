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
