#pragma once

#include <string>
#include <vector>

#include "session/fd.hpp"

namespace bough::session {

/// The set-uid helper of libfuse, which mounts for those who may not.
class Fusermount {
 public:
  /// Looks in PATH, /usr/bin and /bin. An empty path: there is none.
  [[nodiscard]] static Fusermount find();
  [[nodiscard]] bool exists() const noexcept { return !path_.empty(); }

  struct Outcome {
    /// The mounted device; empty if it failed.
    Fd device;
    /// What the helper wrote on its standard error, without the last line end.
    std::string complaint;
  };
  /// `options` without "-o". Throws std::system_error if the helper could not be run at all.
  [[nodiscard]] Outcome mount(const std::string& options, const std::string& target) const;

  /// Detaches; whether the helper said that it did.
  bool unmount(const std::string& target) const noexcept;

 private:
  explicit Fusermount(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace bough::session
