#include "ops/link_settings.hpp"

#include "ops/setting_rows.hpp"

namespace bough::ops {

void add_link_settings(std::vector<proto::Setting>& table, LinkSettings& settings) {
  using When = proto::Setting::When;
  const SettingRows links("Links");
  table.push_back(links.toggle("link-cow", When::kNextOpen, settings.cow,
                               "a file with several names gets one of its own, as a whole copy, "
                               "when it is opened for writing; the other names keep what they "
                               "have"));
}

}  // namespace bough::ops
