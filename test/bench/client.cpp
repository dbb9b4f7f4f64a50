// The client of scripts/bench: makes files, does one kind of call to each of them, and prints the
// nanoseconds that one call takes.
//
//   bench_client make file|directory COUNT NAME BRANCH…   COUNT things in the directory NAME of the
//                                                         branches, dealt out in turn
//   bench_client OPERATION COUNT DIRECTORY                does it, prints the time
//
// OPERATION that needs COUNT files made before: stat, missing (a stat that fails), open (and
// close), chmod, rename, unlink; that needs directories: rmdir; that makes them: create (open and
// close included), mkdir; of the whole directory: readdir, list (readdir and a stat of each name).
// Except for stat, which is the first that the pool hears of a file, the files of a batch are
// looked up before its clock starts, so that the time is the operation's and not the look-up's.

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

/// Looked up and worked on within the second that the kernel believes a look-up. The result is that
/// of the median batch, so that what else the machine does now and then is left out.
constexpr int kBatch = 50;

[[noreturn]] void give_up(const char* doing, const char* name) {
  std::fprintf(stderr, "bench_client: %s %s: %s\n", doing, name, std::strerror(errno));
  std::exit(1);
}

class Name {
 public:
  Name(const char* prefix, int number) {
    std::snprintf(text_.data(), text_.size(), "%s-%06d", prefix, number);
  }
  [[nodiscard]] const char* c_str() const { return text_.data(); }

 private:
  std::array<char, 32> text_{};
};

int open_directory(const char* path) {
  const int fd = ::open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) give_up("opening", path);
  return fd;
}

void make(bool directories, int count, const std::string& name, char** branches, int branch_count) {
  for (int b = 0; b < branch_count; ++b) {
    const std::string path = std::string(branches[b]) + "/" + name;
    if (::mkdir(path.c_str(), 0755) != 0) give_up("making", path.c_str());
    const int dir = open_directory(path.c_str());
    for (int i = b; i < count; i += branch_count) {
      const Name each("file", i);
      if (directories) {
        if (::mkdirat(dir, each.c_str(), 0755) != 0) give_up("making", each.c_str());
        continue;
      }
      const int fd = ::openat(dir, each.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
      if (fd < 0) give_up("making", each.c_str());
      ::close(fd);
    }
    // So that the journal is not written while something is timed.
    ::syncfs(dir);
    ::close(dir);
  }
}

bool create(int dir, int i) {
  const int fd =
      ::openat(dir, Name("file", i).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  return fd >= 0 && ::close(fd) == 0;
}
bool stat_one(int dir, int i) {
  struct stat stat = {};
  return ::fstatat(dir, Name("file", i).c_str(), &stat, 0) == 0;
}
bool missing(int dir, int i) {
  struct stat stat = {};
  return ::fstatat(dir, Name("missing", i).c_str(), &stat, 0) != 0 && errno == ENOENT;
}
bool open_one(int dir, int i) {
  const int fd = ::openat(dir, Name("file", i).c_str(), O_RDONLY | O_CLOEXEC);
  return fd >= 0 && ::close(fd) == 0;
}
bool chmod_one(int dir, int i) {
  return ::fchmodat(dir, Name("file", i).c_str(), 0600, 0) == 0;
}
bool rename_one(int dir, int i) {
  return ::renameat(dir, Name("file", i).c_str(), dir, Name("renamed", i).c_str()) == 0;
}
bool unlink_one(int dir, int i) {
  return ::unlinkat(dir, Name("file", i).c_str(), 0) == 0;
}
bool mkdir_one(int dir, int i) {
  return ::mkdirat(dir, Name("file", i).c_str(), 0755) == 0;
}
bool rmdir_one(int dir, int i) {
  return ::unlinkat(dir, Name("file", i).c_str(), AT_REMOVEDIR) == 0;
}

struct Operation {
  std::string_view name;
  bool (*call)(int dir, int i);
  bool looks_up_before;
};
constexpr std::array kOperations{
    Operation{"create", create, false},    Operation{"stat", stat_one, false},
    Operation{"missing", missing, false},  Operation{"open", open_one, true},
    Operation{"chmod", chmod_one, true},   Operation{"rename", rename_one, true},
    Operation{"unlink", unlink_one, true}, Operation{"mkdir", mkdir_one, false},
    Operation{"rmdir", rmdir_one, true},
};

double nanoseconds(Clock::duration spent) {
  return std::chrono::duration<double, std::nano>(spent).count();
}

double time_calls(const Operation& operation, int count, int dir) {
  std::vector<double> batches;
  for (int from = 0; from < count; from += kBatch) {
    const int to = std::min(count, from + kBatch);
    for (int i = from; operation.looks_up_before && i < to; ++i)
      if (!stat_one(dir, i)) give_up("looking up", Name("file", i).c_str());
    const auto began = Clock::now();
    for (int i = from; i < to; ++i)
      if (!operation.call(dir, i)) give_up(operation.name.data(), Name("file", i).c_str());
    batches.push_back(nanoseconds(Clock::now() - began) / (to - from));
  }
  const auto middle = batches.begin() + static_cast<std::ptrdiff_t>(batches.size() / 2);
  std::nth_element(batches.begin(), middle, batches.end());
  return *middle;
}

double time_listing(bool with_stat, int count, const char* path) {
  const auto began = Clock::now();
  DIR* const listing = ::opendir(path);
  if (listing == nullptr) give_up("listing", path);
  int seen = 0;
  while (const dirent* const entry = ::readdir(listing)) {
    if (entry->d_name[0] == '.') continue;
    ++seen;
    struct stat stat = {};
    if (with_stat && ::fstatat(::dirfd(listing), entry->d_name, &stat, AT_SYMLINK_NOFOLLOW) != 0)
      give_up("stat of", entry->d_name);
  }
  ::closedir(listing);
  const auto spent = Clock::now() - began;
  if (seen != count) {
    std::fprintf(stderr, "bench_client: %d names listed instead of %d\n", seen, count);
    std::exit(1);
  }
  return nanoseconds(spent) / count;
}

double run(std::string_view name, int count, const char* path) {
  if (name == "readdir" || name == "list") return time_listing(name == "list", count, path);
  for (const Operation& operation : kOperations)
    if (operation.name == name) return time_calls(operation, count, open_directory(path));
  std::fprintf(stderr, "bench_client: there is no operation %s\n", name.data());
  std::exit(2);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (what == "make" && argc > 5) {
    make(std::string_view(argv[2]) == "directory", std::atoi(argv[3]), argv[4], argv + 5, argc - 5);
    return 0;
  }
  if (argc != 4 || std::atoi(argv[2]) < 1) {
    std::fputs("usage: see the head of test/bench/client.cpp\n", stderr);
    return 2;
  }
  std::printf("%.1f\n", run(what, std::atoi(argv[2]), argv[3]));
  return 0;
}
