#include "proto/name.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

using bough::proto::Name;

TEST_CASE("a name is one component of a path and nothing else") {
  CHECK(Name::check("a").has_value());
  CHECK(Name::check("...").has_value());
  CHECK(Name::check(".hidden").has_value());
  CHECK(Name::check("with blank\nand line").has_value());
  CHECK(Name::check(std::string(Name::kMax, 'x')).has_value());

  CHECK_FALSE(Name::check("").has_value());
  CHECK_FALSE(Name::check(".").has_value());
  CHECK_FALSE(Name::check("..").has_value());
  CHECK_FALSE(Name::check("/").has_value());
  CHECK_FALSE(Name::check("a/b").has_value());
  CHECK_FALSE(Name::check("../a").has_value());
  CHECK_FALSE(Name::check(std::string_view("a\0b", 3)).has_value());
  CHECK_FALSE(Name::check(std::string(Name::kMax + 1, 'x')).has_value());
}
