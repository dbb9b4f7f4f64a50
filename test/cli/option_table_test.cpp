#include "cli/option_table.hpp"

#include <sys/mount.h>

#include <doctest/doctest.h>

#include <stdexcept>

#include "cli/configuration.hpp"
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
  std::vector<std::string> apply(std::string_view text,
                                 OptionTable::Unknown unknown = OptionTable::Unknown::kRefuse) {
    return table.apply(split_options(text), words, unknown);
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

TEST_CASE_FIXTURE(Fixture, "an option that means nothing to mergerfs either is no slip") {
  for (const char* nothing : {"use_ino", "hard_remove", "splice_move=true", "no_splice_read",
                              "big_writes", "atomic_o_trunc", "gid-cache.expire-timeout=60"})
    CHECK(complaint(nothing).empty());
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

TEST_CASE_FIXTURE(Fixture, "a machine that has to boot is warned of an unknown key") {
  using Lines = std::vector<std::string>;
  const auto warn = OptionTable::Unknown::kWarn;
  CHECK(apply("minfrespace=1,minfreespace=7G,wrong", warn) ==
        Lines{"-o minfrespace=1: there is no option 'minfrespace', did you mean 'minfreespace'? "
              "passed over",
              "-o wrong: there is no option 'wrong'; passed over"});
  CHECK(values.size == "7G");
  CHECK_THROWS_AS(apply("link-cow=bad", warn), StartError);
  CHECK_THROWS_AS(apply("minfreespace", warn), StartError);
  CHECK_THROWS_AS(apply("remount", warn), StartError);
}

TEST_CASE("of a number with something behind it a machine that has to boot takes the number") {
  // What mergerfs takes `spelt` for.
  struct Reading {
    const char* spelt;
    const char* taken;
  };
  for (const Reading& each :
       {Reading{"20GB", "20G"}, Reading{"20GiB", "20G"}, Reading{"5Kfoo", "5K"}}) {
    const std::string spelt = each.spelt;
    const std::string taken = each.taken;
    CAPTURE(spelt);
    cli::Configuration config;
    const std::string option = "minfreespace=" + spelt;
    const auto words = split_options(option);
    CHECK_THROWS_AS(config.table.apply(words, config.words, OptionTable::Unknown::kRefuse),
                    StartError);
    const auto warnings = config.table.apply(words, config.words, OptionTable::Unknown::kWarn);
    REQUIRE(warnings.size() == 1);
    CHECK(warnings[0] == "-o " + option +
                             ": minfreespace wants a size such as 500M or 4G, or "
                             "auto: taken as minfreespace=" +
                             taken);
    CHECK(config.table.find("minfreespace")->get() == taken);
  }
  // A number of seconds may have a unit of bytes there.
  cli::Configuration config;
  CHECK(config.table
            .apply(split_options("cache.attr=5K,cache.entry=60s"), config.words,
                   OptionTable::Unknown::kWarn)
            .size() == 2);
  CHECK(config.table.find("cache.attr")->get() == "5120");
  CHECK(config.table.find("cache.entry")->get() == "60");
  for (const char* hopeless : {"minfreespace=", "minfreespace=-1", "minfreespace=G", "cache.attr=x",
                               "minfreespace=3x", "minfreespace=3 G", "minfreespace=0x10",
                               "minfreespace=99999999999999999999T", "category.create=mf"}) {
    CAPTURE(hopeless);
    CHECK_THROWS_AS(
        config.table.apply(split_options(hopeless), config.words, OptionTable::Unknown::kWarn),
        StartError);
  }
}

TEST_CASE("old options are taken where they mean something, and else told of") {
  cli::Configuration config;
  const auto take = [&](std::string_view text) {
    return config.table.apply(split_options(text), config.words, OptionTable::Unknown::kRefuse);
  };
  const auto shown = [&](const char* key) { return config.table.find(key)->get(); };
  CHECK(
      take("attr_timeout=7,entry_timeout=8,negative_timeout=9,max_background=20,sync_read,"
           "kernel_cache,auto_cache,direct_io,use_ino,readdir_ino,nonempty,hard_remove,big_writes,"
           "large_read,blksize=4096,intr,intr_signal=10,no_remote_lock,ac_attr_timeout=3,clone_fd,"
           "max_idle_threads=10,default_permissions,kernel-permissions-check=yes,export-support")
          .empty());
  CHECK(shown("cache.attr") == "7");
  CHECK(shown("cache.entry") == "8");
  CHECK(shown("cache.negative-entry") == "9");
  CHECK(shown("max-background") == "20");
  CHECK(shown("async-read") == "false");
  for (const char* lost : {"auto_unmount", "max_write=131072", "max_readahead=131072", "allow_root",
                           "setuid=nobody", "srcmounts=/a"}) {
    CAPTURE(lost);
    const auto warnings = take(lost);
    REQUIRE(warnings.size() == 1);
    CHECK(warnings[0].starts_with(std::string("-o ") + lost + ": means nothing here: "));
  }
  // They are kept, since tools read them.
  for (const char* given : {"read-thread-count=4", "process_thread_count=-1",
                            "process-thread-queue-depth=2", "pin-threads=R1LP1L"}) {
    CAPTURE(given);
    const auto warnings = take(given);
    REQUIRE(warnings.size() == 1);
    CHECK(warnings[0].find("as they are needed, at most threads=N") != std::string::npos);
  }
  CHECK(shown("pin-threads") == "R1LP1L");
  CHECK(shown("read-thread-count") == "4");
  for (const char* wish : {"threads=many", "threads=-9999", "scheduling-priority=-30",
                           "max_background=0", "process-thread-count=many", "readahead=-1",
                           "subtype=films", "kernel_permissions_check=false", "export_support=0",
                           "default_permissions=false", "max_read=1"}) {
    CAPTURE(wish);
    CHECK_THROWS_AS(take(wish), StartError);
    const auto warnings =
        config.table.apply(split_options(wish), config.words, OptionTable::Unknown::kWarn);
    REQUIRE(warnings.size() == 1);
    CHECK(warnings[0].ends_with(": passed over"));
  }
}

TEST_CASE("no two rows may claim one key, nor a row a generic word") {
  std::string field;
  std::vector<proto::Setting> twice = {row("one", field, ""), row("two", field, "")};
  twice[1].aliases = {"one"};
  CHECK_THROWS_AS(OptionTable{twice}, std::logic_error);
  CHECK_THROWS_AS(OptionTable{{row("ro", field, "")}}, std::logic_error);
  CHECK_THROWS_AS(OptionTable{{row("context", field, "")}}, std::logic_error);
}
