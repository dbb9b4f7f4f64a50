#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ops/backing.hpp"
#include "ops/path_text.hpp"
#include "proto/ids.hpp"

namespace bough::ops {

using proto::Generation;
using proto::NodeId;

/// The stable number of a branch in this pool; its place in the list may change, this does not.
using BranchId = std::uint32_t;
inline constexpr BranchId kNoBranch = 0xffffffff;

/// Where a file node's file is. Directories have none, but those outside of the branches: a
/// directory is its edges. What is outside has the branch of a link that leads to it.
struct Location {
  BranchId branch = kNoBranch;
  FileId file;
};

/// What the table knows of one node, copied out under its lock.
struct NodeView {
  NodeId node;
  bool directory = false;
  /// A file that is shown as a symbolic link to itself (converted_link.hpp).
  bool link = false;
  /// It lies outside of the branches (followed_link.hpp): its name is a symbolic link that leads to
  /// it, or is below a followed directory. `location` is that of a directory, too.
  bool followed = false;
  Location location;
  /// Of which the number that users see is made (inode_number.hpp): a file's by inode, fixed when
  /// the node is made; a directory's by path.
  std::uint64_t ino = 0;
  /// Of a directory with a name: path_sum(), of which its entries' numbers are made.
  std::uint64_t path_sum = 0;
  /// Raised by each change of the node or its edges.
  std::uint32_t version = 0;
  /// Whether a name still leads to it.
  bool named = false;
  /// How many names are known, and how many handles hold it.
  std::uint32_t names = 0;
  std::uint32_t holds = 0;
  /// The directory that holds its last used name, and that name (files); for a directory, its own
  /// path. Only where named.
  PathText path;
  std::array<char, 256> name_text{};
  std::uint8_t name_size = 0;
  NodeId parent;
  [[nodiscard]] std::string_view name() const noexcept { return {name_text.data(), name_size}; }
  [[nodiscard]] const char* name_c_str() const noexcept { return name_text.data(); }
  /// An O_PATH descriptor of the file or directory whose last name went away through the pool.
  std::shared_ptr<Fd> victim;
};

/// Every node that the kernel knows or a handle holds. A file node is a file: hard links share it,
/// it is found by its FileId. A directory node is (parent node, name) edges. The root is always
/// there.
///
/// One mutex, never held across a branch call; all members are safe from any thread. Records are
/// trivially copyable and linked by index, names lie in an arena that reuses what is freed, and
/// both shrink to their first size when only the root is left.
///
/// A nodeid holds the slot and how often the slot was used, so it is found without a search and
/// never used again.
class NodeTable {
 public:
  /// `epoch` is the generation of every node but the root, whose generation is 0; it differs from
  /// start to start.
  explicit NodeTable(Generation epoch);
  ~NodeTable();
  NodeTable(const NodeTable&) = delete;
  NodeTable& operator=(const NodeTable&) = delete;

  [[nodiscard]] Generation generation(NodeId node) const noexcept;

  struct Counted {
    NodeId node;
    std::uint64_t ino = 0;
  };

  // --- lookup counts. Each success adds one count, the caller's until the kernel has it.
  /// `name` in `parent` leads to the file at `where`. Makes the node or the edge where there is
  /// none; an edge that led to another node is turned. Nothing: `parent` is not a known directory,
  /// or the name is empty or longer than 255 bytes. Throws std::bad_alloc, nothing changed.
  /// `apart`: the name is to have a node that no other name leads to. `chosen`: it is to have this
  /// one, if that is a node of the file.
  [[nodiscard]] std::optional<Counted> count_file(NodeId parent, std::string_view name,
                                                  const Location& where, std::uint64_t ino,
                                                  bool apart = false,
                                                  NodeId chosen = proto::kNoNode);
  /// As count_file() for a file that is to be shown as a symbolic link to itself: a node that no
  /// other name leads to, and another one when the name's path is another, since the link's text
  /// is. Nothing, too, while a handle holds a node of the file, or if no name leads to `parent`.
  [[nodiscard]] std::optional<Counted> count_link(NodeId parent, std::string_view name,
                                                  const Location& where, std::uint64_t ino);
  /// The same for a name that is a symbolic link on the branch, and `where` what it leads to: a
  /// directory, which has a node for each such name, another one when that leads elsewhere; or
  /// something else, which is one node by whatever names and branches.
  [[nodiscard]] std::optional<Counted> count_followed(NodeId parent, std::string_view name,
                                                      const Location& where, std::uint64_t ino,
                                                      bool to_directory);
  /// `name` in `parent` is a directory. Below a followed one it is the one at `where`, or another
  /// node; elsewhere that is of no use.
  [[nodiscard]] std::optional<Counted> count_directory(NodeId parent, std::string_view name,
                                                       const Location& where = {});
  /// A file without a name (O_TMPFILE). `victim` keeps it reachable. `outside`: it was made below a
  /// followed directory.
  [[nodiscard]] Counted count_unnamed(const Location& where, std::uint64_t ino,
                                      std::shared_ptr<Fd> victim, bool outside = false);
  /// One more count for a node that is known (LOOKUP of "." and "..").
  [[nodiscard]] std::optional<Counted> count_again(NodeId node);
  /// Takes counts back; the node goes when no count, hold or child edge is left. More than there
  /// are is a bug of the caller: the rest is ignored and counted in overdrawn().
  void forget(NodeId node, std::uint64_t count) noexcept;

  // --- holds: an open handle keeps its node though every count is gone
  /// How many there are now; 0: the node is not known.
  std::uint32_t hold(NodeId node) noexcept;
  void unhold(NodeId node) noexcept;

  // --- asking
  /// False: not known (ESTALE for the kernel).
  [[nodiscard]] bool view(NodeId node, NodeView& into) const;
  /// What a followed directory, or one below it, is, and the link's branch: both for good. Nothing:
  /// `node` is no such node.
  [[nodiscard]] std::optional<Location> followed_directory(NodeId node) const;
  /// A directory's path (followed_path.hpp); false: not known, not a directory, or no name leads to
  /// it any more.
  [[nodiscard]] bool directory_path(NodeId node, PathText& into) const;
  /// Another name of the same file, to try when the last used one turned out to lead elsewhere:
  /// makes the next edge the last used one and fills `into`. False: all were tried (`tried`
  /// counts), or none leads here from the root.
  [[nodiscard]] bool next_name(NodeId node, std::uint32_t tried, NodeView& into);
  /// Every name by which a file is known: the directory's path, and the name.
  struct PlaceName {
    std::string directory;
    std::string name;
    friend bool operator==(const PlaceName&, const PlaceName&) = default;
  };
  [[nodiscard]] std::vector<PlaceName> names_of(NodeId file) const;
  /// The node that `name` in `parent` led to when last seen; kNoNode when unknown.
  [[nodiscard]] NodeId child(NodeId parent, std::string_view name) const;
  [[nodiscard]] NodeId parent(NodeId directory) const;
  /// Of a node with a name: path_sum() of its path, by the last used name. Of a file outside of the
  /// branches there is none.
  [[nodiscard]] std::optional<std::uint64_t> path_sum_of(NodeId node) const;
  /// What the names in a directory lead to, as far as they are known. Looks at every node.
  struct Child {
    NodeId node;
    std::string name;
  };
  [[nodiscard]] std::vector<Child> children(NodeId directory) const;

  /// What a name leads to.
  struct Edge {
    NodeId parent;
    NodeId child;
    bool directory = false;
    std::string name;
  };
  /// Some of the names that are known are added to `into`: those of the nodes from `position` on,
  /// 0 being the first. The next position; 0: that was all. Names that come or go meanwhile may be
  /// left out.
  [[nodiscard]] std::uint32_t edges(std::uint32_t position, std::vector<Edge>& into) const;
  struct Victim {
    NodeId node;
    /// kNoBranch: a directory.
    BranchId branch = kNoBranch;
    bool held = false;
    std::shared_ptr<Fd> descriptor;
  };
  [[nodiscard]] std::vector<Victim> victims() const;
  /// The node keeps its descriptor no longer: no way leads to it any more.
  void drop_victim(NodeId node) noexcept;

  // --- edges
  /// The name is gone. `victim` (may be empty) is kept by the node if it has counts or holds but no
  /// other name. Returns the node it led to, or kNoNode.
  NodeId remove_name(NodeId parent, std::string_view name, std::shared_ptr<Fd> victim);
  /// The edge moves; what `new_name` led to before loses that name first, and gets `victim`. Where
  /// the old name is unknown the new one is removed; where the new parent is, the old one. Nothing
  /// happens if a directory would come to lie in itself, which the kernel never asks for.
  void move_name(NodeId old_parent, std::string_view old_name, NodeId new_parent,
                 std::string_view new_name, std::shared_ptr<Fd> victim);
  /// Where only one of the two is known, it moves.
  void exchange_names(NodeId first_parent, std::string_view first_name, NodeId second_parent,
                      std::string_view second_name);
  /// The file lives elsewhere now; its st_ino stays.
  void relocate(NodeId node, const Location& where);
  /// The node is another file from now on, with another st_ino.
  void replace(NodeId node, const Location& where, std::uint64_t ino);

  /// From now on a node goes only when it has no name any more, whatever is forgotten.
  void keep_named();

  // --- figures
  struct Figures {
    std::uint64_t nodes = 0;
    std::uint64_t edges = 0;
    std::uint64_t lookups = 0;
    std::uint64_t holds = 0;
    std::uint64_t victims = 0;
    std::uint64_t bytes = 0;
    std::uint64_t overdrawn = 0;
  };
  [[nodiscard]] Figures figures() const;
  /// Drops everything but the root.
  void clear() noexcept;

 private:
  struct State;
  mutable std::mutex mutex_;
  std::unique_ptr<State> state_;
  const Generation epoch_;
};

}  // namespace bough::ops
