#include "session/trace.hpp"

#include <doctest/doctest.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <sstream>

#include "test/session/serving.hpp"

using namespace bough;
using namespace bough::test;
namespace abi = bough::proto::abi;
using abi::Opcode;

namespace {

/// Digits of times and durations become "T" and "N".
std::string masked(const std::string& line) {
  if (line.size() < 27 || !std::isdigit(static_cast<unsigned char>(line[0]))) return line;
  std::string text = "T" + line.substr(26);
  if (text.size() > 2 && text.substr(text.size() - 2) == "us") {
    const std::size_t space = text.rfind(' ');
    text = text.substr(0, space) + " Nus";
  }
  return text;
}

/// For a trace that can be written.
void no_loss(const std::string& line) {
  FAIL_CHECK(line);
}

struct TraceFile {
  std::string path = "/tmp/bough-trace-XXXXXX";
  TraceFile() {
    const int fd = ::mkstemp(path.data());
    REQUIRE(fd >= 0);
    ::close(fd);
  }
  ~TraceFile() { ::unlink(path.c_str()); }
  [[nodiscard]] std::vector<std::string> lines() const {
    std::vector<std::string> out;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) out.push_back(masked(line));
    return out;
  }
};

}  // namespace

TEST_CASE("a trace of a scripted session") {
  const TraceFile file;
  session::Settings settings;
  settings.trace = file.path;
  {
    Serving serving(settings, session::Trace::open(settings, true, no_loss));
    FakeKernel& kernel = serving.kernel;
    const auto ask = [&](std::uint64_t) { REQUIRE(kernel.receive()); };
    ask(kernel.lookup("missing"));
    ask(kernel.lookup("file"));
    abi::OpenIn open{};
    open.flags = 2;
    ask(kernel.send(Opcode::kOpen, 100, Body().add(open)));
    abi::ReadIn read{};
    read.fh = 1;
    read.size = 4096;
    ask(kernel.send(Opcode::kRead, 100, Body().add(read)));
    ask(kernel.send(Opcode::kUnlink, 1, Body().name("fi\"le")));
    ask(kernel.send(Opcode::kRead, 100, Body().add(std::uint64_t{1})));
    const auto lock = kernel.send(Opcode::kSetlkw, 100, Body().add(abi::LkIn{}));
    REQUIRE(serving.fs.wait_locks(1));
    serving.fs.take_lock().answer(proto::Errno{EDEADLK});
    ask(lock);
    kernel.forget(100, 1);
    kernel.interrupt(4000);
    REQUIRE(serving.reaches("interrupts", 1));
    static_cast<void>(serving.session->notify(proto::InvalidateEntry{proto::NodeId{1}, "name"}));
    REQUIRE(kernel.receive());
  }
  const auto lines = file.lines();
  std::size_t at = 0;
  while (at < lines.size() && lines[at].find("unique=") == std::string::npos) ++at;
  REQUIRE(at > 10);
  CHECK(lines[0] == "T INIT");
  std::string table;
  for (std::size_t i = 1; i < at; ++i) table += lines[i] + '\n';
  CHECK(table.find("PARALLEL_DIROPS") != std::string::npos);
  CHECK(table.find("not wanted") != std::string::npos);

  const std::vector<std::string> golden = {
      R"(T unique=4 pid=4242 LOOKUP node=1 name="missing" path="/" -> ENOENT branch="/branch" Nus)",
      R"(T unique=6 pid=4242 LOOKUP node=1 name="file" path="/" -> node=100 generation=7 )"
      R"(entry_valid=0s attr_valid=0s ino=100 mode=0100644 nlink=1 uid=0 gid=0 size=0 blocks=0 )"
      R"(atime=0.000000000 mtime=0.000000000 ctime=0.000000000 branch="/branch" Nus)",
      R"(T unique=8 pid=4242 OPEN node=100 flags=O_RDWR path="/node100" -> fh=1 open=0 Nus)",
      R"(T unique=10 pid=4242 READ node=100 fh=1 offset=0 size=4096 flags=O_RDONLY )"
      R"(path="/node100" -> 4096 Nus)",
      R"(T unique=12 pid=4242 UNLINK node=1 name="fi\"le" path="/" -> ok branch="/branch" Nus)",
      R"(T unique=14 pid=4242 READ node=100 malformed -> EINVAL Nus)",
      R"(T unique=16 pid=4242 SETLKW node=100 fh=0 owner=0x0 type=F_RDLCK start=0 end=0 )"
      R"(lock_pid=0 path="/node100" -> EDEADLK Nus)",
      R"(T unique=18 pid=4242 FORGET node=100 count=1 path="/node100" -> none Nus)",
      R"(T unique=4001 pid=4242 INTERRUPT node=0 target=4000 -> not known Nus)",
      R"(T NOTIFY INVAL_ENTRY parent=1 name="name" -> ok)"};
  const std::vector<std::string> got(lines.begin() + static_cast<std::ptrdiff_t>(at), lines.end());
  CHECK(got.size() == golden.size());
  for (std::size_t i = 0; i < std::min(got.size(), golden.size()); ++i) CHECK(got[i] == golden[i]);
}

TEST_CASE("no trace is asked for, or none can be had") {
  session::Settings settings;
  CHECK_FALSE(session::Trace::open(settings, true, no_loss)->on());
  settings.trace = "/nonexistent/file";
  CHECK_THROWS_AS(static_cast<void>(session::Trace::open(settings, true, no_loss)),
                  session::TraceError);
  settings.trace.clear();
  settings.debug = true;
  CHECK(session::Trace::open(settings, true, no_loss)->on());
  CHECK_THROWS_AS(static_cast<void>(session::Trace::open(settings, false, no_loss)),
                  session::TraceError);
}

TEST_CASE("a trace that cannot be written says so once") {
  session::Settings settings;
  settings.trace = "/dev/full";
  std::vector<std::string> told;
  const auto trace =
      session::Trace::open(settings, true, [&](const std::string& line) { told.push_back(line); });
  for (int i = 0; i < 3; ++i) trace->put(std::chrono::system_clock::now(), "line\n");
  REQUIRE(told.size() == 1);
  CHECK(told[0] ==
        "the trace file /dev/full cannot be written, lines are missing from it: No space left on "
        "device");
}

TEST_CASE("a trace begins, moves and ends while the session serves") {
  const TraceFile first;
  const TraceFile second;
  session::Settings settings;
  const auto trace = session::Trace::open(settings, false, no_loss);
  Serving serving(settings, trace);
  const auto lookup = [&](const char* name) {
    serving.kernel.lookup(name);
    REQUIRE(serving.kernel.receive());
  };
  // The line is written after the answer.
  const auto holds = [](const TraceFile& file, const std::string& text) {
    return Serving::eventually([&] {
      const auto lines = file.lines();
      return std::any_of(lines.begin(), lines.end(),
                         [&](const auto& line) { return line.find(text) != std::string::npos; });
    });
  };
  lookup("before");
  CHECK(trace->set_debug(true).error() == proto::Errno{EBADF});
  CHECK_FALSE(trace->debug());
  CHECK(trace->set_log_file("/nonexistent/file", "/nonexistent/file").error() ==
        proto::Errno{ENOENT});
  CHECK(trace->log_file().empty());
  REQUIRE(trace->set_log_file(first.path, first.path));
  lookup("silent");
  CHECK(trace->file().empty());
  CHECK(first.lines().empty());

  REQUIRE(trace->set_debug(true));
  CHECK(trace->file() == first.path);
  lookup("one");
  CHECK(holds(first, R"(LOOKUP node=1 name="one")"));
  REQUIRE_FALSE(first.lines().empty());
  CHECK(first.lines()[0] == "T INIT");
  // What cannot be opened changes nothing.
  CHECK(trace->set_log_file("/nonexistent/file", "/nonexistent/file").error() ==
        proto::Errno{ENOENT});
  CHECK(trace->set_log_file("", "").error() == proto::Errno{EBADF});
  CHECK(trace->log_file() == first.path);
  lookup("two");
  CHECK(holds(first, R"(name="two")"));

  REQUIRE(trace->set_log_file(second.path, second.path));
  lookup("three");
  CHECK(holds(second, R"(name="three")"));
  CHECK(second.lines()[0] == "T INIT");
  REQUIRE(trace->set_debug(false));
  CHECK_FALSE(trace->on());
  lookup("four");
  lookup("five");
  for (const TraceFile* file : {&first, &second})
    for (const std::string& line : file->lines()) {
      CHECK(line.find("before") == std::string::npos);
      CHECK(line.find("silent") == std::string::npos);
      CHECK(line.find("four") == std::string::npos);
    }
  for (const std::string& line : first.lines()) CHECK(line.find("three") == std::string::npos);
}

TEST_CASE("with the option trace debug moves nothing") {
  const TraceFile file;
  const TraceFile other;
  session::Settings settings;
  settings.trace = file.path;
  const auto trace = session::Trace::open(settings, false, no_loss);
  CHECK(trace->on());
  CHECK(trace->set_debug(true));
  CHECK(trace->debug());
  CHECK(trace->set_log_file(other.path, other.path));
  CHECK(trace->file() == file.path);
  trace->put(std::chrono::system_clock::now(), "line\n");
  CHECK(trace->set_debug(false));
  CHECK(trace->on());
  CHECK(file.lines().size() == 1);
  CHECK(other.lines().empty());
}
