#include "cli/run.hpp"

int main(int argc, char* argv[]) {
  return static_cast<int>(bough::cli::run(argc, argv));
}
