// Compared with the Python client on thousands of URLs in tests/contract/build/test_metadata.py; here one of
// each kind.
#include <doctest/doctest.h>

#include "build/git_url.hpp"
#include "kernels/core/error.hpp"

using namespace kernels;
using namespace kernels::build;

TEST_CASE("URLs of git repositories are written in one way") {
    CHECK(normalized_git_url("https://example.org/a/b.git") == "https://example.org/a/b.git");
    CHECK(normalized_git_url(" HTTPS://Example.ORG:443/A b/./c/%2E%2e/d ") == "https://example.org/A%20b/d");
    CHECK(normalized_git_url("https:\\\\h?a'b#c`d") == "https://h/?a%27b#c%60d");
    CHECK(normalized_git_url("http://me:p@ss@h:080/") == "http://me:p%40ss@h/");
    CHECK(normalized_git_url("https://0x7f.1") == "https://127.0.0.1/");
    CHECK(normalized_git_url("https://[1:0:0:2::ffff]") == "https://[1:0:0:2::ffff]/");
    CHECK(normalized_git_url("https://[::ffff:1.2.3.4]/") == "https://[::ffff:102:304]/");
    CHECK(normalized_git_url("git@H.org:a/../b") == "ssh://git@H.org/b");
    CHECK(normalized_git_url("git+ssh://git@h:22") == "git+ssh://git@h:22");
    CHECK(normalized_git_url("ssh:a b") == "ssh:a b");
    CHECK(normalized_git_url("ssh:/.//x") == "ssh:/.//x");
}

TEST_CASE("what is no URL of a git repository is refused") {
    for (const std::string& bad :
         {std::string(), std::string("relu"), std::string("/a/b"), std::string("https://"),
          std::string("file:///a"), std::string("mailto:a@b"), std::string("https://h:65536/"),
          std::string("https://a b/"), std::string("https://%zz/"), std::string("https://256.1.1.1"),
          std::string("https://[::1"), std::string("git@h:/a"), std::string("git@h:"),
          std::string("ssh://h\0h/", 9)}) {
        CAPTURE(bad);
        CHECK_THROWS_AS(normalized_git_url(bad), Error);
    }
}
