#include "session/read_ahead.hpp"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>

#include "session/fd.hpp"

namespace bough::session {

ReadAhead::ReadAhead(dev_t device, const std::string& sys) {
  const std::string number = std::to_string(major(device)) + ':' + std::to_string(minor(device));
  // A partition has that of its disk, in whose folder it lies.
  for (const std::string& folder :
       {sys + "/class/bdi/" + number, sys + "/dev/block/" + number + "/bdi",
        sys + "/dev/block/" + number + "/../bdi"}) {
    file_ = folder + "/read_ahead_kb";
    if (::access(file_.c_str(), F_OK) == 0) return;
  }
  file_.clear();
}

std::optional<std::uint64_t> ReadAhead::kib() const {
  std::FILE* const file = file_.empty() ? nullptr : std::fopen(file_.c_str(), "re");
  if (file == nullptr) return std::nullopt;
  std::uint64_t kib = 0;
  const bool read = std::fscanf(file, "%" SCNu64, &kib) == 1;
  std::fclose(file);
  return read ? std::optional(kib) : std::nullopt;
}

int ReadAhead::set(std::uint64_t kib) const {
  if (file_.empty()) return ENODEV;
  const Fd file(::open(file_.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file) return errno;
  const std::string text = std::to_string(kib) + '\n';
  return ::write(file.get(), text.data(), text.size()) < 0 ? errno : 0;
}

}  // namespace bough::session
