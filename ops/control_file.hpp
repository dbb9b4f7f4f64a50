#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ops/backing.hpp"
#include "ops/control_names.hpp"
#include "ops/place_facts.hpp"
#include "proto/replies.hpp"
#include "proto/setting.hpp"

namespace bough::ops {

/// The options of a live pool, for who changes several: as the control file does, with its lock.
struct LiveKeys {
  /// `why` is the end of a sentence that begins with the key. Errors as of ControlFile::set().
  std::function<Result<void>(std::string_view key, std::string_view value, std::string& why)> set;
  /// Nothing: there is no such key.
  std::function<std::optional<std::string>(std::string_view key)> get;
};

/// What the control file is told by the one who mounts, besides what the pool itself knows.
struct ControlOptions {
  /// The option table, and what else can be read there (version, pid). A row that is `kMount` is
  /// fixed. The others' `set` is called by one thread at a time, `get` by several and beside it.
  std::vector<proto::Setting> rows;
  /// Is told, in one line, why something was refused. Any thread.
  std::function<void(const std::string&)> complain = [](const std::string&) {};
  /// The same of what is as it should be, and worth a line.
  std::function<void(const std::string&)> notice = [](const std::string&) {};
  /// Something that is mounted inside the pool, for people; empty: nothing is.
  std::function<std::string()> mounted_inside = [] { return std::string(); };
  /// Where the pool keeps from one mount to the next what its branches are; empty: nowhere.
  std::string state_file;
  /// Is given the keys of the pool when it is made; they are good while it lives, and may be set
  /// from within a row's `set`.
  std::function<void(LiveKeys)> hand_over = [](const LiveKeys&) {};
  /// The mount point's absolute path, for symbolic links that lead through the pool.
  std::string mountpoint;
  /// st_dev of what the pool is mounted as, which its own process must not enter. Nothing: it is
  /// not known, so that no symbolic link is followed. Any thread.
  std::function<std::optional<std::uint64_t>()> own_device = [] {
    return std::optional<std::uint64_t>();
  };
  /// For branches that are added.
  PlaceFacts places;
};

/// How the key `last-refusal` and the log name what was refused, "KEY=VALUE: ": nothing in it
/// begins another line, and of a long value only the beginning is there.
[[nodiscard]] std::string refused_text(std::string_view key, std::string_view value);

/// The extended attributes of the control file: every key can be read under both prefixes, and
/// those that may change on a live pool can be set. `_` in a key means `-`. Touches no branch by
/// itself. Any thread.
class ControlFile {
 public:
  /// Something to do rather than something to keep: set it, with any value. Cannot be read, and is
  /// not listed.
  struct Command {
    std::string name;
    /// A refusal says in `why` what is the matter, as the end of a sentence that begins with the
    /// name.
    std::function<Result<void>(std::string& why)> run;
  };
  /// Of two rows that claim one key the later counts.
  ControlFile(std::vector<proto::Setting> rows, std::vector<Command> commands,
              std::function<void(const std::string&)> complain);

  /// A regular, empty file of `owner`, as old as the pool's mount; all who may read it may read
  /// every key.
  [[nodiscard]] proto::Attr attr(NodeId control, const Identity& owner) const noexcept;

  /// ENODATA: no such key, or one that cannot be read. ERANGE: `out` is too small; empty, it asks
  /// for the length.
  [[nodiscard]] Result<std::size_t> get(std::string_view xattr, std::span<std::byte> out) const;
  /// All keys, sorted, under the prefix that goes with the name of the file.
  [[nodiscard]] Result<std::size_t> list(NodeId control, std::span<std::byte> out) const;
  /// One at a time. ENODATA: no such key. EEXIST: `flags` say that it is to be new. EROFS: it is
  /// fixed once mounted. EINVAL: a bad value; the log says what was expected, and so does the key
  /// `last-refusal`: "SERIAL KEY=VALUE: KEY why". A command has errors of its own.
  [[nodiscard]] Result<void> set(std::string_view xattr, std::span<const std::byte> value,
                                 std::uint32_t flags);
  /// The same for one that is neither told to the log nor has flags.
  [[nodiscard]] Result<void> change(std::string_view key, std::string_view value, std::string& why);
  /// Nothing: there is no such key.
  [[nodiscard]] std::optional<std::string> value(std::string_view key) const;

 private:
  [[nodiscard]] const proto::Setting* find(std::string_view xattr) const;
  void refused(const std::string& reason, bool told);

  std::map<std::string, std::shared_ptr<const proto::Setting>, std::less<>> keys_;
  std::map<std::string, Command, std::less<>> commands_;
  /// Those that are listed: without aliases.
  std::vector<std::string> listed_;
  std::function<void(const std::string&)> complain_;
  const proto::Time born_;
  /// A row may set other rows.
  std::recursive_mutex setting_;
  mutable std::mutex refusing_;
  /// From 1; what the key shows is empty before.
  std::uint64_t refusals_ = 0;
  std::string last_refusal_;
};

}  // namespace bough::ops
