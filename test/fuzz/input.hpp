#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace bough::test {

/// Ends the process, as a sanitizer does, when a rule is broken: the input that did it is a
/// finding.
inline void check(bool kept, const char* rule) {
  if (kept) return;
  std::fprintf(stderr, "broken: %s\n", rule);
  std::abort();
}

/// What a trace line may hold: printable characters, as UTF-8 (the long forms and the surrogates
/// that RFC 3629 forbids are none).
inline void check_line(std::string_view line) {
  while (!line.empty()) {
    const auto byte = [&](std::size_t at) -> std::uint32_t {
      return at < line.size() ? static_cast<unsigned char>(line[at]) : 0U;
    };
    const std::uint32_t first = byte(0);
    check(first >= ' ' && first != 0x7f, "a trace line has no control character");
    const std::size_t size = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    std::uint32_t code = size == 1 ? first : first & (0xffU >> (size + 1));
    for (std::size_t i = 1; i < size; ++i) {
      check((byte(i) & 0xc0) == 0x80, "a trace line is UTF-8");
      code = code << 6 | (byte(i) & 0x3f);
    }
    constexpr std::uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
    check(code >= kLeast[size] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff),
          "and has each character in its one form");
    line.remove_prefix(size);
  }
}

/// Takes values from the front of a fuzzer's input; past its end all are 0 or empty.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size)
      : rest_(reinterpret_cast<const std::byte*>(data), size) {}

  std::uint8_t u8() { return get<std::uint8_t>(); }
  std::uint16_t u16() { return get<std::uint16_t>(); }
  std::uint64_t u64() { return get<std::uint64_t>(); }
  std::span<const std::byte> take(std::size_t size) {
    const auto taken = rest_.first(std::min(size, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  std::string text(std::size_t size) {
    const auto taken = take(size);
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }
  std::span<const std::byte> rest() { return take(rest_.size()); }
  [[nodiscard]] bool done() const { return rest_.empty(); }

 private:
  template <class T>
  T get() {
    T value{};
    const auto taken = take(sizeof value);
    if (!taken.empty()) std::memcpy(&value, taken.data(), taken.size());
    return value;
  }

  std::span<const std::byte> rest_;
};

}  // namespace bough::test

/// Each target defines it, as libFuzzer and replay.cpp call it. Returns 0.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
