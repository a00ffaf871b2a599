// The command line (SPEC 1).
#include <CLI/CLI.hpp>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "app/check.h"
#include "app/completions.h"
#include "app/gateway.h"
#include "app/show.h"
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
  auto token = lictor::read_admin_token(bootstrap->admin);
  if (!token) {
    std::cerr << "lictor: " << token.error() << "\n";
    return kUsage;
  }
  lictor::Gateway gateway(std::move(*bootstrap), config, std::move(*token));
  if (const auto failed = gateway.load_certificates()) {
    std::cerr << "lictor: " << *failed << "\n";
    return kUsage;
  }
  if (const auto failed = gateway.start(verbose)) {
    std::cerr << "lictor: " << *failed << "\n";
    return 1;
  }
  return gateway.run();
}

// The commands that show a running gateway.
class ShowCommands {
 public:
  explicit ShowCommands(CLI::App& app) {
    explain_ = add(app, "explain", "Which route would take a request, and why");
    explain_->add_option("METHOD", method_, "GET, POST, ...")->required();
    explain_->add_option("URL", url_, "http://host/path?query, or /path with -H 'Host: ...'")
        ->required();
    explain_->add_option("-H,--header", headers_, "A header, 'Name: value'")
        ->allow_extra_args(false);
    status_ = add(app, "status", "The running gateway");
    routes_ = add(app, "routes", "The routes in force");
    upstreams_ = add(app, "upstreams", "The services and their instances");
  }

  // None when it was another command.
  std::optional<int> run() const {
    if (*explain_) {
      return lictor::show_explain(options_, method_, url_, headers_, std::cout, std::cerr);
    }
    if (*status_) return lictor::show_status(options_, std::cout, std::cerr);
    if (*routes_) return lictor::show_routes(options_, std::cout, std::cerr);
    if (*upstreams_) return lictor::show_upstreams(options_, std::cout, std::cerr);
    return std::nullopt;
  }

 private:
  CLI::App* add(CLI::App& app, const std::string& name, const std::string& what) {
    CLI::App* command = app.add_subcommand(name, what);
    command
        ->add_option("--admin", options_.admin,
                     "The admin port; default $LICTOR_ADMIN, else http://127.0.0.1:9900")
        ->type_name("URL");
    command
        ->add_option("--token-file", options_.token_file,
                     "Its token; default $LICTOR_ADMIN_TOKEN_FILE")
        ->type_name("FILE");
    command->add_flag("--json", options_.json, "Print the answer as it came");
    command->add_flag("--watch", options_.watch, "Ask again every 2 s, until Ctrl-C");
    return command;
  }

  lictor::ShowOptions options_;
  std::string method_;
  std::string url_;
  std::vector<std::string> headers_;
  CLI::App* explain_;
  CLI::App* status_;
  CLI::App* routes_;
  CLI::App* upstreams_;
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("The edge gateway that walks in front of Consul.", "lictor");
  app.require_subcommand(1);

  std::string config;
  bool verbose = false;
  auto* run_command = app.add_subcommand("run", "Start the gateway");
  run_command->add_option("--config", config, "The bootstrap file; without one, the defaults")
      ->type_name("FILE");
  run_command->add_flag("-v,--verbose", verbose, "Log at debug level");

  std::vector<std::string> paths;
  auto* check_command = app.add_subcommand("check", "Validate a bootstrap file and documents");
  check_command->add_option("--config", config, "A bootstrap file")->type_name("FILE");
  check_command->add_option("PATH", paths, "Documents: files, folders, - for stdin")
      ->type_name("FILE");

  const ShowCommands show(app);
  std::string shell;
  auto* completions_command =
      app.add_subcommand("completions", "Print a script that makes a shell complete this command");
  completions_command->add_option("SHELL", shell, "Which shell")
      ->required()
      ->check(
          CLI::IsMember(std::vector<std::string>(lictor::kShells.begin(), lictor::kShells.end())));
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
  if (*completions_command) {
    std::cout << lictor::completions(app, shell);
    return 0;
  }
  if (*check_command) {
    const auto file = config.empty() ? std::nullopt : std::optional(config);
    return lictor::run_check(file, paths, std::cout, std::cerr);
  }
  if (const auto code = show.run()) return *code;
  return run(config, verbose);
}
