// The commands that show a running gateway: explain, status, routes, upstreams. Each asks one call
// of the admin port and prints its answer for people, or as it came (JSON).
#pragma once

#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

namespace lictor {

struct ShowOptions {
  std::string admin;       // empty = $LICTOR_ADMIN, else kDefaultAdmin
  std::string token_file;  // empty = $LICTOR_ADMIN_TOKEN_FILE, else no token
  bool json = false;
  bool watch = false;  // again every 2 s, until SIGINT
};

// All of them colour what they print when `out` is the standard output, that is a terminal, and
// NO_COLOR is not set.
//
// Exit codes: 0 a route takes it, 1 none does, 2 bad usage or no answer.
int show_explain(const ShowOptions& options, const std::string& method, const std::string& url,
                 const std::vector<std::string>& headers, std::ostream& out, std::ostream& err);

// Exit codes: 0 shown (with `watch` ended by SIGINT), 1 no answer.
int show_status(const ShowOptions& options, std::ostream& out, std::ostream& err);
int show_routes(const ShowOptions& options, std::ostream& out, std::ostream& err);
int show_upstreams(const ShowOptions& options, std::ostream& out, std::ostream& err);

// What they print of an answer's text.
std::string print_explain(std::string_view json, bool color = false);
std::string print_status(std::string_view json, bool color = false);
std::string print_routes(std::string_view json, bool color = false);
std::string print_upstreams(std::string_view json, bool color = false);

}  // namespace lictor
