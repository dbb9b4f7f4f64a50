#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "test/support/branch_tree.hpp"
#include "test/support/pool_fixture.hpp"

namespace bough::test {

using Trees = std::vector<Tree>;

/// Branches that are built again and again from one plan, so that each fault meets them as they
/// were. All paths are relative to a branch.
class Ground {
 public:
  enum class Layout : std::uint8_t {
    kSingle,   ///< one branch
    kOne,      ///< three; each name is on one of them, and "d/k" and "p" on one only
    kSeveral,  ///< three; most names are on all of them, each a file of its own
  };

  explicit Ground(Layout layout);

  [[nodiscard]] std::size_t branches() const noexcept { return plan_.size(); }
  [[nodiscard]] std::filesystem::path path(std::size_t branch) const { return paths_[branch]; }
  /// For the option `branches`.
  [[nodiscard]] const std::string& list() const noexcept { return list_; }
  /// Builds those branches again that are not as planned, by what look() said last.
  void restore(const Trees& seen) const;
  /// Everything on every branch: kind, mode, owner, links, names of xattrs and text; of files also
  /// whether their time of change is still the one they were built with.
  [[nodiscard]] Trees look() const;

 private:
  struct Item {
    std::string path;
    /// 'd', 'f' or 'l'
    char kind;
    std::string text;
  };
  void rebuild(std::size_t branch) const;
  void put(std::size_t branch, const std::string& path, char kind, std::string text = "");

  TempDir top_;
  std::vector<std::filesystem::path> paths_;
  std::string list_;
  std::vector<std::vector<Item>> plan_;
  Trees built_;
};

}  // namespace bough::test
