// The clients that Thrift's compiler writes in C++: one call, or further cases over one transport and
// protocol.
//
//     client ADDRESS TOKEN AUTHORITY KIND FUNCTION ARGUMENTS TIMEOUT
//     client more WAY ADDRESS TYPED_ADDRESS HTTP_ADDRESS

#include <thrift/TApplicationException.h>
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/protocol/TCompactProtocol.h>
#include <thrift/protocol/TMultiplexedProtocol.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/THttpClient.h>
#include <thrift/transport/TSSLSocket.h>
#include <thrift/transport/TSocket.h>

#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "Katamari.h"
#include "Typed.h"

namespace generic = katamari::generic;
namespace declared = katamari::typed;
using apache::thrift::TApplicationException;
using apache::thrift::protocol::TMultiplexedProtocol;
using apache::thrift::protocol::TProtocol;
using apache::thrift::transport::TTransport;
using Transport = std::shared_ptr<TTransport>;
using Protocol = std::shared_ptr<TProtocol>;

static std::string way;

static bool says(const char *word) { return way.find(word) != std::string::npos; }

static Transport transport(const std::string &address) {
    const auto colon = address.rfind(':');
    const auto host = address.substr(0, colon);
    const int port = std::stoi(address.substr(colon + 1));
    const auto plain = std::make_shared<apache::thrift::transport::TSocket>(host, port);
    plain->setRecvTimeout(30'000);
    Transport opened;
    if (says("http")) {
        opened = std::make_shared<apache::thrift::transport::THttpClient>(plain, host, "/thrift");
    } else if (says("framed")) {
        opened = std::make_shared<apache::thrift::transport::TFramedTransport>(plain);
    } else {
        opened = std::make_shared<apache::thrift::transport::TBufferedTransport>(plain);
    }
    opened->open();
    return opened;
}

static Protocol protocol(const Transport &opened) {
    if (says("compact")) {
        return std::make_shared<apache::thrift::protocol::TCompactProtocol>(opened);
    }
    return std::make_shared<apache::thrift::protocol::TBinaryProtocol>(opened);
}

static Protocol multiplexed(const Transport &opened, const std::string &name) {
    return std::make_shared<TMultiplexedProtocol>(protocol(opened), name);
}

static void expect(const char *what, bool is) {
    if (!is) {
        std::cerr << what << ": not as expected\n";
        std::exit(1);
    }
}

template <typename Error, typename Act>
static void fails(const char *what, const std::string &code, Act act) {
    try {
        act();
    } catch (const Error &error) {
        expect(what, error.code == code);
        return;
    }
    expect(what, false);
}

static generic::Options timeout(std::int64_t ms) {
    generic::Options options;
    options.__set_timeout_ms(ms);
    return options;
}

static void generic_service(generic::KatamariClient &client) {
    generic::Value integer, number, list, text, members, came;
    integer.__set_integer(-1);
    number.__set_number(1.5);
    list.__set_items({integer, number});
    text.__set_text("\u00e9");
    members.__set_members({{"a", list}, {"b", text}});
    client.call(came, "conformance", "echo", {{"value", members}}, timeout(20'000));
    expect("call", came == members);
    std::string json;
    client.call_json(json, "conformance", "add", "[1, 2]", {});
    expect("call_json", json == "3");
    std::vector<std::string> pieces;
    client.pieces(pieces, "conformance", "count", "{\"to\": 3, \"size\": 0}", {});
    expect("pieces", pieces == std::vector<std::string>{"1", "2", "3"});
    if (!says("http")) {
        // Over HTTP this client does not read the response to it, and takes it for that to the next.
        client.cast_json("conformance", "echo", "[1]", {});
    }
    using Error = generic::KatamariError;
    fails<Error>("error", "worker_error",
                 [&] { client.call_json(json, "conformance", "fail", "[\"no\"]", {}); });
    fails<Error>("an unknown kind", "no_pool",
                 [&] { client.call_json(json, "nobody", "f", "{}", {}); });
    fails<Error>("deadline", "deadline", [&] {
        client.call_json(json, "conformance", "sleep", "[600000]", timeout(50));
    });
}

static void declared_service(declared::TypedClient &client) {
    std::string text;
    declared::JoinOptions join;
    client.join(text, {"a", "b"}, join);
    expect("join without options", text == "ab");
    join.__set_between("-");
    client.join(text, {"a", "b"}, join);
    expect("join", text == "a-b");
    std::map<std::string, double> vector;
    client.scale(vector, {{"x", 1.5}}, 2);
    expect("scale", vector.at("x") == 3.0);
    declared::AnythingOptions anything;
    anything.__set_maybe(7);
    client.anything(text, "{\"a\": [1]}", anything);
    expect("anything", text == "[{\"a\":[1]},7]");
    declared::OptionalInteger half;
    client.half(half, 4);
    expect("half", half.__isset.value && half.value == 2);
    declared::OptionalInteger none;
    client.half(none, 3);
    expect("null", !none.__isset.value);
    std::vector<std::int64_t> count;
    client.count(count, 3);
    expect("count", count == std::vector<std::int64_t>{1, 2, 3});
    client.reverse(text, std::string("\0\xff", 2));
    expect("reverse", text == std::string("\xff\0", 2));
    fails<declared::KatamariError>("fail", "worker_error", [&] { client.fail(text, "no"); });
}

static int one(char **arguments) {
    const std::string address = arguments[0], token = arguments[1], authority = arguments[2];
    const std::string timeout_ms = arguments[6];
    const auto colon = address.rfind(':');
    const auto host = address.substr(0, colon);
    const int port = std::stoi(address.substr(colon + 1));
    apache::thrift::transport::TSSLSocketFactory factory;
    std::shared_ptr<apache::thrift::transport::TSocket> plain;
    if (authority.empty()) {
        plain = std::make_shared<apache::thrift::transport::TSocket>(host, port);
    } else {
        factory.loadTrustedCertificates(authority.c_str());
        factory.authenticate(true);
        plain = factory.createSocket(host, port);
    }
    const auto opened = std::make_shared<apache::thrift::transport::TFramedTransport>(plain);
    opened->open();
    generic::KatamariClient client(
        std::make_shared<apache::thrift::protocol::TBinaryProtocol>(opened));
    generic::Options options;
    if (!token.empty()) {
        options.__set_token(token);
    }
    if (timeout_ms != "null") {
        options.__set_timeout_ms(std::stoll(timeout_ms));
    }
    try {
        std::string json;
        client.call_json(json, arguments[3], arguments[4], arguments[5], options);
        std::cout << "{\"result\": " << json << "}\n";
    } catch (const generic::KatamariError &error) {
        std::cout << "{\"error\": \"" << error.code << "\"}\n";
    }
    return 0;
}

int main(int, char **arguments) {
    if (arguments[1] != std::string("more")) {
        return one(arguments + 1);
    }
    ++arguments;
    way = arguments[1];
    const auto opened = transport(arguments[says("http") ? 4 : 2]);
    generic::KatamariClient client(protocol(opened));
    generic_service(client);
    generic::KatamariClient named(multiplexed(opened, "Katamari"));
    generic_service(named);
    declared::TypedClient typed(multiplexed(opened, "typed"));
    declared_service(typed);
    if (says("http")) {
        return 0;
    }
    const auto bare = transport(arguments[3]);
    declared::TypedClient of_the_port(protocol(bare));
    declared_service(of_the_port);
    std::string text;
    fails<declared::KatamariError>("typed deadline", "deadline",
                                   [&] { of_the_port.sleep(text, 600'000); });
    try {
        std::vector<std::string> pieces;
        generic::KatamariClient(protocol(bare)).pieces(pieces, "", "", "", {});
        expect("an unknown method", false);
    } catch (const TApplicationException &error) {
        expect("an unknown method", error.getType() == TApplicationException::UNKNOWN_METHOD);
    }
    client.send_call_json("conformance", "sleep", "[600000]", {});
    opened->close();
    return 0;
}
