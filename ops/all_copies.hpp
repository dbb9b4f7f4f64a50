#pragma once

#include <cstddef>
#include <string_view>

#include "ops/pool_facts.hpp"

/// What is told of a directory that several branches have: the newest mtime and ctime of all, so
/// that who looks for changes sees those on any branch, and how many directories are in it, where
/// that is known without listing it.
namespace bough::ops {

/// Adds another copy of the same directory. A link count of 1 says that nobody knows, as btrfs has
/// it: two copies that both have directories in them may have the same ones. What a removed
/// directory (0) is told to be stays.
void add_copy(FileStat& shown, const FileStat& other) noexcept;

/// Adds the copies on all branches but `chosen`. `facts` are about the directory itself (`name`
/// empty), or about `name` in the directory `path`. A branch that cannot be asked now is left out,
/// and one that lately did not have the directory is not asked.
void add_all_copies(Pool& pool, const BranchSet& set, PoolFacts& facts, std::size_t chosen,
                    std::string_view path, std::string_view name, FileStat& shown);

}  // namespace bough::ops
