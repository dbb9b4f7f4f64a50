#include "cli/config_file.hpp"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <string>
#include <vector>

#include "cli/configuration.hpp"
#include "cli/exit_status.hpp"

using namespace bough;
using cli::Configuration;
using cli::OptionTable;
using cli::StartError;
using Lines = std::vector<std::string>;

namespace {

/// Files of options in a directory of their own, and a pool that is told of them.
struct Fixture {
  Fixture() {
    std::string name = std::filesystem::temp_directory_path() / "bough_config_XXXXXX";
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    folder = std::filesystem::canonical(name);
  }
  ~Fixture() {
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
  }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  std::string file(const std::string& name, const std::string& text) const {
    std::ofstream(folder / name) << text;
    return folder / name;
  }
  /// As -o config=FILE; what it complains about.
  std::string start(const std::string& path,
                    OptionTable::Unknown unknown = OptionTable::Unknown::kRefuse) {
    config.config_file.treat_unknown(unknown);
    try {
      config.warnings = {};
      for (auto& each : config.table.apply({{{"config", path}}}, config.words, unknown))
        config.warnings.push_back(each);
    } catch (const StartError& error) {
      return error.what();
    }
    return {};
  }
  std::string shown(const char* key) const { return config.table.find(key)->get(); }

  /// The control file of a pool with these options.
  void mount() {
    const auto rows = config.table.rows();
    control = std::make_unique<ops::ControlFile>(
        std::vector<proto::Setting>(rows.begin(), rows.end()),
        std::vector<ops::ControlFile::Command>{},
        [this](const std::string& line) { told.push_back(line); });
    config.config_file.go_live(
        {[this](std::string_view key, std::string_view value, std::string& why) {
           return control->change(key, value, why);
         },
         [this](std::string_view key) { return control->value(key); }},
        [this](bool, const std::string& line) { told.push_back(line); },
        [this] { return std::vector<std::string>{folder / "pool"}; });
  }
  /// setfattr -n user.boughfs.config; 0 or its errno.
  int set(const std::string& path) {
    told = {};
    const auto done = control->set("user.boughfs.config", std::as_bytes(std::span(path)), 0);
    return done ? 0 : done.error().value();
  }

  std::filesystem::path folder;
  Configuration config;
  std::unique_ptr<ops::ControlFile> control;
  Lines told;
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "a config file holds a key a line, comments and space") {
  const std::string path = file("pool.ini",
                                "# the films\n\n  category.create = mfs \t\r\n"
                                "minfreespace=20G\n\t# more\nlink_nothing_here_is_not_said\n");
  CHECK(start(path).find(path + ":6: link_nothing_here_is_not_said: there is no option") !=
        std::string::npos);
  // Every good line was applied.
  CHECK(shown("category.create") == "mfs");
  CHECK(shown("minfreespace") == "20G");
  CHECK(shown("config").empty());
  CHECK(
      start(file("good", "dropcacheonclose\nnoatime\nattr_timeout=3\nuse_ino\ndefaults")).empty());
  CHECK(shown("dropcacheonclose") == "true");
  CHECK(shown("cache.attr") == "3");
  CHECK((config.words.flags & MS_NOATIME) != 0);
  CHECK(shown("config") == folder / "good");
}

TEST_CASE_FIXTURE(Fixture, "a bad line is an error by command, a warning where a machine boots") {
  const std::string path =
      file("pool.ini", "minfreespace=lots\ncache.attr=2\nminfrespace=1\nauto_unmount\n");
  const std::string complaint = start(path);
  CHECK(complaint.find(path + ":1: minfreespace=lots: minfreespace wants a size") !=
        std::string::npos);
  CHECK(complaint.find(path + ":3: minfrespace=1: there is no option 'minfrespace', did you mean "
                              "'minfreespace'?") != std::string::npos);
  CHECK(complaint.find('\n') == std::string::npos);
  CHECK(shown("cache.attr") == "2");
  CHECK(start(path, OptionTable::Unknown::kWarn).empty());
  REQUIRE(config.warnings.size() == 3);
  CHECK(config.warnings[0].starts_with(path + ":1: "));
  CHECK(config.warnings[1].starts_with(path + ":3: "));
  CHECK(config.warnings[2].starts_with(path + ":4: auto_unmount: means nothing here"));
  CHECK(shown("config") == path);
}

TEST_CASE_FIXTURE(Fixture, "a config file that cannot be read is refused with the reason") {
  for (const auto unknown : {OptionTable::Unknown::kRefuse, OptionTable::Unknown::kWarn}) {
    CHECK(start(folder / "none", unknown).find("cannot be read: No such file") !=
          std::string::npos);
    CHECK(config.config_file.error() == ENOENT);
    CHECK(start(folder, unknown).find("Is a directory") != std::string::npos);
    CHECK(start("/dev/zero", unknown).find("cannot be read") != std::string::npos);
  }
  CHECK(start(file("binary", std::string("cache.attr=1\0", 13))).find("zero byte") !=
        std::string::npos);
  std::filesystem::resize_file(file("huge", ""), (1 << 20) + 1);
  CHECK(start(folder / "huge").find("too large") != std::string::npos);
}

TEST_CASE_FIXTURE(Fixture, "what is no file is not even opened, since that may do something") {
  const std::string fifo = folder / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  // Goes on when somebody opens the other end.
  auto writer = std::async(std::launch::async, [&] { return ::open(fifo.c_str(), O_WRONLY); });
  CHECK(writer.wait_for(std::chrono::milliseconds(100)) == std::future_status::timeout);
  CHECK(start(fifo).find("cannot be read") != std::string::npos);
  CHECK(writer.wait_for(std::chrono::milliseconds(100)) == std::future_status::timeout);
  const int reader = ::open(fifo.c_str(), O_RDONLY);
  ::close(writer.get());
  ::close(reader);
}

TEST_CASE_FIXTURE(Fixture, "config files may read each other, six deep") {
  for (int number = 1; number <= 7; ++number)
    file("c" + std::to_string(number),
         "config=" + (folder / ("c" + std::to_string(number + 1))).string() + "\n");
  file("c6", "cache.attr=66");
  CHECK(start(folder / "c1").empty());
  CHECK(shown("cache.attr") == "66");
  CHECK(shown("config") == folder / "c1");
  file("c6", "config=" + file("c7", "cache.attr=77") + "\ncache.entry=6");
  CHECK(start(folder / "c1").find((folder / "c6").string() + ":1: ") != std::string::npos);
  CHECK(config.config_file.error() == ELOOP);
  CHECK(shown("cache.attr") == "66");
  CHECK(shown("cache.entry") == "6");
  file("self", "config=" + (folder / "self").string());
  CHECK_FALSE(start(folder / "self").empty());
  CHECK(config.config_file.error() == ELOOP);
}

TEST_CASE_FIXTURE(Fixture, "a path is relative to where the program was started") {
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder);
  file("main", "config=other");
  file("other", "cache.attr=5");
  Configuration here;
  std::filesystem::current_path(before);
  CHECK(here.table.find("config")->set("main").empty());
  CHECK(here.table.find("cache.attr")->get() == "5");
  CHECK(here.config_file.path() == folder / "main");
}

TEST_CASE_FIXTURE(Fixture, "on a live pool the file is read again, and tells what changed") {
  const std::string path =
      file("pool.ini", "branches=/a:/b\nthreads=4\nnoexec\ncache.attr=2\nminfreespace=1024M\n");
  REQUIRE(start(path).empty());
  mount();
  CHECK(set("") == 0);
  CHECK(told == Lines{path + ": nothing changed"});
  file("pool.ini",
       "branches=/a:/b\nthreads=4\nnoexec\ncache.attr=9\nminfreespace=1G\nuse_ino\nsync_read=1\n");
  CHECK(set("") == EINVAL);
  CHECK(shown("cache.attr") == "9");
  CHECK(told == Lines{path + ":4: cache.attr is 9 now, and was 2",
                      path + ":7: async-read=false: async-read is fixed once mounted, and another "
                             "value is in force"});
  config.config_file.reload();
  CHECK(told.size() == 3);
}

TEST_CASE_FIXTURE(Fixture,
                  "a file in the pool itself is not read: the pool would wait for itself") {
  REQUIRE(start(file("good", "cache.attr=3")).empty());
  mount();
  std::filesystem::create_directory(folder / "pool");
  const std::string inside = file("pool/inside", "cache.attr=4");
  std::filesystem::create_symlink(inside, folder / "way");
  for (const std::string& path : {inside, (folder / "way").string()}) {
    CHECK(set(path) == EDEADLK);
    CHECK(told.size() == 1);
    CHECK(shown("cache.attr") == "3");
  }
  CHECK(set(file("nested", "config=" + inside)) == EDEADLK);
  CHECK(shown("cache.attr") == "3");
}

TEST_CASE_FIXTURE(Fixture, "what is fixed once mounted, unknown or wrong is a bad line") {
  const std::string good = file("good", "cache.attr=3");
  REQUIRE(start(good).empty());
  mount();
  const std::string path = file(
      "bad", "threads=5\nminfrespace=1\ncache.entry=x\nexec\nnoexec\ncache.entry=7\ncache.attr\n");
  CHECK(set(path) == EINVAL);
  CHECK(shown("cache.entry") == "7");
  CHECK(shown("threads") == "32");
  CHECK(shown("config") == good);
  REQUIRE(told.size() == 6);
  CHECK(told[0] ==
        path + ":1: threads=5: threads is fixed once mounted, and another value is in force");
  CHECK(told[1].starts_with(path + ":2: minfrespace=1: there is no option"));
  CHECK(told[2].starts_with(path + ":3: cache.entry=x: cache.entry wants a number"));
  CHECK(told[3] == path + ":5: noexec is fixed once mounted, and the opposite is in force");
  CHECK(told[4] == path + ":6: cache.entry is 7 now, and was 1");
  CHECK(told[5] == path + ":7: cache.attr wants a value: cache.attr=SECONDS");
  CHECK(set(folder / "none") == ENOENT);
  CHECK(set(std::string("a\0b", 3)) == EINVAL);
  CHECK(told.size() == 1);
  CHECK(set("relative") == EINVAL);
  CHECK(told == Lines{"config: wants an absolute path: the directory of who asks is not known to "
                      "the pool"});
  // An unchanged value of what is fixed is no change.
  CHECK(set(file("same", "threads=32\nsubtype=boughfs\n")) == 0);
  CHECK(shown("config") == folder / "same");
}
