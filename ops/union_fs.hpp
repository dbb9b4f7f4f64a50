#pragma once

#include <memory>
#include <stdexcept>
#include <string>

#include "ops/backing.hpp"
#include "ops/control_file.hpp"
#include "ops/settings.hpp"
#include "proto/filesystem.hpp"

namespace bough::ops {

/// A start-up failure: one line that names the thing and the remedy.
class PoolError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The union file system. Opens its branches when made (PoolError: a branch is missing, is no
/// directory, the list is malformed); nothing else is touched before start(). `settings` and
/// `backing` outlive it, and so does what the rows of `control` refer to.
[[nodiscard]] std::unique_ptr<proto::Filesystem> make_union_fs(Backing& backing, Settings& settings,
                                                               ControlOptions control = {});

}  // namespace bough::ops
