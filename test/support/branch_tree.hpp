#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include "test/support/pool_fixture.hpp"

namespace bough::test {

/// Everything below a directory: path → "d", "f:text", "l:target" or "o" (something else).
using Tree = std::map<std::string, std::string>;

[[nodiscard]] inline Tree tree_of(const std::filesystem::path& top) {
  Tree tree;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(top)) {
    std::string& what = tree[std::filesystem::relative(entry.path(), top)];
    if (entry.is_symlink()) {
      what = "l:" + std::filesystem::read_symlink(entry.path()).string();
    } else if (entry.is_directory()) {
      what = "d";
    } else if (entry.is_regular_file()) {
      std::ifstream in(entry.path(), std::ios::binary);
      what = "f:" + std::string(std::istreambuf_iterator<char>(in), {});
    } else {
      what = "o";
    }
  }
  return tree;
}

[[nodiscard]] inline std::vector<Tree> trees_of(const PoolFixture& pool, std::size_t branches) {
  std::vector<Tree> trees;
  for (std::size_t i = 0; i < branches; ++i) trees.push_back(tree_of(pool.branch(i)));
  return trees;
}

}  // namespace bough::test
