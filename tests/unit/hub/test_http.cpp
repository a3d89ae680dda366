#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "checking.hpp"
#include "environment_variable.hpp"
#include "fault_server.hpp"
#include "kernels/core/text.hpp"
#include "kernels/hub/http.hpp"

using namespace kernels;
using namespace kernels::hub;
using kernels::testing::answer;
using kernels::testing::error_of;
using kernels::testing::FaultServer;
using kernels::testing::has;

namespace {

using Clock = std::chrono::steady_clock;

Settings settings_for(const std::string& endpoint) {
    Settings settings;
    settings.endpoint = endpoint;
    settings.retries = 2;
    settings.retry_delay = std::chrono::milliseconds(1);
    return settings;
}

Response get(const Settings& settings, const std::string& path) {
    Request request;
    request.url = settings.endpoint + path;
    return make_http_client(settings)->send(request);
}

}  // namespace

TEST_CASE("the token follows redirects on its own host and goes to no other") {
    std::string port;
    const FaultServer server([&](const std::string& head, std::size_t) {
        if (head.starts_with("GET /renamed")) return answer("307 x", "Location: /moved?q=1\r\n");
        if (head.starts_with("GET /moved?q=1 "))
            return answer("302 x", "Location: http://localhost:" + port + "/cdn?sig=a%2Fb\r\n");
        return answer("200 OK", "X-Name:  value \r\n", "body");
    });
    port = server.port();
    Settings settings = settings_for(server.url());
    settings.token = Secret("hf_secret");
    const Response response = get(settings, "/renamed");
    CHECK(response.status == 200);
    CHECK(response.body == "body");
    CHECK(response.header("x-name") == "value");
    const auto heads = server.heads();
    REQUIRE(heads.size() == 3);
    CHECK(has(heads[0], "Authorization: Bearer hf_secret"));
    CHECK(has(heads[1], "Authorization: Bearer hf_secret"));
    CHECK(has(heads[2], "GET /cdn?sig=a%2Fb "));
    CHECK_FALSE(has(heads[2], "hf_secret"));
    CHECK_FALSE(has(heads[2], "Authorization"));
}

TEST_CASE("503 and a lost connection are tried again, a 404 is not") {
    const FaultServer server([](const std::string& head, std::size_t number) {
        if (head.starts_with("GET /missing")) return answer("404 x");
        if (number == 0) return answer("503 x");
        if (number == 1) return std::string();
        return answer("200 OK", "", "yes");
    });
    const Settings settings = settings_for(server.url());
    CHECK(get(settings, "/").body == "yes");
    CHECK(server.heads().size() == 3);
    CHECK(get(settings, "/missing").status == 404);
    CHECK(server.heads().size() == 4);
}

TEST_CASE("retries end, and the last answer is handed over") {
    const FaultServer server([](const std::string&, std::size_t) { return answer("500 x"); });
    CHECK(get(settings_for(server.url()), "/").status == 500);
    CHECK(server.heads().size() == 3);
}

TEST_CASE("Retry-After is waited for") {
    const FaultServer server([](const std::string&, std::size_t number) {
        return number == 0 ? answer("429 x", "Retry-After: 1\r\n") : answer("200 OK", "", "yes");
    });
    const auto start = Clock::now();
    CHECK(get(settings_for(server.url()), "/").body == "yes");
    CHECK(Clock::now() - start >= std::chrono::seconds(1));
}

TEST_CASE("Retry-After as seconds and as a date, by the clock of the server") {
    using std::chrono::seconds;
    const auto wait = [](std::vector<std::pair<std::string, std::string>> headers) {
        Response response;
        response.headers = std::move(headers);
        return retry_after(response);
    };
    CHECK(wait({{"retry-after", "7"}}) == seconds(7));
    CHECK(wait({{"retry-after", "0"}}) == seconds(0));
    CHECK_FALSE(wait({}));
    CHECK_FALSE(wait({{"retry-after", "-1"}}));
    CHECK_FALSE(wait({{"retry-after", "soon"}}));
    CHECK(wait({{"retry-after", "99999999999"}})->count() > 0);
    CHECK(wait({{"date", "Sun, 09 Sep 2001 01:46:40 GMT"},
                {"retry-after", "Sun, 09 Sep 2001 01:46:47 GMT"}}) == seconds(7));
    CHECK(wait({{"date", "Sun, 09 Sep 2001 01:46:40 GMT"},
                {"retry-after", "Sun, 09 Sep 2001 01:40:00 GMT"}}) == seconds(0));
    // Without the server's clock ours must do.
    CHECK(wait({{"retry-after", "Sun, 09 Sep 2001 01:46:47 GMT"}}) == seconds(0));
    CHECK(*wait({{"retry-after", "Fri, 31 Dec 2100 23:59:59 GMT"}}) > seconds(1000));
}

TEST_CASE("a hub that asks for more than a minute is not asked again") {
    const FaultServer server(
        [](const std::string&, std::size_t) { return answer("429 x", "Retry-After: 61\r\n"); });
    CHECK(get(settings_for(server.url()), "/").status == 429);
    CHECK(server.heads().size() == 1);
}

TEST_CASE("offline no request leaves, whoever asks") {
    const FaultServer server([](const std::string&, std::size_t) { return answer("200 OK"); });
    Settings settings = settings_for(server.url());
    settings.offline = true;
    CHECK(error_of([&] { get(settings, "/"); }).code() == ErrorCode::network);
    CHECK(server.heads().empty());
}

TEST_CASE("a proxy is asked in place of the host, but for the hosts of NO_PROXY") {
    const FaultServer server([](const std::string&, std::size_t) { return answer("200 OK", "", "x"); });
    using Variable = kernels::testing::EnvironmentVariable;
    Settings elsewhere = settings_for("http://hub.invalid");
    elsewhere.retries = 0;
    elsewhere.connect_timeout = std::chrono::seconds(2);
    for (const char* name : {"HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"}) {
        CAPTURE(name);
        const Variable proxy(name, server.url());
        CHECK(get(elsewhere, "/x").status == 200);
        CHECK(server.heads().back().starts_with("GET http://hub.invalid/x "));
        for (const char* exception : {"NO_PROXY", "no_proxy"}) {
            const Variable none(exception, "other.invalid,hub.invalid");
            CHECK(error_of([&] { get(elsewhere, "/x"); }).code() == ErrorCode::network);
        }
    }
    CHECK(server.heads().size() == 4);
}

TEST_CASE("the user agent: asked for once, and none when there is none to give") {
    const FaultServer server([](const std::string&, std::size_t) { return answer("200 OK"); });
    Settings settings = settings_for(server.url());
    int asked = 0;
    settings.user_agent = [&] {
        ++asked;
        return user_agent("2.13.0+cpu", "cu128");
    };
    const auto client = make_http_client(settings);
    CHECK(asked == 0);
    Request request;
    request.url = server.url();
    client->send(request);
    client->send(request);
    CHECK(asked == 1);
    CHECK(has(server.heads()[1], "User-Agent: kernels/"));
    CHECK(has(server.heads()[1], "; torch/2.13.0+cpu; backend/cu128; platform/"));
    CHECK(has(server.heads()[1], "; file_type/kernel\r\n"));
    CHECK_FALSE(has(user_agent(), "torch"));
    ::setenv("HF_HUB_DISABLE_TELEMETRY", "1", 1);
    get(settings, "/");
    ::unsetenv("HF_HUB_DISABLE_TELEMETRY");
    CHECK_FALSE(has(lower(server.heads()[2]), "user-agent"));
}

TEST_CASE("a redirect loop ends with an error that shows no signature") {
    const FaultServer server([](const std::string&, std::size_t) {
        return answer("302 x", "Location: /again?X-Signature=hidden\r\n");
    });
    const Error error = error_of([&] { get(settings_for(server.url()), "/"); });
    CHECK(error.code() == ErrorCode::network);
    CHECK(has(error.what(), "redirects"));
    CHECK_FALSE(has(error.what(), "hidden"));
    CHECK(server.heads().size() == 11);
}

TEST_CASE("a collected body has a limit") {
    const FaultServer server(
        [](const std::string&, std::size_t) { return answer("200 OK", "", std::string(5000, 'x')); });
    Request request;
    request.url = server.url();
    request.body_limit = 4999;
    const Settings settings = settings_for(server.url());
    const auto client = make_http_client(settings);
    CHECK(error_of([&] { client->send(request); }).code() == ErrorCode::network);
    request.body_limit = 5000;
    CHECK(client->send(request).body.size() == 5000);
}

TEST_CASE("cancelling ends a silent transfer within a second") {
    const FaultServer silent(nullptr);
    std::atomic<bool> cancel{false};
    Settings settings = settings_for(silent.url());
    settings.cancel = &cancel;
    Clock::time_point cancelled_at;
    std::thread user([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
        cancelled_at = Clock::now();
        cancel = true;
    });
    const Error error = error_of([&] { get(settings, "/"); });
    const auto ended = Clock::now();
    user.join();
    CHECK(error.code() == ErrorCode::interrupted);
    CHECK(ended - cancelled_at < std::chrono::seconds(1));
}

TEST_CASE("cancelling ends a transfer whose body is taken slowly within a second") {
    struct SlowSink final : BodySink {
        void begin(const Response&) override {}
        void write(std::string_view) override {
            if (++writes == 3) {
                cancelled_at = Clock::now();
                *cancel = true;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
        }
        std::atomic<bool>* cancel = nullptr;
        Clock::time_point cancelled_at;
        int writes = 0;
    } sink;
    const FaultServer server([](const std::string&, std::size_t) {
        return answer("200 OK", "", std::string(std::size_t{32} << 20U, 'x'));
    });
    std::atomic<bool> cancel{false};
    sink.cancel = &cancel;
    Settings settings = settings_for(server.url());
    settings.cancel = &cancel;
    Request request;
    request.url = server.url();
    request.sink = &sink;
    const auto client = make_http_client(settings);
    CHECK(error_of([&] { client->send(request); }).code() == ErrorCode::interrupted);
    CHECK(sink.writes == 3);
    CHECK(Clock::now() - sink.cancelled_at < std::chrono::seconds(1));
}

TEST_CASE("who takes a body may do something between the writes, and its failure ends the transfer") {
    struct IdleSink final : BodySink {
        void begin(const Response&) override {}
        void write(std::string_view) override {}
        void idle() override { throw Error(ErrorCode::failed, "the disk is full"); }
    } sink;
    // The rest never comes, so that it is not over before there was time between two writes.
    const FaultServer server([](const std::string&, std::size_t) { return answer("200 OK", "", "x", 2); },
                             FaultServer::Then::waits);
    Request request;
    request.url = server.url();
    request.sink = &sink;
    Settings settings = settings_for(server.url());
    settings.stall_timeout = std::chrono::seconds(10);
    const auto client = make_http_client(settings);
    const Error error = error_of([&] { client->send(request); });
    CHECK(std::string(error.what()) == "the disk is full");
}

TEST_CASE("a transfer that stalls fails") {
    const FaultServer silent(nullptr);
    Settings settings = settings_for(silent.url());
    settings.retries = 0;
    settings.stall_timeout = std::chrono::seconds(1);
    CHECK(error_of([&] { get(settings, "/"); }).code() == ErrorCode::network);
}

TEST_CASE("a hub that is down is named") {
    std::string endpoint;
    {
        const FaultServer server(nullptr);
        endpoint = server.url();
    }
    const Error error = error_of([&] { get(settings_for(endpoint), "/"); });
    CHECK(error.code() == ErrorCode::network);
    CHECK(has(error.what(), endpoint));
}

TEST_CASE("what of a URL is printed, compared and quoted") {
    CHECK(printable_url("https://me:pw@host:1/a/b?sig=x#y") == "https://host:1/a/b");
    CHECK(url_origin("HTTPS://Host/a") == "https://host:443");
    CHECK(url_origin("http://u@host/a:8") == "http://host:80");
    CHECK(url_origin("http://[::1]:8/a") == "http://[::1]:8");
    CHECK(url_origin("http://[::1]/a") == "http://[::1]:80");
    CHECK(url_origin("http://host:80") != url_origin("https://host:80"));
    CHECK(url_quoted("refs/heads/v1") == "refs%2Fheads%2Fv1");
    CHECK(url_quoted("a b/ü", true) == "a%20b/%C3%BC");
}
