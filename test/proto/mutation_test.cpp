#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <iterator>
#include <random>
#include <variant>
#include <vector>

#include "proto/decode.hpp"
#include "proto/render.hpp"
#include "test/proto/samples.hpp"
#include "test/support/wire.hpp"

using namespace bough::proto;
using bough::test::from_hex;
using bough::test::kSamples;

namespace {

constexpr int kMessages = 300'000;
/// Rendering reads every view in the request; too slow to do for each.
constexpr int kRenderEvery = 16;

/// The same sequence on each run and machine (the distributions of <random> are not).
class Dice {
 public:
  std::uint32_t below(std::uint32_t bound) { return static_cast<std::uint32_t>(engine_() % bound); }

 private:
  std::mt19937 engine_{20240607};
};

void mutate(std::vector<std::byte>& message, Dice& dice) {
  if (dice.below(4) == 0)
    message.resize(dice.below(static_cast<std::uint32_t>(message.size()) + 24));
  for (std::uint32_t n = dice.below(4); n > 0 && !message.empty(); --n) {
    constexpr std::byte kTelling[] = {std::byte{0},    std::byte{1},    std::byte{7},
                                      std::byte{0x2f}, std::byte{0x7f}, std::byte{0x80},
                                      std::byte{0xff}};
    message[dice.below(static_cast<std::uint32_t>(message.size()))] =
        dice.below(2) == 0 ? kTelling[dice.below(std::size(kTelling))]
                           : static_cast<std::byte>(dice.below(256));
  }
  if (message.size() >= 4 && dice.below(8) != 0) {
    const auto length = static_cast<std::uint32_t>(message.size());
    std::memcpy(message.data(), &length, sizeof length);
  }
  if (message.size() >= 8 && dice.below(8) == 0) {
    const std::uint32_t opcode = dice.below(56);
    std::memcpy(message.data() + 4, &opcode, sizeof opcode);
  }
}

}  // namespace

TEST_CASE("mutated messages are decoded or refused, and no byte beside them is read") {
  std::vector<std::vector<std::byte>> originals;
  for (const auto& sample : kSamples) originals.push_back(from_hex(sample.hex));

  Dice dice;
  int accepted = 0;
  std::size_t rendered = 0;
  for (int i = 0; i < kMessages; ++i) {
    auto mutated = originals[dice.below(static_cast<std::uint32_t>(originals.size()))];
    mutate(mutated, dice);
    // A block of its own size on the heap: the address sanitizer sees the first byte too far.
    const std::vector<std::byte> message(mutated.begin(), mutated.end());
    const auto result = decode(message, {.setxattr_ext = dice.below(2) == 0});
    REQUIRE(decode_header(message).has_value() == (message.size() >= 40));
    if (!result) continue;
    ++accepted;
    if (const auto* batch = std::get_if<BatchForgetRequest>(&result->request))
      for (std::uint32_t k = 0; k < batch->count; ++k) rendered += forget_item(*batch, k).count % 2;
    if (i % kRenderEvery == 0) rendered += render(result->header, result->request).size();
  }
  // Both ways out were taken often, else the mutations are too tame or too wild to tell anything.
  CHECK(accepted > kMessages / 10);
  CHECK(accepted < kMessages * 9 / 10);
  CHECK(rendered > 0);
}
