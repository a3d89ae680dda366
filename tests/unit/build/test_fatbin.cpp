#include <dlfcn.h>
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <random>

#include "build/little_endian.hpp"
#include "kernels/build/device_fit.hpp"
#include "kernels/build/fatbin.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"
#include "kernels/core/text.hpp"
#include "made_library.hpp"
#include "temporary_folder.hpp"

using namespace kernels;
using namespace kernels::build;
using namespace kernels::testing;
using Names = std::vector<std::string>;

namespace {

constexpr std::uint64_t plain_flags = 0x11;
constexpr std::uint64_t exact = 0x100000;
constexpr std::uint64_t family = 0x200000;

Names texts(const DeviceCode& code) {
    Names out;
    for (const auto& cuda : code.cuda)
        out.push_back(cuda.to_string());
    return out;
}

// Two images with padding between them, as two translation units leave them.
std::string cuda_library() {
    const auto first =
        cuda_image(cuda_entry(2, 80, plain_flags, "code") + cuda_entry(2, 90, plain_flags | exact, "") +
                   cuda_entry(1, 90, plain_flags | 0x8000, "zzzz", 8, 7));
    const auto second =
        cuda_image(cuda_entry(2, 100, plain_flags | family, "c") + cuda_entry(2, 80, plain_flags, ""));
    return elf_library({{".text", "x"}, {".nv_fatbin", first + std::string(24, '\0') + second}});
}

// LLVM's header of a compressed bundle, version 1, 2 or 3.
std::string compressed_bundle(int version, int method, const std::string& payload, std::uint64_t plain_size) {
    Bytes out;
    const std::size_t header = version == 3 ? 32 : 24;
    out.add_text("CCOB").add<std::uint16_t>(static_cast<std::uint16_t>(version));
    out.add<std::uint16_t>(static_cast<std::uint16_t>(method));
    if (version == 3) {
        out.add<std::uint64_t>(header + payload.size()).add<std::uint64_t>(plain_size);
    } else {
        if (version == 2) out.add<std::uint32_t>(static_cast<std::uint32_t>(header + payload.size()));
        out.add<std::uint32_t>(static_cast<std::uint32_t>(plain_size));
    }
    return out.add<std::uint64_t>(0).add_text(payload).text();
}

template <typename Function>
Function* symbol(const char* library, const char* name) {
    void* handle = ::dlopen(library, RTLD_LAZY);
    return handle == nullptr ? nullptr : reinterpret_cast<Function*>(::dlsym(handle, name));
}

std::string zlib(const std::string& text) {
    const auto compress =
        symbol<int(char*, unsigned long*, const char*, unsigned long)>("libz.so.1", "compress");
    std::string out(text.size() + 1000, '\0');
    unsigned long size = out.size();
    if (compress == nullptr || compress(out.data(), &size, text.data(), text.size()) != 0) return {};
    return out.substr(0, size);
}

std::string zstd(const std::string& text) {
    const auto compress = symbol<std::size_t(void*, std::size_t, const void*, std::size_t, int)>(
        "libzstd.so.1", "ZSTD_compress");
    if (compress == nullptr) return {};
    std::string out(text.size() + 1000, '\0');
    out.resize(compress(out.data(), out.size(), text.data(), text.size(), 3));
    return out;
}

const std::vector<std::string> triples = {"host-x86_64-unknown-linux--",
                                          "hipv4-amdgcn-amd-amdhsa--gfx90a:sramecc+:xnack-",
                                          "hipv4-amdgcn-amd-amdhsa--gfx942"};

}  // namespace

TEST_CASE("SM targets and PTX of all images, with their marks, each once") {
    const auto code = device_code(cuda_library(), "lib.so");
    CHECK(texts(code) == Names{"sm_80", "compute_90", "sm_90a", "sm_100f"});
    CHECK(code.problems.empty());
    CHECK(code.cuda[1].ptx_version == "8.7");
    CHECK(arch_names(code) == Names{"8.0", "9.0+PTX", "9.0a", "10.0f"});
    CHECK(code_names(code) == Names{"sm_80", "compute_90 (PTX 8.7)", "sm_90a", "sm_100f"});
}

TEST_CASE("marks that older compilers leave in the payload alone") {
    std::string cubin(64, '\0');
    cubin.replace(0, 4,
                  "\x7f"
                  "ELF");
    cubin[8] = 7;      // the older ABI of machine code
    cubin[49] = 0x08;  // its flag 0x800
    const auto ptx = cuda_entry(1, 90, plain_flags, "\n.version 8.0\n.target sm_90a\n", 8, 0);
    const auto code = device_code(
        elf_library({{".nv_fatbin", cuda_image(cuda_entry(2, 90, plain_flags, cubin) + ptx)}}), "lib.so");
    CHECK(texts(code) == Names{"sm_90a", "compute_90a"});
}

TEST_CASE("gfx targets of plain bundles, one after the other, host entries left out") {
    const auto section =
        hip_bundle(triples) + std::string(100, '\0') + hip_bundle({"hip-amdgcn-amd-amdhsa--gfx1100"});
    const auto code = device_code(elf_library({{".hip_fatbin", section}}), "lib.so");
    CHECK(code.gfx == Names{"gfx1100", "gfx90a:sramecc+:xnack-", "gfx942"});
    CHECK(arch_names(code) == Names{"gfx1100", "gfx90a", "gfx942"});
    CHECK(code.problems.empty());
}

TEST_CASE("generic processors and SPIR-V, which the device's driver compiles") {
    const auto section = hip_bundle({"host-x86_64-unknown-linux-gnu-", "hipv4-amdgcn-amd-amdhsa--gfx90a",
                                     "hipv4-amdgcn-amd-amdhsa--gfx9-4-generic:sramecc+:xnack-",
                                     "hip-spirv64-amd-amdhsa--amdgcnspirv"});
    const auto code = device_code(elf_library({{".hip_fatbin", section}}), "lib.so");
    CHECK(arch_names(code) == Names{"amdgcnspirv", "gfx9-4-generic", "gfx90a"});
    CHECK(code.problems.empty());
    CHECK(device_fit(code, Target::parse("rocm=6.4,arch=gfx1201")).fit == Fit::yes);
    CHECK(device_fit(code, Target::parse("cuda=12.8,capability=90")).fit == Fit::unknown);
}

TEST_CASE("gfx targets of compressed bundles") {
    // Larger than what is ever decompressed of one, so the list alone must do.
    const auto bundle = hip_bundle(triples, 300000);
    for (const int method : {0, 1}) {
        const auto payload = method == 0 ? zlib(bundle) : zstd(bundle);
        if (payload.empty()) {
            MESSAGE("skipped: the library to compress with is not installed, method " << method);
            continue;
        }
        for (const int version : {1, 2, 3}) {
            CAPTURE(method);
            CAPTURE(version);
            const auto one = compressed_bundle(version, method, payload, bundle.size());
            const auto section = one + hip_bundle({"hip-amdgcn-amd-amdhsa--gfx1100"});
            const auto code = device_code(elf_library({{".hip_fatbin", section}}), "lib.so");
            CHECK(code.gfx == Names{"gfx1100", "gfx90a:sramecc+:xnack-", "gfx942"});
            CHECK(code.problems.empty());
        }
    }
}

TEST_CASE("what looks like a bundle inside of a compressed one of version 1 is none") {
    // Stored, not compressed: the bytes of the code stand in it as they are.
    std::string code_bytes;
    while (code_bytes.size() < 100000)
        code_bytes += "CCOB\x07" + std::string(1, static_cast<char>(code_bytes.size() * 31 / 7));
    const auto stored =
        symbol<int(char*, unsigned long*, const char*, unsigned long, int)>("libz.so.1", "compress2");
    if (stored == nullptr) {
        MESSAGE("skipped: zlib is not installed");
        return;
    }
    const auto bundle = hip_bundle({triples[2]}, 16) + code_bytes;
    std::string payload(bundle.size() + 1000, '\0');
    unsigned long size = payload.size();
    REQUIRE(stored(payload.data(), &size, bundle.data(), bundle.size(), 0) == 0);
    payload.resize(size);
    const auto second = compressed_bundle(2, 0, zlib(hip_bundle({"hip-amdgcn-amd-amdhsa--gfx1100"})), 100);
    const auto section = compressed_bundle(1, 0, payload, bundle.size()) + std::string(12, '\0') + second;
    const auto code = device_code(elf_library({{".hip_fatbin", section}}), "lib.so");
    CHECK(code.gfx == Names{"gfx1100", "gfx942"});
    CHECK(code.problems == Names{});
}

TEST_CASE("what cannot be decompressed is unknown, never missing code") {
    const auto whole = zlib(hip_bundle(triples));
    const auto other = hip_bundle({"hip-amdgcn-amd-amdhsa--gfx1100"});
    const auto target = Target::parse("rocm=6.4,arch=gfx942");
    for (const int version : {1, 2, 3}) {
        for (const int method : {0, 1, 2}) {
            CAPTURE(version);
            CAPTURE(method);
            const auto bundle = compressed_bundle(version, method, whole.substr(0, whole.size() / 2), 400);
            const auto code = device_code(elf_library({{".hip_fatbin", other + bundle}}), "lib.so");
            CHECK(code.gfx == Names{"gfx1100"});
            REQUIRE(code.problems.size() == 1);
            CHECK(device_fit(code, target).fit == Fit::unknown);
            const auto alone = device_code(elf_library({{".hip_fatbin", bundle}}), "lib.so");
            CHECK(device_fit(alone, target).fit == Fit::unknown);
            const std::string why =
                method == 2   ? "a HIP offload bundle is compressed in an unknown way"
                : method == 1 ? "a HIP offload bundle compressed with zstd cannot be read: it is damaged"
                              : "a HIP offload bundle compressed with zlib cannot be read: it ends early";
            CHECK(alone.problems == Names{why});
        }
    }
    const auto text = zlib("no bundle at all");
    const auto code =
        device_code(elf_library({{".hip_fatbin", compressed_bundle(2, 0, text, 16)}}), "lib.so");
    CHECK(
        code.problems ==
        Names{"a HIP offload bundle compressed with zlib cannot be read: there is no list of targets in it"});
}

TEST_CASE("a cubin by itself has its target in its ELF flags") {
    const auto cubin = [](std::uint8_t abi, std::uint32_t flags, std::string compat = {}) {
        auto file = elf_library({{".text.k", "code"}, {".nv.compat", std::move(compat)}}, 190);
        file[8] = static_cast<char>(abi);
        for (std::size_t i = 0; i < 4; ++i)
            file[48 + i] = static_cast<char>(flags >> (8 * i) & 0xffU);
        const auto code = device_code(file, "k.cubin");
        return code.problems.empty() ? join(code_names(code), " ") : code.problems.front();
    };
    CHECK(cubin(7, 0x00500550) == "sm_80");
    CHECK(cubin(7, 0x005a0d5a) == "sm_90a");
    CHECK(cubin(8, 0x06005604) == "sm_86");
    const std::string other("\x04\x0b\x08\x00\x02\x09\x01\x00\x00\x00\x00\x00", 12);
    CHECK(cubin(8, 0x06005a04, other) == "sm_90");
    CHECK(cubin(8, 0x06005a04, other + std::string("\x02\x09\x01\x00", 4)) == "sm_90a");
    CHECK(cubin(8, 0x06005a04, std::string("\x02\x09\x00\x00", 4)) == "sm_90");
    CHECK(cubin(8, 0x06005a04, std::string("\x04\x0b\xff\xff\x02", 5)) == "sm_90");
    CHECK(cubin(8, 0x06000004) == "a cubin is for an impossible capability");
}

TEST_CASE("a fat binary by itself") {
    const auto code = device_code(cuda_image(cuda_entry(2, 80, plain_flags, "c")), "k.fatbin");
    CHECK(texts(code) == Names{"sm_80"});
}

TEST_CASE("damaged parts are problems, and the rest is read") {
    const auto entry = cuda_entry(2, 80, plain_flags, "code");
    auto too_long = cuda_image(entry);
    too_long[9] = '\x7f';  // the image's size
    const auto section = too_long + cuda_image(cuda_entry(2, 90, plain_flags, ""));
    auto code = device_code(elf_library({{".nv_fatbin", section}}), "lib.so");
    CHECK(texts(code) == Names{"sm_90"});
    REQUIRE(code.problems.size() == 1);
    CHECK(code.problems[0] == "a CUDA fat binary is larger than its section");

    code = device_code(elf_library({{".nv_fatbin", cuda_image(entry.substr(0, 40))}}), "lib.so");
    CHECK(code.cuda.empty());
    CHECK(code.problems == Names{"a CUDA fat binary ends inside an entry"});

    code = device_code(elf_library({{".hip_fatbin", compressed_bundle(2, 1, "no frame", 100)}}), "lib.so");
    CHECK(code.problems == Names{"a HIP offload bundle compressed with zstd cannot be read: it is damaged"});

    code = device_code(elf_library({{".hip_fatbin", hip_bundle(triples).substr(0, 60)}}), "lib.so");
    CHECK(code.problems == Names{"a HIP offload bundle ends inside its list of targets"});
}

TEST_CASE("a section table that names the same bytes again and again takes no longer to read") {
    constexpr std::size_t repeats = 20'000;
    std::string library = elf_library({{".nv_fatbin", std::string(std::size_t{4} << 20U, 'x')}});
    const auto table_at = *little_endian<std::uint64_t>(library, 40);
    const std::string null_header = library.substr(table_at, 64);
    const std::string header = library.substr(table_at + 64, 64);
    const std::string names = library.substr(table_at + 128, 64);
    library.resize(table_at);
    library += null_header + names;
    for (std::size_t i = 0; i < repeats; ++i)
        library += header;
    const std::string counts = Bytes().add<std::uint16_t>(repeats + 2).add<std::uint16_t>(1).text();
    library.replace(60, counts.size(), counts);
    const auto start = std::chrono::steady_clock::now();
    const auto code = device_code(library, "repeated");
    CHECK(code.problems == std::vector<std::string>{"sections with device code overlap"});
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(10));
}

TEST_CASE("a FIFO is refused at once") {
    const TemporaryFolder folder;
    const auto fifo = folder / "k.so";
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    CHECK_THROWS_WITH_AS(read_device_code(fifo), doctest::Contains("not a regular file"), Error);
}

TEST_CASE("what is no ELF library is refused") {
    for (const std::string& text : {std::string(), std::string("MZ\x90"),
                                    std::string("\x7f"
                                                "ELF\x01\x01"),
                                    cuda_library().substr(0, 63)}) {
        CHECK_THROWS_AS(device_code(text, "lib.so"), Error);
    }
    TemporaryFolder folder;
    CHECK_THROWS_AS(read_device_code(folder / "absent.so"), Error);
    CHECK_THROWS_AS(read_device_code(folder.path()), Error);
    write_file(folder / "empty.so", "");
    CHECK_THROWS_AS(read_device_code(folder / "empty.so"), Error);
    write_file(folder / "lib.so", cuda_library());
    CHECK(texts(read_device_code(folder / "lib.so")).size() == 4);
}

TEST_CASE("all libraries of a build, through the links of a cache, and the device they serve") {
    TemporaryFolder folder;
    const auto build = folder / "build/torch213-cu128-x86_64-linux";
    std::filesystem::create_directories(build / "inner");
    write_file(folder / "blob",
               elf_library({{".nv_fatbin", cuda_image(cuda_entry(2, 80, plain_flags, "") +
                                                      cuda_entry(2, 90, plain_flags, ""))}}));
    std::filesystem::create_symlink(folder / "blob", build / "a.abi3.so");
    write_file(build / "inner/b.abi3.so",
               elf_library({{".nv_fatbin", cuda_image(cuda_entry(2, 90, plain_flags | exact, ""))}}));
    write_file(build / "_ops.py", "");
    const auto libraries = read_build_code(build);
    REQUIRE(libraries.size() == 2);
    CHECK(libraries[0].path == "a.abi3.so");
    CHECK(libraries[1].path == "inner/b.abi3.so");
    CHECK(arch_names(merged(libraries)) == Names{"8.0", "9.0", "9.0a"});

    Metadata metadata;
    metadata.backend_type = "cuda";
    const auto judged = [&](int capability) {
        auto target = Target::parse("cuda=12.8");
        target.capability = capability;
        return device_fit(metadata, build, target);
    };
    const auto fit = [&](int capability) { return judged(capability).fit; };
    CHECK(fit(90) == Fit::yes);
    CHECK(fit(100) == Fit::no);
    // One library is enough, and the other is told of.
    const std::string caution = "inner/b.abi3.so: built for 9.0a, which does not run on capability 8.0";
    CHECK(fit(80) == Fit::yes);
    CHECK(judged(80).caution == caution);
    metadata.archs = {"10.0"};  // states more than the libraries hold
    CHECK(fit(100) == Fit::no);
    CHECK(fit(90) == Fit::no);

    metadata.archs = {"8.0", "9.0"};
    CHECK(fit(80) == Fit::yes);
    CHECK(judged(80).caution == caution);
    CHECK(judged(90).caution.empty());
    metadata.archs = {"8.0+PTX"};
    CHECK(fit(100) == Fit::no);  // none of them

    // What others are linked with counts as well, by any of its names.
    write_file(build / "inner/libk.so.1.2",
               elf_library({{".nv_fatbin", cuda_image(cuda_entry(2, 120, plain_flags, ""))}}));
    write_file(build / "inner/notes.so.txt", "no library");
    metadata.archs.clear();
    CHECK(fit(120) == Fit::yes);
    std::filesystem::create_symlink("libk.so.1.2", build / "inner/libk.so");
    CHECK(read_build_code(build).size() == 3);
    std::filesystem::remove(build / "inner/libk.so");
    std::filesystem::remove(build / "inner/libk.so.1.2");

    write_file(build / "broken.so", "MZ");
    metadata.archs.clear();
    CHECK(merged(read_build_code(build)).problems.size() == 1);
    CHECK(fit(90) == Fit::yes);
    CHECK(fit(100) == Fit::unknown);  // what the broken one holds is not known
    CHECK_THROWS_AS(read_build_code(folder / "absent"), Error);
}

TEST_CASE("truncated at any byte, or with any bytes changed, a library is read or refused, never more") {
    // Run under the address sanitizer this finds every read outside of the file.
    std::mt19937 random(11);  // NOLINT(bugprone-random-generator-seed,cert-msc51-cpp): the same every time
    const auto compressed = zstd(hip_bundle(triples));
    const auto whole =
        elf_library({{".nv_fatbin", cuda_library().substr(64)},
                     {".hip_fatbin", hip_bundle(triples) + compressed_bundle(2, 1, compressed, 400)}});
    const auto read = [](const std::string& bytes) {
        try {
            const auto code = device_code(std::string_view(bytes.data(), bytes.size()), "lib.so");
            CHECK(code.cuda.size() < 100);
            return true;
        } catch (const Error& error) {
            CHECK(error.code() == ErrorCode::failed);
            return false;
        }
    };
    for (std::size_t size = 0; size < whole.size(); ++size) {
        // A copy of just this size, so that a read beyond it is one beyond the allocation.
        read(std::string(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)));
    }
    int readable = 0;
    for (int round = 0; round < 5000; ++round) {
        auto bytes = whole;
        const auto changes = 1 + random() % 8;
        for (unsigned i = 0; i < changes; ++i) {
            const auto at = random() % bytes.size();
            constexpr std::array<unsigned char, 4> edges = {0x00, 0xff, 0x7f, 0x80};
            bytes[at] = static_cast<char>(random() % 2 == 0 ? edges[random() % 4] : random());
        }
        readable += read(bytes) ? 1 : 0;
    }
    CHECK(readable > 1000);
    CHECK(readable < 5000);
}
