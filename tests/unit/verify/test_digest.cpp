#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "kernels/core/digest.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/verify/digest.hpp"
#include "temporary_folder.hpp"

using namespace kernels;
namespace fs = std::filesystem;

namespace {

std::string base64_of(HashAlgorithm algorithm, const std::string& bytes) {
    return to_base64(from_hex(hash_bytes(algorithm, bytes)));
}

// A build of two files, and the metadata that names them.
struct Build {
    explicit Build(HashAlgorithm algorithm) {
        fs::create_directories(folder / "sub");
        write_file(folder / "a.py", "a = 1\n");
        write_file(folder / "sub/b.py", "b = 2\n");
        write_file(folder / "metadata.json", "{}");
        metadata.digest = build::FilesDigest{
            algorithm,
            {{"a.py", base64_of(algorithm, "a = 1\n")}, {"sub/b.py", base64_of(algorithm, "b = 2\n")}}};
    }
    std::vector<std::string> violations() const { return verify::digest_violations(metadata, folder.path()); }

    testing::TemporaryFolder folder;
    build::Metadata metadata;
};

}  // namespace

TEST_CASE("A build whose files are the named ones is right, with either hash") {
    for (const auto algorithm : {HashAlgorithm::sha256, HashAlgorithm::sha512}) {
        CHECK(Build(algorithm).violations().empty());
    }
}

TEST_CASE("Missing, changed and additional files are each named") {
    const Build build(HashAlgorithm::sha256);
    write_file(build.folder / "a.py", "a = 2\n");
    fs::remove(build.folder / "sub/b.py");
    write_file(build.folder / "sub/c.py", "");
    auto violations = build.violations();
    std::sort(violations.begin(), violations.end());
    REQUIRE(violations.size() == 3);
    CHECK(violations[0] == "a.py: differs from the digest of metadata.json");
    CHECK(violations[1] == "sub/b.py: missing, the digest of metadata.json names it");
    CHECK(violations[2] == "sub/c.py: not in the digest of metadata.json");
}

TEST_CASE("A file whose hash is known is not read, where it is the digest's kind of hash") {
    for (const auto algorithm : {HashAlgorithm::sha256, HashAlgorithm::sha512}) {
        const Build build(algorithm);
        write_file(build.folder / "a.py", "changed behind our back");
        const auto with = [&](const std::string& bytes) {
            return verify::digest_violations(build.metadata, build.folder.path(),
                                             {{"a.py", hash_bytes(HashAlgorithm::sha256, bytes)}})
                .size();
        };
        CHECK(with("a = 1\n") == (algorithm == HashAlgorithm::sha256 ? 0 : 1));
        CHECK(with("a = 2\n") == 1);
    }
}

TEST_CASE("The signature and bytecode do not count; links into a cache do") {
    const Build build(HashAlgorithm::sha256);
    write_file(build.folder / "metadata.json.sigstore", "x");
    fs::create_directories(build.folder / "__pycache__");
    write_file(build.folder / "__pycache__/a.cpython-311.pyc", "x");
    CHECK(build.violations().empty());

    const testing::TemporaryFolder blobs;
    write_file(blobs / "blob", "evil = 1\n");
    fs::remove(build.folder / "a.py");
    fs::create_symlink(blobs / "blob", build.folder / "a.py");
    REQUIRE(build.violations().size() == 1);
    CHECK(build.violations()[0].starts_with("a.py: differs"));
    fs::remove(blobs / "blob");
    REQUIRE(build.violations().size() == 1);
    CHECK(build.violations()[0].starts_with("a.py: missing"));
}

TEST_CASE("Without a digest nothing can be wrong, and a folder that cannot be listed is an error") {
    Build build(HashAlgorithm::sha256);
    CHECK_THROWS_AS(verify::digest_violations(build.metadata, build.folder / "none"), Error);
    write_file(build.folder / "c.py", "");
    build.metadata.digest.reset();
    CHECK(build.violations().empty());
}
