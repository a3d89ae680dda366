#include <doctest/doctest.h>
#include <sys/stat.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "kernels/core/digest.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "temporary_folder.hpp"

using namespace kernels;
using kernels::testing::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

std::size_t entries(const fs::path& folder) {
    std::size_t count = 0;
    for (const auto& entry : fs::directory_iterator(folder))
        count += entry.path().empty() ? 0 : 1;
    return count;
}

}  // namespace

TEST_CASE("AtomicFile replaces on commit and leaves nothing behind otherwise") {
    const TemporaryFolder folder;
    const fs::path path = folder / "file";
    write_file(path, "old");
    {
        AtomicFile file(path);
        file.write("new");
        CHECK(read_file(path) == "old");
    }
    CHECK(read_file(path) == "old");
    CHECK(entries(folder.path()) == 1);
    write_file(path, "new");
    CHECK(read_file(path) == "new");
    CHECK(entries(folder.path()) == 1);
}

TEST_CASE("What is no regular file is not replaced, and read no further than allowed") {
    const TemporaryFolder folder;
    const fs::path pipe = folder / "pipe";
    REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
    fs::create_symlink(pipe, folder / "link");
    for (const auto& path : {pipe, folder / "link"}) {
        CHECK_THROWS_WITH_AS(write_file(path, "x"),
                             (path.string() + ": cannot be written: it is a FIFO, no file").c_str(), Error);
    }
    CHECK(special_kind(pipe) == "a FIFO");
    CHECK(fs::is_fifo(pipe));
    CHECK(special_kind("/dev/null") == "a device");
    CHECK(special_kind(folder.path()) == "a folder");
    CHECK(special_kind(folder / "none").empty());
    CHECK_THROWS_WITH_AS(read_file("/dev/zero", 1000), "/dev/zero: larger than the allowed 1000 bytes",
                         Error);
    // A link whose file is missing is replaced, one to a file too.
    fs::create_symlink("gone", folder / "dangling");
    write_file(folder / "dangling", "x");
    CHECK(read_file(folder / "dangling") == "x");
    // A file of the user's keeps its links, whether the file is there yet or not.
    fs::create_directory(folder / "elsewhere");
    fs::create_symlink("second", folder / "first");
    fs::create_symlink("elsewhere/file", folder / "second");
    for (const char* text : {"a", "b"}) {
        rewrite_file(folder / "first", text);
        CHECK(fs::is_symlink(folder / "first"));
        CHECK(fs::is_symlink(folder / "second"));
        CHECK(read_file(folder / "elsewhere" / "file") == text);
    }
}

TEST_CASE("A written file has the permissions that the umask leaves") {
    const TemporaryFolder folder;
    const mode_t mask = ::umask(022);
    ::umask(mask);
    write_file(folder / "file", "x");
    struct stat status {};
    REQUIRE(::stat((folder / "file").c_str(), &status) == 0);
    CHECK((status.st_mode & 0777U) == (0666U & ~mask));
}

TEST_CASE("Absent, unreadable and too large are told apart") {
    const TemporaryFolder folder;
    CHECK_FALSE(read_file_if_exists(folder / "none").has_value());
    CHECK_THROWS_AS(read_file(folder / "none"), Error);
    CHECK_THROWS_AS(read_file_if_exists(folder.path()), Error);
    write_file(folder / "file", std::string(100, 'x'));
    CHECK_THROWS_AS(read_file(folder / "file", 99), Error);
    CHECK(read_file(folder / "file", 100).size() == 100);
    CHECK_THROWS_AS(write_file(folder / "no" / "file", "x"), Error);
}

TEST_CASE("Digests match published test vectors") {
    CHECK(hash_bytes(HashAlgorithm::sha256, "abc") ==
          "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(hash_bytes(HashAlgorithm::sha1, "abc") == "a9993e364706816aba3e25717850c26c9cd0d89d");
    const TemporaryFolder folder;
    write_file(folder / "file", "hello\n");
    // `printf 'hello\n' | git hash-object --stdin`
    CHECK(git_blob_oid(folder / "file") == "ce013625030ba8dba906f756967f9e9ca394464a");
}

TEST_CASE("Hexadecimal and base64 round trip, and garbage is refused") {
    const std::array<std::string, 4> samples = {std::string(), std::string("\0\xff", 2), std::string("abc"),
                                                std::string("abcd")};
    for (const auto& bytes : samples) {
        CHECK(from_hex(to_hex(bytes)) == bytes);
        CHECK(from_base64(to_base64(bytes)) == bytes);
    }
    CHECK(to_base64("ab") == "YWI=");
    CHECK_THROWS_AS(from_hex("abc"), Error);
    CHECK_THROWS_AS(from_hex("zz"), Error);
    CHECK_THROWS_AS(from_base64("a"), Error);
    CHECK_THROWS_AS(from_base64("!!!!"), Error);
}

TEST_CASE("Environment variables: empty counts as unset, flags follow huggingface_hub") {
    ::setenv("KERNELS_TEST_VARIABLE", "", 1);
    CHECK_FALSE(environment_variable("KERNELS_TEST_VARIABLE").has_value());
    for (const char* yes : {"1", "ON", "Yes", "true"}) {
        ::setenv("KERNELS_TEST_VARIABLE", yes, 1);
        CHECK(environment_flag("KERNELS_TEST_VARIABLE"));
    }
    ::setenv("KERNELS_TEST_VARIABLE", "0", 1);
    CHECK_FALSE(environment_flag("KERNELS_TEST_VARIABLE"));
    ::unsetenv("KERNELS_TEST_VARIABLE");
}
