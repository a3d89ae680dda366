#include "build/decompress.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

namespace kernels::build {
namespace {

template <typename Function>
Function* loaded(const char* library, const char* name) {
    void* handle = ::dlopen(library, RTLD_LAZY | RTLD_LOCAL);  // kept: a second call finds it open
    return handle == nullptr ? nullptr : reinterpret_cast<Function*>(::dlsym(handle, name));
}

enum class State { more, ended, damaged };

// In zstd's own layout.
struct Input {
    const char* data;
    std::size_t size;
    std::size_t position;
};
struct Output {
    char* data;
    std::size_t size;
    std::size_t position;
};

class Zstd {
  public:
    static constexpr const char* library = "libzstd.so.1";
    Zstd()
        : m_release(loaded<std::size_t(void*)>(library, "ZSTD_freeDStream")),
          m_run(loaded<std::size_t(void*, Output*, Input*)>(library, "ZSTD_decompressStream")),
          m_is_error(loaded<unsigned(std::size_t)>(library, "ZSTD_isError")) {
        auto* const create = loaded<void*()>(library, "ZSTD_createDStream");
        if (create != nullptr && m_release != nullptr && m_run != nullptr && m_is_error != nullptr)
            m_stream = create();
    }
    ~Zstd() {
        if (m_stream != nullptr) m_release(m_stream);
    }
    Zstd(const Zstd&) = delete;
    Zstd& operator=(const Zstd&) = delete;
    explicit operator bool() const { return m_stream != nullptr; }

    State step(Output& to, Input& from) {
        const auto status = m_run(m_stream, &to, &from);
        if (m_is_error(status) != 0) return State::damaged;
        return status == 0 ? State::ended : State::more;
    }

  private:
    std::size_t (*m_release)(void*);
    std::size_t (*m_run)(void*, Output*, Input*);
    unsigned (*m_is_error)(std::size_t);
    void* m_stream = nullptr;
};

class Zlib {
  public:
    static constexpr const char* library = "libz.so.1";
    Zlib()
        : m_inflate(loaded<int(Stream*, int)>(library, "inflate")),
          m_end(loaded<int(Stream*)>(library, "inflateEnd")) {
        auto* const start = loaded<int(Stream*, const char*, int)>(library, "inflateInit_");
        // A library of another major version would refuse.
        m_usable = start != nullptr && m_inflate != nullptr && m_end != nullptr &&
                   start(&m_stream, "1", sizeof(Stream)) == 0;
    }
    ~Zlib() {
        if (m_usable) m_end(&m_stream);
    }
    Zlib(const Zlib&) = delete;
    Zlib& operator=(const Zlib&) = delete;
    explicit operator bool() const { return m_usable; }

    State step(Output& to, Input& from) {
        constexpr std::size_t most = std::numeric_limits<unsigned>::max();
        m_stream.next_in = from.data + from.position;
        m_stream.avail_in = static_cast<unsigned>(std::min(most, from.size - from.position));
        m_stream.next_out = to.data + to.position;
        m_stream.avail_out = static_cast<unsigned>(std::min(most, to.size - to.position));
        const int status = m_inflate(&m_stream, 0);
        from.position = static_cast<std::size_t>(m_stream.next_in - from.data);
        to.position = static_cast<std::size_t>(m_stream.next_out - to.data);
        constexpr int ended = 1;     // Z_STREAM_END
        constexpr int stalled = -5;  // Z_BUF_ERROR
        if (status == ended) return State::ended;
        return status == 0 || status == stalled ? State::more : State::damaged;
    }

  private:
    struct Stream {  // z_stream of zlib 1
        const char* next_in = nullptr;
        unsigned avail_in = 0;
        unsigned long total_in = 0;
        char* next_out = nullptr;
        unsigned avail_out = 0;
        unsigned long total_out = 0;
        const char* msg = nullptr;
        void* state = nullptr;
        void* allocate = nullptr;
        void* release = nullptr;
        void* opaque = nullptr;
        int data_type = 0;
        unsigned long adler = 0;
        unsigned long reserved = 0;
    };
    int (*m_inflate)(Stream*, int);
    int (*m_end)(Stream*);
    Stream m_stream;
    bool m_usable = false;
};

template <typename Stream>
Decompressed run(std::string_view bytes, std::size_t limit, bool to_the_end) {
    Decompressed out;
    Stream stream;
    if (!stream) {
        out.failure = std::string(Stream::library) + " is not here to decompress it with";
        return out;
    }
    out.start.resize(limit);
    Input from{bytes.data(), bytes.size(), 0};
    Output to{out.start.data(), limit, 0};
    std::array<char, 65536> rest{};  // is read, and dropped
    std::size_t known = 0;
    State state = State::more;
    for (bool in_start = true; state == State::more;) {
        if (in_start && to.position == to.size) {
            known = limit;
            in_start = false;
            if (!to_the_end) break;
        }
        if (!in_start) to = {rest.data(), rest.size(), 0};
        const auto before = std::pair(to.position, from.position);
        state = stream.step(to, from);
        if (in_start) known = to.position;
        if (state == State::more && before == std::pair(to.position, from.position)) break;
    }
    out.start.resize(known);
    out.size = from.position;
    const bool complete = state == State::ended || (!to_the_end && known == limit);
    if (!complete) out.failure = state == State::damaged ? "it is damaged" : "it ends early";
    return out;
}

}  // namespace

Decompressed decompress_start(Compression method, std::string_view bytes, std::size_t limit,
                              bool to_the_end) {
    return method == Compression::zstd ? run<Zstd>(bytes, limit, to_the_end)
                                       : run<Zlib>(bytes, limit, to_the_end);
}

}  // namespace kernels::build
