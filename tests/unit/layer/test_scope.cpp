#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"
#include "kernels/layer/mapping.hpp"

using namespace kernels;
using layer::KernelMapping;
using layer::register_kernel_mapping;
using layer::use_kernel_mapping;

namespace {

// The names of the layers that this thread's mapping holds.
std::string seen() {
    const auto names = layer::current_kernel_mapping().layer_names();
    return join(names, " ");
}

KernelMapping mapping(const std::string& layer, const std::string& hub_layer = "X") {
    return {{layer, "cpu", layer::LayerRepository("a/k", hub_layer, KernelVersion{1})}};
}

std::string seen_by_another_thread() {
    std::string result;
    std::thread([&] { result = seen(); }).join();
    return result;
}

// The mapping of the process is what it was when the test has ended.
struct Restored {
    Restored() { register_kernel_mapping({}, false); }
    ~Restored() { register_kernel_mapping({}, false); }
};

}  // namespace

TEST_CASE("Registering extends the mapping of the process, or erases it first") {
    const Restored restored;
    CHECK(seen().empty());
    register_kernel_mapping(mapping("A"));
    register_kernel_mapping(mapping("B"));
    CHECK(seen() == "A B");
    CHECK(seen_by_another_thread() == "A B");
    register_kernel_mapping(mapping("C"), false);
    CHECK(seen() == "C");
    CHECK(seen_by_another_thread() == "C");
}

TEST_CASE("A scope extends or replaces, scopes nest, and each is undone at its end") {
    const Restored restored;
    register_kernel_mapping(mapping("A"));
    {
        const auto outer = use_kernel_mapping(mapping("B"));
        CHECK(seen() == "A B");
        {
            const auto alone = use_kernel_mapping(mapping("C"), false);
            CHECK(seen() == "C");
            const auto inner = use_kernel_mapping(mapping("D"));
            CHECK(seen() == "C D");
        }
        CHECK(seen() == "A B");
        // Registered inside of a scope, it is the scope's and ends with it.
        register_kernel_mapping(mapping("E"));
        CHECK(seen() == "A B E");
        register_kernel_mapping(mapping("F"), false);
        CHECK(seen() == "F");
    }
    CHECK(seen() == "A");
}

TEST_CASE("An exception undoes its scopes") {
    const Restored restored;
    register_kernel_mapping(mapping("A"));
    try {
        const auto outer = use_kernel_mapping(mapping("B"));
        const auto inner = use_kernel_mapping(mapping("C"), false);
        throw std::runtime_error("in the middle");
    } catch (const std::runtime_error&) {
    }
    CHECK(seen() == "A");
}

TEST_CASE("A scope is its thread's; what the process registers later is not seen inside") {
    const Restored restored;
    register_kernel_mapping(mapping("A"));
    const auto scope = use_kernel_mapping(mapping("B"));
    CHECK(seen_by_another_thread() == "A");
    std::thread([] { register_kernel_mapping(mapping("C")); }).join();
    CHECK(seen_by_another_thread() == "A C");
    CHECK(seen() == "A B");
    // What a worker is to see is handed to it.
    std::string handed;
    std::thread([&handed, mine = layer::current_kernel_mapping()] {
        const auto same = use_kernel_mapping(mine, false);
        handed = seen();
    }).join();
    CHECK(handed == "A B");
}

TEST_CASE("Many threads register and enter scopes at once, and each sees whole mappings") {
    const Restored restored;
    constexpr int threads = 8;
    constexpr int rounds = 200;
    std::atomic<int> wrong{0};
    std::vector<std::thread> workers;
    for (int worker = 0; worker < threads; ++worker) {
        workers.emplace_back([&, worker] {
            const std::string own = "own" + std::to_string(worker);
            for (int round = 0; round < rounds; ++round) {
                // Two layers that are always registered together are always seen together.
                KernelMapping both = mapping("left", std::to_string(round));
                both.merge(mapping("right", std::to_string(round)));
                register_kernel_mapping(both);
                const auto outer = use_kernel_mapping(mapping(own));
                const auto now = layer::current_kernel_mapping();
                const auto left = now.entries("left").at(0).repositories;
                const auto right = now.entries("right").at(0).repositories;
                if (!(left == right) || now.find(own) == nullptr) ++wrong;
                const auto inner = use_kernel_mapping(mapping("inner"), false);
                if (seen() != "inner") ++wrong;
            }
        });
    }
    for (auto& worker : workers)
        worker.join();
    CHECK(wrong == 0);
    CHECK(seen() == "left right");
}

TEST_CASE("DISABLE_KERNEL_MAPPING is a number") {
    const char* before = std::getenv("DISABLE_KERNEL_MAPPING");
    const std::optional<std::string> kept =
        before != nullptr ? std::optional<std::string>(before) : std::nullopt;
    const auto disabled = [](const char* value) {
        ::setenv("DISABLE_KERNEL_MAPPING", value, 1);
        return layer::kernel_mapping_disabled();
    };
    CHECK(disabled("1"));
    CHECK(disabled(" 2 "));
    CHECK_FALSE(disabled("0"));
    CHECK_FALSE(disabled(""));
    for (const char* bad : {"true", "1x", "yes"})
        CHECK_THROWS_AS(disabled(bad), Error);
    ::unsetenv("DISABLE_KERNEL_MAPPING");
    CHECK_FALSE(layer::kernel_mapping_disabled());
    if (kept) ::setenv("DISABLE_KERNEL_MAPPING", kept->c_str(), 1);
}
