#pragma once

#include <shared_mutex>

#include "ops/pool.hpp"
#include "proto/filesystem.hpp"

/// The option link-cow. A name of a regular file with several names becomes a file of its own
/// before it is opened for writing or truncated: a whole copy takes the name's place, the other
/// names keep the file. With it each name of such a file has a node of its own (make_entry()), as
/// OPEN tells nothing but the node.
///
/// | open files                         | what happens                                            |
/// |------------------------------------|---------------------------------------------------------|
/// | none of the node                   | the node is the copy from now on                        |
/// | of the node, for reading           | they keep the file, as after any save that renames; the |
/// |                                    | name gets a new node (ESTALE: the kernel looks it up)   |
/// | of the file, for writing           | nothing: who writes already goes on writing to the same |
/// |                                    | file as who comes now                                   |
///
/// What fails, fails the open: written through, the other names' content would be lost, which is
/// what the option is there to keep. Nothing is lost at any moment: the copy is on the disk before
/// it changes places with the name, and only what is seen to be the old file is removed. After a
/// crash a file ".boughfs-NUMBER" may lie beside the name.
namespace bough::ops {

/// Before a write to the node's file, without any of the node's locks. ESTALE: the kernel is to
/// look the name up once more.
[[nodiscard]] Result<void> break_link(Pool& pool, const proto::Context& context, NodeId node);

/// For an open, from before it looks at the file until its handle counts: the node does not become
/// another file meanwhile.
[[nodiscard]] std::shared_lock<std::shared_mutex> keep_file(Pool& pool, NodeId node);

}  // namespace bough::ops
