#include "ops/file_settings.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "proto/bool_text.hpp"

namespace bough::ops {
namespace {

using proto::LiveValue;
using proto::Setting;

constexpr const char* kGroup = "Files";

template <class T>
struct Word {
  std::string_view name;
  T value;
};

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

Setting row_of(std::string name, std::string form, Setting::When when, std::string help) {
  Setting row;
  row.name = std::move(name);
  row.group = kGroup;
  row.form = std::move(form);
  row.when = when;
  row.help = std::move(help);
  return row;
}

template <class T, std::size_t kCount>
Setting word_row(std::string name, const std::array<Word<T>, kCount>& words, LiveValue<T>& bound,
                 std::string help) {
  std::string form;
  for (const Word<T>& word : words) {
    if (!form.empty()) form += '|';
    form += word.name;
  }
  Setting row = row_of(std::move(name), form, Setting::When::kNextOpen, std::move(help));
  row.set = [&words, &bound](std::string_view text) -> std::string {
    const auto found = std::find_if(words.begin(), words.end(),
                                    [&](const Word<T>& word) { return word.name == text; });
    if (found != words.end()) {
      bound = found->value;
      return {};
    }
    std::string complaint = "wants one of:";
    for (const Word<T>& word : words) {
      complaint += complaint.ends_with(':') ? " " : ", ";
      complaint += word.name;
    }
    return complaint;
  };
  row.get = [&words, &bound] {
    const T value = bound;
    return std::string(std::find_if(words.begin(), words.end(), [&](const Word<T>& word) {
                         return word.value == value;
                       })->name);
  };
  row.fallback = row.get();
  return row;
}

/// `Bool`: bool or LiveValue<bool>.
template <class Bool>
Setting switch_row(std::string name, Setting::When when, Bool& bound, std::string help) {
  Setting row = row_of(std::move(name), "BOOL", when, std::move(help));
  row.bare = "true";
  row.set = [&bound](std::string_view text) -> std::string {
    const auto value = proto::parse_bool(text);
    if (!value) return "wants true or false";
    bound = *value;
    return {};
  };
  row.get = [&bound] { return proto::bool_text(bound); };
  row.fallback = row.get();
  return row;
}

Setting passthrough_row(FileSettings& settings) {
  Setting row = word_row("passthrough.io", kPassthroughIo, settings.passthrough,
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
  Setting row = row_of("passthrough.max-stack-depth", "1|2", Setting::When::kMount,
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
  Setting row = row_of("cache.files.process-names", "NAME[|NAME…]", Setting::When::kNextOpen,
                       "with cache.files=per-process: the programs whose files are cached");
  row.set = [&names](std::string_view text) { return names.set(text); };
  row.get = [&names] { return names.text(); };
  row.fallback = row.get();
  return row;
}

}  // namespace

void add_file_settings(std::vector<Setting>& table, FileSettings& settings) {
  using When = Setting::When;
  table.push_back(word_row("cache.files", kCacheFiles, settings.cache,
                           "how the kernel caches what is in files; auto: kept while a file is "
                           "unchanged, direct for O_DIRECT"));
  table.push_back(process_names_row(settings.process_names));
  table.push_back(switch_row("direct-io", When::kNextOpen, settings.direct_io,
                             "with cache.files=libfuse: no page cache"));
  table.push_back(switch_row("kernel-cache", When::kNextOpen, settings.kernel_cache,
                             "with cache.files=libfuse: an open keeps what is cached"));
  table.push_back(switch_row("auto-cache", When::kNextOpen, settings.auto_cache,
                             "with cache.files=libfuse: the same while the file is unchanged"));
  table.push_back(switch_row("cache.writeback", When::kMount, settings.writeback,
                             "the kernel gathers small writes; not for branches that change "
                             "behind the pool"));
  table.push_back(passthrough_row(settings));
  table.push_back(stack_depth_row(settings.passthrough_stack_depth));
  table.push_back(switch_row("parallel-direct-writes", When::kNextOpen,
                             settings.parallel_direct_writes,
                             "direct writes inside a file's size run side by side (Linux 6.2)"));
  table.push_back(word_row("flush-on-close", kFlushOnClose, settings.flush,
                           "when close(2) asks the branch for errors; auto: of files opened for "
                           "write where the file system can have some"));
  table.push_back(
      switch_row("dropcacheonclose", When::kRuntime, settings.drop_on_close,
                 "a closed file leaves the branch's page cache, written to disk first"));
  table.push_back(switch_row("proxy-ioprio", When::kRuntime, settings.proxy_ioprio,
                             "branches are read and written with the caller's I/O priority"));
  table.push_back(switch_row("nullrw", When::kMount, settings.null_rw,
                             "reads give zeroes, writes go nowhere: for measuring the rest"));
  table.push_back(switch_row("handle-killpriv-v2", When::kMount, settings.handle_killpriv,
                             "set-id bits are cleared with the write that clears them"));
  table.back().aliases = {"handle-killpriv"};
}

}  // namespace bough::ops
