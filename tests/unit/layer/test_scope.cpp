#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "kernels/core/error.hpp"
#include "kernels/core/log.hpp"
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

TEST_CASE("Scopes that end out of order, or on another thread, leave the others as they are") {
    const Restored restored;
    register_kernel_mapping(mapping("A"));
    std::vector<std::string> told;
    std::mutex telling;
    log::set_sink([&](log::Level level, const std::string& text) {
        const std::lock_guard lock(telling);
        if (level == log::Level::warning) told.push_back(text);
    });
    SUBCASE("the outer one first") {
        auto outer = std::make_unique<std::optional<layer::KernelMappingScope>>();
        outer->emplace(mapping("B"), true);
        auto inner = std::make_shared<layer::KernelMappingScope>(mapping("C"), true);
        CHECK(seen() == "A B C");
        outer.reset();
        CHECK(seen() == "A B C");
        register_kernel_mapping(mapping("D"));
        CHECK(seen() == "A B C D");
        {
            const auto innermost = use_kernel_mapping(mapping("E"), false);
            CHECK(seen() == "E");
        }
        CHECK(seen() == "A B C D");
        inner.reset();
        REQUIRE(told.size() == 1);
        CHECK(
            told[0] ==
            "a scope of use_kernel_mapping ended before one that began inside of it: what is seen inside of "
            "the others stays as it is");
    }
    SUBCASE("on another thread") {
        auto scope = std::make_shared<layer::KernelMappingScope>(mapping("B"), true);
        std::thread([scope = std::move(scope)]() mutable {
            const auto own = use_kernel_mapping(mapping("T"));
            scope.reset();
            CHECK(seen() == "A T");
        }).join();
        CHECK(told.size() == 1);
    }
    SUBCASE("after its thread") {
        std::shared_ptr<layer::KernelMappingScope> scope;
        std::thread([&] { scope = std::make_shared<layer::KernelMappingScope>(mapping("T"), true); }).join();
        CHECK(seen() == "A");
        const auto own = use_kernel_mapping(mapping("B"));
        scope.reset();
        CHECK(seen() == "A B");
        CHECK(told.size() == 1);
    }
    log::set_sink({});
    CHECK(seen() == "A");
    register_kernel_mapping(mapping("Z"));
    CHECK(seen_by_another_thread() == "A Z");
}

TEST_CASE("Scopes of one thread that another one ends meanwhile") {
    const Restored restored;
    log::set_sink([](log::Level, const std::string&) {});
    std::mutex mutex;
    std::vector<std::shared_ptr<layer::KernelMappingScope>> handed;
    std::atomic<bool> done = false;
    std::thread other([&] {
        for (bool last = false; !last;) {
            last = done;
            std::vector<std::shared_ptr<layer::KernelMappingScope>> taken;
            const std::lock_guard lock(mutex);
            taken.swap(handed);
        }
    });
    for (int round = 0; round < 200; ++round) {
        auto scope = std::make_shared<layer::KernelMappingScope>(mapping("H"), true);
        {
            const std::lock_guard lock(mutex);
            handed.push_back(std::move(scope));
        }
        const auto own = use_kernel_mapping(mapping("O"), false);
        register_kernel_mapping(mapping("P"));
        CHECK(seen() == "O P");
    }
    done = true;
    other.join();
    log::set_sink({});
    CHECK(seen().empty());
}

TEST_CASE("What is registered twice for one place is what came last, all modes of it") {
    const Restored restored;
    using layer::Mode;
    const auto repository = [](const std::string& name) {
        return layer::LayerRepository("a/k", name, KernelVersion{1});
    };
    const auto at_first_place = [] {
        return layer::current_kernel_mapping().entries("N").at(0).repositories;
    };
    const layer::Device some("cuda", layer::CUDAProperties(75, 90));
    for (const auto& device : {layer::Device("cpu"), layer::Device("cuda"), some}) {
        register_kernel_mapping({}, false);
        register_kernel_mapping(
            {{"N", device, {{Mode::inference, repository("A")}, {Mode::training, repository("T")}}}});
        register_kernel_mapping({{"N", device, {{Mode::inference, repository("B")}}}});
        CHECK(at_first_place() == layer::ModeRepositories{{Mode::inference, repository("B")}});
        register_kernel_mapping({{"N", device, repository("C")}});
        CHECK(at_first_place() == layer::ModeRepositories(repository("C")));
        register_kernel_mapping({{"N", device, repository("D")}, {"N", device, repository("E")}});
        CHECK(at_first_place() == layer::ModeRepositories(repository("E")));
        CHECK(layer::current_kernel_mapping().entries("N").size() == 1);
    }
    // An interval of everything is the place of no interval.
    register_kernel_mapping({{"N", "cuda", repository("F")}});
    register_kernel_mapping(
        {{"N", layer::Device("cuda", layer::CUDAProperties(0, layer::CapabilityInterval::unlimited)),
          repository("G")}});
    const auto entries = layer::current_kernel_mapping().entries("N");
    REQUIRE(entries.size() == 2);
    CHECK(entries.at(0).repositories == layer::ModeRepositories(repository("G")));
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
    // As Python's bool(int(value)).
    for (const char* yes : {"1", "+1", " 1", "1 ", "-1", "1_0", "\t1\n", "1\v",
                            "\x1c"
                            "1",
                            "01", "99999999999999999999999", "-99999999999999999999999"}) {
        CAPTURE(yes);
        CHECK(disabled(yes));
    }
    for (const char* no : {"0", "00", "+0", "-0", "0_0", " 0 "}) {
        CAPTURE(no);
        CHECK_FALSE(disabled(no));
    }
    for (const char* bad : {"", "  ", "true", "yes", "1x", "_1", "1_", "1__0", "0x1", "1.0", "1e0", "+ 1",
                            "--1", "+", "-", "1 0"}) {
        CAPTURE(bad);
        CHECK_THROWS_AS(disabled(bad), Error);
    }
    ::unsetenv("DISABLE_KERNEL_MAPPING");
    CHECK_FALSE(layer::kernel_mapping_disabled());
    if (kept) ::setenv("DISABLE_KERNEL_MAPPING", kept->c_str(), 1);
}
