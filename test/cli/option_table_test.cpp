#include "cli/option_table.hpp"

#include <sys/mount.h>

#include <doctest/doctest.h>

#include <stdexcept>

#include "cli/exit_status.hpp"

using namespace bough;
using cli::MountWords;
using cli::OptionTable;
using cli::split_options;
using cli::StartError;

namespace {

struct Values {
  std::string size = "4G";
  std::string flag = "false";
};

proto::Setting row(const std::string& name, std::string& field, const std::string& bare) {
  proto::Setting made;
  made.name = name;
  made.group = "Some";
  made.form = "WORD";
  made.help = "a row";
  made.bare = bare;
  made.set = [&field](std::string_view value) -> std::string {
    if (value == "bad") return "wants anything but bad";
    field = value;
    return {};
  };
  made.get = [&field] { return field; };
  return made;
}

struct Fixture {
  Values values;
  MountWords words;
  OptionTable table{rows()};

  std::vector<proto::Setting> rows() {
    std::vector<proto::Setting> all = {row("min-free-space", values.size, ""),
                                       row("link-cow", values.flag, "true")};
    all[0].aliases = {"minfreespace"};
    return all;
  }
  void apply(std::string_view text, OptionTable::Unknown unknown = OptionTable::Unknown::kRefuse) {
    table.apply(split_options(text), words, unknown);
  }
  std::string complaint(std::string_view text) {
    try {
      apply(text);
    } catch (const StartError& error) {
      CHECK(error.status == cli::ExitStatus::kUsage);
      return error.what();
    }
    return {};
  }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "options are applied from left to right, generic words among them") {
  apply("minfreespace=1G,ro,min_free_space=2G,rw");
  CHECK(values.size == "2G");
  CHECK(words.flags == 0);
  apply("min-free-space=3G,ro");
  CHECK(values.size == "3G");
  CHECK(words.flags == MS_RDONLY);
}

TEST_CASE_FIXTURE(Fixture, "a key without '=' takes the row's bare value, if it has one") {
  apply("link_cow");
  CHECK(values.flag == "true");
  CHECK(complaint("minfreespace") ==
        "-o minfreespace: min-free-space wants a value: min-free-space=WORD");
}

TEST_CASE_FIXTURE(Fixture, "a bad value is named with its option and what it should be") {
  CHECK(complaint("link-cow=bad") == "-o link-cow=bad: link-cow wants anything but bad");
  CHECK(values.flag == "false");
}

TEST_CASE_FIXTURE(Fixture, "what fills a screen is told by its beginning") {
  const std::string line = complaint("x=" + std::string(5000, 'y'));
  CHECK(line.find("-o x=yyy") == 0);
  CHECK(line.find("...: there is no option 'x'") != std::string::npos);
  CHECK(line.size() < 400);
}

TEST_CASE_FIXTURE(Fixture, "an unknown key is refused with the nearest known one") {
  CHECK(complaint("minfrespace=1") ==
        "-o minfrespace=1: there is no option 'minfrespace', did you mean 'minfreespace'? boughfs "
        "--help lists all");
  CHECK(complaint("link_cwo") ==
        "-o link_cwo: there is no option 'link_cwo', did you mean 'link-cow'? boughfs --help lists "
        "all");
  CHECK(complaint("entirely-different") ==
        "-o entirely-different: there is no option 'entirely-different'; boughfs --help lists all");
  // What stands before it has taken effect, what stands behind has not.
  CHECK_FALSE(complaint("minfreespace=7G,wrong,minfreespace=8G").empty());
  CHECK(values.size == "7G");
}

TEST_CASE_FIXTURE(Fixture, "an option of mergerfs that is not there is told from a slip") {
  CHECK(complaint("moveonenospc=true") ==
        "-o moveonenospc=true: an option of mergerfs that boughfs does not have yet: leave it out");
  for (const char* nothing : {"use_ino", "hard_remove", "splice_move=true", "no_splice_read",
                              "big_writes", "atomic_o_trunc", "gid-cache.expire-timeout=60"})
    CHECK(complaint(nothing).empty());
  CHECK(complaint("export-support=true") ==
        "-o export-support=true: an option of mergerfs; here it is always so: leave it out");
}

TEST_CASE_FIXTURE(Fixture, "one letter is like no name") {
  CHECK(complaint("n") == "-o n: there is no option 'n'; boughfs --help lists all");
  CHECK(complaint("=n") == "-o =n: there is no option ''; boughfs --help lists all");
}

TEST_CASE_FIXTURE(Fixture, "the nearest key may be a generic word") {
  CHECK(table.nearest("noexce") == "noexec");
  CHECK(table.nearest("nosiud") == "nosuid");
  CHECK(table.nearest("zzzzzzzz").empty());
}

TEST_CASE_FIXTURE(Fixture, "a sloppy mount passes over unknown keys, but not over bad values") {
  apply("wrong,minfreespace=7G", OptionTable::Unknown::kIgnore);
  CHECK(values.size == "7G");
  CHECK_THROWS_AS(apply("link-cow=bad", OptionTable::Unknown::kIgnore), StartError);
}

TEST_CASE("no two rows may claim one key, nor a row a generic word") {
  std::string field;
  std::vector<proto::Setting> twice = {row("one", field, ""), row("two", field, "")};
  twice[1].aliases = {"one"};
  CHECK_THROWS_AS(OptionTable{twice}, std::logic_error);
  CHECK_THROWS_AS(OptionTable{{row("ro", field, "")}}, std::logic_error);
  CHECK_THROWS_AS(OptionTable{{row("context", field, "")}}, std::logic_error);
}
