#include "cli/option_words.hpp"

#include <doctest/doctest.h>

#include "cli/exit_status.hpp"

using bough::cli::canonical_key;
using bough::cli::OptionWord;
using bough::cli::split_options;
using bough::cli::StartError;

namespace {

std::vector<OptionWord> words(std::initializer_list<OptionWord> list) {
  return list;
}

}  // namespace

TEST_CASE("-o is split at commas, and a key from its value at the first '='") {
  CHECK(split_options("") == words({}));
  CHECK(split_options("ro") == words({{"ro", std::nullopt}}));
  CHECK(split_options("ro,minfreespace=4G") ==
        words({{"ro", std::nullopt}, {"minfreespace", "4G"}}));
  CHECK(split_options("branches=/a=RO") == words({{"branches", "/a=RO"}}));
  CHECK(split_options("fsname=") == words({{"fsname", ""}}));
  CHECK(split_options(",,ro,,") == words({{"ro", std::nullopt}}));
}

TEST_CASE("a backslash takes the next character as it is") {
  CHECK(split_options(R"(fsname=a\,b,ro)") == words({{"fsname", "a,b"}, {"ro", std::nullopt}}));
  CHECK(split_options(R"(fsname=a\\)") == words({{"fsname", R"(a\)"}}));
  CHECK(split_options(R"(fsname=\x)") == words({{"fsname", "x"}}));
}

TEST_CASE("a backslash and three octal digits are one byte") {
  CHECK(split_options(R"(fsname=a\040b)") == words({{"fsname", "a b"}}));
  CHECK(split_options(R"(fsname=a\054b)") == words({{"fsname", "a,b"}}));
  CHECK(split_options(R"(fsname=\377)") == words({{"fsname", "\xff"}}));
  CHECK(split_options(R"(fsname=\0401)") == words({{"fsname", " 1"}}));
  // No byte: the digit after the backslash stands for itself.
  CHECK(split_options(R"(fsname=\477)") == words({{"fsname", "477"}}));
  CHECK(split_options(R"(fsname=\08)") == words({{"fsname", "08"}}));
  CHECK(split_options(R"(fsname=\04)") == words({{"fsname", "04"}}));
}

TEST_CASE("what no value can hold is refused") {
  CHECK_THROWS_AS((void)split_options(R"(fsname=\000)"), StartError);
  CHECK_THROWS_AS((void)split_options(R"(fsname=a\)"), StartError);
}

TEST_CASE("keys are looked up with '-' for '_'") {
  CHECK(canonical_key("allow_other") == "allow-other");
  CHECK(canonical_key("cache.files") == "cache.files");
}
