#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ops/branch_editor.hpp"
#include "ops/control_file.hpp"
#include "ops/pool.hpp"

namespace bough::ops {

/// What only the pool itself knows, as it is in force: `branches` (path=MODE[,MINFREE], the modes
/// of branches that turned read-only too; `editor` takes what is set) and `srcmounts` (their bare
/// paths), both joined by ':'; joined by "; ": `absent-branches`, "PATH: why" for each, and
/// `open-files`, "COUNT in PATH" for each branch and "COUNT left PATH" for one that left the pool
/// while files are open on it; `moves`, text_of() of each file on its way to another branch. How
/// many files are open for writing that cannot go there: `pinned-files`. The rows refer to `pool`
/// and `editor`.
[[nodiscard]] std::vector<proto::Setting> pool_rows(const Pool& pool, BranchEditor& editor);

/// The same rows, but setting follow-symlinks is refused while this pool would follow nothing.
[[nodiscard]] std::vector<proto::Setting> not_in_vain(std::vector<proto::Setting> rows,
                                                      const Pool& pool);

/// `cmd.gc` and `cmd.gc1`: let go of what an idle pool need not hold, by `let_go`, and give memory
/// back. `cmd.invalidate-all-nodes`: the kernel forgets every name below the root, and what it
/// keeps of the files and directories in the root; names that it knows to be absent from Linux 6.16
/// on. EAGAIN: only so many as its queue takes; the
/// rest when it is called again. EBUSY: with the names, the kernel would unmount what is mounted
/// inside.
[[nodiscard]] std::vector<ControlFile::Command> pool_commands(
    Pool& pool, std::function<void()> let_go, std::function<std::string()> mounted_inside);

/// The kernel looks every name up anew that it kept for longer than a second (Linux 6.16 and
/// later). Not while something is mounted inside the pool, which it would unmount.
void expire_names(Pool& pool, const std::function<std::string()>& mounted_inside);

}  // namespace bough::ops
