#include "ops/explain.hpp"

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "ops/followed_link.hpp"
#include "ops/place.hpp"
#include "ops/raw_dirents.hpp"
#include "ops/shown_copy.hpp"
#include "ops/value_out.hpp"

namespace bough::ops {
namespace {

using policy::Verdict;

/// In the order of CreateFunction, SearchFunction and ActionFunction.
constexpr std::array<std::string_view, 4> kCreates{"create", "mkdir", "mknod", "symlink"};
constexpr std::array<std::string_view, 6> kSearches{"access",    "getattr", "getxattr",
                                                    "listxattr", "open",    "readlink"};
constexpr std::array<std::string_view, 10> kActions{"chmod",  "chown",  "link",     "removexattr",
                                                    "rename", "rmdir",  "setxattr", "truncate",
                                                    "unlink", "utimens"};

template <class Function, std::size_t kCount>
std::optional<Function> function_of(const std::array<std::string_view, kCount>& names,
                                    std::string_view name) noexcept {
  for (std::size_t i = 0; i < kCount; ++i)
    if (names[i] == name) return static_cast<Function>(i);
  return std::nullopt;
}

/// The facts of a decision, which keep what was found.
class KeptFacts final : public policy::Facts {
 public:
  explicit KeptFacts(PoolFacts& facts) : facts_(facts), kept_(facts.branches()) {}

  [[nodiscard]] std::size_t branches() const override { return facts_.branches(); }
  [[nodiscard]] policy::BranchMode mode(std::size_t branch) override { return facts_.mode(branch); }
  [[nodiscard]] bool exists(std::size_t branch) override {
    const bool failed_before = facts_.first_error().has_value();
    const bool found = facts_.exists(branch);
    if (!found && !failed_before && facts_.first_error()) kept_[branch].silent = true;
    return found;
  }
  [[nodiscard]] bool exists_above(std::size_t branch, std::size_t levels) override {
    return facts_.exists_above(branch, levels);
  }
  [[nodiscard]] std::size_t depth() override { return facts_.depth(); }
  [[nodiscard]] std::optional<policy::Moment> modified(std::size_t branch) override {
    return facts_.modified(branch);
  }
  [[nodiscard]] std::optional<policy::Space> space(std::size_t branch) override {
    return facts_.space(branch);
  }
  [[nodiscard]] std::uint64_t minimum_free(std::size_t branch) override {
    return facts_.minimum_free(branch);
  }
  void judged(std::size_t branch, Verdict verdict) override { kept_[branch].verdict = verdict; }
  [[nodiscard]] std::uint32_t type(std::size_t branch) { return facts_.type(branch); }

  [[nodiscard]] std::string_view verdict(std::size_t branch) const {
    const Kept& kept = kept_[branch];
    if (!kept.verdict) return "not-asked";
    if (kept.silent && *kept.verdict == Verdict::kMissing) return "silent";
    switch (*kept.verdict) {
      case Verdict::kReadOnly:
        return "read-only";
      case Verdict::kNoCreate:
        return "no-create";
      case Verdict::kMissing:
        return "missing";
      case Verdict::kSilent:
        return "silent";
      case Verdict::kReadOnlyDisk:
        return "read-only-disk";
      case Verdict::kNoRoom:
        return "no-room";
      case Verdict::kFits:
        break;
    }
    return "fits";
  }

 private:
  struct Kept {
    std::optional<Verdict> verdict;
    bool silent = false;
  };
  PoolFacts& facts_;
  std::vector<Kept> kept_;
};

/// What came of a decision.
struct Outcome {
  const policy::Policy* policy = nullptr;
  policy::Choice choice;
  /// The copy that users see, where there is one.
  std::optional<std::size_t> shown;
  Result<void> done;
};

bool by_chance(std::string_view policy) noexcept {
  return policy.ends_with("rand") || policy.ends_with("pfrd");
}

Result<void> refused(const PoolFacts& facts, const policy::Choice& choice) {
  if (!choice.empty()) return {};
  return unanswered(facts).value_or(refusal_errno(choice.refusal()));
}

Outcome explain_create(Pool& pool, PoolFacts& facts, KeptFacts& kept, CreateFunction function) {
  Outcome out;
  out.policy = &pool.settings.create[function];
  out.choice = out.policy->choose(kept, pool.random);
  if (function == CreateFunction::kCreate && !out.choice.empty())
    out.choice = policy::Choice::one(out.choice[0]);
  // While a branch cannot be asked whether it has the name, nothing is made (find_existing()).
  for (std::size_t i = 0; i < kept.branches(); ++i) (void)kept.exists(i);
  if (const auto failed = unanswered(facts))
    out.done = *failed;
  else
    out.done = refused(facts, out.choice);
  return out;
}

Outcome explain_search(Pool& pool, PoolFacts& facts, KeptFacts& kept, SearchFunction function) {
  Outcome out;
  out.policy = &pool.settings.search[function];
  const policy::Choice shown = choose_shown(pool.settings, kept, pool.random);
  out.choice = shown;
  if (!shown.empty()) {
    out.shown = shown[0];
    if (function != SearchFunction::kOpen && function != SearchFunction::kGetattr) {
      OfType copies(kept, facts.type(shown[0]));
      out.choice = out.policy->choose(copies, pool.random);
    }
    if (!out.choice.empty()) out.choice = policy::Choice::one(out.choice[0]);
  }
  out.done = refused(facts, out.choice);
  return out;
}

/// As ops/remove and ops/rename decide.
void explain_removal(PoolFacts& facts, Outcome& out) {
  if (const auto may = may_leave_others(facts, out.choice, *out.shown); !may)
    out.done = may;
  else if (const auto failed = unanswered(facts))
    out.done = *failed;
  else
    out.done = refused(facts, out.choice);
}

/// As find_subject() does: what users see changes, and with it the other copies that the policy
/// chooses. A directory's own copy may be left out where it cannot change.
void explain_change(PoolFacts& facts, Outcome& out) {
  const std::size_t shown = *out.shown;
  const std::uint32_t type = facts.type(shown);
  const bool own = facts.mode(shown) != BranchMode::kReadOnly;
  policy::Choice changed;
  if (own) changed.add(shown);
  for (std::size_t i = 0; i < out.choice.size(); ++i)
    if (out.choice[i] != shown && facts.type(out.choice[i]) == type) changed.add(out.choice[i]);
  constexpr std::uint32_t kDirectory = 0040000;
  if (changed.empty() || (!own && type != kDirectory)) {
    changed = policy::Choice::refused(policy::Refusal::kReadOnly);
    out.done = Errno{EROFS};
  }
  out.choice = changed;
}

Outcome explain_action(Pool& pool, PoolFacts& facts, KeptFacts& kept, ActionFunction function) {
  Outcome out;
  const policy::Choice shown = choose_shown(pool.settings, kept, pool.random);
  out.policy = &pool.settings.action[function];
  if (shown.empty()) {
    out.done = refused(facts, shown);
    return out;
  }
  out.shown = shown[0];
  out.choice = out.policy->choose(kept, pool.random);
  if (out.policy->takes == policy::Takes::kNone) {
    out.done = Errno{EROFS};
  } else if (function == ActionFunction::kUnlink || function == ActionFunction::kRmdir ||
             function == ActionFunction::kRename) {
    explain_removal(facts, out);
  } else if (function == ActionFunction::kLink) {
    out.choice = policy::Choice::one(shown[0]);
    if (facts.mode(shown[0]) == BranchMode::kReadOnly) out.done = Errno{EROFS};
  } else {
    explain_change(facts, out);
  }
  return out;
}

std::string_view mode_word(policy::BranchMode mode) noexcept {
  switch (mode) {
    case policy::BranchMode::kReadOnly:
      return "RO";
    case policy::BranchMode::kNoCreate:
      return "NC";
    case policy::BranchMode::kReadWrite:
      break;
  }
  return "RW";
}

void add_field(std::string& text, std::string_view field) {
  text.append(field);
  text += '\0';
}

/// Whatever the policy found: first of all the disk is missing.
std::string_view verdict_on(const BranchSet& set, std::size_t index, std::string_view found) {
  if (set[index].absent()) return "absent";
  const bool own = set.written_mode(index) == BranchMode::kReadOnly;
  return found == "read-only" && !own ? "frozen" : found;
}

std::string written(const Outcome& out, const BranchSet& set, PoolFacts& facts, KeptFacts& kept,
                    bool makes) {
  std::string text;
  add_field(text, out.policy->name);
  add_field(text, out.done ? std::string() : std::to_string(out.done.error().value()));
  add_field(text, by_chance(out.policy->name) ? "chance" : "");
  for (std::size_t i = 0; i < set.size(); ++i) {
    bool chosen = false;
    for (std::size_t k = 0; k < out.choice.size(); ++k) chosen = chosen || out.choice[k] == i;
    const std::string_view verdict = verdict_on(set, i, kept.verdict(i));
    add_field(text, set[i].path());
    add_field(text, mode_word(set.written_mode(i)));
    add_field(text, chosen && out.done ? "chosen" : verdict);
    // Nothing else looks at room, and of the others nobody asked.
    const bool asked = makes && (verdict == "fits" || verdict == "no-room");
    const auto space = asked ? facts.space(i) : std::nullopt;
    add_field(text, space ? std::to_string(space->available) : std::string());
    add_field(text, space ? std::to_string(facts.minimum_free(i)) : std::string());
    add_field(text, out.shown == i ? "shown" : "");
  }
  return text;
}

/// The path of a directory and a name in it; without one, the directory itself is meant.
struct Target {
  std::string directory;
  std::string name;
};

Result<Target> subject_of(Pool& pool, NodeId node, std::string_view name, bool directory) {
  NodeView view;
  if (!pool.nodes.view(node, view)) return Errno{ESTALE};
  if (!view.named && node != proto::kRootNode) return Errno{ENODATA};
  if ((directory || !name.empty()) && !view.directory) return Errno{ENOTDIR};
  Target subject{std::string(view.path.view()), std::string(name)};
  if (!view.directory) subject.name = view.name();
  return subject;
}

}  // namespace

Result<std::size_t> explain(Pool& pool, const Context& context, std::string_view key,
                            std::span<std::byte> out) {
  const auto slash = key.find('/');
  const std::string_view function = key.substr(0, slash);
  const std::string_view name =
      slash == std::string_view::npos ? std::string_view() : key.substr(slash + 1);
  const auto create = function_of<CreateFunction>(kCreates, function);
  const auto search = function_of<SearchFunction>(kSearches, function);
  const auto action = function_of<ActionFunction>(kActions, function);
  if (!create && !search && !action) return Errno{ENODATA};
  if (name.find('/') != std::string_view::npos || is_dot(name)) return Errno{ENODATA};
  const auto subject = subject_of(pool, context.node, name, create.has_value());
  if (!subject) return subject.error();
  const auto set = branches_of(pool, subject->directory);
  const bool of_name = !create && !subject->name.empty();
  PoolFacts facts(pool, *set, subject->directory, of_name ? subject->name.c_str() : nullptr);
  KeptFacts kept(facts);
  const Outcome outcome = create   ? explain_create(pool, facts, kept, *create)
                          : search ? explain_search(pool, facts, kept, *search)
                                   : explain_action(pool, facts, kept, *action);
  return value_out(written(outcome, *set, facts, kept, create.has_value()), out);
}

}  // namespace bough::ops
