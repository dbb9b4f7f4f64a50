#include "cli/mergerfs_rows.hpp"

#include <charconv>
#include <string_view>

namespace bough::cli {
namespace {

proto::Setting row_of(std::string name, std::string form, std::string& field) {
  proto::Setting row;
  row.name = std::move(name);
  row.group = "Accepted for mergerfs";
  row.form = std::move(form);
  row.fallback = field;
  row.help = "nothing follows from it: threads are started as they are needed, at most threads=N";
  row.set = [&field](std::string_view value) -> std::string {
    if (value.empty()) return "wants a value";
    field = value;
    return {};
  };
  row.get = [&field] { return field; };
  return row;
}

proto::Setting number_of(std::string name, std::string& field) {
  proto::Setting row = row_of(std::move(name), "N", field);
  row.set = [&field](std::string_view value) -> std::string {
    int number = 0;
    const char* const end = value.data() + value.size();
    const auto parsed = std::from_chars(value.data(), end, number);
    if (parsed.ec != std::errc{} || parsed.ptr != end) return "wants a number";
    field = value;
    return {};
  };
  return row;
}

}  // namespace

std::vector<proto::Setting> mergerfs_rows(MergerfsThreads& threads) {
  return {number_of("read-thread-count", threads.readers),
          number_of("process-thread-count", threads.processors),
          number_of("process-thread-queue-depth", threads.queue_depth),
          row_of("pin-threads", "TEXT", threads.pinning)};
}

}  // namespace bough::cli
