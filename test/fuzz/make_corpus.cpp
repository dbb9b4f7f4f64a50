// Writes the inputs that fuzzing begins with: make_corpus DIRECTORY makes DIRECTORY/TARGET/NAME.
// make_corpus --check DIRECTORY fails unless just these are there already, beside others.
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "test/proto/samples.hpp"
#include "test/support/wire.hpp"

using namespace bough::test;

namespace {

struct Seed {
  std::string target;
  std::string name;
  std::vector<std::byte> bytes;
};

std::vector<Seed> seeds;

void add(const std::string& target, std::string name, const Bytes& bytes) {
  for (char& c : name)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  seeds.push_back({target, std::move(name), bytes.get()});
}

std::string_view text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void decoding() {
  for (const Sample& sample : kSamples) {
    const auto how = static_cast<std::uint8_t>(2 | (sample.setxattr_ext ? 1 : 0));
    add("decode", std::string(sample.name), Bytes().u8(how).text(text_of(from_hex(sample.hex))));
  }
  constexpr std::uint32_t kUnlink = 10;
  add("decode", "bytes left over",
      Bytes().u8(2).text(text_of(request({kUnlink}, Bytes().string("a").u64(0)))));
  constexpr std::uint32_t kInit = 26;
  for (const std::uint32_t minor : {30U, 32U, 34U, 36U, 38U, 40U, 42U, 44U, 46U}) {
    Bytes body;
    body.u32(7).u32(minor).u32(131072).u32(minor < 36 ? 0x03fffffbU : 0x73fffffbU);
    if (minor >= 36) body.u32(0xfffU).zeros(44);
    Head head{kInit};
    head.node = ~std::uint64_t{0};
    add("decode", "INIT_7_" + std::to_string(minor),
        Bytes().u8(2).text(text_of(request(head, body))));
  }
}

/// Messages of one session, framed as dispatch_target.cpp reads them.
class Talk {
 public:
  explicit Talk(std::uint8_t how = 0, std::uint8_t refused = 0, std::uint8_t locks = 0x24) {
    bytes_.u8(how).u8(refused).u8(locks);
  }
  Talk& say(const std::vector<std::byte>& message, bool queue = false) {
    bytes_.u16(static_cast<std::uint16_t>(message.size() | (queue ? 0x8000U : 0U)));
    bytes_.text(text_of(message));
    return *this;
  }
  Talk& say(std::uint32_t opcode, const Bytes& body = {}, bool queue = false) {
    return say(request({opcode}, body), queue);
  }
  [[nodiscard]] const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_;
};

void dispatching() {
  constexpr std::uint32_t kLookup = 1, kForget = 2, kOpen = 14, kRead = 15, kRelease = 18,
                          kGetxattr = 22, kOpendir = 27, kReaddir = 28, kReleasedir = 29,
                          kSetlkw = 33, kCreate = 35, kInterrupt = 36, kIoctl = 39,
                          kBatchForget = 42, kReaddirplus = 44;
  const auto name = [](std::string_view text) { return Bytes().string(text); };
  const auto read = [](std::uint64_t offset, std::uint32_t size) {
    return Bytes().u64(1).u64(offset).u32(size).u32(0).u64(0).u32(0).u32(0);
  };
  const Bytes lock = Bytes().u64(1).u64(2).u64(0).u64(9).u32(1).u32(7).u32(0).u32(0);
  const Bytes open = Bytes().u32(0).u32(0);
  const Bytes release = Bytes().u64(1).u32(0).u32(0).u64(0);
  const auto target = [](std::uint64_t unique) { return Bytes().u64(unique); };

  add("dispatch", "lookup, forget", Talk().say(kLookup, name("a")).say(kForget, target(1)).bytes());
  add("dispatch", "lookup refused", Talk(0x20, 0xff).say(kLookup, name("a")).bytes());
  for (const char* each : {"missing", "throw", "nomem", "park"})
    add("dispatch", each, Talk(0x20).say(kLookup, name(each)).bytes());
  add("dispatch", "open, read, release",
      Talk(0x10).say(kOpen, open).say(kRead, read(0, 4096)).say(kRelease, release).bytes());
  add("dispatch", "reads too long, or claimed to be",
      Talk().say(kRead, read(0, 1U << 20)).say(kRead, read(1, 16)).bytes());
  add("dispatch", "listing",
      Talk(0x20)
          .say(kOpendir, open)
          .say(kReaddir, read(0, 4096))
          .say(kReaddirplus, read(0, 4096))
          .say(kReaddirplus, read(0, 300))
          .say(kReleasedir, release)
          .bytes());
  add("dispatch", "listing refused",
      Talk(0, 0x0c).say(kOpendir, open).say(kReaddirplus, read(0, 4096)).bytes());
  add("dispatch", "a lock that waits", Talk().say(kSetlkw, lock).bytes());
  add("dispatch", "locks answered in all ways",
      Talk(0x20, 0, 0xe4)
          .say(kSetlkw, lock)
          .say(kSetlkw, lock)
          .say(kSetlkw, lock)
          .say(kSetlkw, lock)
          .bytes());
  add("dispatch", "a lock interrupted",
      Talk().say(kSetlkw, lock).say(kInterrupt, target(2)).bytes());
  add("dispatch", "a lock interrupted before it came",
      Talk().say(kInterrupt, target(4)).say(kSetlkw, lock).bytes());
  add("dispatch", "queued and interrupted",
      Talk()
          .say(kLookup, name("park"), true)
          .say(kInterrupt, target(2))
          .say(kLookup, name("b"))
          .bytes());
  add("dispatch", "a queue of one lane",
      Talk()
          .say(kLookup, name("a@1"), true)
          .say(kLookup, name("b@1"))
          .say(kLookup, name("c@2"))
          .bytes());
  add("dispatch", "create and forget many",
      Talk()
          .say(kCreate, Bytes().u32(2).u32(0100644).u32(022).u32(0).string("new"))
          .say(kBatchForget, Bytes().u32(2).u32(0).u64(100).u64(1).u64(101).u64(5))
          .bytes());
  add("dispatch", "xattrs",
      Talk()
          .say(kGetxattr, Bytes().u32(0).u32(0).string("user.a"))
          .say(kGetxattr, Bytes().u32(64).u32(0).string("user.a"))
          .say(kGetxattr, Bytes().u32(2).u32(0).string("user.a"))
          .bytes());
  add("dispatch", "ioctl",
      Talk().say(kIoctl, Bytes().u64(1).u32(0).u32(1).u64(0).u32(0).u32(64)).bytes());
  add("dispatch", "malformed",
      Talk(0x20).say(kLookup).say(kForget).say({std::byte{1}}).say(9999, name("x")).bytes());
  // Every sample as a session of its own would be many files; a few at a time is one.
  constexpr std::size_t kTogether = 4;
  std::size_t at = 0;
  for (; at < std::size(kSamples); at += kTogether) {
    Talk talk(kSamples[at].setxattr_ext ? 0x30 : 0x20);
    for (std::size_t i = at; i < std::min(at + kTogether, std::size(kSamples)); ++i)
      talk.say(from_hex(kSamples[i].hex));
    add("dispatch", "samples from " + std::to_string(at), talk.bytes());
  }
}

void wording() {
  const auto word = [](std::uint8_t reader, const std::string& name, std::string_view text) {
    add("words", name, Bytes().u8(reader).text(text));
  };
  using namespace std::string_view_literals;
  word(0, "options", "minfreespace=20G,category.create=mfs,ro,cache.attr=0.5,threads=8");
  word(0, "options escaped", "fsname=a\\,b\\054c\\\\,x-systemd.automount,context=a:b:c");
  word(0, "options unknown", "minfreespac=1G");
  word(0, "options bad", "threads=0");
  word(0, "options mount", "defaults,nofail,noatime,user=me,comment=x,_netdev,rw,suid,dev");
  word(0, "options all",
       "allow_other,max-read=4096,debug,trace=/t,foreground,cache.entry=2,"
       "category.search=ff,category.action=epall,negative_timeout=0.000000001");
  word(0, "options end", "fsname=a\\");
  word(1, "line", "-o\0ro,fsname=x\0/a:/b\0/mnt"sv);
  word(1, "line helper", "/a\0/mnt\0-o\0rw,mountpoint=/p\0-n\0-s\0-v"sv);
  word(1, "line flags", "-f\0-d\0--\0-x\0m"sv);
  word(1, "line help", "--help"sv);
  word(1, "line long", "--version\0a\0b\0-oro"sv);
  word(2, "branches", "a:b=RO:disk*=NC,20G");
  word(2, "branches globs", "disk[12]:{a,b}:x=y=RW");
  word(2, "branches braces", "{a,{b,disk{1,2}}}/b");
  word(2, "branches many braces", "{a,b}{,}{,}{,}{,}{,}{,}");
  word(2, "branches wrong", "a=XX:b=RW,1Q");
  word(2, "branches empty", "a::b=");
  word(2, "branches other", "file:gone:link:a,b:[a]");
  word(3, "mountinfo",
       "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw,errors=continue");
  word(3, "mountinfo plain", "22 1 0:21 / / rw shared:1 - fuse.boughfs a:b rw,user_id=0");
  word(3, "mountinfo cut", "22 1 0:21 / / rw -");
  word(3, "mountinfo without a last word", "22 1 0:21 / / rw - fuse.boughfs a:b ");
  word(4, "size", "20G");
  word(4, "size large", "18446744073709551615");
  word(4, "size too large", "17179869184G");
  word(5, "move call", "d/f\0/disk1\0/disk2\0001048576\0verify\0"sv);
  word(5, "move call cut", "d/f\0/disk1\0\0000\0"sv);
  word(6, "move record",
       "boughfs move 2\norigin 2 1700000000 6\n/disk1\nfrom 12 1 4096 5 6 7 8 33188 0 0\n"
       "to 13 2 4096 5 6 9 10 33188 0 0\nname 1 1\ndf\nname 0 1\nh\nend\n");
  word(6, "move record cut", "boughfs move 2\norigin 2 1 99\n/d");
}

void replying() {
  const auto entry = [](Bytes& into, std::string_view name, std::uint64_t ino,
                        std::uint64_t cookie) {
    into.u8(static_cast<std::uint8_t>(name.size() - 1)).text(name).u64(ino).u64(cookie).u8(8);
  };
  Bytes plain;
  plain.u8(0).u16(4096);
  for (const char* name : {".", "..", "a", "eight888", "a name of some more letters"})
    entry(plain, name, 11, 12);
  add("replies", "listing", plain);
  Bytes tight;
  tight.u8(0).u16(32);
  entry(tight, "eight888", 1, 2);
  entry(tight, "b", 1, 3);
  add("replies", "listing without room", tight);
  for (std::uint8_t how = 0; how < 4; ++how) {
    Bytes plus;
    plus.u8(1).u16(500);
    for (const char* name : {"one", "two", "three"}) {
      plus.u8(how);
      entry(plus, name, 5, 6);
    }
    add("replies", "listing plus " + std::to_string(how), plus);
  }
  for (std::uint8_t kind = 0; kind < 9; ++kind)
    add("replies", "notification " + std::to_string(kind),
        Bytes().u8(2).u8(kind).u64(5).u64(6).u8(4).text("name").text("data"));
}

std::string content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

int main(int argc, char** argv) {
  const bool only_check = argc == 3 && std::string_view(argv[1]) == "--check";
  if (!only_check && argc != 2) {
    std::fprintf(stderr, "usage: %s [--check] DIRECTORY\n", argv[0]);
    return 2;
  }
  decoding();
  dispatching();
  wording();
  replying();
  int wrong = 0;
  for (const Seed& seed : seeds) {
    const auto path = std::filesystem::path(argv[argc - 1]) / seed.target / seed.name;
    if (only_check) {
      if (content(path) == text_of(seed.bytes)) continue;
      std::fprintf(stderr, "%s is not as it is made\n", path.c_str());
      wrong = 1;
      continue;
    }
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text_of(seed.bytes);
  }
  return wrong;
}
