#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <thread>

#include "session/handshake.hpp"
#include "session/session.hpp"
#include "test/support/fake_kernel.hpp"
#include "test/support/null_filesystem.hpp"

namespace bough::test {

/// A session over a fake kernel and a file system without files, INIT done, serving on a thread.
class Serving {
 public:
  explicit Serving(session::Settings settings = {},
                   std::shared_ptr<session::Trace> trace = nullptr) {
    kernel.send_init();
    auto agreement = session::shake_hands(*kernel.device(), fs, settings, {}, trace.get());
    init_reply = kernel.receive();
    session = std::make_unique<session::Session>(
        session::SessionStart{kernel.device(), agreement, false}, fs, settings, std::move(trace));
    thread_ = std::thread([this] { reason = session->run(); });
  }
  ~Serving() { end(); }

  /// Unmounts, lets every handler go and joins.
  void end() {
    if (!thread_.joinable()) return;
    fs.let_go("*");
    kernel.hang_up();
    thread_.join();
  }
  void join() { thread_.join(); }

  /// One figure of the report.
  [[nodiscard]] std::uint64_t figure(const std::string& name) const {
    std::istringstream lines(session->report());
    std::string key;
    std::uint64_t value = 0;
    while (lines >> key >> value)
      if (key == name) return value;
    return 0;
  }
  /// Waits until a figure reaches a value.
  [[nodiscard]] bool reaches(const std::string& name, std::uint64_t value) const {
    return eventually([&] { return figure(name) >= value; });
  }
  [[nodiscard]] static bool eventually(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }

  FakeKernel kernel;
  NullFilesystem fs;
  std::optional<FakeKernel::Reply> init_reply;
  std::unique_ptr<session::Session> session;
  session::StopReason reason = session::StopReason::kDeviceError;

 private:
  std::thread thread_;
};

}  // namespace bough::test
