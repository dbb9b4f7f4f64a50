#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace bough::policy {

/// Why no branch was chosen. When several branches were refused for different reasons the greatest
/// is the answer: EROFS over ENOSPC over ENOENT.
enum class Refusal : std::uint8_t { kNotFound, kNoSpace, kReadOnly };

/// The branches that a policy chose, in the order in which they are to be used, or a refusal. One
/// branch, the usual case, needs no allocation.
class Choice {
 public:
  [[nodiscard]] static Choice one(std::size_t branch) noexcept {
    Choice choice;
    choice.first_ = branch;
    choice.count_ = 1;
    return choice;
  }
  [[nodiscard]] static Choice refused(Refusal why) noexcept {
    Choice choice;
    choice.why_ = why;
    return choice;
  }

  void add(std::size_t branch) {
    if (count_ == 0)
      first_ = branch;
    else
      rest_.push_back(branch);
    ++count_;
  }

  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  [[nodiscard]] std::size_t size() const noexcept { return count_; }
  [[nodiscard]] std::size_t operator[](std::size_t index) const {
    return index == 0 ? first_ : rest_[index - 1];
  }
  /// Only when empty().
  [[nodiscard]] Refusal refusal() const noexcept { return why_; }
  void refuse(Refusal why) noexcept {
    if (why > why_) why_ = why;
  }

 private:
  std::size_t first_ = 0;
  std::size_t count_ = 0;
  std::vector<std::size_t> rest_;
  Refusal why_ = Refusal::kNotFound;
};

}  // namespace bough::policy
