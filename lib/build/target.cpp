#include "kernels/build/target.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <functional>
#include <regex>
#include <set>
#include <utility>
#include <vector>

#include "build/places.hpp"
#include "build/version_range.hpp"
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

// What others call these keys. By the letters alone `gpu` is next to cpu, and `npu` too.
constexpr std::array<std::pair<std::string_view, std::string_view>, 13> other_names{{
    {"gpu", "`cuda` or `rocm`"},
    {"nvidia", "`cuda`"},
    {"cu", "`cuda`"},
    {"hip", "`rocm`"},
    {"amd", "`rocm`"},
    {"mps", "`metal`"},
    {"npu", "`cann`"},
    {"ascend", "`cann`"},
    {"sm", "`capability`"},
    {"gfx", "`arch`"},
    {"platform", "`os`"},
    {"mac", "`macos`"},
    {"pytorch", "`torch`"},
}};

std::string instead_of_key(std::string_view name) {
    const auto* const other = std::find_if(other_names.begin(), other_names.end(),
                                           [&](const auto& entry) { return entry.first == lower(name); });
    if (other == other_names.end()) return instead_of(name, "keys", known_keys());
    return "did you mean " + std::string(other->second) + "? keys: " + join(known_keys(), ", ");
}

// "cuda=12.8", as an example of what the key is given.
std::string example_of(std::string_view key) {
    const auto* const range = version_range(key);
    return std::string(key) + "=" + (range != nullptr ? std::string(range->example) : "…");
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
    // Of generations whose last device is out; of the others nobody knows what will be.
    constexpr std::array finished = {30, 32, 35, 37, 50, 52, 53, 60, 61, 62, 70, 72, 75, 90};
    const int generation = number / 10;
    const bool is_open = generation == 8 || generation >= 10;
    if (!is_open && std::find(finished.begin(), finished.end(), number) == finished.end()) {
        std::string there;
        for (const int one : finished) {
            if (one / 10 == generation) there += (there.empty() ? "" : ", ") + std::to_string(one);
        }
        refuse(text, "there is no capability " + backquoted(value),
               there.empty() ? "there is no generation " + std::to_string(generation) + " of CUDA devices"
                             : "of its generation there is " + there);
    }
    return number;
}

// What is behind the + of a torch: what it was made for (see torch_misfit), or a commit of its source.
void check_tag_form(std::string_view text, const std::string& torch, const std::string& number) {
    const auto plus = torch.find('+');
    if (plus == std::string::npos || torch.substr(plus) == "+xpu" || backend_of_tag(torch)) return;
    if (!is_tagged_by_commit(torch)) {
        refuse(text, "torch " + backquoted(torch) + ": what is behind the + names no backend",
               "leave it out: torch=" + number);
    }
}

// A version and nothing behind it but, for torch, what a torch says of itself: "2.13.0a0+git1234".
Version version_value(std::string_view text, std::string_view key, std::string_view value) {
    const VersionRange& range = *version_range(key);
    constexpr std::size_t longest = 100;  // and far more than std::regex could follow
    static const std::regex plain(R"(\d+(\.\d+)*)");
    static const std::regex torch_form(R"((\d+(\.\d+)*)((a|b|rc)\d+)?(\.post\d+)?(\.dev\d+)?(\+.*)?)");
    const std::string whole(value.substr(0, longest + 1));
    std::smatch match;
    if (whole.size() > longest || !std::regex_match(whole, match, key == "torch" ? torch_form : plain)) {
        refuse(text, std::string(key) + " is a version such as " + std::string(range.example) + ", not " +
                         backquoted(value));
    }
    std::string number = whole;
    if (key == "torch") {
        number = match[1].str();
        check_tag_form(text, whole, number);
    }
    Version version;
    try {
        version = Version::parse(number);
    } catch (const Error&) {
        refuse(text, std::string(key) + " is no version: " + backquoted(value));
    }
    const auto meant = [&] {
        const auto other = range.meant_by(version);
        return other ? "did you mean " + std::string(key) + "=" + other->to_string() + "?" : std::string();
    };
    // Builds are named by it; macos=26 alone is enough to compare with.
    if (key != "macos" && number.find('.') == std::string::npos)
        refuse(text, std::string(key) + " needs a minor version: " + example_of(key) + ", say", meant());
    if (!range.holds(version)) {
        const auto question = meant();
        refuse(text, "there is no " + std::string(key) + " " + backquoted(value),
               question.empty() ? "for example " + example_of(key) : question);
    }
    return version;
}

std::string gfx_value(std::string_view text, std::string_view value) {
    static const std::regex form(R"((gfx[0-9a-f]{3,5})((:(sramecc|xnack)[+-])*))");
    const std::string whole(value.substr(0, 100));
    std::smatch match;
    if (std::regex_match(whole, match, form)) return whole;
    const bool flags = whole.find(':') != std::string::npos;
    refuse(text, "arch is a name such as gfx942, not " + backquoted(value),
           flags ? "what may be behind the name is :sramecc+, :sramecc-, :xnack+ or :xnack-" : "");
}

// "cuda 12.8"
std::string named(const Backend& backend, const char* between) {
    return std::string(backend.name()) +
           (backend.is_versioned() ? between + backend.version.to_string() : "");
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
            refuse(text, "there is no key " + backquoted(name), instead_of_key(name));
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
            target.cxx11_abi = wheels_have_cxx11_abi(*target.torch, target.backend, target.cpu);
        }
    }

    void check_tag() const {
        const auto why = torch_misfit(torch_in_full, target);
        if (why.empty()) return;
        const auto tag = backend_of_tag(torch_in_full);
        refuse(text, why,
               (has("backend") ? "give torch=" + target.torch->to_string() + " or " : "add ") +
                   (tag ? named(*tag, "=") : example_of("xpu")));
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

bool wheels_have_cxx11_abi(Version torch, const Backend& backend, std::string_view cpu) noexcept {
    constexpr Version mixed{2, 6};
    if (torch != mixed) return torch > mixed;
    // Its wheels for x86_64 by the new build images have the new ABI: cu126, ROCm and XPU; cpu, cu118 and
    // cu124 have not.
    constexpr Version first_cuda{12, 6};
    const bool is_new_cuda = backend.kind == BackendKind::cuda && backend.version >= first_cuda;
    return cpu == "aarch64" || is_new_cuda || backend.kind == BackendKind::rocm ||
           backend.kind == BackendKind::xpu;
}

// Packages beside it add npu, neuron and tpu to a torch for cpu, and neuron and tpu come before what any
// torch was made for.
std::string torch_misfit(const std::string& version, const Target& target) {
    const BackendKind kind = target.backend.kind;
    if (kind == BackendKind::neuron || kind == BackendKind::tpu) return {};
    const auto tag = backend_of_tag(version);
    const bool for_xpu = version.ends_with("+xpu");
    if (for_xpu ? kind == BackendKind::xpu : !tag || *tag == target.backend) return {};
    if (tag && tag->kind == BackendKind::cpu && (kind == BackendKind::cann || kind == BackendKind::metal))
        return {};
    return "torch " + version + " is made for " + (for_xpu ? "xpu" : named(*tag, " ")) + ", the target is " +
           named(target.backend, " ");
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
