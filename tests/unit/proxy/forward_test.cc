#include "proxy/forward.h"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

using lictor::Arena;
using lictor::Cidr;
using lictor::Client;
using lictor::FieldId;
using lictor::Fields;
using lictor::Head;
using lictor::IpAddress;
using lictor::Peer;
using lictor::SocketAddress;

namespace {

using List = std::vector<std::pair<std::string, std::string>>;

// Requests from 192.0.2.7 through a listener on port 8080.
struct Forwarding {
  Fields fields_of(const List& list) {
    Fields fields;
    for (const auto& [name, value] : list) fields.add(arena, arena.copy(name), arena.copy(value));
    return fields;
  }
  Client identify(const List& list) {
    return lictor::identify_client(fields_of(list), peer.address.ip(), trusted);
  }
  // What goes upstream.
  Fields send(const List& list) {
    request = Head();
    request.authority = "www.example";
    request.upgrade = upgrade;
    request.fields = fields_of(list);
    const Client client = lictor::identify_client(request.fields, peer.address.ip(), trusted);
    lictor::prepare_request(request, {client, peer, "id-1", "http"}, arena);
    return request.fields;
  }
  Fields answer(const List& list, uint16_t status = 200) {
    response = Head();
    response.status = status;
    response.upgrade = upgrade;
    response.fields = fields_of(list);
    lictor::prepare_response(response, "today", arena);
    return response.fields;
  }
  void trust(std::initializer_list<const char*> ranges) {
    for (const char* range : ranges) trusted.push_back(*Cidr::parse(range));
  }

  Arena arena;
  Peer peer{*SocketAddress::parse("192.0.2.7:4711"), 0, 8080};
  std::vector<Cidr> trusted;
  std::string_view upgrade;
  Head request;
  Head response;
};

size_t count(const Fields& fields, std::string_view name) {
  size_t found = 0;
  for (const auto& field : fields) found += lictor::equals_ignore_case(field.name, name) ? 1 : 0;
  return found;
}

// The value of the only field of that name; "(none)", "(several)".
std::string value(const Fields& fields, std::string_view name) {
  const size_t found = count(fields, name);
  if (found != 1) return found == 0 ? "(none)" : "(several)";
  return std::string(fields.find(name)->value);
}

}  // namespace

TEST_CASE("the client is the nearest address that is no trusted proxy") {
  struct Case {
    const char* what;
    List fields;
    const char* client;
  };
  Forwarding f;
  f.trust({"192.0.2.0/24", "10.0.0.0/8", "2001:db8::/32"});
  for (const auto& [what, fields, client] : {
           Case{"nothing said", {}, "192.0.2.7"},
           Case{"one hop", {{"X-Forwarded-For", "203.0.113.5"}}, "203.0.113.5"},
           Case{"a forged one before it",
                {{"X-Forwarded-For", "1.2.3.4, 203.0.113.5"}},
                "203.0.113.5"},
           Case{"through our own proxies",
                {{"X-Forwarded-For", "1.2.3.4, 203.0.113.5, 10.1.1.1,10.2.2.2"}},
                "203.0.113.5"},
           Case{"several fields are one list",
                {{"X-Forwarded-For", "1.2.3.4, 203.0.113.5"}, {"x-forwarded-for", "10.1.1.1"}},
                "203.0.113.5"},
           Case{"all are ours: the farthest",
                {{"X-Forwarded-For", "10.9.9.9, 10.1.1.1"}},
                "10.9.9.9"},
           Case{"with a port", {{"X-Forwarded-For", "203.0.113.5:1234"}}, "203.0.113.5"},
           Case{"IPv6", {{"X-Forwarded-For", "2001:db9::1"}}, "2001:db9::1"},
           Case{"IPv6 in brackets with a port",
                {{"X-Forwarded-For", "[2001:db9::1]:55"}},
                "2001:db9::1"},
           Case{"IPv6 of ours", {{"X-Forwarded-For", "203.0.113.5, 2001:db8::1"}}, "203.0.113.5"},
           Case{"IPv4 as IPv6",
                {{"X-Forwarded-For", "203.0.113.5, ::ffff:10.1.1.1"}},
                "203.0.113.5"},
           Case{"no address ends the walk",
                {{"X-Forwarded-For", "203.0.113.5, unknown, 10.1.1.1"}},
                "10.1.1.1"},
           Case{"blanks", {{"X-Forwarded-For", " \t203.0.113.5\t , \t10.1.1.1 "}}, "203.0.113.5"},
       }) {
    CAPTURE(what);
    CHECK(f.identify(fields).ip.to_string() == client);
    CHECK(f.identify(fields).trusted_peer);
  }
}

TEST_CASE("a peer that is not trusted is the client, whatever it says") {
  Forwarding f;
  f.trust({"10.0.0.0/8"});
  const Client client =
      f.identify({{"X-Forwarded-For", "203.0.113.5"}, {"X-Request-Id", "forged"}});
  CHECK(client.ip.to_string() == "192.0.2.7");
  CHECK_FALSE(client.trusted_peer);
  CHECK(client.request_id.empty());
}

TEST_CASE("a trusted peer's request id is kept, within reason") {
  Forwarding f;
  f.trust({"192.0.2.7"});
  CHECK(f.identify({{"X-Request-Id", "abc"}}).request_id == "abc");
  CHECK(f.identify({{"X-Request-Id", std::string(128, 'a')}}).request_id.size() == 128);
  CHECK(f.identify({{"X-Request-Id", std::string(129, 'a')}}).request_id.empty());
}

TEST_CASE("the gateway adds its own fields, once each") {
  Forwarding f;
  const Fields sent = f.send({{"Accept", "*/*"}});
  CHECK(value(sent, "X-Forwarded-For") == "192.0.2.7");
  CHECK(value(sent, "X-Forwarded-Proto") == "http");
  CHECK(value(sent, "X-Forwarded-Host") == "www.example");
  CHECK(value(sent, "X-Forwarded-Port") == "8080");
  CHECK(value(sent, "X-Request-Id") == "id-1");
  CHECK(value(sent, "Via") == "1.1 lictor");
  CHECK(value(sent, "Accept") == "*/*");
  CHECK(sent.size() == 7);
}

TEST_CASE("what an untrusted peer may not say is dropped") {
  Forwarding f;
  for (const char* name : {"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host",
                           "X-Forwarded-Port", "X-Request-Id"}) {
    CAPTURE(name);
    const Fields sent = f.send({{name, "forged"}, {name, "twice"}});
    CHECK(value(sent, name) != "forged");
    CHECK(count(sent, name) == 1);
  }
  for (const char* name :
       {"X-Real-Ip", "Forwarded", "X-Forwarded-Prefix", "X-Forwarded-Ssl", "X_Forwarded_Server"}) {
    CAPTURE(name);
    CHECK(value(f.send({{name, "forged"}, {"a", "b"}}), name) == "(none)");
  }
}

TEST_CASE("what a trusted peer says is kept and completed") {
  Forwarding f;
  f.trust({"192.0.2.7"});
  const Fields sent = f.send({{"X-Forwarded-For", "203.0.113.5"},
                              {"X-Forwarded-For", "198.51.100.1"},
                              {"X-Forwarded-Proto", "https"},
                              {"X-Forwarded-Host", "shop.example"},
                              {"X-Forwarded-Port", "443"},
                              {"X-Forwarded-Prefix", "/shop"},
                              {"X-Forwarded-Ssl", "on"},
                              {"Forwarded", "for=203.0.113.5"},
                              {"X-Real-Ip", "203.0.113.5"}});
  CHECK(value(sent, "X-Forwarded-For") == "203.0.113.5, 198.51.100.1, 192.0.2.7");
  CHECK(value(sent, "X-Forwarded-Proto") == "https");
  CHECK(value(sent, "X-Forwarded-Host") == "shop.example");
  CHECK(value(sent, "X-Forwarded-Port") == "443");
  CHECK(value(sent, "X-Forwarded-Prefix") == "/shop");
  CHECK(value(sent, "X-Forwarded-Ssl") == "on");
  CHECK(value(sent, "Forwarded") == "for=203.0.113.5");
  CHECK(value(sent, "X-Real-Ip") == "203.0.113.5");
}

TEST_CASE("underscore twins of the gateway's own fields go, trusted or not") {
  for (const bool trusted : {false, true}) {
    Forwarding f;
    if (trusted) f.trust({"192.0.2.7"});
    for (const char* name :
         {"X_Forwarded_For", "X-Forwarded_For", "x_forwarded-proto", "X_Forwarded_Host",
          "X_Forwarded_Port", "X_Forwarded_Prefix", "X_Real_IP", "X_Request_Id"}) {
      CAPTURE(name);
      CHECK(value(f.send({{name, "forged"}}), name) == "(none)");
    }
    CHECK(value(f.send({{"X_Forwarded", "1"}}), "X_Forwarded") == "1");
    CHECK(value(f.send({{"my_field", "1"}}), "my_field") == "1");
  }
}

TEST_CASE("hop-by-hop fields stay on their hop") {
  Forwarding f;
  for (const char* name :
       {"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
        "Transfer-Encoding", "Upgrade", "HTTP2-Settings", "TE"}) {
    CAPTURE(name);
    CHECK(value(f.send({{name, "x"}, {"Other", "y"}}), name) == "(none)");
    CHECK(value(f.answer({{name, "x"}, {"Other", "y"}}), name) == "(none)");
    CHECK(value(f.answer({{name, "x"}, {"Other", "y"}}), "Other") == "y");
  }
}

TEST_CASE("fields that Connection names go with it") {
  Forwarding f;
  const List fields = {{"Connection", "close, X-One"},
                       {"X-One", "1"},
                       {"connection", " x-two ,,\tX-Three"},
                       {"X-Two", "2"},
                       {"X-THREE", "3"},
                       {"X-Four", "4"}};
  for (const Fields& sent : {f.send(fields), f.answer(fields)}) {
    CHECK(value(sent, "X-One") == "(none)");
    CHECK(value(sent, "X-Two") == "(none)");
    CHECK(value(sent, "X-Three") == "(none)");
    CHECK(value(sent, "X-Four") == "4");
  }
}

TEST_CASE("a client can't have the gateway's own fields taken away") {
  Forwarding f;
  const Fields sent = f.send({{"Connection",
                               "X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, "
                               "X-Forwarded-Port, X-Request-Id, Via"},
                              {"Via", "1.0 old"}});
  CHECK(value(sent, "X-Forwarded-For") == "192.0.2.7");
  CHECK(value(sent, "X-Forwarded-Proto") == "http");
  CHECK(value(sent, "X-Forwarded-Host") == "www.example");
  CHECK(value(sent, "X-Forwarded-Port") == "8080");
  CHECK(value(sent, "X-Request-Id") == "id-1");
  CHECK(value(sent, "Via").ends_with("1.1 lictor"));
}

TEST_CASE("nor what a trusted proxy said") {
  Forwarding f;
  f.trust({"192.0.2.7"});
  const Fields sent =
      f.send({{"Connection", "X-Forwarded-For"}, {"X-Forwarded-For", "203.0.113.5"}});
  CHECK(value(sent, "X-Forwarded-For") == "203.0.113.5, 192.0.2.7");
}

TEST_CASE("a Connection field that names everything hides nothing") {
  Forwarding f;
  std::string names;
  for (int i = 0; i < 100; ++i) names += "x-" + std::to_string(i) + ", ";
  const Fields sent =
      f.send({{"Connection", names + "x-secret"}, {"X-Secret", "1"}, {"X-99", "1"}});
  CHECK(value(sent, "X-Secret") == "(none)");
  CHECK(value(sent, "X-99") == "(none)");
}

TEST_CASE("TE goes on only as trailers") {
  Forwarding f;
  CHECK(value(f.send({{"TE", "trailers"}}), "TE") == "trailers");
  CHECK(value(f.send({{"TE", "gzip;q=0.5, Trailers"}}), "TE") == "trailers");
  CHECK(value(f.send({{"TE", "gzip"}}), "TE") == "(none)");
  CHECK(value(f.send({{"Connection", "TE"}, {"TE", "trailers"}}), "TE") == "trailers");
}

TEST_CASE("h2c is never asked for") {
  struct Case {
    const char* asked;
    const char* sent;
  };
  for (const auto& [asked, sent] :
       {Case{"websocket", "websocket"}, Case{"h2c", ""}, Case{"H2C", ""},
        Case{"h2c, websocket", "websocket"}, Case{"a, h2c, b", "a, b"}}) {
    CAPTURE(asked);
    Forwarding f;
    f.upgrade = asked;
    f.send({});
    CHECK(f.request.upgrade == sent);
  }
}

TEST_CASE("Via grows at its end") {
  Forwarding f;
  CHECK(value(f.send({{"Via", "1.0 a"}}), "Via") == "1.0 a, 1.1 lictor");
  CHECK(value(f.send({{"Via", "1.0 a"}, {"X", "y"}, {"via", "1.1 b, 1.1 c"}}), "Via") ==
        "1.0 a, 1.1 b, 1.1 c, 1.1 lictor");
  CHECK(value(f.answer({}), "Via") == "1.1 lictor");
  CHECK(value(f.answer({{"Via", "1.1 b"}}), "Via") == "1.1 b, 1.1 lictor");
}

TEST_CASE("a request that went round ten times is a loop") {
  Forwarding f;
  std::string via;
  for (int hops = 0; hops < 12; ++hops) {
    CAPTURE(via);
    CHECK(lictor::loops(f.fields_of({{"Via", via}})) == (hops >= 10));
    CHECK(lictor::loops(f.fields_of({{"Via", "1.1 other"}, {"Via", via}})) == (hops >= 10));
    if (!via.empty()) via += ", ";
    via += lictor::kVia;
  }
  List one_each;
  for (int hops = 0; hops < 10; ++hops) one_each.emplace_back("Via", lictor::kVia);
  CHECK(lictor::loops(f.fields_of(one_each)));
  CHECK_FALSE(lictor::loops(f.fields_of(List(20, {"Via", "1.1 other"}))));
}

TEST_CASE("Date is added only when the upstream gave none") {
  Forwarding f;
  CHECK(value(f.answer({}), "Date") == "today");
  CHECK(value(f.answer({{"date", "yesterday"}}), "Date") == "yesterday");
}

TEST_CASE("repeated end-to-end fields stay apart and in order") {
  Forwarding f;
  const Fields got =
      f.answer({{"Set-Cookie", "a=1"}, {"Connection", "close"}, {"Set-Cookie", "b=2"}});
  REQUIRE(count(got, "Set-Cookie") == 2);
  CHECK(got.begin()[0].value == "a=1");
  CHECK(got.begin()[1].value == "b=2");
}

TEST_CASE("only a 101 grants an upgrade") {
  Forwarding f;
  f.upgrade = "websocket";
  f.answer({}, 200);
  CHECK(f.response.upgrade.empty());
  f.answer({}, 101);
  CHECK(f.response.upgrade == "websocket");
  lictor::prepare_informational(f.response);
  CHECK(f.response.upgrade.empty());
}

TEST_CASE("an informational response keeps its fields but the hop's") {
  Forwarding f;
  Head early;
  early.status = 103;
  early.fields = f.fields_of({{"Link", "</a>"}, {"Connection", "x"}, {"X", "y"}});
  lictor::prepare_informational(early);
  CHECK(early.fields.size() == 1);
  CHECK(value(early.fields, "Link") == "</a>");
}

TEST_CASE("the Host that goes upstream") {
  lictor::UpstreamPolicy policy;
  CHECK(lictor::upstream_host(policy, "www.example:80", "10.0.0.1:8080") == "www.example:80");
  CHECK(lictor::upstream_host(policy, "", "10.0.0.1:8080") == "10.0.0.1:8080");
  policy.host = lictor::HostMode::kInstance;
  CHECK(lictor::upstream_host(policy, "www.example", "10.0.0.1:8080") == "10.0.0.1:8080");
  policy.host = lictor::HostMode::kLiteral;
  policy.host_literal = "internal.example";
  CHECK(lictor::upstream_host(policy, "www.example", "10.0.0.1:8080") == "internal.example");
}

TEST_CASE_FIXTURE(Forwarding, "a verified client is named; what clients say of themselves is not") {
  const List forged = {{"X-Forwarded-Client-Cert", "forged"},
                       {"X_Forwarded_Client_Cert", "forged"},
                       {"x-forwarded-client_cert", "forged"}};
  const lictor::TlsPeer nobody;
  const lictor::TlsPeer somebody{"CN=api", "Hash=1;Subject=\"CN=api\""};
  const auto twins = [](const Fields& fields) {
    return count(fields, "x_forwarded_client_cert") + count(fields, "x-forwarded-client_cert");
  };
  for (const auto* tls : {static_cast<const lictor::TlsPeer*>(nullptr), &nobody, &somebody}) {
    peer.tls = tls;
    const Fields sent = send(forged);
    CHECK(value(sent, "x-forwarded-client-cert") ==
          (tls == &somebody ? somebody.forwarded : std::string("(none)")));
    CHECK(twins(sent) == 0);
  }
  // A trusted proxy speaks of its own client, and we of the proxy.
  trust({"192.0.2.0/24"});
  CHECK(value(send(forged), "x-forwarded-client-cert") == "forged," + somebody.forwarded);
  CHECK(twins(send(forged)) == 0);
  peer.tls = &nobody;
  CHECK(value(send(forged), "x-forwarded-client-cert") == "forged");
}
