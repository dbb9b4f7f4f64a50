#pragma once

#include <string>
#include <vector>

#include "cli/copies.hpp"

namespace bough::cli {

/// What a user wants of copies that differ.
struct Wishes {
  /// none, manual, newest, largest, or the absolute path of a branch.
  std::string fix = "none";
  bool check_size = false;
  bool copy_file = false;
};

/// The copy that the others are to be like.
struct RightCopy {
  /// One of those that were to choose from; null: they are left alone.
  const Copy* copy = nullptr;
  /// Why this one, or why none: for the end of a line.
  std::string why;
};

/// Chooses by `wishes.fix`; manual asks on standard output and input. Of copies that are equally
/// new or large the first counts, except where content would be lost by that: then none does.
[[nodiscard]] RightCopy right_copy(const std::vector<Copy>& copies, const Wishes& wishes);

}  // namespace bough::cli
