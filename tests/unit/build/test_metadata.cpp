// What is accepted and refused is compared with the Python client in tests/contract/build; here: values and
// messages.
#include <doctest/doctest.h>

#include "kernels/build/metadata.hpp"
#include "kernels/core/error.hpp"

using namespace kernels;
using namespace kernels::build;

namespace {

std::string refusal(const std::string& text) {
    try {
        Metadata::parse(text, "org/relu: build/x/metadata.json");
    } catch (const Error& error) {
        CHECK(error.code() == ErrorCode::verification);
        return error.what();
    }
    return "accepted";
}

constexpr const char* full = R"({
  "id": "_relu_cuda_abc1234", "name": "relu", "version": 2, "kernels-minver": "0.15.0", "license": "MIT",
  "upstream": "https://example.org/relu.git", "source": "git@example.org:org/relu.git",
  "python-depends": ["einops"],
  "kernel-depends": [{"repo-id": "org/a", "version": 3}, {"repo-id": "org/b", "revision": "main"}],
  "backend": {"type": "cuda", "archs": ["8.0", "9.0a"]},
  "digest": {"algorithm": "sha512", "files": {"_ops.py": "AAAA", "relu.abi3.so": "BBBB"}},
  "provenance": {"kernel-builder": {"version": "1"},
                 "kernel": {"commit": "0123456789012345678901234567890123456789", "dirty": true}}
})";

}  // namespace

TEST_CASE("all of a build's metadata is read") {
    const auto metadata = Metadata::parse(full, "x");
    CHECK(metadata.id == "_relu_cuda_abc1234");
    CHECK(metadata.name == "relu");
    CHECK(metadata.version == 2);
    CHECK(metadata.kernels_minver == "0.15.0");
    CHECK(metadata.license == "MIT");
    CHECK(metadata.upstream == "https://example.org/relu.git");
    CHECK(metadata.source == "ssh://git@example.org/org/relu.git");
    CHECK(metadata.python_depends == std::vector<std::string>{"einops"});
    REQUIRE(metadata.kernel_depends.size() == 2);
    CHECK(metadata.kernel_depends[0].to_string() == "org/a@v3");
    CHECK(metadata.kernel_depends[1].to_string() == "org/b@main");
    CHECK(metadata.backend_type == "cuda");
    CHECK(metadata.archs == std::vector<std::string>{"8.0", "9.0a"});
    REQUIRE(metadata.digest.has_value());
    CHECK(metadata.digest->algorithm == HashAlgorithm::sha512);
    CHECK(metadata.digest->files.at("relu.abi3.so") == "BBBB");
    CHECK(metadata.dirty);
}

TEST_CASE("a message names the file and the key at fault") {
    CHECK(refusal("{") == "org/relu: build/x/metadata.json: not JSON: wrong at byte 2");
    CHECK(refusal("[]") == "org/relu: build/x/metadata.json: the document is not an object");
    CHECK(refusal("{}") == "org/relu: build/x/metadata.json: id is missing");
    std::string text = full;
    const auto with = [&](const std::string& old, const std::string& replacement) {
        auto changed = text;
        changed.replace(changed.find(old), old.size(), replacement);
        return refusal(changed);
    };
    CHECK(with("\"version\": 2", "\"version\": \"2\"") ==
          "org/relu: build/x/metadata.json: version is not a whole number of 0 or more");
    CHECK(with("\"archs\": [\"8.0\", \"9.0a\"]", "\"archs\": 8") ==
          "org/relu: build/x/metadata.json: backend.archs is not a list");
    CHECK(with("sha512", "md5") ==
          "org/relu: build/x/metadata.json: digest.algorithm is neither sha256 nor sha512");
    CHECK(with("\"org/a\"", "\"../a\"").find("kernel-depends.repo-id is wrong") != std::string::npos);
    CHECK(with("\"main\"", "\"../../victim\"").find("kernel-depends.revision is wrong") != std::string::npos);
    const std::string upstream = "https://example.org/relu.git";
    CHECK(with(upstream, "relu") ==
          "org/relu: build/x/metadata.json: upstream is wrong: `relu` is no URL of a git repository");
    CHECK(with(upstream, "file:///relu").find("has the scheme `file`") != std::string::npos);
    CHECK(with("\"dirty\": true", "\"dirty\": 1") ==
          "org/relu: build/x/metadata.json: provenance.kernel.dirty is neither true nor false");
}

TEST_CASE("deep nesting and bytes that are no text do not harm") {
    CHECK(refusal(std::string(200000, '[')).find("nested") != std::string::npos);
    CHECK(refusal("{\"id\": \"\xff\xfe\"}").find("not JSON") != std::string::npos);
}
