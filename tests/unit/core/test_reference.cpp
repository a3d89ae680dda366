#include <doctest/doctest.h>

#include <string>

#include "kernels/core/error.hpp"
#include "kernels/core/reference.hpp"
#include "kernels/core/version.hpp"

using namespace kernels;

TEST_CASE("RepoId round trip and refusals") {
    CHECK(RepoId::parse("kernels-community/activation").to_string() == "kernels-community/activation");
    for (const std::string bad : {"", "activation", "a/b/c", "/b", "a/", "../x", "a/..", "a/.git", "a--b/c",
                                  "a/b c", "a/b\n", "-a/b"}) {
        CAPTURE(bad);
        CHECK_THROWS_AS(RepoId::parse(bad), Error);
    }
}

TEST_CASE("Commit accepts 40 and 64 lower-case hexadecimal digits only") {
    CHECK(Commit::is_commit(std::string(40, 'a')));
    CHECK(Commit::is_commit(std::string(64, '0')));
    CHECK_FALSE(Commit::is_commit(std::string(40, 'A')));
    CHECK_FALSE(Commit::is_commit(std::string(39, 'a')));
    CHECK_THROWS_AS(Commit::parse("main"), Error);
}

TEST_CASE("Reference tells versions from revisions") {
    REQUIRE(Reference::parse("3").version() != nullptr);
    CHECK(Reference::parse("v3").version()->number == 3);
    CHECK(Reference::parse("v3").to_string() == "v3");
    REQUIRE(Reference::parse("main").revision() != nullptr);
    CHECK(Reference::parse("v3-rc").revision()->name() == "v3-rc");
    const std::string digits(40, '1');
    CHECK(Reference::parse(digits).revision()->name() == digits);
    for (const std::string bad : {"", "a b", "a..b", "/a", "-1:", "a\x01"}) {
        CAPTURE(bad);
        CHECK_THROWS_AS(Reference::parse(bad), Error);
    }
}

TEST_CASE("A revision is what git allows as a ref, so that none leads out of a folder") {
    for (const std::string good :
         {"main", "v1", "refs/pr/1", "feature/a-b", "x@y", "a.b", "Grüße", "-x", "3"}) {
        CAPTURE(good);
        CHECK(Revision(good).name() == good);
    }
    CHECK(Revision(std::string(250, 'a')).name().size() == 250);
    for (const std::string& bad : {std::string(),
                                   std::string("../../../victim"),
                                   std::string("/etc/victim"),
                                   std::string("a/../b"),
                                   std::string("."),
                                   std::string("a/./b"),
                                   std::string(".hidden"),
                                   std::string("a/.git/b"),
                                   std::string("a//b"),
                                   std::string("a/"),
                                   std::string("a."),
                                   std::string("main.lock"),
                                   std::string("a.lock/b"),
                                   std::string("@"),
                                   std::string("a@{1}"),
                                   std::string("a b"),
                                   std::string("a\tb"),
                                   std::string("a\nb"),
                                   std::string("a\0b", 3),
                                   std::string("a\x7f"),
                                   std::string("a\\b"),
                                   std::string("a~1"),
                                   std::string("a^"),
                                   std::string("a:b"),
                                   std::string("a?b"),
                                   std::string("a*"),
                                   std::string("a[b"),
                                   std::string(251, 'a')}) {
        CAPTURE(bad);
        CHECK_THROWS_AS(Revision{bad}, Error);
    }
}

TEST_CASE("A version's branch is v and a number as Python reads it") {
    CHECK(KernelVersion::of_branch("v3") == KernelVersion{3});
    CHECK(KernelVersion::of_branch("v0") == KernelVersion{0});
    CHECK(KernelVersion::of_branch("v012") == KernelVersion{12});
    CHECK(KernelVersion::of_branch("v+3") == KernelVersion{3});
    CHECK(KernelVersion::of_branch("v1_1") == KernelVersion{11});
    for (const char* name : {"", "v", "3", "V3", "v-1", "v3x", "v3.1", "v_1", "v1_", "v1__1", "v++1", "v+",
                             "xv3", "v99999999999999999999"}) {
        CAPTURE(name);
        CHECK_FALSE(KernelVersion::of_branch(name));
    }
}

TEST_CASE("Dependencies sort by repository, then version before revision") {
    const auto repo = RepoId::parse("a/b");
    CHECK(Dependency{repo, KernelVersion{2}} < Dependency{repo, KernelVersion{10}});
    CHECK(Dependency{repo, KernelVersion{10}} < Dependency{repo, Revision{"main"}});
    CHECK(Dependency{repo, Revision{"z"}} < Dependency{RepoId::parse("a/c"), KernelVersion{1}});
}

TEST_CASE("Version reads major and minor of what frameworks print") {
    CHECK(Version::parse("2.13.0+cu128") == Version{2, 13});
    CHECK(Version::parse("13") == Version{13, 0});
    CHECK(Version{2, 9} < Version{2, 13});
    CHECK_THROWS_AS(Version::parse("x"), Error);
    CHECK_THROWS_AS(Version::parse("2.x"), Error);
    CHECK_THROWS_AS(Version::parse("-1.2"), Error);
}

TEST_CASE("Exit statuses are the documented ones") {
    CHECK(exit_status(ErrorCode::failed) == 1);
    CHECK(exit_status(ErrorCode::usage) == 2);
    CHECK(exit_status(ErrorCode::project_file) == 2);
    CHECK(exit_status(ErrorCode::lock_stale) == 3);
    CHECK(exit_status(ErrorCode::not_found) == 4);
    CHECK(exit_status(ErrorCode::network) == 5);
    CHECK(exit_status(ErrorCode::verification) == 6);
    CHECK(exit_status(ErrorCode::no_build) == 7);
    CHECK(exit_status(ErrorCode::kernelize) == 8);
    CHECK(exit_status(ErrorCode::interrupted) == 130);
}
