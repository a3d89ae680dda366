#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "hub/next_page.hpp"

using namespace kernels::hub;

namespace {

std::optional<std::string> next_of(const std::string& link) {
    return next_page(Response{200, {{"link", link}}, "", "https://hub.test/api/tree?recursive=true"});
}

}  // namespace

TEST_CASE("The next page is the link with that relation, however it is written") {
    const std::string next = "https://hub.test/x?a=1,2&cursor=b";
    for (const auto& link : std::vector<std::string>{
             "<" + next + ">; rel=\"next\"",
             "<" + next + ">;rel=next",
             "<" + next + "> ; REL = \"NEXT\"",
             "<" + next + ">; rel=\"last next\"; title=x",
             "<" + next + ">; title=\"a, <b>; rel=\\\"prev\\\"\"; rel=\"next\"",
             "<https://hub.test/first>; rel=\"first\", <" + next + ">; rel=\"next\"",
             "<https://hub.test/a,b>; rel=prev,<" + next + ">; rel=next, <https://hub.test/l>; rel=last",
         }) {
        CAPTURE(link);
        CHECK(next_of(link) == next);
    }
    CHECK(next_of("</api/tree?cursor=2>; rel=next") == "https://hub.test/api/tree?cursor=2");
    CHECK(next_of("<?cursor=2>; rel=next") == "https://hub.test/api/tree?cursor=2");
}

TEST_CASE("Without such a link it is the last page") {
    CHECK_FALSE(next_page(Response{200, {}, "", "https://hub.test/"}));
    for (const char* link : {"", "nonsense", "<https://hub.test/x>", "<https://hub.test/x>; rel=prev",
                             "<https://hub.test/x; rel=next", "<https://hub.test/x>; title=\"rel=next\"",
                             "<https://hub.test/x>; rel=\"nextish\"", "<https://hub.test/next>; rel",
                             "<https://hub.test/x>; rel=\"", ";;,,\"", "<>,<", "\"\\"}) {
        CAPTURE(link);
        CHECK_FALSE(next_of(link));
    }
}
