#include "ops/file_settings.hpp"

#include <array>
#include <string>
#include <string_view>

#include "ops/setting_rows.hpp"

namespace bough::ops {
namespace {

using proto::Setting;

const SettingRows kRows("Files");

template <class T>
using Word = SettingRows::Word<T>;

constexpr std::array<Word<CacheFiles>, 7> kCacheFiles{{{"auto", CacheFiles::kAuto},
                                                       {"off", CacheFiles::kOff},
                                                       {"partial", CacheFiles::kPartial},
                                                       {"full", CacheFiles::kFull},
                                                       {"auto-full", CacheFiles::kAutoFull},
                                                       {"per-process", CacheFiles::kPerProcess},
                                                       {"libfuse", CacheFiles::kLibfuse}}};

constexpr std::array<Word<PassthroughIo>, 5> kPassthroughIo{{{"off", PassthroughIo::kOff},
                                                             {"ro", PassthroughIo::kReadOnly},
                                                             {"wo", PassthroughIo::kWriteOnly},
                                                             {"rw", PassthroughIo::kReadWrite},
                                                             {"auto", PassthroughIo::kAuto}}};

constexpr std::array<Word<FlushOnClose>, 4> kFlushOnClose{
    {{"auto", FlushOnClose::kAuto},
     {"never", FlushOnClose::kNever},
     {"opened-for-write", FlushOnClose::kOpenedForWrite},
     {"always", FlushOnClose::kAlways}}};

Setting passthrough_row(FileSettings& settings) {
  Setting row = kRows.words<PassthroughIo>(
      "passthrough.io", kPassthroughIo, Setting::When::kNextOpen, settings.passthrough,
      "files opened so are read and written by the kernel itself, on the "
      "branch (Linux 6.9, root's pools); auto: nearly all, while cache.files is "
      "auto");
  row.set = [&settings, set = std::move(row.set)](std::string_view text) -> std::string {
    if (!settings.no_passthrough.empty() && text != kPassthroughIo.front().name)
      return "can only be off: " + settings.no_passthrough;
    return set(text);
  };
  return row;
}

Setting stack_depth_row(std::uint32_t& depth) {
  Setting row = kRows.row("passthrough.max-stack-depth", "1|2", Setting::When::kMount,
                          "2: passthrough on branches that are overlayfs or a pool, too; then "
                          "nothing can be stacked on this pool");
  row.set = [&depth](std::string_view text) -> std::string {
    if (text != "1" && text != "2") return "wants 1 or 2";
    depth = text == "1" ? 1 : 2;
    return {};
  };
  row.get = [&depth] { return std::to_string(depth); };
  row.fallback = row.get();
  return row;
}

Setting process_names_row(ProcessNames& names) {
  Setting row = kRows.row("cache.files.process-names", "NAME[|NAME…]", Setting::When::kNextOpen,
                          "with cache.files=per-process: the programs whose files are cached");
  row.set = [&names](std::string_view text) { return names.set(text); };
  row.get = [&names] { return names.text(); };
  row.fallback = row.get();
  return row;
}

}  // namespace

void add_file_settings(std::vector<Setting>& table, FileSettings& settings) {
  using When = Setting::When;
  table.push_back(
      kRows.words<CacheFiles>("cache.files", kCacheFiles, When::kNextOpen, settings.cache,
                              "how the kernel caches what is in files; auto: kept while a file is "
                              "unchanged, direct for O_DIRECT"));
  table.push_back(process_names_row(settings.process_names));
  table.push_back(kRows.toggle("direct-io", When::kNextOpen, settings.direct_io,
                               "with cache.files=libfuse: no page cache"));
  table.push_back(kRows.toggle("kernel-cache", When::kNextOpen, settings.kernel_cache,
                               "with cache.files=libfuse: an open keeps what is cached"));
  table.push_back(kRows.toggle("auto-cache", When::kNextOpen, settings.auto_cache,
                               "with cache.files=libfuse: the same while the file is unchanged"));
  table.push_back(kRows.toggle("cache.writeback", When::kMount, settings.writeback,
                               "the kernel gathers small writes; not for branches that change "
                               "behind the pool, nor with cache.files=off or per-process"));
  table.push_back(passthrough_row(settings));
  table.push_back(stack_depth_row(settings.passthrough_stack_depth));
  table.push_back(kRows.toggle("parallel-direct-writes", When::kNextOpen,
                               settings.parallel_direct_writes,
                               "direct writes inside a file's size run side by side (Linux 6.2)"));
  table.push_back(kRows.words<FlushOnClose>(
      "flush-on-close", kFlushOnClose, When::kNextOpen, settings.flush,
      "when close(2) asks the branch for errors; auto: of files opened for "
      "write where the file system can have some"));
  table.push_back(
      kRows.toggle("dropcacheonclose", When::kRuntime, settings.drop_on_close,
                   "a closed file leaves the branch's page cache, written to disk first"));
  table.push_back(kRows.toggle("proxy-ioprio", When::kRuntime, settings.proxy_ioprio,
                               "branches are read and written with the caller's I/O priority"));
  table.push_back(kRows.toggle("nullrw", When::kMount, settings.null_rw,
                               "reads give zeroes, writes go nowhere: for measuring the rest"));
  table.push_back(kRows.toggle("handle-killpriv-v2", When::kMount, settings.handle_killpriv,
                               "set-id bits are cleared with the write that clears them"));
  table.back().aliases = {"handle-killpriv"};
}

}  // namespace bough::ops
