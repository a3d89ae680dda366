#include "kernels/build/target.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <functional>
#include <set>
#include <utility>
#include <vector>

#include "build/places.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/text.hpp"

namespace kernels::build {
namespace {

const std::vector<std::string>& known_keys() {
    static const std::vector<std::string> keys = {"torch", "cuda",    "rocm",      "xpu",  "cann",
                                                  "metal", "neuron",  "tpu",       "cpu",  "os",
                                                  "macos", "tvm-ffi", "cxx11-abi", "arch", "capability"};
    return keys;
}

[[noreturn]] void refuse(std::string_view text, const std::string& why, std::string hint = {}) {
    throw Error(ErrorCode::usage, "target " + backquoted(text) + ": " + why, std::move(hint));
}

std::string one_of(std::string_view text, std::string_view key, std::string_view value,
                   std::initializer_list<std::string_view> allowed) {
    if (std::find(allowed.begin(), allowed.end(), value) == allowed.end()) {
        std::string list;
        for (const auto name : allowed)
            list += (list.empty() ? "" : ", ") + std::string(name);
        refuse(text, std::string(key) + " is one of " + list + ", not " + backquoted(value));
    }
    return std::string(value);
}

// "cuda=12.8", as an example of what the key is given.
std::string example_of(std::string_view key) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 7> versions{{{"torch", "2.13"},
                                                                                     {"cuda", "12.8"},
                                                                                     {"rocm", "6.4"},
                                                                                     {"xpu", "2025.2"},
                                                                                     {"cann", "8.3"},
                                                                                     {"macos", "26.0"},
                                                                                     {"tvm-ffi", "0.1"}}};
    const auto* const found =
        std::find_if(versions.begin(), versions.end(), [&](const auto& entry) { return entry.first == key; });
    return std::string(key) + "=" + (found != versions.end() ? std::string(found->second) : "…");
}

constexpr const char* backends =
    "one of cuda=12.8, rocm=6.4, xpu=2025.2, cann=8.3 (with the version), metal, neuron, tpu and cpu; the "
    "processor is cpu=x86_64 or cpu=aarch64";

int capability_number(std::string_view text, std::string_view value) {
    // 90 and 9.0 mean the same; a dot stands before the last digit.
    std::string digits(value);
    const auto dot = digits.find('.');
    const bool misplaced = dot != std::string::npos && dot + 2 != digits.size();
    if (dot != std::string::npos) digits.erase(dot, 1);
    int number = 0;
    const auto [end, status] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (misplaced || status != std::errc() || end != digits.data() + digits.size() || number > 999) {
        refuse(text, "capability is a number such as 90, not " + backquoted(value));
    }
    constexpr int oldest = 30;   // what is below is a major version without its minor
    constexpr int newest = 199;  // what is above has a digit too many: 12.1 is the newest in 2026
    if (number < oldest || number > newest) {
        refuse(text, "there is no capability " + backquoted(value), "10.0 is written 100, 9.0 is written 90");
    }
    return number;
}

// A version and nothing behind it but, for torch, a local tag such as "+cu128" (see Parser::check_tag).
Version version_value(std::string_view text, std::string_view key, std::string_view value) {
    const auto number = key == "torch" ? value.substr(0, value.find('+')) : value;
    if (number.find_first_not_of("0123456789.") != std::string_view::npos || number.empty() ||
        number.front() == '.' || number.back() == '.' || number.find("..") != std::string_view::npos) {
        const auto example = example_of(key);
        refuse(text, std::string(key) + " is a version such as " + example.substr(key.size() + 1) + ", not " +
                         backquoted(value));
    }
    // Builds are named by it; macos=26 alone is enough to compare with.
    if (key != "macos" && number.find('.') == std::string_view::npos)
        refuse(text, std::string(key) + " needs a minor version: " + example_of(key) + ", say");
    try {
        return Version::parse(number);
    } catch (const Error&) {
        refuse(text, std::string(key) + " is no version: " + backquoted(value));
    }
}

std::string gfx_value(std::string_view text, std::string_view value) {
    const auto name = value.substr(0, value.find(':'));  // feature flags do not count
    if (!name.starts_with("gfx") || name.size() < 6 ||
        name.substr(3).find_first_not_of("0123456789abcdef") != std::string_view::npos) {
        refuse(text, "arch is a name such as gfx942, not " + backquoted(value));
    }
    return std::string(name);
}

struct Parser {
    std::string_view text;
    Target target;
    std::set<std::string, std::less<>> given;  // "backend" for any of them
    std::string torch_in_full;                 // "2.13.0+cu128"

    bool has(std::string_view key) const { return given.find(key) != given.end(); }

    void backend(BackendKind kind, Version version) {
        if (!given.insert("backend").second) refuse(text, "more than one backend", backends);
        target.backend = Backend{kind, version};
    }

    // The words and versions that choose a backend; false for other keys.
    bool backend_key(std::string_view name, std::string_view value, bool has_value) {
        constexpr std::array versioned = {
            std::pair{"cuda", BackendKind::cuda}, std::pair{"rocm", BackendKind::rocm},
            std::pair{"xpu", BackendKind::xpu}, std::pair{"cann", BackendKind::cann}};
        constexpr std::array plain = {
            std::pair{"cpu", BackendKind::cpu}, std::pair{"metal", BackendKind::metal},
            std::pair{"neuron", BackendKind::neuron}, std::pair{"tpu", BackendKind::tpu}};
        for (const auto& [word, kind] : plain) {
            if (name != word || (has_value && kind == BackendKind::cpu)) continue;
            if (has_value) refuse(text, std::string(name) + " takes no value");
            backend(kind, {});
            return true;
        }
        for (const auto& [word, kind] : versioned) {
            if (name != word) continue;
            if (value.empty())
                refuse(text, std::string(name) + " needs a version: " + example_of(name) + ", say");
            backend(kind, version_value(text, name, value));
            return true;
        }
        return false;
    }

    void key(std::string_view name, std::string_view value, bool has_value) {
        const auto& keys = known_keys();
        if (name.empty()) {
            refuse(
                text,
                has_value ? "a key is missing before =" : "there is nothing between two commas, or at an end",
                "keys: " + join(keys, ", "));
        }
        if (std::find(keys.begin(), keys.end(), name) == keys.end())
            refuse(text, "there is no key " + backquoted(name), instead_of(name, "keys", keys));
        if (backend_key(name, value, has_value)) return;
        if (value.empty()) refuse(text, std::string(name) + " needs a value: " + example_of(name));
        if (!given.emplace(name).second) refuse(text, std::string(name) + " is given twice");
        if (name == "torch") {
            target.torch = version_value(text, name, value);
            torch_in_full = value;
        } else if (name == "tvm-ffi") {
            target.tvm_ffi = version_value(text, name, value);
        } else if (name == "macos") {
            target.macos = version_value(text, name, value);
        } else if (name == "cpu") {
            target.cpu = one_of(text, name, value, {"x86_64", "aarch64"});
        } else if (name == "os") {
            target.os = one_of(text, name, value, {"linux", "darwin", "windows"});
        } else if (name == "cxx11-abi") {
            target.cxx11_abi = one_of(text, name, value, {"true", "false"}) == "true";
        } else if (name == "capability") {
            target.capability = capability_number(text, value);
        } else {
            target.gpu_arch = gfx_value(text, value);
        }
    }

    // What follows from the keys that are given.
    void complete() {
        const bool metal = target.backend.kind == BackendKind::metal;
        if (!has("os") && (metal || has("macos")) && target.os != "darwin") {
            target.os = "darwin";
            if (!has("cpu")) target.cpu = "aarch64";
        }
        if (metal && !has("cpu")) target.cpu = "aarch64";  // the same with and without os=darwin
        if (target.os != "darwin" && !has("macos")) target.macos.reset();
        if (target.os != "linux" && !has("cxx11-abi")) target.cxx11_abi.reset();
        if (target.os == "linux" && has("torch") && !has("cxx11-abi")) {
            target.cxx11_abi = wheels_have_cxx11_abi(*target.torch);
        }
    }

    // A torch made for one backend does not run another. Packages beside it add npu, neuron and tpu to a
    // torch for cpu, and neuron and tpu come before what any torch was made for.
    void check_tag() const {
        const auto tag = backend_of_tag(torch_in_full);
        const BackendKind kind = target.backend.kind;
        if (!tag || *tag == target.backend || kind == BackendKind::neuron || kind == BackendKind::tpu) return;
        if (tag->kind == BackendKind::cpu && (kind == BackendKind::cann || kind == BackendKind::metal))
            return;
        const auto named = [](const Backend& backend, const char* between) {
            return std::string(backend.name()) +
                   (backend.is_versioned() ? between + backend.version.to_string() : "");
        };
        refuse(text,
               "torch " + torch_in_full + " is made for " + named(*tag, " ") + ", the target is " +
                   named(target.backend, " "),
               (has("backend") ? "give torch=" + target.torch->to_string() + " or " : "add ") +
                   named(*tag, "="));
    }

    void check() const {
        const BackendKind kind = target.backend.kind;
        const auto* const possible =
            "cuda, rocm and xpu exist on linux and windows; cann, neuron and tpu on linux; metal on darwin; "
            "cpu everywhere";
        const bool gpu = kind == BackendKind::cuda || kind == BackendKind::rocm || kind == BackendKind::xpu;
        const bool linux_only =
            kind == BackendKind::cann || kind == BackendKind::neuron || kind == BackendKind::tpu;
        if ((gpu && target.os == "darwin") || (linux_only && target.os != "linux") ||
            (kind == BackendKind::metal && target.os != "darwin")) {
            refuse(text, std::string(target.backend.name()) + " does not exist on " + target.os, possible);
        }
        if (target.capability && kind != BackendKind::cuda) {
            refuse(text, "capability goes with cuda only",
                   kind == BackendKind::rocm ? "a ROCm device is named by arch=gfx942, say"
                                             : "add cuda=12.8, say, or leave capability out");
        }
        if (target.gpu_arch && kind != BackendKind::rocm) {
            refuse(text, "arch goes with rocm only",
                   kind == BackendKind::cuda ? "a CUDA device is named by capability=90, say"
                                             : "add rocm=6.4, say, or leave arch out");
        }
        if (target.macos && target.os != "darwin")
            refuse(text, "macos goes with os=darwin only", "leave macos or os out");
        if (target.cxx11_abi && target.os != "linux") {
            refuse(text, "cxx11-abi goes with os=linux only", "leave it out: other systems have one C++ ABI");
        }
    }
};

}  // namespace

bool wheels_have_cxx11_abi(Version torch) noexcept {
    constexpr Version first{2, 6};
    return torch >= first;
}

Target Target::parse(std::string_view text, const Target& base) {
    Parser parser{text, base, {}};
    parser.target.backend = Backend{};
    parser.target.capability.reset();
    parser.target.gpu_arch.reset();
    if (trimmed(text).empty())
        refuse(text, "it is empty", "for example torch=2.13,cuda=12.8,cpu=x86_64,os=linux");
    for (const auto part : split(text, ',')) {
        const auto equals = part.find('=');
        const bool has_value = equals != std::string_view::npos;
        parser.key(trimmed(part.substr(0, equals)),
                   has_value ? trimmed(part.substr(equals + 1)) : std::string_view(), has_value);
    }
    parser.complete();
    parser.check();
    parser.check_tag();
    return parser.target;
}

std::string Target::to_string() const {
    std::string out;
    const auto add = [&](const std::string& part) { out += (out.empty() ? "" : ",") + part; };
    if (torch) add("torch=" + torch->to_string());
    if (backend.is_versioned()) {
        add(std::string(backend.name()) + "=" + backend.version.to_string());
    } else {
        add(std::string(backend.name()));
    }
    if (capability) add("capability=" + std::to_string(*capability));
    if (gpu_arch) add("arch=" + *gpu_arch);
    add("cpu=" + cpu);
    add("os=" + os);
    if (macos) add("macos=" + macos->to_string());
    if (cxx11_abi) add(std::string("cxx11-abi=") + (*cxx11_abi ? "true" : "false"));
    if (tvm_ffi) add("tvm-ffi=" + tvm_ffi->to_string());
    return out;
}

}  // namespace kernels::build
