#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ops/backing.hpp"
#include "ops/settings.hpp"
#include "ops/union_fs.hpp"
#include "proto/encode.hpp"
#include "proto/features.hpp"
#include "proto/filesystem.hpp"
#include "proto/kernel_abi.hpp"
#include "test/support/fake_port.hpp"
#include "test/support/faulty_backing.hpp"

namespace bough::test {

/// A directory of its own for a test, removed with everything in it.
class TempDir {
 public:
  TempDir() {
    const std::string base = std::filesystem::temp_directory_path() / "bough-XXXXXX";
    std::vector<char> text(base.begin(), base.end());
    text.push_back('\0');
    if (::mkdtemp(text.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = text.data();
    ::chmod(path_.c_str(), 0755);
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

[[nodiscard]] inline std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
    ++count;
  return count;
}

/// A pool over temporary directories, used as the kernel would use it: claims that a helper keeps
/// are forgotten again, handles released, at the latest by the destructor, which then checks that
/// one node and no handle, hold, victim, backing file or descriptor is left. Single-threaded use.
///
///   PoolFixture pool({"RW", "RO"});           // two branches; pool.branch(0) is the first's path
///   pool.file(1, "d/f", "text");              // on branch 1, directly
///   const NodeId f = pool.walk("d/f");        // lookups; counts are balanced by the fixture
///   pool.fs().getattr(pool.as(f), {});        // as root; pool.as(f, 1000) as another user
class PoolFixture {
 public:
  using NodeId = proto::NodeId;
  using HandleId = proto::HandleId;
  /// Puts a decorator between the pool and the kernel: gets the real backing, which outlives what
  /// is returned.
  using Wrap = std::function<std::unique_ptr<ops::Backing>(ops::Backing&)>;
  /// Changes settings before the pool is made. minfreespace is 0 unless this says otherwise.
  using Tune = std::function<void(ops::Settings&)>;

  /// Whether the kernel takes backing files.
  enum class Backings { kRefused, kTaken };

  explicit PoolFixture(std::vector<std::string> modes = {"RW"}, const Wrap& wrap = {},
                       const Tune& tune = {}, Backings backings = Backings::kRefused)
      : posix_(ops::make_posix_backing()) {
    port_.takes_backing_files = backings == Backings::kTaken;
    if (wrap) wrapped_ = wrap(*posix_);
    for (std::size_t i = 0; i < modes.size(); ++i) {
      const auto path = top_.path() / ("b" + std::to_string(i));
      std::filesystem::create_directory(path);
      branches_.push_back(path);
      settings_.branches += (i == 0 ? "" : ":") + path.string() + "=" + modes[i];
    }
    settings_.min_free = 0;
    if (tune) tune(settings_);
    descriptors_before_ = open_descriptors();
    ops::ControlOptions control;
    control.rows = ops::settings_table(settings_);
    control.complain = [this](const std::string& line) {
      const std::lock_guard lock(complaining_);
      complaints.push_back(line);
    };
    control.notice = control.complain;
    control.mounted_inside = [this] { return mounted_inside; };
    control.mountpoint = "/mnt/pool";
    control.own_device = [this] { return own_device; };
    fs_ = ops::make_union_fs(backing(), settings_, std::move(control));
    proto::InitWants wants;
    fs_->want(wants);
    proto::InitAgreement agreement;
    agreement.minor = proto::kOurMinor;
    agreement.features = wants.features;
    agreement.max_write = wants.max_write;
    agreement.max_pages = wants.max_pages;
    fs_->start(agreement, port_);
    fs_->thread_started();
  }

  ~PoolFixture() {
    release_all();
    forget_all();
    fs_->idle();
    CHECK(count("nodes") == 1);
    CHECK(count("lookups") == 0);
    CHECK(count("handles") == 0);
    CHECK(count("holds") == 0);
    CHECK(count("victims") == 0);
    CHECK(count("overdrawn") == 0);
    CHECK(count("backing_files") == 0);
    CHECK(port_.registered_count() == 0);
    CHECK(port_.wrong_closes() == 0);
    CHECK(fs_->stop(std::chrono::seconds(20)));
    fs_.reset();
    wrapped_.reset();
    CHECK(open_descriptors() == descriptors_before_);
  }
  PoolFixture(const PoolFixture&) = delete;
  PoolFixture& operator=(const PoolFixture&) = delete;

  /// What the control file said to the log.
  std::vector<std::string> complaints;
  /// The same, while another thread may complain.
  [[nodiscard]] std::vector<std::string> heard() {
    const std::lock_guard lock(complaining_);
    return complaints;
  }
  /// What the control file is told of mounts inside the pool.
  std::string mounted_inside;
  /// The device that the pool believes to be mounted as.
  std::optional<std::uint64_t> own_device = 0;

  [[nodiscard]] proto::Filesystem& fs() noexcept { return *fs_; }
  [[nodiscard]] FakePort& port() noexcept { return port_; }
  [[nodiscard]] ops::Settings& settings() noexcept { return settings_; }
  [[nodiscard]] ops::Backing& backing() noexcept { return wrapped_ ? *wrapped_ : *posix_; }
  [[nodiscard]] std::filesystem::path branch(std::size_t index) const { return branches_[index]; }

  [[nodiscard]] std::uint64_t count(std::string_view name) const {
    std::vector<proto::Counter> all;
    fs_->count(all);
    for (const auto& each : all)
      if (each.name == name) return each.value;
    throw std::runtime_error("no counter " + std::string(name));
  }

  // --- the branches, behind the pool's back
  /// Missing parents are made.
  void file(std::size_t index, const std::string& path, std::string_view text = "",
            mode_t mode = 0644) {
    const auto full = branches_[index] / path;
    std::filesystem::create_directories(full.parent_path());
    std::ofstream(full, std::ios::binary) << text;
    if (::chmod(full.c_str(), mode) != 0) throw std::runtime_error("chmod " + full.string());
  }
  void directory(std::size_t index, const std::string& path, mode_t mode = 0755) {
    const auto full = branches_[index] / path;
    std::filesystem::create_directories(full);
    if (::chmod(full.c_str(), mode) != 0) throw std::runtime_error("chmod " + full.string());
  }
  [[nodiscard]] std::string text(std::size_t index, const std::string& path) const {
    std::ifstream in(branches_[index] / path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  [[nodiscard]] bool exists(std::size_t index, const std::string& path) const {
    struct stat ignored {};
    return ::lstat((branches_[index] / path).c_str(), &ignored) == 0;
  }
  [[nodiscard]] struct stat stat(std::size_t index, const std::string& path) const {
    struct stat result {};
    if (::lstat((branches_[index] / path).c_str(), &result) != 0)
      throw std::runtime_error("lstat " + path);
    return result;
  }

  // --- requests
  [[nodiscard]] proto::Context as(NodeId node, std::uint32_t uid = 0, std::uint32_t gid = 0) {
    proto::Context context;
    next_unique_ += 2;
    context.unique = proto::Unique{next_unique_};
    context.node = node;
    context.uid = uid;
    context.gid = gid;
    context.pid = static_cast<std::uint32_t>(::getpid());
    return context;
  }
  /// The same, marked as sent again after a restart of the connection's readers.
  [[nodiscard]] proto::Context resent(NodeId node, std::uint32_t uid = 0, std::uint32_t gid = 0) {
    auto context = as(node, uid, gid);
    context.unique.value |= proto::Unique::kResendBit;
    return context;
  }
  /// A name that lives as long as the fixture.
  [[nodiscard]] proto::Name name(std::string_view text) {
    names_.emplace_back(text);
    return proto::Name::check(names_.back()).value();
  }
  [[nodiscard]] proto::Result<proto::EntryReply> lookup(NodeId parent, std::string_view text) {
    proto::LookupRequest request;
    request.name = name(text);
    return fs_->lookup(as(parent), request);
  }
  /// The kernel has got this entry: its count is the fixture's to forget.
  NodeId keep(proto::EntryReply& reply) {
    reply.keep();
    counted_.push_back(reply.entry.node);
    return reply.entry.node;
  }
  HandleId keep(proto::OpenReply& reply, bool directory = false) {
    const HandleId handle = reply.claim.handle();
    reply.keep();
    handles_.push_back({handle, directory});
    return handle;
  }
  /// Fails the test when a component is not there.
  NodeId walk(std::string_view path) {
    NodeId node = proto::kRootNode;
    while (!path.empty()) {
      const auto slash = path.find('/');
      const auto part = path.substr(0, slash);
      path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
      auto found = lookup(node, part);
      REQUIRE_MESSAGE(found.has_value(), "no " << std::string(part));
      node = keep(*found);
    }
    return node;
  }
  HandleId open(NodeId node, std::uint32_t flags, std::uint32_t uid = 0, std::uint32_t gid = 0) {
    proto::OpenRequest request;
    request.flags = flags;
    auto opened = fs_->open(as(node, uid, gid), request);
    REQUIRE(opened.has_value());
    return keep(*opened);
  }
  void release(HandleId handle) {
    const auto at = std::find_if(handles_.begin(), handles_.end(), [&](const Open& each) {
      return each.handle.value == handle.value;
    });
    REQUIRE(at != handles_.end());
    close(*at);
    handles_.erase(at);
  }
  void release_all() {
    for (const Open& each : handles_) close(each);
    handles_.clear();
  }
  /// Takes back every count that was kept.
  void forget_all() {
    for (const NodeId node : counted_) fs_->forget(node, 1);
    counted_.clear();
  }

  [[nodiscard]] std::string read(HandleId handle, std::uint64_t offset = 0,
                                 std::uint32_t size = 65536) {
    std::string out(size, '\0');
    proto::ReadRequest request;
    request.handle = handle;
    request.offset = offset;
    request.size = size;
    const auto got = fs_->read(as(proto::kRootNode), request,
                               std::as_writable_bytes(std::span(out.data(), out.size())));
    REQUIRE(got.has_value());
    out.resize(*got);
    return out;
  }
  [[nodiscard]] proto::Result<std::uint32_t> write(HandleId handle, std::string_view text,
                                                   std::uint64_t offset = 0,
                                                   std::uint32_t flags = O_WRONLY,
                                                   std::uint32_t uid = 0, std::uint32_t gid = 0) {
    proto::WriteRequest request;
    request.handle = handle;
    request.offset = offset;
    request.flags = flags;
    request.data = std::as_bytes(std::span(text.data(), text.size()));
    return fs_->write(as(proto::kRootNode, uid, gid), request);
  }

  struct Listed {
    std::string name;
    std::uint64_t ino = 0;
    std::uint64_t cookie = 0;
    std::uint32_t type = 0;
  };
  /// What one READDIR of `size` bytes gives from `offset` on.
  [[nodiscard]] std::vector<Listed> readdir(HandleId handle, std::uint64_t offset = 0,
                                            std::uint32_t size = 4096) {
    std::vector<std::byte> buffer(size);
    proto::DirentPacker packer(buffer);
    proto::ReaddirRequest request;
    request.handle = handle;
    request.offset = offset;
    request.size = size;
    const auto done = fs_->readdir(as(proto::kRootNode), request, packer);
    REQUIRE(done.has_value());
    return parse(std::span<const std::byte>(buffer.data(), packer.size()));
  }
  /// Every name in the directory but "." and "..", sorted; opens and closes a handle.
  [[nodiscard]] std::vector<std::string> list(NodeId directory) {
    auto opened = fs_->opendir(as(directory), proto::OpendirRequest{});
    REQUIRE(opened.has_value());
    const HandleId handle = keep(*opened, true);
    std::vector<std::string> names;
    std::uint64_t offset = 0;
    for (auto part = readdir(handle, offset); !part.empty(); part = readdir(handle, offset)) {
      for (const Listed& each : part) {
        if (each.name != "." && each.name != "..") names.push_back(each.name);
        offset = each.cookie;
      }
    }
    release(handle);
    std::sort(names.begin(), names.end());
    return names;
  }

  /// Reads packed fuse_dirent records.
  [[nodiscard]] static std::vector<Listed> parse(std::span<const std::byte> data) {
    std::vector<Listed> all;
    while (data.size() >= 24) {
      Listed each;
      std::uint32_t length = 0;
      std::memcpy(&each.ino, data.data(), 8);
      std::memcpy(&each.cookie, data.data() + 8, 8);
      std::memcpy(&length, data.data() + 16, 4);
      std::memcpy(&each.type, data.data() + 20, 4);
      REQUIRE(data.size() >= 24 + length);
      each.name.assign(reinterpret_cast<const char*>(data.data() + 24), length);
      all.push_back(std::move(each));
      data = data.subspan(std::min<std::size_t>(data.size(), (24 + length + 7) / 8 * 8));
    }
    return all;
  }

 private:
  struct Open {
    HandleId handle;
    bool directory;
  };
  void close(const Open& open) {
    if (open.directory) {
      CHECK(
          fs_->releasedir(as(proto::kRootNode), proto::ReleasedirRequest{open.handle}).has_value());
    } else {
      proto::ReleaseRequest request;
      request.handle = open.handle;
      CHECK(fs_->release(as(proto::kRootNode), request).has_value());
    }
  }

  TempDir top_;
  std::unique_ptr<ops::Backing> posix_;
  std::unique_ptr<ops::Backing> wrapped_;
  std::vector<std::filesystem::path> branches_;
  ops::Settings settings_;
  FakePort port_;
  std::size_t descriptors_before_ = 0;
  std::unique_ptr<proto::Filesystem> fs_;
  std::uint64_t next_unique_ = 2;
  std::mutex complaining_;
  std::deque<std::string> names_;
  std::vector<NodeId> counted_;
  std::vector<Open> handles_;
};

/// For PoolFixture's constructor: faults between the pool and the kernel. `into` lives as long as
/// the fixture.
[[nodiscard]] inline PoolFixture::Wrap with_faults(FaultyBacking*& into) {
  return [&into](ops::Backing& real) {
    auto faults = std::make_unique<FaultyBacking>(real);
    into = faults.get();
    return faults;
  };
}

/// Runs `operation` (returns the errno, 0 for success) again and again, with `error` in place of
/// its first call into the kernel, its second, and so on, until it makes no further call. After
/// each, nothing may have been lost: `settle` puts back what a success changed; then counts and
/// descriptors must be as they were. A failure must be `error` itself, or one that `allowed` names.
inline void fail_each_call(PoolFixture& pool, FaultyBacking& faults, int error,
                           const std::function<int()>& operation,
                           const std::function<void(bool succeeded)>& settle = {},
                           std::initializer_list<int> allowed = {}) {
  constexpr std::uint64_t kMost = 1000;
  constexpr std::array<std::string_view, 6> kBalanced{"nodes", "lookups", "handles",
                                                      "holds", "victims", "overdrawn"};
  const auto figures = [&] {
    std::array<std::uint64_t, kBalanced.size()> all{};
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = pool.count(kBalanced[i]);
    return all;
  };
  for (std::uint64_t k = 1; k <= kMost; ++k) {
    CAPTURE(k);
    pool.fs().idle();
    const auto figures_before = figures();
    const std::size_t descriptors_before = open_descriptors();
    faults.reset();
    faults.fail({Call::kAny, k, 1, {}}, error);
    const int result = operation();
    const bool hit = faults.failures() != 0;
    faults.reset();
    if (result != 0) {
      const bool expected =
          result == error || std::find(allowed.begin(), allowed.end(), result) != allowed.end();
      CHECK_MESSAGE(expected, "errno " << result);
    }
    if (settle) settle(result == 0);
    pool.fs().idle();
    CHECK(figures() == figures_before);
    CHECK(open_descriptors() == descriptors_before);
    if (!hit) {
      CHECK(result == 0);
      CHECK(k > 1);
      return;
    }
  }
  FAIL("the operation never came to its end");
}

}  // namespace bough::test
