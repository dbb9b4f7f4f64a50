#include "session/message_limit.hpp"

#include <doctest/doctest.h>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>

using bough::session::fit_message;
using bough::session::kMostMessagePages;

namespace {

/// A file in place of the system's.
class LimitFile {
 public:
  explicit LimitFile(const std::string& text) {
    ::close(::mkstemp(path_));
    std::ofstream(path_) << text;
  }
  ~LimitFile() { ::unlink(path_); }
  [[nodiscard]] const char* path() const { return path_; }
  [[nodiscard]] std::uint32_t value() const {
    std::uint32_t value = 0;
    std::ifstream(path_) >> value;
    return value;
  }

 private:
  char path_[32] = "/tmp/bough-limit-XXXXXX";
};

}  // namespace

TEST_CASE("the limit is raised to what is wanted, and never lowered") {
  const LimitFile limit("256\n");
  std::uint32_t pages = 1000;
  CHECK(fit_message(pages, limit.path()).empty());
  CHECK(pages == 1000);
  CHECK(limit.value() == 1000);
  pages = 32;
  CHECK(fit_message(pages, limit.path()).empty());
  CHECK(pages == 32);
  CHECK(limit.value() == 1000);
}

TEST_CASE("no message is larger than the protocol can say") {
  const LimitFile limit("256\n");
  std::uint32_t pages = 70000;
  const std::string told = fit_message(pages, limit.path());
  CHECK(pages == kMostMessagePages);
  CHECK(limit.value() == kMostMessagePages);
  CHECK(told.find("65535 pages instead of 70000") != std::string::npos);
  CHECK(told.find('\n') == std::string::npos);
}

TEST_CASE("a limit that cannot be raised holds, and the reason is told") {
  // A small number that not even root may write.
  const std::string fixed = "/proc/sys/kernel/cap_last_cap";
  std::uint32_t limit = 0;
  std::ifstream(fixed) >> limit;
  REQUIRE(limit > 0);
  std::uint32_t pages = 500;
  const std::string told = fit_message(pages, fixed);
  CHECK(pages == limit);
  CHECK(told.find(std::to_string(limit) + " pages instead of 500: " + fixed) != std::string::npos);
  CHECK(told.find("cannot be raised (") != std::string::npos);
}

TEST_CASE("a kernel without the file takes 256 pages") {
  std::uint32_t pages = 256;
  CHECK(fit_message(pages, "/nonexistent/limit").empty());
  pages = 257;
  const std::string told = fit_message(pages, "/nonexistent/limit");
  CHECK(pages == 256);
  CHECK(told.find("this kernel takes no more") != std::string::npos);
}
