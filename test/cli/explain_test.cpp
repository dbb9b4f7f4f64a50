#include "cli/subcommands/explain.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <vector>

using namespace bough::cli;

namespace {

using namespace std::string_view_literals;

constexpr std::string_view kAnswer =
    "pfrd\0\0chance\0"
    "/mnt/a\0RW\0no-room\0"
    "3221225472\0"
    "4294967296\0\0"
    "/mnt/b\0RW\0chosen\0"
    "8589934592\0"
    "4294967296\0\0"
    "/mnt/c\0RO\0read-only\0\0\0shown\0"sv;

Explanation sample() {
  Explanation explanation;
  explanation.function = "create";
  explanation.path = "/pool/new";
  REQUIRE(parse_explanation(kAnswer, explanation));
  return explanation;
}

ExitStatus run(std::vector<std::string> words) {
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  return explain_command(static_cast<int>(words.size()), argv.data());
}

int status_of(const std::vector<std::string>& words) {
  try {
    return static_cast<int>(run(words));
  } catch (const StartError& error) {
    return static_cast<int>(error.status);
  }
}

}  // namespace

TEST_CASE("an explanation for people and for programs") {
  Explanation explanation = sample();
  CHECK(explanation_text(explanation) ==
        "create /pool/new, by policy pfrd, drawn at random each time:\n"
        "  /mnt/a RW: too full: 3.0G free, at least 4.0G wanted\n"
        "  /mnt/b RW: TAKEN: 8.0G free, at least 4.0G wanted\n"
        "  /mnt/c RO, shown to users: its mode is RO: nothing is changed there\n");
  CHECK(
      explanation_json(explanation) ==
      R"({"schema": "boughfs.explain/1", "function": "create", "path": "/pool/new", )"
      R"("policy": "pfrd", "error": null, "by_chance": true, "exists": false, "refused": null, "branches": [)"
      R"({"path": "/mnt/a", "mode": "RW", "verdict": "no-room", "shown": false, )"
      R"("free_bytes": 3221225472, "least_bytes": 4294967296}, )"
      R"({"path": "/mnt/b", "mode": "RW", "verdict": "chosen", "shown": false, )"
      R"("free_bytes": 8589934592, "least_bytes": 4294967296}, )"
      R"({"path": "/mnt/c", "mode": "RO", "verdict": "read-only", "shown": true, )"
      R"("free_bytes": null, "least_bytes": null}]})"
      "\n");
  explanation.error = ENOSPC;
  explanation.exists.reset();
  CHECK(explanation_json(explanation).find(R"("exists": null)") != std::string::npos);
  explanation.exists = true;
  explanation.function = "unlink";
  CHECK(explanation_text(explanation).starts_with("unlink /pool/new, by"));
  CHECK(explanation_json(explanation).find(R"("exists": true)") != std::string::npos);
  explanation.function = "create";
  CHECK(explanation_text(explanation)
            .starts_with(
                "/pool/new exists: nothing would be made; if it did not:\n"
                "create /pool/new, by policy pfrd: fails with ENOSPC (No space left on device)\n"));
  CHECK(explanation_json(explanation).find(R"("error": "ENOSPC")") != std::string::npos);
}

TEST_CASE("an explanation of what fails names the missing disk, or what the kernel says") {
  Explanation explanation;
  explanation.function = "create";
  explanation.path = "/pool/new";
  REQUIRE(
      parse_explanation("ff\0005\0\0"
                        "/mnt/a\0RW\0fits\0\0\0\0"
                        "/mnt/b\0RW\0not-asked\0\0\0\0"
                        "/mnt/c\0RW\0absent\0\0\0\0"sv,
                        explanation));
  CHECK(explanation_text(explanation) ==
        "create /pool/new, by policy ff: fails with EIO (Input/output error): nothing is taken "
        "while a disk is missing: /mnt/c\n"
        "  /mnt/a RW: would do, but nothing is taken\n"
        "  /mnt/b RW: not looked at\n"
        "  /mnt/c RW: ABSENT: its disk is missing\n");
  explanation.error = EROFS;
  explanation.branches[0].verdict = "frozen";
  CHECK(explanation_text(explanation)
            .find("/mnt/c (branch-absent=readonly)\n  /mnt/a RW: nothing "
                  "is changed there while another one is absent\n") != std::string::npos);
  explanation.error = EACCES;
  explanation.refused = "you may not write to /pool";
  explanation.branches[0].verdict = "chosen";
  CHECK(explanation_text(explanation)
            .starts_with("create /pool/new, by policy ff: fails with EACCES (Permission denied): "
                         "you may not write to /pool\n  /mnt/a RW: would be taken\n"));
  CHECK(explanation_json(explanation).find(R"("refused": "you may not write to /pool")") !=
        std::string::npos);
}

TEST_CASE("answers of another shape are not taken for explanations") {
  Explanation into;
  CHECK_FALSE(parse_explanation("", into));
  CHECK_FALSE(parse_explanation("ff", into));
  CHECK_FALSE(parse_explanation("ff\0\0\0/mnt/a\0"sv, into));
}

TEST_CASE("explain's arguments") {
  CHECK(status_of({"explain"}) == static_cast<int>(ExitStatus::kUsage));
  CHECK(status_of({"explain", "remove", "/"}) == static_cast<int>(ExitStatus::kUsage));
  CHECK(status_of({"explain", "readdir", "/"}) == static_cast<int>(ExitStatus::kUsage));
  CHECK(status_of({"explain", "func.open", "/"}) == static_cast<int>(ExitStatus::kNotAPool));
  CHECK(status_of({"explain", "open", "/gone/for/good"}) == static_cast<int>(ExitStatus::kUsage));
  CHECK(status_of({"explain", "open", "/"}) == static_cast<int>(ExitStatus::kNotAPool));
}
