#include "ops/branch_set.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "ops/planned_mounts.hpp"
#include "test/ops/small_pool.hpp"

using namespace bough::ops;
using bough::test::SmallPool;
using bough::test::TempDir;
namespace fs = std::filesystem;

namespace {

struct Ground {
  TempDir top;
  std::string base = fs::canonical(top.path()).string();

  Ground() {
    for (const char* name : {"a", "b", "c", "x=y", "with space"})
      fs::create_directory(top.path() / name);
    std::ofstream(top.path() / "file") << "x";
    fs::create_directory_symlink("a", top.path() / "link");
  }
  [[nodiscard]] std::vector<BranchSpec> good(const std::string& text) const {
    std::string error;
    auto specs = parse_branches(text, error);
    INFO(text << ": " << error);
    CHECK(error.empty());
    CHECK_FALSE(specs.empty());
    return specs;
  }
  [[nodiscard]] std::string bad(const std::string& text) const {
    std::string error;
    CHECK(parse_branches(text, error).empty());
    INFO(text);
    CHECK_FALSE(error.empty());
    CHECK(error.find('\n') == std::string::npos);
    return error;
  }
  [[nodiscard]] std::vector<std::string> paths(const std::string& text) const {
    std::vector<std::string> names;
    for (const BranchSpec& spec : good(text)) names.push_back(spec.path.substr(base.size()));
    return names;
  }
};

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("branches are listed in order, with mode and minimum free space") {
  const Ground g;
  const auto specs =
      g.good(g.base + "/b:" + g.base + "/a=RO:" + g.base + "/c=NC,4g:" + g.base + "/x=y=RW,500M");
  REQUIRE(specs.size() == 4);
  CHECK(specs[0].path == g.base + "/b");
  CHECK(specs[0].mode == BranchMode::kReadWrite);
  CHECK_FALSE(specs[0].min_free.has_value());
  CHECK(specs[1].mode == BranchMode::kReadOnly);
  CHECK(specs[2].mode == BranchMode::kNoCreate);
  CHECK(specs[2].min_free == std::uint64_t{4} << 30U);
  CHECK(specs[3].path == g.base + "/x=y");
  CHECK(specs[3].min_free == std::uint64_t{500} << 20U);
}

TEST_CASE("patterns and braces mean directories, sorted; paths come out real") {
  const Ground g;
  CHECK(g.paths(g.base + "/[abc]") == Names{"/a", "/b", "/c"});
  CHECK(g.paths(g.base + "/{c,a}") == Names{"/c", "/a"});
  CHECK(g.paths(g.base + "/{b,{a,c}}") == Names{"/b", "/a", "/c"});
  fs::create_directory(g.top.path() / "fine");
  CHECK(g.paths(g.base + "/fi*") == Names{"/fine"});
  CHECK(g.paths(g.base + "/link") == Names{"/a"});
  CHECK(g.paths(g.base + "/./a/../b/") == Names{"/b"});
  CHECK(g.paths(g.base + "/with space") == Names{"/with space"});
  CHECK(g.paths(g.base + "/a:" + g.base + "/a") == Names{"/a", "/a"});
  for (const BranchSpec& spec : g.good(g.base + "/?=RO,1k")) {
    CHECK(spec.mode == BranchMode::kReadOnly);
    CHECK(spec.min_free == 1024);
  }
}

TEST_CASE("a directory whose name looks like a pattern is meant literally") {
  const Ground g;
  fs::create_directory(g.top.path() / "[a]");
  fs::create_directory(g.top.path() / "{a,b}");
  CHECK(g.paths(g.base + "/[a]") == Names{"/[a]"});
  CHECK(g.paths(g.base + "/{a,b}") == Names{"/{a,b}"});
}

TEST_CASE("braces that stand for too many directories are refused at once") {
  const Ground g;
  std::string doubling;
  for (int i = 0; i < 12; ++i) doubling += "{/,/./}";
  doubling += "/a";
  CHECK(g.paths(g.base + doubling).size() == 4096);
  std::string single = g.base + "/a";
  for (int i = 0; i < 1000; ++i) single += "{/}";
  CHECK(g.paths(single) == Names{"/a"});
  const std::string wrong = g.bad(g.base + "/{b,c}" + doubling);
  CHECK(has(wrong, "{b,c}{/,/./}"));
  CHECK(has(wrong, "4096"));
  // Expanded to its end this would fill any memory.
  std::string endless;
  for (int i = 0; i < 100; ++i) endless += "{a,b}";
  CHECK(has(g.bad(g.base + "/" + endless), "4096"));
}

TEST_CASE("every mistake names the element and the remedy") {
  const Ground g;
  CHECK(has(g.bad(g.base + "/a:" + g.base + "/missing"), g.base + "/missing does not exist"));
  CHECK(has(g.bad(g.base + "/{a,missing}"), g.base + "/missing does not exist"));
  CHECK(has(g.bad(g.base + "/z*"), g.base + "/z* matches no directory"));
  CHECK(has(g.bad(g.base + "/file"), g.base + "/file is not a directory"));
  CHECK(has(g.bad(g.base + "/file/x"), "does not exist"));
  CHECK(has(g.bad(g.base + "/a=rw"), "\"rw\""));
  CHECK(has(g.bad(g.base + "/a="), "RW, RO or NC"));
  CHECK(has(g.bad(g.base + "/x=y"), "needs a mode"));
  CHECK(has(g.bad(g.base + "/a=RW,"), "500M"));
  CHECK(has(g.bad(g.base + "/a=RW,1M,2"), "\"1M,2\""));
  CHECK(has(g.bad(g.base + "/a=RW,5Kfoo"), "\"5Kfoo\""));
  CHECK(has(g.bad(g.base + "/a=RW,-1"), "\"-1\""));
  CHECK(has(g.bad(g.base + "/a::" + g.base + "/b"), "without a path"));
  CHECK(has(g.bad(g.base + "/a:"), "without a path"));
  CHECK(has(g.bad("=RO"), "without a path"));
  CHECK(has(g.bad(""), "at least one"));
}

TEST_CASE("a branch is found by its number, whatever its place") {
  const SmallPool pool({"RW", "RO", "NC"});
  const auto set = pool.pool.branches.snapshot();
  REQUIRE(set->size() == 3);
  CHECK(set->by_id(2) == &(*set)[1]);
  CHECK(set->by_id(4) == nullptr);
  CHECK(set->mode(1) == BranchMode::kReadOnly);
  CHECK(set->mode(2) == BranchMode::kNoCreate);
  CHECK(set->writable(3));
  CHECK_FALSE(set->writable(2));
  CHECK_FALSE(set->writable(4));
  set->demote(3);
  CHECK(set->mode(2) == BranchMode::kReadOnly);
  CHECK_FALSE(set->writable(3));
}

namespace {

/// What stands for a branch whose disk is missing.
KnownPlaces expecting(std::vector<std::string> paths) {
  KnownPlaces known;
  known.expected = [paths = std::move(paths)](const std::string& pattern) {
    std::vector<std::string> meant;
    for (const std::string& path : paths)
      if (is_meant(pattern, path)) meant.push_back(path);
    return meant;
  };
  return known;
}

}  // namespace

TEST_CASE(
    "a pattern means what is expected, at its place in the order, whatever it is written as") {
  const Ground g;
  for (const char* name : {"d1", "d2", "d4", "links"}) fs::create_directory(g.top.path() / name);
  for (const char* name : {"d1/data", "d4/data"}) fs::create_directory(g.top.path() / name);
  fs::create_directory_symlink(g.base, g.top.path() / "links/here");
  for (const char* name : {"d1", "d2"})
    fs::create_directory_symlink("../" + std::string(name), g.top.path() / "links" / name);
  const auto paths = [&](const std::string& text, const KnownPlaces& known) {
    std::string error;
    Names names;
    for (const BranchSpec& spec : parse_branches(text, error, known))
      names.push_back(spec.path.substr(g.base.size()));
    INFO(text << ": " << error);
    CHECK(error.empty());
    return names;
  };
  const KnownPlaces known = expecting({g.base + "/d2/data", g.base + "/d4/data", g.base + "/gone"});
  const Names all{"/d1/data", "/d2/data", "/d4/data"};
  CHECK(paths(g.base + "/d*/data", known) == all);
  CHECK(paths(g.base + "/d?/data/", known) == all);
  CHECK(paths(g.base + "/links/here/d*/data", known) == all);
  CHECK(paths(g.base + "/links/d*/data", known) == Names{"/d1/data", "/d2/data"});
  CHECK(
      paths(g.base + "/{d2,gone}/data", expecting({g.base + "/d2/data", g.base + "/gone/data"})) ==
      Names{"/d2/data", "/gone/data"});
  const fs::path before = fs::current_path();
  fs::current_path(g.base);
  CHECK(paths("d*/data", known) == all);
  CHECK(paths("d1/data:d2/data=RO:./gone", known) == Names{"/d1/data", "/d2/data", "/gone"});
  fs::create_directory(g.top.path() / "[x]*");
  fs::create_directory(g.top.path() / "[x]*/d1");
  fs::current_path(g.top.path() / "[x]*");
  CHECK(paths("*", {}) == Names{"/[x]*/d1"});
  fs::current_path(before);
}
