// A main for the fuzz targets where there is no libFuzzer: the corpus, then mutations of it from a fixed
// seed. usage: DRIVER CORPUS_FOLDER [RUNS [SEED [SECONDS]]] The input at work stands in fuzz-input.txt while
// it runs, so that a crash leaves it behind.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "accepted.hpp"

namespace {

namespace fs = std::filesystem;

// Pieces of Python and of zip archives, and what their readers trip over.
constexpr std::string_view pieces[] = {"(",
                                       ")",
                                       "[",
                                       "]",
                                       "{",
                                       "}",
                                       ":",
                                       ",",
                                       ".",
                                       "=",
                                       "==",
                                       "->",
                                       "\n",
                                       "\n  ",
                                       "\n    ",
                                       "\t",
                                       "\\\n",
                                       "#",
                                       "'",
                                       "\"",
                                       "'''",
                                       "\"\"\"",
                                       "f'{x",
                                       "}'",
                                       "*",
                                       "**",
                                       "@",
                                       "if ",
                                       "else:",
                                       "elif x:",
                                       "for ",
                                       " in ",
                                       "while ",
                                       "with ",
                                       "try:",
                                       "except:",
                                       "def f(",
                                       "class L(nn.Module):",
                                       "return ",
                                       "lambda: ",
                                       "not ",
                                       "is ",
                                       "None",
                                       "self",
                                       "self.x",
                                       "x",
                                       "0x",
                                       "1e",
                                       "1_0",
                                       "99999999999999999999",
                                       std::string_view("\0", 1),
                                       "\xff",
                                       "\xc3\xa9",
                                       "ctx.",
                                       ".apply(",
                                       "ops.",
                                       "torch.",
                                       "import ",
                                       "from . ",
                                       "import *",
                                       "**kwargs",
                                       "yield ",
                                       "match x:",
                                       ":=",
                                       "PK\1\2",
                                       "PK\3\4",
                                       "PK\5\6",
                                       "PK\6\6",
                                       "PK\6\7",
                                       "../",
                                       "\xff\xff\xff\xff",
                                       std::string_view("\1\0\x10\0", 4)};

class Mutator {
  public:
    Mutator(std::vector<std::string> corpus, unsigned seed) : m_corpus(std::move(corpus)), m_random(seed) {}

    std::string next() {
        std::string input = m_corpus[below(m_corpus.size())];
        for (std::size_t left = 1 + below(6); left > 0; --left)
            mutate(input);
        if (input.size() > 20000) input.resize(20000);
        return input;
    }

  private:
    std::size_t below(std::size_t bound) { return bound == 0 ? 0 : m_random() % bound; }

    // A range of up to `longest` bytes.
    std::pair<std::size_t, std::size_t> range(const std::string& of, std::size_t longest) {
        const std::size_t begin = below(of.size() + 1);
        return {begin, std::min(of.size() - begin, below(longest))};
    }

    void mutate(std::string& input) {
        switch (below(8)) {
            case 0:
                if (!input.empty()) input[below(input.size())] = static_cast<char>(below(256));
                break;
            case 1: {
                const auto [begin, length] = range(input, 40);
                input.erase(begin, length);
                break;
            }
            case 2:
            case 3:
            case 4:
                input.insert(below(input.size() + 1), pieces[below(std::size(pieces))]);
                break;
            case 5: {  // repeat a part
                const auto [begin, length] = range(input, 60);
                const std::string part = input.substr(begin, length);
                for (std::size_t times = below(30); times > 0; --times)
                    input.insert(begin, part);
                break;
            }
            case 6: {  // move a part
                const auto [begin, length] = range(input, 80);
                const std::string part = input.substr(begin, length);
                input.insert(below(input.size() + 1), part);
                break;
            }
            default: {  // from another one
                const std::string& other = m_corpus[below(m_corpus.size())];
                const auto [begin, length] = range(other, 200);
                input.insert(below(input.size() + 1), other.substr(begin, length));
            }
        }
    }

    std::vector<std::string> m_corpus;
    std::mt19937 m_random;
};

const std::string* input_at_work = nullptr;
std::string crash_file;

void save_input() {
    if (input_at_work == nullptr) return;
    const int file = ::open(crash_file.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0644);
    if (file >= 0 && ::write(file, input_at_work->data(), input_at_work->size()) >= 0) ::close(file);
    input_at_work = nullptr;
}

void on_crash(int signal) {
    save_input();
    std::signal(signal, SIG_DFL);
    std::raise(signal);
}

void run(const std::string& input) {
    input_at_work = &input;
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
}

}  // namespace

extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*)());

int main(int argc, char** argv) {
    if (argc < 2) {
        std::cerr << "usage: DRIVER CORPUS_FOLDER [RUNS [SEED [SECONDS]]]\n";
        return 2;
    }
    const auto number = [&](int at, long otherwise) { return argc > at ? std::atol(argv[at]) : otherwise; };
    std::vector<fs::path> paths;
    for (const auto& entry : fs::directory_iterator(argv[1]))
        paths.push_back(entry.path());
    std::sort(paths.begin(), paths.end());
    std::vector<std::string> corpus;
    for (const auto& path : paths) {
        std::ifstream file(path, std::ios::binary);
        corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
    if (corpus.empty()) {
        std::cerr << argv[1] << ": there is no corpus\n";
        return 2;
    }
    crash_file = "fuzz-input." + std::to_string(number(3, 1)) + ".txt";
    if (__sanitizer_set_death_callback != nullptr) {
        __sanitizer_set_death_callback(save_input);
    } else {
        for (const int signal : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL})
            std::signal(signal, on_crash);
    }
    for (const auto& input : corpus)
        run(input);
    const auto runs = number(2, 1000);
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(number(4, 1000000));
    Mutator mutator(corpus, static_cast<unsigned>(number(3, 1)));
    long done = 0;
    for (; done < runs && std::chrono::steady_clock::now() < until; ++done) {
        const std::string input = mutator.next();
        run(input);
    }
    std::cout << done << " mutations of " << corpus.size() << " inputs; " << kernels::fuzz::accepted
              << " times it got to the end\n";
    return done > 0 && kernels::fuzz::accepted > 0 ? 0 : 1;
}
