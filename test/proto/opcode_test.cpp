#include "proto/opcode.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <set>
#include <string_view>

using namespace bough::proto;

TEST_CASE("every number of protocol 7.45 has a row, and only those") {
  CHECK(kOpcodes.size() == 54);
  std::set<std::string_view> names;
  for (const OpcodeInfo& row : kOpcodes) {
    CHECK(&opcode_info(row.opcode) == &row);
    CHECK_FALSE(row.name.empty());
    CHECK(names.insert(row.name).second);
  }
  for (std::uint32_t opcode = 1; opcode <= 53; ++opcode) {
    const bool unused = opcode == 7 || opcode == 19;
    CHECK((opcode_info(opcode).name == "UNKNOWN") == unused);
  }
  for (const std::uint32_t opcode : {0U, 54U, 63U, 64U, 4095U, 0xffffffffU}) {
    CHECK(opcode_info(opcode).name == "UNKNOWN");
    CHECK(opcode_info(opcode).kind == OpcodeClass::kUnserved);
    CHECK(opcode_info(opcode).replies);
  }
}

TEST_CASE("exactly four opcodes take no reply") {
  std::set<std::string_view> silent;
  for (const OpcodeInfo& row : kOpcodes)
    if (!row.replies) silent.insert(row.name);
  CHECK(silent ==
        std::set<std::string_view>{"FORGET", "BATCH_FORGET", "INTERRUPT", "NOTIFY_REPLY"});
}

TEST_CASE("what a worker that must not block may serve calls no branch") {
  for (const OpcodeInfo& row : kOpcodes) {
    const bool light = row.kind == OpcodeClass::kForget || row.kind == OpcodeClass::kInterrupt ||
                       row.kind == OpcodeClass::kControl || row.kind == OpcodeClass::kUnserved;
    CHECK(row.branch == !light);
  }
}

TEST_CASE("nothing that changes a branch counts as read-only") {
  for (const std::string_view name : {"SETATTR",
                                      "SYMLINK",
                                      "MKNOD",
                                      "MKDIR",
                                      "UNLINK",
                                      "RMDIR",
                                      "RENAME",
                                      "RENAME2",
                                      "LINK",
                                      "OPEN",
                                      "CREATE",
                                      "TMPFILE",
                                      "WRITE",
                                      "SETXATTR",
                                      "REMOVEXATTR",
                                      "FALLOCATE",
                                      "IOCTL",
                                      "COPY_FILE_RANGE",
                                      "COPY_FILE_RANGE_64",
                                      "RELEASE",
                                      "FLUSH",
                                      "FSYNC",
                                      "FSYNCDIR",
                                      "SETLK"})
    for (const OpcodeInfo& row : kOpcodes)
      if (row.name == name) CHECK(row.kind == OpcodeClass::kMutating);
  CHECK(opcode_info(33).kind == OpcodeClass::kWait);
  CHECK(opcode_info(15).kind == OpcodeClass::kReadOnly);
  CHECK(opcode_info(44).kind == OpcodeClass::kReadOnly);
}
