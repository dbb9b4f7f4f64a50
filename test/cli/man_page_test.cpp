#include "cli/man/man_page.hpp"

#include <doctest/doctest.h>

#include <stdexcept>

#include "cli/configuration.hpp"

using namespace bough;

namespace {

constexpr const char* kMarkers = "@VERSION@\n@OPTIONS@\n@PASSED_OVER@\n@WORDS_IN_FORCE@\n@WORDS_ACCEPTED@\n";

}  // namespace

TEST_CASE("roff shows a text as it is") {
  CHECK(cli::roff_text("minfreespace") == "minfreespace");
  CHECK(cli::roff_text(".5 of a branch") == "\\&.5 of a branch");
  CHECK(cli::roff_text("'*'") == "\\(aq*\\(aq");
  CHECK(cli::roff_text("a-b\\,c") == "a\\-b\\e,c");
  CHECK(cli::roff_text("[:…]") == "[:...]");
  CHECK(cli::roff_text("`^~") == "\\(ga\\(ha\\(ti");
}

TEST_CASE("an option's entry has its form, its default and its other names") {
  proto::Setting row;
  row.name = "cache.entry";
  row.aliases = {"entry-timeout", "entry"};
  row.group = "Caching";
  row.form = "SECONDS";
  row.fallback = "1";
  row.help = "how long";
  proto::Setting flag;
  flag.name = "debug";
  flag.group = "Connection";
  flag.form = "BOOL";
  flag.bare = "true";
  flag.help = "print";
  proto::Setting words;
  words.name = "mode";
  words.group = "Connection";
  words.form = "one|two";
  words.help = "which";
  const std::string page = cli::man_page(kMarkers, cli::OptionTable({row, flag, words}));
  CHECK(page.find(".SS Caching\n.TP\n"
                  "\\fBcache.entry\\fP\\fB=\\fP\\fISECONDS\\fP\n"
                  "How long.\nDefault: \\fB1\\fP.\n"
                  "Also: \\fBentry\\-timeout\\fP, \\fBentry\\fP.\n"
                  ".SS Connection\n.TP\n"
                  "\\fBdebug\\fP[\\fB=\\fP\\fIBOOL\\fP]\nPrint.\n"
                  ".TP\n\\fBmode\\fP\\fB=\\fP\\fIone|\\:two\\fP\nWhich.\n") != std::string::npos);
}

TEST_CASE("an option's entry says whether it may change on a mounted pool") {
  proto::Setting row;
  row.name = "some-option";
  row.group = "Group";
  row.help = "what it does";
  const auto entry = [&](proto::Setting::When when) {
    row.when = when;
    return cli::man_page(kMarkers, cli::OptionTable({row}));
  };
  using When = proto::Setting::When;
  CHECK(entry(When::kMount).find("while the pool is mounted") == std::string::npos);
  CHECK(entry(When::kRuntime).find("May be changed while the pool is mounted.\n") !=
        std::string::npos);
  CHECK(entry(When::kNextOpen).find("mounted, for files opened from then on.\n") !=
        std::string::npos);
}

TEST_CASE("every generic word is in the page") {
  const cli::Configuration config;
  const std::string page = cli::man_page(kMarkers, config.table);
  for (const cli::MountWord& word : cli::mount_words()) {
    CAPTURE(word.name);
    CHECK(page.find("\\fB" + std::string(word.name) + "\\fP") != std::string::npos);
  }
  for (const std::string_view label : cli::label_words()) {
    CHECK(page.find("\\fB" + std::string(label) + "=LABEL\\fP") != std::string::npos);
  }
}

TEST_CASE("a text that lacks a marker, or has one too many, makes no page") {
  const cli::OptionTable none({});
  CHECK_NOTHROW((void)cli::man_page(kMarkers, none));
  CHECK_THROWS_AS((void)cli::man_page("@VERSION@\n@OPTIONS@\n@WORDS_IN_FORCE@\n", none),
                  std::runtime_error);
  CHECK_THROWS_AS((void)cli::man_page(std::string(kMarkers) + "@DATE@\n", none),
                  std::runtime_error);
}
