// The command line (SPEC 1).
#include <CLI/CLI.hpp>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "app/check.h"
#include "app/gateway.h"
#include "base/log.h"
#include "base/version.h"

namespace {

constexpr int kUsage = 2;

int run(const std::string& config, bool verbose) {
  auto bootstrap = lictor::load_bootstrap(config);
  if (!bootstrap) {
    std::cerr << "lictor: " << bootstrap.error() << "\n";
    return kUsage;
  }
  lictor::Gateway gateway(std::move(*bootstrap), config);
  if (const auto failed = gateway.start(verbose)) {
    std::cerr << "lictor: " << *failed << "\n";
    return 1;
  }
  return gateway.run();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("The edge gateway that walks in front of Consul.", "lictor");
  app.require_subcommand(1);

  std::string config;
  bool verbose = false;
  auto* run_command = app.add_subcommand("run", "Start the gateway");
  run_command->add_option("--config", config, "The bootstrap file; without one, the defaults");
  run_command->add_flag("-v,--verbose", verbose, "Log at debug level");

  std::vector<std::string> paths;
  auto* check_command = app.add_subcommand("check", "Validate a bootstrap file and documents");
  check_command->add_option("--config", config, "A bootstrap file");
  check_command->add_option("PATH", paths, "Documents: files, folders, - for stdin");

  auto* version_command = app.add_subcommand("version", "Print the version");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    std::cerr << "lictor: " << error.what() << "; see lictor --help\n";
    return kUsage;
  }
  if (*version_command) {
    std::cout << "lictor " << lictor::version() << "\n";
    return 0;
  }
  if (*check_command) {
    const auto file = config.empty() ? std::nullopt : std::optional(config);
    return lictor::run_check(file, paths, std::cout, std::cerr);
  }
  return run(config, verbose);
}
