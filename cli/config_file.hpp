#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cli/mount_words.hpp"
#include "cli/option_table.hpp"
#include "ops/control_file.hpp"
#include "proto/setting.hpp"

namespace bough::cli {

/// The option `config`: a file of options, one a line, as `key=value` or `key`. Space around a line
/// is nothing, nor is a line that is empty or begins with '#'. A line `config=FILE` reads another
/// one. Every good line is applied, also when others are bad. One thread at a time.
class ConfigFile {
 public:
  /// The option's own value counts among `table`'s rows; all three outlive the object.
  ConfigFile(const OptionTable& table, MountWords& words, std::vector<std::string>& warnings);

  /// What becomes of bad lines before the mount: with kRefuse the value is refused with the place
  /// of each; else each is a warning.
  void treat_unknown(OptionTable::Unknown unknown) { unknown_ = unknown; }
  /// From now on options are changed by way of the live pool: what is fixed once mounted is a bad
  /// line, unless it says what is in force. Each change and each bad line is told to `tell`. A file
  /// in one of the `places` where the pool is mounted is a bad one (EDEADLK): to read it the pool
  /// would wait for itself. What `keys` refer to outlives every later set().
  void go_live(ops::LiveKeys keys, std::function<void(bool bad, const std::string&)> tell,
               std::function<std::vector<std::string>()> places);

  /// Reads the file at `path` (empty: the last good one again), relative to where the program was
  /// started, and remembers it if every line was good. Empty, or what is wrong, as the end of a
  /// sentence that begins with "config".
  [[nodiscard]] std::string set(std::string_view path);
  /// On a live pool: reads the last good one again, if there is one, as whoever sets the key
  /// `config` does. Any thread.
  void reload();
  /// Of the last refusal: why the file could not be read, ELOOP for too many files in each other,
  /// EINVAL for a bad line.
  [[nodiscard]] int error() const noexcept { return error_; }
  /// The last good one, absolute; empty: there was none.
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

  /// The row of the option table; refers to this object.
  [[nodiscard]] proto::Setting row();

 private:
  struct Line;

  void read(const std::string& path);
  void take(const std::string& place, const Line& line);
  void take_before_mount(const std::string& place, const OptionWord& word);
  void take_live(const std::string& place, const OptionWord& word);
  void change(const std::string& place, const std::string& key, const std::string& value);
  void bad(int error, const std::string& complaint);
  [[nodiscard]] std::string absolute(std::string_view path) const;

  const OptionTable& table_;
  MountWords& words_;
  std::vector<std::string>& warnings_;
  const std::string start_directory_;
  OptionTable::Unknown unknown_ = OptionTable::Unknown::kRefuse;
  ops::LiveKeys live_;
  std::function<void(bool, const std::string&)> tell_;
  std::function<std::vector<std::string>()> places_;
  std::string path_;
  /// What lines said before the mount, by the name of their row: what is fixed, and says the same
  /// again, is no change.
  std::map<std::string, std::string> taken_;

  /// Of the set() that is running, or ran last.
  int error_ = 0;
  int depth_ = 0;
  bool changed_ = false;
  std::vector<std::string> complaints_;
};

}  // namespace bough::cli
