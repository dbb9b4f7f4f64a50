#include "ops/process_names.hpp"

#include <doctest/doctest.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <string>
#include <thread>

#include "test/support/pool_fixture.hpp"

using bough::ops::ProcessNames;

namespace {

std::uint32_t own_process() {
  return static_cast<std::uint32_t>(::getpid());
}
std::uint32_t own_thread() {
  return static_cast<std::uint32_t>(::syscall(SYS_gettid));
}

bool listed(ProcessNames& names, std::uint32_t tid) {
  const auto result = names.listed(tid);
  REQUIRE(result.has_value());
  return *result;
}

/// Gives the process (its first thread) a name, and takes it back.
class Named {
 public:
  explicit Named(const char* name) {
    ::prctl(PR_GET_NAME, before_.data());
    ::prctl(PR_SET_NAME, name);
  }
  ~Named() { ::prctl(PR_SET_NAME, before_.data()); }
  Named(const Named&) = delete;
  Named& operator=(const Named&) = delete;

 private:
  std::array<char, 16> before_{};
};

/// A child that waits until it is told to go on.
class Child {
 public:
  template <class Body>
  explicit Child(Body body) {
    int go[2];
    REQUIRE(::pipe(go) == 0);
    pid_ = ::fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      ::close(go[1]);
      char ignored = 0;
      while (::read(go[0], &ignored, 1) < 0) continue;
      body();
      ::_exit(1);
    }
    ::close(go[0]);
    go_ = go[1];
  }
  ~Child() {
    go_on();
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  [[nodiscard]] std::uint32_t pid() const { return static_cast<std::uint32_t>(pid_); }
  void go_on() {
    if (go_ >= 0) ::close(go_);
    go_ = -1;
  }

 private:
  pid_t pid_ = -1;
  int go_ = -1;
};

}  // namespace

TEST_CASE("ProcessNames: the words of the option") {
  ProcessNames names;
  CHECK(names.text() == "qbittorrent-nox|rtorrent");
  CHECK(names.set("b|a|b").empty());
  CHECK(names.text() == "a|b");
  for (const char* const bad : {"", "|", "a|", "|a", "a||b"}) {
    CHECK_FALSE(names.set(bad).empty());
    CHECK(names.text() == "a|b");
  }
  CHECK_FALSE(names.set(std::string(256, 'x')).empty());
  using namespace std::string_view_literals;
  for (const std::string_view bad : {"a|b\0"sv, "a\nb"sv, "\x7f"sv, "caf\xe9"sv}) {
    CAPTURE(bad);
    CHECK_FALSE(names.set(bad).empty());
  }
  CHECK(names.set("café").empty());
}

TEST_CASE("ProcessNames: the process' name counts, of a thread too, as it is now") {
  ProcessNames names;
  REQUIRE(names.set("a-torrent").empty());
  CHECK_FALSE(listed(names, 0));
  CHECK_FALSE(listed(names, own_process()));
  const Named process("a-torrent");
  CHECK(listed(names, own_process()));
  std::thread([&] {
    ::prctl(PR_SET_NAME, "other");
    CHECK(listed(names, own_thread()));
    CHECK(listed(names, own_thread()));
  }).join();
  {
    const Named renamed("b-torrent");
    CHECK_FALSE(listed(names, own_process()));
    std::thread([&] {
      ::prctl(PR_SET_NAME, "a-torrent");
      CHECK_FALSE(listed(names, own_thread()));
    }).join();
  }
  CHECK(listed(names, own_process()));
}

TEST_CASE("ProcessNames: a long name by its first 15 characters, a program by its file") {
  ProcessNames names;
  REQUIRE(names.set("qbittorrent-nox-and-more").empty());
  {
    const Named process("qbittorrent-nox");
    CHECK(listed(names, own_process()));
  }
  {
    const Named process("qbittorrent-no");
    CHECK_FALSE(listed(names, own_process()));
  }
  const auto program = std::filesystem::read_symlink("/proc/self/exe").filename().string();
  REQUIRE(names.set(program).empty());
  const Named process("anything");
  CHECK(listed(names, own_process()));
  REQUIRE(names.set(program.substr(0, program.size() - 1)).empty());
  CHECK_FALSE(listed(names, own_process()));
}

TEST_CASE("ProcessNames: exec, and a task that is gone") {
  ProcessNames names;
  REQUIRE(names.set("sleep").empty());
  std::uint32_t pid = 0;
  {
    Child child([] { ::execl("/bin/sleep", "sleep", "60", nullptr); });
    pid = child.pid();
    CHECK_FALSE(listed(names, pid));
    child.go_on();
    bool seen = false;
    for (int tries = 0; tries < 1000 && !seen; ++tries) {
      seen = listed(names, pid);
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    CHECK(seen);
  }
  CHECK_FALSE(listed(names, pid));
}

TEST_CASE("ProcessNames: what is kept of callers is let go of") {
  ProcessNames names;
  const std::size_t before = bough::test::open_descriptors();
  (void)listed(names, own_process());
  CHECK(bough::test::open_descriptors() > before);
  names.let_go();
  CHECK(bough::test::open_descriptors() == before);
}
