#include "cli/tree_walk.hpp"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string_view>
#include <vector>

namespace bough::cli {
namespace {

struct Close {
  void operator()(DIR* directory) const noexcept { ::closedir(directory); }
};

class Walk {
 public:
  Walk(const std::function<void(const std::string&)>& seen,
       const std::function<void(const std::string&, int)>& unseen)
      : seen_(seen), unseen_(unseen) {}

  void begin(const std::string& start) {
    struct stat found = {};
    if (::stat(start.c_str(), &found) != 0) return unseen_(start, errno);
    device_ = found.st_dev;
    visit(start, found);
  }

 private:
  void visit(const std::string& path, const struct stat& found) {
    const bool inside_itself =
        std::find(above_.begin(), above_.end(), found.st_ino) != above_.end();
    if (found.st_dev != device_ || (S_ISDIR(found.st_mode) && inside_itself)) return;
    seen_(path);
    if (!S_ISDIR(found.st_mode)) return;
    above_.push_back(found.st_ino);
    const std::string prefix = path.ends_with('/') ? path : path + "/";
    for (const std::string& name : names_in(path)) {
      const std::string each = prefix + name;
      struct stat info = {};
      if (::lstat(each.c_str(), &info) == 0)
        visit(each, info);
      else if (errno != ENOENT)
        unseen_(each, errno);
    }
    above_.pop_back();
  }

  std::vector<std::string> names_in(const std::string& path) {
    std::vector<std::string> names;
    const std::unique_ptr<DIR, Close> directory(::opendir(path.c_str()));
    if (!directory) {
      if (errno != ENOENT) unseen_(path, errno);
      return names;
    }
    for (errno = 0; const ::dirent* const entry = ::readdir(directory.get()); errno = 0) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    if (errno != 0) unseen_(path, errno);
    std::sort(names.begin(), names.end());
    return names;
  }

  const std::function<void(const std::string&)>& seen_;
  const std::function<void(const std::string&, int)>& unseen_;
  dev_t device_ = 0;
  /// The directories that lead to where the walk is: something below one may be it again, bound.
  std::vector<ino_t> above_;
};

}  // namespace

void walk_tree(const std::string& start, const std::function<void(const std::string& path)>& seen,
               const std::function<void(const std::string& path, int error)>& unseen) {
  Walk(seen, unseen).begin(start);
}

}  // namespace bough::cli
