#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>
#include <string>

#include "cli/configuration.hpp"
#include "cli/man/man_page.hpp"

// man_page TEXT PAGE: run by the build, not installed.
int main(int argc, char* argv[]) {
  if (argc != 3) {
    std::fputs("usage: man_page TEXT PAGE\n", stderr);
    return 1;
  }
  try {
    std::ifstream text;
    text.exceptions(std::ios::failbit | std::ios::badbit);
    text.open(argv[1]);
    const bough::cli::Configuration config;
    const std::string page =
        bough::cli::man_page(std::string(std::istreambuf_iterator<char>(text), {}), config.table);
    std::ofstream out;
    out.exceptions(std::ios::failbit | std::ios::badbit);
    out.open(argv[2]);
    out << page;
    out.close();
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "man_page: %s: %s\n", argv[1], error.what());
    return 1;
  }
}
