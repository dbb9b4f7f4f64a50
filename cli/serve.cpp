#include "cli/serve.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/checks.hpp"
#include "cli/control_rows.hpp"
#include "cli/live_trace.hpp"
#include "cli/log.hpp"
#include "cli/signals.hpp"
#include "cli/state_file.hpp"
#include "ops/backing.hpp"
#include "ops/union_fs.hpp"
#include "session/device.hpp"
#include "session/handshake.hpp"
#include "session/hygiene.hpp"
#include "session/message_limit.hpp"
#include "session/mount.hpp"
#include "session/session.hpp"
#include "session/trace.hpp"
#include "session/tune_mount.hpp"

namespace bough::cli {
namespace {

session::MountOptions mount_options(const Configuration& config) {
  session::MountOptions options;
  options.target = config.mount.mountpoint;
  options.source = config.mount.fsname;
  options.subtype = config.mount.subtype;
  options.detach_first = config.mount.detach_first;
  options.flags = config.words.flags;
  options.allow_other = config.mount.allow_other;
  options.max_read = config.mount.max_read;
  options.extra = config.words.labels;
  return options;
}

/// Before the mount: a branch may lie where nobody may look while nobody serves.
std::vector<session::BranchDevice> branch_devices(const Configuration& config) {
  std::vector<session::BranchDevice> devices;
  for (std::string& path : branch_directories(config)) {
    struct stat info {};
    if (::stat(path.c_str(), &info) == 0) devices.push_back({std::move(path), info.st_dev});
  }
  return devices;
}

void give_report(const session::Session& session, ReportTo to) {
  const std::string report = session.report();
  if (to == ReportTo::kSyslog) {
    to_log(Matter::kReport, report);
  } else {
    std::fputs(report.c_str(), stderr);
    std::fflush(stderr);
  }
}

/// A daemon has a standard error until the pool answers, a log for ever.
void tell(Matter matter, const std::string& line, ReportTo to) {
  std::fprintf(stderr, "boughfs: %s\n", line.c_str());
  if (to == ReportTo::kSyslog) to_log(matter, line);
}

void complain(const std::string& line, ReportTo to) {
  tell(Matter::kWarning, line, to);
}

std::vector<std::string> paths_in(const std::string& list) {
  std::vector<std::string> paths;
  for (std::size_t at = 0; at < list.size();) {
    const auto end = std::min(list.find(':', at), list.size());
    paths.push_back(list.substr(at, end - at));
    at = end + 1;
  }
  return paths;
}

/// The pool's st_dev, which is known once it is mounted; 0 until then.
using OwnDevice = std::shared_ptr<std::atomic<std::uint64_t>>;

ops::ControlOptions control_options(Configuration& config, ReportTo report_to,
                                    const std::shared_ptr<session::Trace>& trace,
                                    const OwnDevice& own_device) {
  ops::ControlOptions control;
  const std::string place = place_of_pool(config.mount.mountpoint);
  control.rows = control_rows(config, place);
  control.complain = [report_to](const std::string& line) { complain(line, report_to); };
  control.notice = [report_to](const std::string& line) { tell(Matter::kNotice, line, report_to); };
  control.mounted_inside = [place] { return mounted_inside(place); };
  control.state_file = state_file(place);
  const auto live = std::make_shared<ops::LiveKeys>();
  make_trace_live(control.rows, trace,
                  {[place] { return places_of_mounted(place); },
                   [live] { return paths_in(live->get("srcmounts").value_or("")); }});
  control.hand_over = [&config, report_to, place, live](ops::LiveKeys keys) {
    *live = keys;
    config.config_file.go_live(
        std::move(keys),
        [report_to](bool bad, const std::string& line) {
          tell(bad ? Matter::kWarning : Matter::kNotice, line, report_to);
        },
        [place] { return places_of_mounted(place); });
  };
  control.mountpoint = place;
  control.own_device = [own_device]() -> std::optional<std::uint64_t> {
    const std::uint64_t device = own_device->load();
    return device != 0 ? std::optional(device) : std::nullopt;
  };
  control.places.mounted_at = [place] { return places_of_mounted(place); };
  control.places.objection = [trace](const std::string& branch) {
    const std::string file = trace->file();
    return file.empty() ? std::string() : why_no_branch_with_trace(file, branch);
  };
  return control;
}

ExitStatus status_of(session::StopReason reason, ReportTo report_to) {
  switch (reason) {
    case session::StopReason::kUnmounted:
    case session::StopReason::kStopRequested:
      return ExitStatus::kOk;
    case session::StopReason::kAborted:
    case session::StopReason::kDeviceError:
      break;
  }
  tell(Matter::kError, std::string("the connection ended: ") + session::to_string(reason),
       report_to);
  return ExitStatus::kServing;
}

}  // namespace

ExitStatus serve(Configuration& config, const Announce& announce, ReportTo report_to) {
  session::prepare_process();
  block_signals();
  if (const int nice = config.mount.priority; nice != 0 && !session::set_priority(nice))
    config.warnings.push_back("-o scheduling-priority=" + std::to_string(nice) +
                              ": an ordinary user may only be nicer than he is");
  for (const std::string& line : config.warnings) complain("warning: " + line, report_to);
  const std::shared_ptr<session::Trace> trace =
      session::Trace::open(config.session, report_to == ReportTo::kStderr,
                           [report_to](const std::string& line) { complain(line, report_to); });
  const auto own_device = std::make_shared<std::atomic<std::uint64_t>>(0);
  const std::unique_ptr<ops::Backing> backing = ops::make_posix_backing();
  const std::unique_ptr<proto::Filesystem> pool = ops::make_union_fs(
      *backing, config.ops, control_options(config, report_to, trace, own_device));
  if (const std::string told = session::fit_message(config.session.message_pages); !told.empty())
    complain(told, report_to);
  const std::vector<session::BranchDevice> branches = branch_devices(config);
  session::Mount mount = session::Mount::attach(mount_options(config));
  own_device->store(mount.device_number().value_or(0));
  session::settle_daemon();

  session::SessionStart start;
  start.device = session::Device::duplicate(mount.device());
  start.agreement = session::shake_hands(*start.device, *pool, config.session, {}, trace.get());
  if (const auto device = mount.device_number())
    for (const std::string& line : session::tune_mount(config.session, *device, branches))
      complain(line, report_to);
  session::Session session(std::move(start), *pool, config.session, trace);

  session::SessionHooks hooks;
  hooks.ready = [&] {
    if (report_to == ReportTo::kSyslog)
      to_log(Matter::kNotice, "mounted at " + config.mount.mountpoint);
    if (!announce()) session.stop();
  };
  hooks.unmount = [&mount] {
    mount.write_back();
    mount.unmount();
  };
  session::StopReason reason{};
  {
    const Signals signals([&session] { session.stop(); }, [&] { give_report(session, report_to); },
                          [&config] { config.config_file.reload(); });
    reason = session.run(hooks);
  }
  const ExitStatus status = status_of(reason, report_to);
  if (report_to == ReportTo::kSyslog && status == ExitStatus::kOk)
    to_log(Matter::kNotice, "unmounted from " + config.mount.mountpoint);
  if (session.stuck()) {
    // A branch hangs: what was not written back cannot be waited for, and nobody is to be left
    // waiting.
    mount.unmount();
    ::_exit(static_cast<int>(status));
  }
  return status;
}

}  // namespace bough::cli
