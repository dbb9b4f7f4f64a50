#include "cli/subcommands/ctl.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace bough::cli;

namespace {

PoolInfo sample() {
  PoolInfo info;
  info.mount_point = "/pool";
  info.version = "1.2";
  info.pid = "77";
  info.branches = parse_shown_branches("/a=RW:/b=NC,4G");
  info.branches[0].space = BranchInfo::Space{13'421'772'800, 150'000'000'000};
  info.branches[1].absent = "gone";
  info.policies = {{"category.create", "pfrd"}};
  info.caching = {{"cache.attr", "0.5"}};
  return info;
}

/// What the command complains about, with the exit status in front.
std::string complaint(std::vector<std::string> words) {
  words.insert(words.begin(), "ctl");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  try {
    (void)ctl_command(static_cast<int>(words.size()), argv.data());
  } catch (const StartError& error) {
    return std::to_string(static_cast<int>(error.status)) + " " + error.what();
  }
  return {};
}

}  // namespace

TEST_CASE("the shown branches are taken apart") {
  const auto branches = parse_shown_branches("/a=RW:/b:c=d=NC,4G:/e=RO");
  REQUIRE(branches.size() == 3);
  CHECK(branches[0].path == "/a");
  CHECK(branches[0].mode == "RW");
  CHECK(branches[0].min_free.empty());
  CHECK(branches[1].path == "/b:c=d");
  CHECK(branches[1].mode == "NC");
  CHECK(branches[1].min_free == "4G");
  CHECK(branches[2].path == "/e");
  CHECK(branches[2].mode == "RO");
  CHECK(parse_shown_branches("").empty());
  CHECK(parse_shown_branches("nonsense").empty());
}

TEST_CASE("info for people and for programs") {
  CHECK(info_text(sample()) ==
        "mount point: /pool\nversion: 1.2\npid: 77\n"
        "branch: /a RW, 12.5G free of 140G\n"
        "branch: /b NC, ABSENT: gone, minimum 4G\n"
        "category.create: pfrd\ncache.attr: 0.5\n");
  CHECK(info_json(sample()) ==
        R"({"schema": "boughfs.ctl/1", "mount_point": "/pool", "version": "1.2", "pid": 77, )"
        R"("branches": [{"path": "/a", "mode": "RW", "minfreespace": null, )"
        R"("free_bytes": 13421772800, "total_bytes": 150000000000, )"
        R"("read_only": false, "open_files": 0, "absent": null}, )"
        R"({"path": "/b", "mode": "NC", "minfreespace": "4G", "free_bytes": null, )"
        R"("total_bytes": null, "read_only": null, "open_files": 0, "absent": "gone"}], )"
        R"("policies": {"category.create": "pfrd"}, )"
        R"("caching": {"cache.attr": "0.5"}})"
        "\n");
}

TEST_CASE("info of a branch whose file system is read-only, and of one that says nothing") {
  PoolInfo info = sample();
  info.branches[0].read_only = true;
  info.branches[1].absent.clear();
  CHECK(info_text(info).find("branch: /a RW, 12.5G free of 140G, ITS FILE SYSTEM IS READ-ONLY\n"
                             "branch: /b NC, room not known, minimum 4G\n") != std::string::npos);
}

TEST_CASE("what is wrong with the words is said") {
  CHECK(complaint({}) == "1 MOUNT is required; boughfs ctl --help explains");
  CHECK(complaint({"/proc"}).starts_with("1 list, get, set or info is required behind /proc"));
  CHECK(complaint({"/proc", "sing"}).starts_with("1 there is no 'sing'"));
  CHECK(complaint({"/proc", "get"}).starts_with("1 get wants a KEY"));
  CHECK(complaint({"/proc", "list", "x"}).starts_with("1 'x' is too much"));
  CHECK(complaint({"/proc", "--jsn", "list"}).starts_with("1 there is no flag --jsn"));
  CHECK(complaint({"/proc", "set", "k", "-1", "-2"}).starts_with("1 there is no flag -2"));
  // A value may begin with a hyphen.
  CHECK(complaint({"/proc", "set", "k", "-1"}).starts_with("3 /proc is in no boughfs pool"));
  CHECK(complaint({"/proc", "list"}) == "3 /proc is in no boughfs pool, but in proc at /proc");
}
