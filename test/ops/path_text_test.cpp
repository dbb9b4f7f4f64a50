#include "ops/path_text.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <string>

using bough::ops::PathText;

TEST_CASE("a path is built from its last component to its first") {
  PathText path;
  CHECK(path.empty());
  CHECK(path.view() == "");
  CHECK(std::strlen(path.c_str()) == 0);
  path.prepend("file");
  CHECK(path.view() == "file");
  path.prepend("b");
  path.prepend("a");
  CHECK(path.view() == "a/b/file");
  CHECK(std::string(path.c_str()) == "a/b/file");
  path.clear();
  CHECK(path.empty());
  path.prepend("x");
  CHECK(path.view() == "x");
}

TEST_CASE("a path may outgrow the object, whatever the sizes of its names") {
  for (const std::size_t size : {1U, 2U, 7U, 100U, 254U, 255U}) {
    CAPTURE(size);
    PathText path;
    std::string expected;
    for (int depth = 0; depth < 700; ++depth) {
      const std::string name(size, static_cast<char>('a' + depth % 26));
      path.prepend(name);
      expected.insert(0, expected.empty() ? name : name + "/");
      REQUIRE(path.view() == expected);
      REQUIRE(path.c_str()[expected.size()] == '\0');
    }
    path.clear();
    CHECK(path.empty());
    path.prepend("again");
    CHECK(path.view() == "again");
  }
}

TEST_CASE("exactly what fits stays, one more byte moves") {
  for (const std::size_t last : {253U, 254U, 255U}) {
    CAPTURE(last);
    PathText path;
    std::string expected;
    for (int i = 0; i < 3; ++i) {
      const std::string name(255, 'n');
      path.prepend(name);
      expected = expected.empty() ? name : name + "/" + expected;
    }
    const std::string name(last, 'z');
    path.prepend(name);
    CHECK(path.view() == name + "/" + expected);
    CHECK(std::strlen(path.c_str()) == last + 1 + expected.size());
  }
}

TEST_CASE("a copy is independent of what it was copied from") {
  for (const int depth : {2, 900}) {
    PathText path;
    for (int i = 0; i < depth; ++i) path.prepend("ab");
    const std::string before(path.view());
    PathText copy = path;
    path.prepend("changed");
    CHECK(copy.view() == before);
    copy.prepend("also");
    CHECK(copy.view() == "also/" + before);
    CHECK(path.view() == "changed/" + before);
    PathText moved = std::move(copy);
    CHECK(moved.view() == "also/" + before);
  }
}
