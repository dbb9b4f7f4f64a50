#pragma once

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
/// |                                    | file as who comes now, and by the same node             |
///
/// What fails, fails the open: written through, the other names' content would be lost, which is
/// what the option is there to keep. Nothing is lost at any moment: the copy is on the disk before
/// it changes places with the name, and only what is seen to be the old file is removed. After a
/// crash a file ".boughfs-NUMBER" may lie beside the name.
namespace bough::ops {

/// Before an open, or a truncation by path, and outside the gate, which a long copy must not hold.
/// `changes`: the file is to be written. The node does not become another file while what is
/// returned is kept: until an open's handle counts. ESTALE: the kernel is to look the name up once
/// more.
[[nodiscard]] Result<NodeLocks::Shared> own_file(Pool& pool, const proto::Context& context,
                                                 NodeId node, bool changes);

}  // namespace bough::ops
