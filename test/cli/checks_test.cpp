#include "cli/checks.hpp"

#include <unistd.h>

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "cli/exit_status.hpp"

using bough::cli::check_mountpoint;
using bough::cli::check_trace_file;
using bough::cli::StartError;

namespace {

namespace fs = std::filesystem;

struct Tree {
  Tree() {
    std::string pattern = (fs::temp_directory_path() / "boughfs-checks-XXXXXX").string();
    root = fs::canonical(::mkdtemp(pattern.data()));
    for (const char* each : {"a", "b/inside", "pool/inside", "abc"}) {
      fs::create_directories(root / each);
    }
    std::ofstream(root / "file") << "text";
    fs::create_directory_symlink(root / "pool", root / "link");
  }
  ~Tree() {
    std::error_code ignored;
    fs::remove_all(root, ignored);
  }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  [[nodiscard]] std::string at(const char* name) const { return (root / name).string(); }
  [[nodiscard]] std::string refusal(const char* mountpoint,
                                    std::vector<std::string> branches) const {
    try {
      check_mountpoint(at(mountpoint), branches);
    } catch (const StartError& error) {
      CHECK(error.status == bough::cli::ExitStatus::kUsage);
      return error.what();
    }
    return {};
  }

  fs::path root;
};

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE_FIXTURE(Tree, "a mount point that is to be made in a branch is better not made") {
  CHECK(holds(refusal("a/new/pool", {at("b"), at("a")}), "lies inside the branch " + at("a")));
  CHECK(holds(refusal("ab/new", {at("a")}), "does not exist"));
}

TEST_CASE_FIXTURE(Tree, "a mount point beside its branches is good") {
  CHECK(refusal("pool", {at("a"), at("b")}) == "");
  // A name that only begins like another is another.
  CHECK(refusal("abc", {at("a")}) == "");
  CHECK(refusal("a", {at("abc")}) == "");
}

TEST_CASE_FIXTURE(Tree, "the mount point is a directory that exists") {
  CHECK(holds(refusal("gone", {at("a")}), "does not exist"));
  CHECK(holds(refusal("file", {at("a")}), "is no directory"));
  CHECK_NOTHROW(check_mountpoint("/dev/fd/7", {at("a")}));
}

TEST_CASE_FIXTURE(Tree, "a pool does not contain its own branches, nor lie in one") {
  CHECK(holds(refusal("pool", {at("a"), at("pool")}), "is the mount point itself"));
  CHECK(holds(refusal("pool", {at("link")}), "is the mount point itself"));
  CHECK(holds(refusal("pool", {at("pool/inside")}), "lies inside the mount point"));
  CHECK(holds(refusal("pool", {at("link/inside")}), "lies inside the mount point"));
  CHECK(holds(refusal("b/inside", {at("a"), at("b")}), "lies inside the branch"));
  CHECK(holds(refusal("a", {"/"}), "lies inside the branch"));
}

TEST_CASE_FIXTURE(Tree, "relative names are no way around") {
  const fs::path before = fs::current_path();
  fs::current_path(root / "pool");
  CHECK_THROWS_AS(check_mountpoint(".", {"inside"}), StartError);
  CHECK_THROWS_AS(check_mountpoint("inside", {"."}), StartError);
  CHECK_NOTHROW(check_mountpoint(".", {"../a"}));
  fs::current_path(before);
}

TEST_CASE_FIXTURE(Tree, "a trace file lies outside of the pool") {
  const auto wrong = [&](const std::string& trace) -> std::string {
    try {
      check_trace_file(trace, at("pool"), {at("a"), at("b")});
    } catch (const StartError& error) {
      CHECK(holds(error.what(), trace));
      return error.what();
    }
    return {};
  };
  CHECK(wrong(at("file")) == "");
  CHECK(wrong(at("abc/new")) == "");
  CHECK(wrong(at("gone/new")) == "");
  CHECK(wrong("/dev/full") == "");
  CHECK(holds(wrong(at("a/new")), "on the branch " + at("a") + ":"));
  CHECK(holds(wrong(at("b/inside/new")), "on the branch " + at("b") + ":"));
  CHECK(holds(wrong(at("abc/../a/new")), "on the branch " + at("a") + ":"));
  CHECK(holds(wrong(at("pool/new")), "under the mount point " + at("pool") + ":"));
  CHECK(holds(wrong(at("link/inside/new")), "under the mount point " + at("pool") + ":"));
  // A link to a file that opening would make.
  fs::create_symlink("a/made", root / "leads");
  fs::create_symlink("leads", root / "on");
  CHECK(holds(wrong(at("on")), "on the branch " + at("a") + ":"));
  std::ofstream(root / "a" / "made") << "text";
  CHECK(holds(wrong(at("on")), "on the branch " + at("a") + ":"));
  fs::create_symlink("round", root / "round");
  CHECK(wrong(at("round")) == "");

  const fs::path before = fs::current_path();
  fs::current_path(root / "a");
  CHECK(holds(wrong("new"), "on the branch " + at("a") + ":"));
  CHECK(wrong("../new") == "");
  fs::current_path(before);
}
