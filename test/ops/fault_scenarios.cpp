#include "test/ops/fault_scenarios.hpp"

#include <linux/fs.h>

#include <tuple>

namespace bough::test {
namespace {

using proto::Context;
using proto::HandleId;
using proto::kRootNode;
using proto::NodeId;
using Act = std::function<Outcome()>;
using Kind = Scenario::Kind;

constexpr std::uint32_t kUser = 1000;
constexpr std::uint32_t kNoReplace = 1;
constexpr std::uint32_t kExchange = 2;

Context caller(PoolFixture& pool, NodeId node) {
  return pool.as(node, ::geteuid() == 0 ? kUser : ::geteuid(),
                 ::geteuid() == 0 ? kUser : ::getegid());
}

std::string text_of(const proto::Attr& attr) {
  std::array<char, 96> text;
  // A directory's size and links are its file system's affair.
  const bool directory = S_ISDIR(attr.mode);
  std::snprintf(text.data(), text.size(), "mode %o of %u:%u, %u links, %llu bytes", attr.mode,
                attr.uid, attr.gid, directory ? 0 : attr.nlink,
                directory ? 0ULL : static_cast<unsigned long long>(attr.size));
  return text.data();
}

Outcome failed(proto::Errno error) {
  return {error.value()};
}
Outcome outcome(const proto::Result<void>& done) {
  return done ? Outcome{} : failed(done.error());
}
Outcome outcome(const proto::Result<proto::AttrReply>& reply) {
  return reply ? Outcome{0, text_of(reply->attr)} : failed(reply.error());
}
template <class Number>
Outcome outcome(const proto::Result<Number>& number) {
  return number ? Outcome{0, std::to_string(*number)} : failed(number.error());
}
Outcome outcome(PoolFixture& pool, proto::Result<proto::EntryReply> reply) {
  if (!reply) return failed(reply.error());
  if (reply->entry.node != proto::kNoNode) (void)pool.keep(*reply);
  return {0, text_of(reply->entry.attr)};
}
Outcome outcome(PoolFixture& pool, proto::Result<proto::OpenReply> reply, bool directory) {
  if (!reply) return failed(reply.error());
  (void)pool.keep(*reply, directory);
  return {0, "open"};
}
Outcome outcome(PoolFixture& pool, proto::Result<proto::CreateReply> reply) {
  if (!reply) return failed(reply.error());
  (void)pool.keep(reply->entry);
  (void)pool.keep(reply->open);
  return {0, text_of(reply->entry.entry.attr)};
}
Outcome outcome(proto::Result<std::size_t> size, const std::vector<std::byte>& data) {
  if (!size) return failed(size.error());
  return {0, std::string(reinterpret_cast<const char*>(data.data()), *size)};
}

HandleId open_directory(PoolFixture& pool, NodeId node) {
  auto opened = pool.fs().opendir(pool.as(node), {});
  REQUIRE(opened.has_value());
  return pool.keep(*opened, true);
}

struct Lists {
  std::vector<Scenario> all;

  void add(std::string name, Kind kind, std::string about, std::vector<std::string> also,
           std::function<Act(PoolFixture&)> prepare) {
    all.push_back({std::move(name), kind, std::move(about), std::move(also), std::move(prepare)});
  }
  /// An operation that needs one node only.
  template <class Do>
  void on_node(std::string name, Kind kind, const std::string& path, Do act) {
    add(std::move(name), kind, path, {}, [path, act](PoolFixture& pool) -> Act {
      const NodeId node = pool.walk(path);
      return [&pool, node, act] { return act(pool, caller(pool, node)); };
    });
  }
  /// An operation on an open file.
  template <class Do>
  void on_handle(std::string name, Kind kind, const std::string& path, std::uint32_t flags,
                 Do act) {
    add(std::move(name), kind, path, {}, [path, flags, act](PoolFixture& pool) -> Act {
      const NodeId node = pool.walk(path);
      const HandleId handle = pool.open(node, flags);
      return [&pool, node, handle, act] { return act(pool, caller(pool, node), handle); };
    });
  }
  /// An operation on a name in a directory; what has the name is known, if it is there.
  template <class Do>
  void on_name(std::string name, Kind kind, const std::string& path, Do act) {
    add(std::move(name), kind, path, {}, [path, act](PoolFixture& pool) -> Act {
      const auto slash = path.rfind('/');
      const NodeId parent = pool.walk(path.substr(0, slash));
      const std::string last = path.substr(slash + 1);
      if (auto found = pool.lookup(parent, last)) (void)pool.keep(*found);
      return
          [&pool, parent, last, act] { return act(pool, caller(pool, parent), pool.name(last)); };
    });
  }
};

void add_asking(Lists& lists) {
  const auto lookup = [](PoolFixture& pool, const Context& context, proto::Name name) {
    proto::LookupRequest request;
    request.name = name;
    return outcome(pool, pool.fs().lookup(context, request));
  };
  lists.on_name("lookup", Kind::kAsks, "d/f", lookup);
  lists.on_name("lookup of a directory", Kind::kAsks, "d/k", lookup);
  lists.on_name("lookup of nothing", Kind::kAsks, "d/nothing", lookup);
  for (const auto target :
       {proto::LookupRequest::Target::kSelf, proto::LookupRequest::Target::kParent})
    lists.on_node(target == proto::LookupRequest::Target::kSelf ? "lookup of ." : "lookup of ..",
                  Kind::kAsks, "d/k", [target](PoolFixture& pool, const Context& context) {
                    proto::LookupRequest request;
                    request.target = target;
                    return outcome(pool, pool.fs().lookup(context, request));
                  });
  const auto getattr = [](PoolFixture& pool, const Context& context) {
    return outcome(pool.fs().getattr(context, {}));
  };
  lists.on_node("getattr", Kind::kAsks, "d/f", getattr);
  lists.on_node("getattr of a directory", Kind::kAsks, "d/k", getattr);
  lists.on_node("getattr of the root", Kind::kAsks, "", getattr);
  lists.on_handle("getattr by handle", Kind::kAsks, "d/f", O_RDONLY,
                  [](PoolFixture& pool, const Context& context, HandleId handle) {
                    return outcome(pool.fs().getattr(context, {handle}));
                  });
  lists.add("getattr of an unlinked file", Kind::kAsks, "d/f", {}, [](PoolFixture& pool) -> Act {
    const NodeId parent = pool.walk("d");
    auto made = pool.fs().create(pool.as(parent),
                                 {pool.name("gone"), O_RDWR | O_CREAT, 0100644, 0, false, {}});
    REQUIRE(made.has_value());
    const NodeId node = pool.keep(made->entry);
    REQUIRE(pool.fs().unlink(pool.as(parent), {pool.name("gone")}).has_value());
    return [&pool, node] { return outcome(pool.fs().getattr(caller(pool, node), {})); };
  });
  lists.on_node("statx", Kind::kAsks, "d/f", [](PoolFixture& pool, const Context& context) {
    const auto reply = pool.fs().statx(context, {});
    return reply ? Outcome{0, text_of(reply->attr)} : failed(reply.error());
  });
  lists.on_node("access", Kind::kAsks, "d/f", [](PoolFixture& pool, const Context& context) {
    return outcome(pool.fs().access(context, {R_OK}));
  });
  lists.on_node("readlink", Kind::kAsks, "d/s", [](PoolFixture& pool, const Context& context) {
    std::vector<std::byte> out(4096);
    return outcome(pool.fs().readlink(context, {}, out), out);
  });
  lists.on_node("statfs", Kind::kAsks, "", [](PoolFixture& pool, const Context& context) {
    const auto reply = pool.fs().statfs(context, {});
    return reply ? Outcome{0, std::to_string(reply->name_max)} : failed(reply.error());
  });
}

void add_listing(Lists& lists) {
  lists.on_node("opendir", Kind::kAsks, "d", [](PoolFixture& pool, const Context& context) {
    return outcome(pool, pool.fs().opendir(context, {}), true);
  });
  const auto on_directory = [&lists](const std::string& name, auto act) {
    lists.add(name, Kind::kAsks, "d", {}, [act](PoolFixture& pool) -> Act {
      const NodeId node = pool.walk("d");
      const HandleId handle = open_directory(pool, node);
      return [&pool, node, handle, act] { return act(pool, caller(pool, node), handle); };
    });
  };
  const auto names_of = [](std::vector<std::string> names) {
    std::sort(names.begin(), names.end());
    std::string all;
    for (const std::string& name : names) all += name + " ";
    return all;
  };
  on_directory("readdir", [names_of](PoolFixture& pool, const Context& context, HandleId handle) {
    std::vector<std::string> names;
    std::uint64_t offset = 0;
    for (;;) {
      // Small, so that one listing takes several requests.
      alignas(8) std::array<std::byte, 96> buffer;
      proto::DirentPacker packer(buffer);
      const auto done = pool.fs().readdir(context, {handle, offset, buffer.size()}, packer);
      if (!done) return failed(done.error());
      if (packer.entries() == 0) return Outcome{0, names_of(names)};
      for (const auto& each : PoolFixture::parse(std::span(buffer).first(packer.size()))) {
        names.push_back(each.name);
        offset = each.cookie;
      }
    }
  });
  on_directory("readdirplus", [](PoolFixture& pool, const Context& context, HandleId handle) {
    alignas(8) std::array<std::byte, 4096> buffer;
    proto::DirentPlusPacker packer(buffer, pool.fs());
    const auto done = pool.fs().readdirplus(context, {handle, 0, buffer.size()}, packer);
    return done ? Outcome{0, std::to_string(packer.entries())} : failed(done.error());
  });
  on_directory("fsyncdir", [](PoolFixture& pool, const Context& context, HandleId handle) {
    return outcome(pool.fs().fsyncdir(context, {handle, false}));
  });
  lists.add("releasedir", Kind::kAsks, "d", {}, [](PoolFixture& pool) -> Act {
    const NodeId node = pool.walk("d");
    return [&pool, node]() -> Outcome {
      auto opened = pool.fs().opendir(pool.as(node), {});
      if (!opened) return failed(opened.error());
      const HandleId handle = opened->claim.handle();
      opened->keep();
      return outcome(pool.fs().releasedir(pool.as(node), {handle}));
    };
  });
}

void add_attributes(Lists& lists) {
  const auto set = [&lists](const std::string& name, const std::string& path,
                            const proto::SetattrRequest& request) {
    lists.on_node("setattr: " + name, Kind::kChangesFile, path,
                  [request](PoolFixture& pool, const Context& context) {
                    return outcome(pool.fs().setattr(context, request));
                  });
  };
  const proto::TimeChange then{false, 1234, 5};
  proto::SetattrRequest mode;
  mode.mode = 0600;
  set("mode", "d/f", mode);
  proto::SetattrRequest directory_mode;
  directory_mode.mode = 0710;
  set("mode of a directory", "d/k", directory_mode);
  proto::SetattrRequest owner;
  owner.uid = ::geteuid() == 0 ? kUser : ::geteuid();
  owner.gid = ::geteuid() == 0 ? kUser : ::getegid();
  set("owner", "d/f", owner);
  set("owner of a symlink", "d/s", owner);
  proto::SetattrRequest times;
  times.atime = then;
  times.mtime = then;
  set("times", "d/f", times);
  proto::SetattrRequest smaller;
  smaller.size = 2;
  set("a smaller size", "d/f", smaller);
  proto::SetattrRequest larger;
  larger.size = 100;
  set("a larger size", "d/f", larger);
  proto::SetattrRequest all = mode;
  all.uid = owner.uid;
  all.gid = owner.gid;
  all.size = 100;
  all.atime = then;
  all.mtime = then;
  set("all at once", "d/f", all);
  proto::SetattrRequest truncation;
  truncation.size = 0;
  truncation.kill_suidgid = true;
  lists.on_handle("setattr: size by handle", Kind::kChangesFile, "d/f", O_RDWR,
                  [truncation](PoolFixture& pool, const Context& context, HandleId handle) {
                    auto request = truncation;
                    request.handle = handle;
                    return outcome(pool.fs().setattr(context, request));
                  });
}

void add_xattrs(Lists& lists) {
  for (const std::string path : {"d/f", "d/k"}) {
    const std::string of = path == "d/f" ? "" : " of a directory";
    lists.on_node("setxattr" + of, Kind::kChangesFile, path,
                  [](PoolFixture& pool, const Context& context) {
                    proto::SetxattrRequest request;
                    request.name = "user.new";
                    request.value = std::as_bytes(std::span("new", 3));
                    return outcome(pool.fs().setxattr(context, request));
                  });
    lists.on_node("getxattr" + of, Kind::kAsks, path,
                  [](PoolFixture& pool, const Context& context) {
                    std::vector<std::byte> out(256);
                    return outcome(pool.fs().getxattr(context, {"user.ground", 256}, out), out);
                  });
    lists.on_node("listxattr" + of, Kind::kAsks, path,
                  [](PoolFixture& pool, const Context& context) {
                    std::vector<std::byte> out(256);
                    return outcome(pool.fs().listxattr(context, {256}, out), out);
                  });
    lists.on_node("removexattr" + of, Kind::kChangesFile, path,
                  [](PoolFixture& pool, const Context& context) {
                    return outcome(pool.fs().removexattr(context, {"user.ground"}));
                  });
  }
}

void add_making(Lists& lists) {
  lists.on_name("symlink", Kind::kMakesNames, "d/new",
                [](PoolFixture& pool, const Context& context, proto::Name name) {
                  return outcome(pool, pool.fs().symlink(context, {name, "target", {}}));
                });
  lists.on_name(
      "mknod", Kind::kMakesNames, "d/new",
      [](PoolFixture& pool, const Context& context, proto::Name name) {
        return outcome(pool, pool.fs().mknod(context, {name, S_IFIFO | 0644, 0, 022, {}}));
      });
  lists.on_name("mkdir", Kind::kMakesNames, "d/new",
                [](PoolFixture& pool, const Context& context, proto::Name name) {
                  return outcome(pool, pool.fs().mkdir(context, {name, 0755, 022, {}}));
                });
  for (const std::string path : {"d/k/new", "d/new"})
    lists.on_name(
        "create of " + path, Kind::kMakesNames, path,
        [](PoolFixture& pool, const Context& context, proto::Name name) {
          return outcome(
              pool, pool.fs().create(context, {name, O_RDWR | O_CREAT, 0100644, 022, false, {}}));
        });
  lists.on_node("tmpfile", Kind::kMakesNames, "d/k", [](PoolFixture& pool, const Context& context) {
    return outcome(pool, pool.fs().tmpfile(context, {O_RDWR | O_TMPFILE, 0100600, 022, {}}));
  });
  for (const std::string to : {"p/new", "d/k/new"})
    lists.add("link to " + to, Kind::kChangesNames, "d/f", {to}, [to](PoolFixture& pool) -> Act {
      const NodeId file = pool.walk("d/f");
      const NodeId parent = pool.walk(to.substr(0, to.rfind('/')));
      return [&pool, file, parent] {
        return outcome(pool, pool.fs().link(caller(pool, parent), {file, pool.name("new")}));
      };
    });
}

void add_removing(Lists& lists) {
  const auto unlink = [](PoolFixture& pool, const Context& context, proto::Name name) {
    return outcome(pool.fs().unlink(context, {name}));
  };
  lists.on_name("unlink", Kind::kChangesNames, "d/f", unlink);
  lists.add("unlink of an open file", Kind::kChangesNames, "d/f", {}, [](PoolFixture& pool) -> Act {
    const NodeId parent = pool.walk("d");
    (void)pool.open(pool.walk("d/f"), O_RDONLY);
    return [&pool, parent] {
      return outcome(pool.fs().unlink(caller(pool, parent), {pool.name("f")}));
    };
  });
  lists.on_name("rmdir", Kind::kChangesNames, "d/e",
                [](PoolFixture& pool, const Context& context, proto::Name name) {
                  return outcome(pool.fs().rmdir(context, {name}));
                });
  lists.on_name("rmdir of a full directory", Kind::kChangesNames, "d/k",
                [](PoolFixture& pool, const Context& context, proto::Name name) {
                  return outcome(pool.fs().rmdir(context, {name}));
                });
}

void add_moving(Lists& lists) {
  const auto rename = [&lists](const std::string& from, const std::string& to,
                               std::uint32_t flags = 0) {
    std::string name = "rename of " + from + " to " + to;
    if (flags == kNoReplace) name += ", NOREPLACE";
    if (flags == kExchange) name += ", EXCHANGE";
    lists.add(name, Kind::kChangesNames, from, {to}, [=](PoolFixture& pool) -> Act {
      const NodeId old_parent = pool.walk(from.substr(0, from.rfind('/')));
      const NodeId new_parent = pool.walk(to.substr(0, to.rfind('/')));
      const std::string old_name = from.substr(from.rfind('/') + 1);
      const std::string new_name = to.substr(to.rfind('/') + 1);
      (void)pool.walk(from);
      if (auto found = pool.lookup(new_parent, new_name)) (void)pool.keep(*found);
      return [&pool, old_parent, new_parent, old_name, new_name, flags] {
        return outcome(pool.fs().rename(caller(pool, old_parent), {new_parent, pool.name(old_name),
                                                                   pool.name(new_name), flags}));
      };
    });
  };
  rename("d/f", "d/g");
  rename("d/f", "p/new");
  rename("d/f", "p/taken");
  rename("d/f", "p/new", kNoReplace);
  rename("d/f", "d/s", kExchange);
  rename("d/k", "p/new");
  rename("d/k", "d/e");
  rename("d/k", "d/e", kExchange);
}

void add_open_files(Lists& lists) {
  const auto open = [](std::uint32_t flags) {
    return [flags](PoolFixture& pool, const Context& context) {
      return outcome(pool, pool.fs().open(context, {flags, (flags & O_TRUNC) != 0}), false);
    };
  };
  lists.on_node("open", Kind::kAsks, "d/f", open(O_RDONLY));
  lists.on_node("open to write", Kind::kAsks, "d/f", open(O_RDWR));
  lists.on_node("open and truncate", Kind::kChangesFile, "d/f", open(O_WRONLY | O_TRUNC));
  lists.add("release", Kind::kAsks, "d/f", {}, [](PoolFixture& pool) -> Act {
    const NodeId node = pool.walk("d/f");
    return [&pool, node]() -> Outcome {
      auto opened = pool.fs().open(pool.as(node), {O_RDONLY, false});
      if (!opened) return failed(opened.error());
      proto::ReleaseRequest request;
      request.handle = opened->claim.handle();
      opened->keep();
      return outcome(pool.fs().release(pool.as(node), request));
    };
  });
  lists.on_handle("read", Kind::kAsks, "d/f", O_RDONLY,
                  [](PoolFixture& pool, const Context& context, HandleId handle) {
                    std::vector<std::byte> out(4096);
                    proto::ReadRequest request;
                    request.handle = handle;
                    request.size = 4096;
                    return outcome(pool.fs().read(context, request, out), out);
                  });
  for (const bool from_cache : {false, true})
    lists.on_handle(from_cache ? "write from the cache" : "write", Kind::kChangesFile, "d/f",
                    O_RDWR,
                    [from_cache](PoolFixture& pool, const Context& context, HandleId handle) {
                      proto::WriteRequest request;
                      request.handle = handle;
                      request.data = std::as_bytes(std::span("WRITTEN", 7));
                      request.from_cache = from_cache;
                      request.kill_suidgid = true;
                      return outcome(pool.fs().write(context, request));
                    });
  lists.on_handle("flush", Kind::kAsks, "d/f", O_RDWR,
                  [](PoolFixture& pool, const Context& context, HandleId handle) {
                    return outcome(pool.fs().flush(context, {handle, 0}));
                  });
  lists.on_handle("fsync", Kind::kAsks, "d/f", O_RDWR,
                  [](PoolFixture& pool, const Context& context, HandleId handle) {
                    return outcome(pool.fs().fsync(context, {handle, false}));
                  });
  lists.on_handle("fallocate", Kind::kChangesFile, "d/f", O_RDWR,
                  [](PoolFixture& pool, const Context& context, HandleId handle) {
                    return outcome(pool.fs().fallocate(context, {handle, 0, 200, 0}));
                  });
  lists.on_handle("lseek", Kind::kAsks, "d/f", O_RDONLY,
                  [](PoolFixture& pool, const Context& context, HandleId handle) {
                    return outcome(pool.fs().lseek(context, {handle, 0, SEEK_HOLE}));
                  });
  lists.add("copy_file_range", Kind::kChangesFile, "d/f", {"z"}, [](PoolFixture& pool) -> Act {
    const NodeId from = pool.walk("d/f");
    const NodeId to = pool.walk("z");
    proto::CopyFileRangeRequest request;
    request.handle_in = pool.open(from, O_RDONLY);
    request.node_out = to;
    request.handle_out = pool.open(to, O_WRONLY);
    request.length = 5;
    return [&pool, from, request] {
      return outcome(pool.fs().copy_file_range(caller(pool, from), request));
    };
  });
}

/// FS_IOC_GETFLAGS or, with all that `set` has, FS_IOC_SETFLAGS.
Outcome ioctl(PoolFixture& pool, const Context& context, HandleId handle, std::optional<int> set) {
  int value = set.value_or(0);
  std::vector<std::byte> out(sizeof value);
  proto::IoctlRequest request;
  request.handle = handle;
  request.command = set ? FS_IOC_SETFLAGS : FS_IOC_GETFLAGS;
  if (set)
    request.in = std::as_bytes(std::span(&value, 1));
  else
    request.out_size = sizeof value;
  const auto reply = pool.fs().ioctl(context, request, out);
  if (!reply) return failed(reply.error());
  std::memcpy(&value, out.data(), reply->out_size);
  return {0, std::to_string(value)};
}

void add_ioctls(Lists& lists) {
  for (const bool sets : {false, true})
    for (const std::string path : {"d/f", "d/k"}) {
      const std::string name =
          std::string("ioctl: ") + (sets ? "set" : "get") + " flags of " + path;
      lists.add(name, sets ? Kind::kChangesFile : Kind::kAsks, path, {},
                [=](PoolFixture& pool) -> Act {
                  const NodeId node = pool.walk(path);
                  const HandleId handle =
                      path == "d/f" ? pool.open(node, O_RDWR) : open_directory(pool, node);
                  const Context context = pool.as(node, ::geteuid(), ::getegid());
                  std::optional<int> flags;
                  if (sets) {
                    const Outcome now = ioctl(pool, context, handle, std::nullopt);
                    flags = (now.error == 0 ? std::stoi(now.answer) : 0) | FS_NODUMP_FL;
                  }
                  return [=, &pool] { return ioctl(pool, context, handle, flags); };
                });
    }
}

}  // namespace

const std::vector<Scenario>& fault_scenarios() {
  static const std::vector<Scenario> all = [] {
    Lists lists;
    add_asking(lists);
    add_listing(lists);
    add_attributes(lists);
    add_xattrs(lists);
    add_making(lists);
    add_removing(lists);
    add_moving(lists);
    add_open_files(lists);
    add_ioctls(lists);
    return lists.all;
  }();
  return all;
}

}  // namespace bough::test
