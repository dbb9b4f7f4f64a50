#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace bough::cli {

/// The control file of a pool, as any program reaches it. What goes wrong is a StartError that says
/// what is wrong with the key or the value, as far as can be known from here.
class ControlClient {
 public:
  /// `path` is anywhere in the pool.
  explicit ControlClient(const std::string& path);

  /// Where the pool's root is mounted.
  [[nodiscard]] const std::string& mount_point() const noexcept { return mount_point_; }
  /// Sorted.
  [[nodiscard]] std::vector<std::string> keys() const;
  [[nodiscard]] std::string get(std::string_view key) const;
  void set(std::string_view key, std::string_view value) const;

 private:
  [[noreturn]] void unknown(std::string_view key) const;
  [[noreturn]] void refused(std::string_view key, std::string_view value, int error) const;
  [[noreturn]] void failed(int error) const;
  /// Why the pool refused it, in a sentence; empty: it does not say, or another client was refused
  /// something since.
  [[nodiscard]] std::string reason_for(std::string_view key, std::string_view value) const;

  std::string mount_point_;
  std::string file_;
};

}  // namespace bough::cli
