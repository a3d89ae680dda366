#include "kernels/runtime/archive.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <unordered_set>

#include "kernels/core/files.hpp"
#include "kernels/core/text.hpp"

namespace kernels::runtime {
namespace {

[[noreturn]] void refuse(const std::string& why) {
    throw std::runtime_error(why);
}

class File {
  public:
    explicit File(const std::string& path) : m_fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
        if (m_fd < 0) refuse(std::string("it cannot be opened: ") + std::strerror(errno));
    }
    ~File() { ::close(m_fd); }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    int fd() const { return m_fd; }

  private:
    int m_fd;
};

void read_at(int file, std::uint64_t offset, char* to, std::size_t size) {
    while (size > 0) {
        const auto got = ::pread(file, to, size, static_cast<off_t>(offset));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) refuse("it cannot be read to its end");
        to += got;
        offset += static_cast<std::uint64_t>(got);
        size -= static_cast<std::size_t>(got);
    }
}

std::string read_at(int file, std::uint64_t offset, std::uint64_t size) {
    std::string bytes(size, '\0');
    read_at(file, offset, bytes.data(), size);
    return bytes;
}

// A little-endian number of `width` bytes; the caller has checked that it is there.
std::uint64_t number(std::string_view bytes, std::size_t at, std::size_t width) {
    std::uint64_t value = 0;
    for (std::size_t i = width; i-- > 0;)
        value = value << 8U | static_cast<unsigned char>(bytes[at + i]);
    return value;
}

constexpr std::uint64_t local_size = 30;
constexpr std::uint64_t central_size = 46;
constexpr std::uint64_t end_size = 22;
constexpr std::uint64_t end64_size = 56;
constexpr std::uint64_t locator64_size = 20;

struct Directory {
    std::uint64_t count = 0;
    std::uint64_t size = 0;
    std::uint64_t offset = 0;
};

Directory find_directory(int file, std::uint64_t size) {
    if (size == 0) refuse("it is empty");
    const std::string start = read_at(file, 0, std::min<std::uint64_t>(size, 4));
    if (!start.starts_with("PK")) refuse("it is no zip archive");
    if (size < end_size) refuse("it is cut off");
    const std::uint64_t tail_size = std::min<std::uint64_t>(size, end_size + 0xffff);
    const std::string tail = read_at(file, size - tail_size, tail_size);
    for (std::size_t at = tail_size - end_size + 1; at-- > 0;) {
        if (std::string_view(tail).substr(at, 4) != "PK\5\6") continue;
        if (at + end_size + number(tail, at + 20, 2) != tail_size) refuse("something follows behind its end");
        Directory found{number(tail, at + 10, 2), number(tail, at + 12, 4), number(tail, at + 16, 4)};
        std::uint64_t end = size - tail_size + at;
        if (at >= locator64_size &&
            std::string_view(tail).substr(at - locator64_size, 4) == std::string_view("PK\6\7", 4)) {
            const std::uint64_t place = number(tail, at - locator64_size + 8, 8);
            if (place > size || size - place < end64_size) refuse("its directory lies outside of it");
            const std::string end64 = read_at(file, place, end64_size);
            if (!end64.starts_with(std::string_view("PK\6\6", 4))) refuse("its directory cannot be read");
            found = {number(end64, 32, 8), number(end64, 40, 8), number(end64, 48, 8)};
            end = place;
        }
        if (found.offset > end || found.size > end - found.offset) refuse("its directory lies outside of it");
        constexpr std::uint64_t largest = 64U << 20U;  // over 500,000 records
        if (found.size > largest) refuse("it has too many records");
        if (found.count > found.size / central_size) refuse("its directory is too small for its records");
        return found;
    }
    refuse("it is cut off");
}

void check_name(std::string_view name) {
    const auto bad = [&](const char* why) {
        refuse("its record " + backquoted(std::string(name)) + " " + why);
    };
    if (name.empty() || name.front() == '/') bad("has an absolute name or none");
    if (name.find('\\') != std::string_view::npos) bad("has a backslash in its name");
    if (std::any_of(name.begin(), name.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }))
        refuse("one of its records has a control character in its name");
    for (const auto part : split(name, '/')) {
        if (part == "..") bad("leaves the archive");
    }
    if (name.find('/') == std::string_view::npos) bad("is in no folder");
}

// Sizes beyond 32 bits are in the extra field, in this order and only where the short field is all ones.
void read_zip64(std::string_view extra, ArchiveRecord& record) {
    constexpr std::uint64_t elsewhere = 0xffffffff;
    for (std::size_t at = 0; at + 4 <= extra.size();) {
        const std::uint64_t id = number(extra, at, 2);
        const std::uint64_t size = number(extra, at + 2, 2);
        at += 4;
        if (size > extra.size() - at) refuse("its directory cannot be read");
        if (id == 1) {
            std::string_view field = extra.substr(at, size);
            for (std::uint64_t* value : {&record.unpacked, &record.packed, &record.offset}) {
                if (*value != elsewhere) continue;
                if (field.size() < 8) refuse("its directory cannot be read");
                *value = number(field, 0, 8);
                field.remove_prefix(8);
            }
            return;
        }
        at += size;
    }
}

std::uint64_t unpack_limit() {
    std::uint64_t limit = std::uint64_t{256} << 20U;
    if (const auto given = environment_variable("KERNELS_UNPACK_LIMIT")) {
        const auto [end, error] = std::from_chars(given->data(), given->data() + given->size(), limit);
        if (error != std::errc() || end != given->data() + given->size())
            refuse("KERNELS_UNPACK_LIMIT=" + *given + " is no number of bytes");
    }
    return limit;
}

// The offset becomes that of the data; until here it is the local header's.
void enter_local_header(int file, const Directory& directory, ArchiveRecord& record) {
    const std::string name = backquoted(record.name);
    if (record.offset > directory.offset || directory.offset - record.offset < local_size)
        refuse("its record " + name + " lies outside of it");
    const std::string header = read_at(file, record.offset, local_size);
    if (!header.starts_with("PK\3\4")) refuse("its record " + name + " is not where its directory says");
    const std::uint64_t name_size = number(header, 26, 2);
    const std::uint64_t before = local_size + name_size + number(header, 28, 2);
    if (directory.offset - record.offset < before ||
        directory.offset - record.offset - before < record.packed) {
        refuse("its record " + name + " lies outside of it");
    }
    if (read_at(file, record.offset + local_size, name_size) != record.name ||
        (number(header, 8, 2) == 8) != record.deflated) {
        refuse("its record " + name + " differs from what its directory says");
    }
    record.offset += before;
}

std::vector<ArchiveRecord> list(int file, const Directory& directory) {
    const std::string bytes = read_at(file, directory.offset, directory.size);
    std::vector<ArchiveRecord> records;
    records.reserve(directory.count);
    std::uint64_t at = 0;
    for (std::uint64_t i = 0; i < directory.count; ++i) {
        if (directory.size - at < central_size || std::string_view(bytes).substr(at, 4) != "PK\1\2")
            refuse("its directory cannot be read");
        const std::string_view header = std::string_view(bytes).substr(at);
        const std::uint64_t name_size = number(header, 28, 2);
        const std::uint64_t extra_size = number(header, 30, 2);
        const std::uint64_t whole = central_size + name_size + extra_size + number(header, 32, 2);
        if (whole > header.size()) refuse("its directory cannot be read");
        ArchiveRecord record;
        record.name = header.substr(central_size, name_size);
        check_name(record.name);
        const std::uint64_t method = number(header, 10, 2);
        if (method != 0 && method != 8)
            refuse("its record " + backquoted(record.name) + " is compressed in an unknown way");
        if ((number(header, 8, 2) & 1U) != 0)
            refuse("its record " + backquoted(record.name) + " is encrypted");
        record.deflated = method == 8;
        record.checksum = static_cast<std::uint32_t>(number(header, 16, 4));
        record.packed = number(header, 20, 4);
        record.unpacked = number(header, 24, 4);
        record.offset = number(header, 42, 4);
        read_zip64(header.substr(central_size + name_size, extra_size), record);
        enter_local_header(file, directory, record);
        records.push_back(std::move(record));
        at += whole;
    }
    if (at != directory.size) refuse("its directory holds more than its records");
    return records;
}

void check_together(const std::vector<ArchiveRecord>& records) {
    if (records.empty()) refuse("it has no records");
    const std::string_view first = records.front().name;
    const std::string_view top = first.substr(0, first.find('/') + 1);
    std::unordered_set<std::string_view> names;
    std::uint64_t unpacked = 0;
    const std::uint64_t limit = unpack_limit();
    std::vector<const ArchiveRecord*> by_place;
    for (const auto& record : records) {
        if (!record.name.starts_with(top))
            refuse("its records are not all in the folder " + std::string(top));
        if (!names.insert(record.name).second)
            refuse("its record " + backquoted(record.name) + " occurs twice");
        if (!record.deflated && record.packed != record.unpacked)
            refuse("its record " + backquoted(record.name) + " has two sizes");
        if (record.deflated) {
            unpacked =
                record.unpacked > limit - std::min(unpacked, limit) ? limit + 1 : unpacked + record.unpacked;
            if (unpacked > limit) {
                refuse("it unpacks to more than " + std::to_string(limit) +
                       " bytes (KERNELS_UNPACK_LIMIT raises the limit)");
            }
        }
        by_place.push_back(&record);
    }
    std::sort(by_place.begin(), by_place.end(),
              [](const auto* a, const auto* b) { return a->offset < b->offset; });
    for (std::size_t i = 1; i < by_place.size(); ++i) {
        if (by_place[i - 1]->offset + by_place[i - 1]->packed > by_place[i]->offset)
            refuse("its records " + backquoted(by_place[i - 1]->name) + " and " +
                   backquoted(by_place[i]->name) + " overlap");
    }
}

// Gives the unpacked bytes of a record to `take`, piece by piece, and compares size and checksum.
void unpack(int file, const ArchiveRecord& record, const std::function<void(std::string_view)>& take) {
    constexpr std::size_t piece = 1U << 18U;
    std::string in(std::min<std::uint64_t>(piece, record.packed), '\0');
    std::uint64_t unpacked = 0;
    uLong checksum = ::crc32(0, nullptr, 0);
    const auto give = [&](std::string_view bytes) {
        unpacked += bytes.size();
        if (unpacked > record.unpacked)
            refuse("its record " + backquoted(record.name) + " is larger than it says");
        checksum = ::crc32_z(checksum, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
        if (take) take(bytes);
    };
    z_stream stream{};
    if (record.deflated && ::inflateInit2(&stream, -MAX_WBITS) != Z_OK) throw std::bad_alloc();
    const std::unique_ptr<z_stream, int (*)(z_streamp)> closer(record.deflated ? &stream : nullptr,
                                                               &::inflateEnd);
    std::string out(record.deflated ? piece : 0, '\0');
    int state = Z_OK;
    for (std::uint64_t done = 0; done < record.packed && state == Z_OK;) {
        const std::size_t size = std::min<std::uint64_t>(in.size(), record.packed - done);
        read_at(file, record.offset + done, in.data(), size);
        done += size;
        if (!record.deflated) {
            give({in.data(), size});
            continue;
        }
        stream.next_in = reinterpret_cast<Bytef*>(in.data());
        stream.avail_in = static_cast<uInt>(size);
        do {
            stream.next_out = reinterpret_cast<Bytef*>(out.data());
            stream.avail_out = static_cast<uInt>(out.size());
            state = ::inflate(&stream, Z_NO_FLUSH);
            give({out.data(), out.size() - stream.avail_out});
        } while (state == Z_OK && stream.avail_out == 0);
        if (state == Z_BUF_ERROR) state = Z_OK;  // all of the piece is taken
    }
    const bool ended = !record.deflated || state == Z_STREAM_END;
    // Writers that compute no checksum leave 0.
    if (!ended || unpacked != record.unpacked || (record.checksum != 0 && record.checksum != checksum))
        refuse("its record " + backquoted(record.name) + " is damaged (its checksum does not fit)");
}

}  // namespace

std::vector<ArchiveRecord> check_archive(int file, ArchiveCheck check) {
    struct stat status {};
    if (::fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) refuse("it is no file");
    auto records = list(file, find_directory(file, static_cast<std::uint64_t>(status.st_size)));
    check_together(records);
    if (check == ArchiveCheck::contents) {
        for (const auto& record : records)
            unpack(file, record, nullptr);
    }
    return records;
}

std::vector<ArchiveRecord> check_archive(const std::string& path, ArchiveCheck check) {
    const File file(path);
    return check_archive(file.fd(), check);
}

std::string read_record(const std::string& path, const ArchiveRecord& record, std::uint64_t limit) {
    if (record.unpacked > limit) refuse("its record " + backquoted(record.name) + " is too large");
    const File file(path);
    std::string bytes;
    unpack(file.fd(), record, [&](std::string_view piece) { bytes += piece; });
    return bytes;
}

}  // namespace kernels::runtime
