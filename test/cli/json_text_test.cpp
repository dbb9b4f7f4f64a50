#include "cli/json_text.hpp"

#include <doctest/doctest.h>

using bough::cli::json_text;

TEST_CASE("text becomes a JSON string") {
  CHECK(json_text("") == R"("")");
  CHECK(json_text("plain") == R"("plain")");
  CHECK(json_text("a\"b\\c") == R"("a\"b\\c")");
  CHECK(json_text("a\nb") == R"("a\u000ab")");
  CHECK(json_text("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80") ==
        "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"");
}

TEST_CASE("bytes that are no UTF-8 are shown one by one") {
  CHECK(json_text("\xff") == R"("\u00ff")");
  CHECK(json_text("a\xc3") == R"("a\u00c3")");
  CHECK(json_text("\xc0\xaf") == R"("\u00c0\u00af")");            // overlong
  CHECK(json_text("\xed\xa0\x80") == R"("\u00ed\u00a0\u0080")");  // surrogate
  CHECK(json_text("\xf4\x90\x80\x80") == R"("\u00f4\u0090\u0080\u0080")");
}
