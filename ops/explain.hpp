#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "ops/locate.hpp"

namespace bough::ops {

/// What `key` of a virtual attribute begins with that asks for an explanation: "explain.FUNCTION"
/// about the node, or "explain.FUNCTION/NAME" about a name in a directory, where FUNCTION is one of
/// those of func.*.
inline constexpr std::string_view kExplainKey = "explain.";

/// What the policy of a function would do now, decided by the very code that decides for a request,
/// and what it found about each branch. Of a function that makes something the node is the
/// directory that gets it. Changes nothing.
///
/// `key` is what follows kExplainKey. Fields that each end in NUL: the policy, what the caller
/// would get (empty: success, else the number of an errno), "chance" where the next choice may be
/// another (else empty), and then six for each branch in list order: its path, mode, verdict, the
/// bytes available and the least that it must have (both empty where nothing is made, or it was not
/// asked or does not say), and "shown" for the copy that users see. Verdicts: chosen, fits,
/// not-asked, read-only, no-create, missing, silent, read-only-disk, no-room; absent, and frozen,
/// which is read-only only because another branch is absent. What the kernel checks (rights, a
/// read-only mount) is not looked at.
///
/// ENODATA: no such function, or no name leads to the node. ENOTDIR: the node is no directory where
/// one is wanted.
[[nodiscard]] Result<std::size_t> explain(Pool& pool, const Context& context, std::string_view key,
                                          std::span<std::byte> out);

}  // namespace bough::ops
