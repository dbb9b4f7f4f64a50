#include "proto/render.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>

#include <array>
#include <cerrno>
#include <string>

#include "proto/kernel_abi.hpp"
#include "test/support/wire.hpp"

using namespace bough::proto;
using namespace std::chrono_literals;

namespace {

class NoOwner : public ClaimOwner {
 public:
  void drop_lookup(NodeId, std::uint64_t) noexcept override {}
  void drop_handle(HandleId) noexcept override {}
};

EntryReply entry() {
  EntryReply reply;
  reply.entry.node = NodeId{42};
  reply.entry.generation = Generation{7};
  reply.entry.entry_valid = 1500ms;
  reply.entry.attr.ino = 11;
  reply.entry.attr.size = 4096;
  reply.entry.attr.blocks = 8;
  reply.entry.attr.mode = 0100644;
  reply.entry.attr.nlink = 1;
  reply.entry.attr.uid = 1000;
  reply.entry.attr.gid = 100;
  reply.entry.attr.mtime = {-1, 5};
  return reply;
}

constexpr std::string_view kEntryLine =
    "node=42 generation=7 entry_valid=1.5s attr_valid=0s ino=11 mode=0100644 nlink=1 uid=1000 "
    "gid=100 size=4096 blocks=8 atime=0.000000000 mtime=-1.000000005 ctime=0.000000000";

}  // namespace

TEST_CASE("a name cannot break a line or forge another field") {
  CHECK(quote("plain") == "\"plain\"");
  CHECK(quote("a\nb\tc") == "\"a\\nb\\tc\"");
  CHECK(quote("\" fh=1") == "\"\\\" fh=1\"");
  CHECK(quote("back\\slash") == "\"back\\\\slash\"");
  CHECK(quote(std::string_view("\0\x1b\x7f\r", 4)) == "\"\\x00\\x1b\\x7f\\x0d\"");
  CHECK(quote("gr\xc3\xbc\xc3\x9f") == "\"gr\xc3\xbc\xc3\x9f\"");
}

TEST_CASE("whatever bytes a name has, its line is UTF-8") {
  CHECK(quote("\xff.jpg") == "\"\\xff.jpg\"");
  CHECK(quote("gr\xfc\xdf") == "\"gr\\xfc\\xdf\"");
  CHECK(quote("cut \xe2\x82") == "\"cut \\xe2\\x82\"");
  CHECK(quote("\xe2\x82\xac\xe2\"") == "\"\xe2\x82\xac\\xe2\\\"\"");
  CHECK(quote("overlong \xc0\xaf\xe0\x80\xaf") == "\"overlong \\xc0\\xaf\\xe0\\x80\\xaf\"");
  CHECK(quote("surrogate \xed\xa0\x80") == "\"surrogate \\xed\\xa0\\x80\"");
  CHECK(quote("\xf0\x9f\x8c\xb3") == "\"\xf0\x9f\x8c\xb3\"");
  CHECK(quote("\xf4\x90\x80\x80") == "\"\\xf4\\x90\\x80\\x80\"");
}

TEST_CASE("errors go by their names") {
  CHECK(render(Errno{ENOENT}) == "ENOENT");
  CHECK(render(Errno{EAGAIN}) == "EAGAIN");
  CHECK(render(Errno{EOPNOTSUPP}) == "EOPNOTSUPP");
  CHECK(render(Errno{4000}) == "errno 4000");
  CHECK(render(Errno{-2}) == "errno -2");
}

TEST_CASE("open flags are spelt out") {
  CHECK(render_open_flags(0) == "O_RDONLY");
  CHECK(render_open_flags(O_WRONLY) == "O_WRONLY");
  CHECK(render_open_flags(O_RDWR | O_CREAT | O_EXCL) == "O_RDWR|O_CREAT|O_EXCL");
  CHECK(render_open_flags(O_SYNC) == "O_RDONLY|O_SYNC");
  CHECK(render_open_flags(O_DSYNC) == "O_RDONLY|O_DSYNC");
  CHECK(render_open_flags(O_TMPFILE) == "O_RDONLY|O_TMPFILE");
  CHECK(render_open_flags(O_DIRECTORY | O_CLOEXEC) == "O_RDONLY|O_DIRECTORY|O_CLOEXEC");
  CHECK(render_open_flags(0x80000000U) == "O_RDONLY|0x80000000");
}

TEST_CASE("flags of an open reply are spelt out") {
  using namespace abi::open_reply;
  CHECK(render_open_reply_flags(0) == "0");
  CHECK(render_open_reply_flags(kDirectIo | kKeepCache | kPassthrough) ==
        "DIRECT_IO|KEEP_CACHE|PASSTHROUGH");
  CHECK(render_open_reply_flags(0x1ff) ==
        "DIRECT_IO|KEEP_CACHE|NONSEEKABLE|CACHE_DIR|STREAM|NOFLUSH|PARALLEL_DIRECT_WRITES|"
        "PASSTHROUGH|IO_URING_ZERO_COPY");
  CHECK(render_open_reply_flags(0x400) == "0x400");
}

TEST_CASE("replies by shape") {
  CHECK(render_reply(Result<void>{}) == "ok");
  CHECK(render_reply(Result<void>{Errno{ENOTEMPTY}}) == "ENOTEMPTY");
  CHECK(render_reply(Result<EntryReply>{Errno{ENOENT}}) == "ENOENT");
  CHECK(render_reply(Result<std::size_t>{std::size_t{4096}}) == "4096");
  CHECK(render_reply(Result<std::uint32_t>{512U}) == "512");
  CHECK(render_reply(Result<EntryReply>{entry()}) == kEntryLine);
  CHECK(render_value(AttrReply{0s, entry().entry.attr}) ==
        "attr_valid=0s ino=11 mode=0100644 nlink=1 uid=1000 gid=100 size=4096 blocks=8 "
        "atime=0.000000000 mtime=-1.000000005 ctime=0.000000000");

  EntryReply absent;
  absent.entry.entry_valid = 2s;
  CHECK(render_value(absent) == "node=0 entry_valid=2s");

  NoOwner owner;
  OpenReply open;
  open.flags = abi::open_reply::kPassthrough;
  open.backing_id = 3;
  open.claim = HandleClaim(owner, HandleId{17});
  CHECK(render_value(open) == "fh=17 open=PASSTHROUGH backing_id=3");

  CreateReply create;
  create.entry = entry();
  create.open.claim = HandleClaim(owner, HandleId{18});
  CHECK(render_value(create) == std::string(kEntryLine) + " fh=18 open=0");

  StatfsReply statfs;
  statfs.blocks = 1;
  statfs.blocks_free = 2;
  statfs.blocks_available = 3;
  statfs.files = 4;
  statfs.files_free = 5;
  statfs.block_size = 6;
  statfs.fragment_size = 7;
  statfs.name_max = 255;
  CHECK(render_value(statfs) ==
        "blocks=1 free=2 available=3 files=4 files_free=5 block_size=6 fragment_size=7 "
        "name_max=255");

  CHECK(render_value(IoctlReply{-1, 8}) == "result=-1 out_size=8");
  CHECK(render_value(LockReply{{10, 19, 1, 77}}) == "type=F_WRLCK start=10 end=19 lock_pid=77");

  StatxReply statx;
  statx.attr_valid = 1s;
  statx.mask = 0xfff;
  statx.attributes = 0x10;
  statx.btime = {9, 1};
  CHECK(render_value(statx) ==
        "attr_valid=1s mask=0xfff ino=0 mode=0 nlink=0 uid=0 gid=0 size=0 blocks=0 "
        "atime=0.000000000 mtime=0.000000000 ctime=0.000000000 btime=9.000000001 "
        "attributes=0x10 attributes_mask=0x0");
}

TEST_CASE("a listing is told by its entries and size") {
  std::array<std::byte, 256> buffer{};
  DirentPacker packer(buffer);
  REQUIRE(packer.add({"a", 1, 1, 8}));
  CHECK(render_reply(Result<void>{}, packer) == "entries=1 size=32");
  CHECK(render_reply(Result<void>{Errno{EBADF}}, packer) == "EBADF");
  NoOwner owner;
  DirentPlusPacker plus(buffer, owner);
  CHECK(render_reply(Result<void>{}, plus) == "entries=0 size=0");
}

TEST_CASE("a request is one line, whatever its names hold") {
  const std::string name = "two\nlines";
  const RequestHeader header{10, Unique{6}, NodeId{1}, 0, 0, 0};
  CHECK(render(header, UnlinkRequest{*Name::check(name)}) == "UNLINK node=1 name=\"two\\nlines\"");
}
