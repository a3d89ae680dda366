#include "open_library.hpp"

#include <c10/util/Exception.h>
#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>
#include <sys/utsname.h>
#include <torch/version.h>

#include <cerrno>
#include <csetjmp>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>

#include "kernels/core/text.hpp"

namespace kernels::runtime {
namespace {

const std::string undefined_symbol = "undefined symbol: ";

std::string name_of_machine(std::uint16_t machine) {
    static const std::map<std::uint16_t, std::string> names = {
        {EM_386, "i386"},    {EM_ARM, "arm"},       {EM_X86_64, "x86_64"}, {EM_AARCH64, "aarch64"},
        {EM_PPC64, "ppc64"}, {EM_RISCV, "riscv64"}, {EM_S390, "s390x"}};
    const auto known = names.find(machine);
    return known != names.end() ? known->second : "machine " + std::to_string(machine);
}

std::string own_machine() {
    utsname names{};
    return ::uname(&names) == 0 ? names.machine : "another";
}

// What the loader says of these is misleading (a library for another processor "does not exist"), or it
// crashes (a file that was cut off). Empty when the file can be given to it.
std::string unfit_file(const std::string& library) {
    std::ifstream file(library, std::ios::binary | std::ios::ate);
    if (!file) return std::strerror(errno);
    const auto size = static_cast<std::uint64_t>(file.tellg());
    Elf64_Ehdr header{};
    file.seekg(0);
    file.read(reinterpret_cast<char*>(&header), sizeof header);
    if (file.gcount() < EI_NIDENT || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
        return "it is no ELF library";
    if (header.e_ident[EI_CLASS] != ELFCLASS64) return "it is a library of 32 bits";
    if (file.gcount() < static_cast<std::streamsize>(sizeof header)) return "the file is cut off";
    Elf64_Ehdr own{};
    std::ifstream self("/proc/self/exe", std::ios::binary);
    if (self.read(reinterpret_cast<char*>(&own), sizeof own) && header.e_machine != own.e_machine)
        return "it is for " + name_of_machine(header.e_machine) + ", and this machine is " + own_machine();
    for (std::uint16_t i = 0; i < header.e_phnum; ++i) {
        Elf64_Phdr segment{};
        file.seekg(static_cast<std::streamoff>(header.e_phoff + std::uint64_t{i} * sizeof segment));
        if (!file.read(reinterpret_cast<char*>(&segment), sizeof segment)) return "the file is cut off";
        if (segment.p_type == PT_LOAD &&
            (segment.p_offset > size || segment.p_filesz > size - segment.p_offset))
            return "the file is cut off";
    }
    return {};
}

std::string demangled(const std::string& symbol) {
    int status = 0;
    const std::unique_ptr<char, decltype(&std::free)> name(
        abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status), &std::free);
    return status == 0 ? std::string(name.get()) : symbol;
}

// Of libtorch, by its namespaces: c10, at, torch, and their nested and member names.
bool is_of_libtorch(const std::string& symbol) {
    const std::string name = demangled(symbol);
    for (const char* space : {"c10::", "at::", "torch::", "caffe2::"}) {
        const auto at = name.find(space);
        if (at != std::string::npos && (at == 0 || name[at - 1] == ' ')) return true;
    }
    return symbol.starts_with("aoti_torch_") || symbol.starts_with("torch_");
}

// The symbol that the loader misses; empty for other complaints.
std::string missing_symbol(const std::string& complaint) {
    const auto at = complaint.find(undefined_symbol);
    if (at == std::string::npos) return {};
    const std::string name = complaint.substr(at + undefined_symbol.size());
    return name.substr(0, name.find_first_of(", ("));
}

std::string explained(const std::string& library, const std::string& complaint) {
    if (const auto symbol = missing_symbol(complaint); !symbol.empty()) {
        return "it needs the symbol " + demangled(symbol) + ", which " +
               (is_of_libtorch(symbol) ? "torch " TORCH_VERSION
                                         " of this process does not have; it is built "
                                         "for another torch"
                                       : "nothing in this process has");
    }
    const std::string own = library + ": ";
    if (complaint.starts_with(own)) return complaint.substr(own.size());
    const auto colon = complaint.find(": cannot open shared object file");
    if (colon != std::string::npos)
        return "it needs " + complaint.substr(0, colon) + ", which is not on this machine";
    return complaint;
}

std::string complaint_of_loader() {
    const char* text = ::dlerror();
    return text != nullptr ? text : "the loader does not say why";
}

// The loader calls initializers through frames that exceptions cannot leave: what they throw, as
// torch::Library does for a schema that it cannot read, ends the process. While a library is loaded such an
// end leads back here instead. The loader's lock then stays with this thread.
struct WayOut {
    std::jmp_buf place;
    char why[512];
};
thread_local WayOut* way_out = nullptr;
std::terminate_handler usual_end = nullptr;

void note(const std::string& why) {
    const auto length = why.copy(way_out->why, sizeof way_out->why - 1);
    way_out->why[length] = '\0';
}

void leave_loader() {
    if (way_out == nullptr || std::current_exception() == nullptr) {
        if (usual_end != nullptr) usual_end();
        std::abort();
    }
    try {
        throw;
    } catch (const std::exception& failure) {
        note(one_line(failure));
    } catch (...) {
        note("it does not say why");
    }
    abi::__cxa_end_catch();  // of the exception that nobody caught
    std::longjmp(way_out->place, 1);
}

// dlopen; `way.why` is not empty when an initializer threw.
void* open_in(WayOut& way, const char* library, int mode) {
    way.why[0] = '\0';
    usual_end = std::set_terminate(&leave_loader);
    void* volatile handle = nullptr;
    if (setjmp(way.place) == 0) {
        way_out = &way;
        handle = ::dlopen(library, mode);
    }
    way_out = nullptr;
    std::set_terminate(usual_end);
    return handle;
}

// Empty when the library is loaded, else why it is not.
std::string attempt(const std::string& library) {
    if (auto why = unfit_file(library); !why.empty()) return why;
    const auto way = std::make_unique<WayOut>();
    const auto unregistered = [&] { return "it cannot register its operators: " + std::string(way->why); };
    // At once, so that a symbol which this libtorch has not is told here; found missing by the first call, it
    // ends the process.
    if (open_in(*way, library.c_str(), RTLD_NOW | RTLD_LOCAL) != nullptr) return {};
    if (way->why[0] != '\0') return unregistered();
    const std::string complaint = complaint_of_loader();
    const std::string symbol = missing_symbol(complaint);
    if (symbol.empty() || is_of_libtorch(symbol)) return explained(library, complaint);
    // What only Python's import needs is absent without Python.
    if (open_in(*way, library.c_str(), RTLD_LAZY | RTLD_LOCAL) != nullptr) return {};
    return way->why[0] != '\0' ? unregistered() : explained(library, complaint_of_loader());
}

}  // namespace

std::string one_line(const std::exception& failure) {
    const auto* error = dynamic_cast<const c10::Error*>(&failure);
    const std::string text = error != nullptr ? error->what_without_backtrace() : failure.what();
    // "expected … here:", the schema, and marks below the place.
    std::string line;
    for (const auto part : split(text, '\n')) {
        const auto words = trimmed(part);
        if (words.empty()) continue;
        if (!line.empty() && !line.ends_with(':')) break;
        line += (line.empty() ? "" : " ") + std::string(words);
    }
    constexpr std::size_t longest = 300;
    if (line.size() > longest) line = line.substr(0, longest) + "…";
    if (line == "stoll" || line == "stod" || line == "stoi" || line == "stoull")
        return "a number in the schema of an operator cannot be read (" + line + ")";
    return line.empty() ? "it does not say why" : line;
}

void open_library(const std::string& library) {
    // The loader takes a library whose initializer threw for a loaded one, when it is asked again.
    static std::mutex mutex;
    static std::map<std::string, std::string> refused;
    const std::lock_guard lock(mutex);
    auto known = refused.find(library);
    if (known == refused.end()) {
        const auto why = attempt(library);
        if (why.empty()) return;
        known = refused.emplace(library, why).first;
    }
    throw std::runtime_error(library + ": the kernel library cannot be loaded: " + known->second);
}

}  // namespace kernels::runtime
