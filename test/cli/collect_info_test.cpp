#include "cli/subcommands/collect_info.hpp"

#include <doctest/doctest.h>

using bough::cli::without_secrets;

TEST_CASE("what options say of passwords and credentials is left out") {
  CHECK(without_secrets("//nas/films /mnt cifs ro,username=me,password=one,credentials=/etc/c 0 0\n"
                        "LABEL=x\t/y ext4 PASS=two\n") ==
        "//nas/films /mnt cifs ro,username=me,password=…,credentials=… 0 0\n"
        "LABEL=x\t/y ext4 PASS=…\n");
  CHECK(without_secrets("a=b,nopass c").ends_with("a=b,nopass c"));
  CHECK(without_secrets("").empty());
}
