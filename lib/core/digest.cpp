#include "kernels/core/digest.hpp"

#include <openssl/evp.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "kernels/core/cancel.hpp"
#include "kernels/core/error.hpp"
#include "kernels/core/files.hpp"

namespace kernels {

struct Hasher::State {
    struct Free {
        void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
    };
    std::unique_ptr<EVP_MD_CTX, Free> context{EVP_MD_CTX_new()};
};

Hasher::Hasher(HashAlgorithm algorithm) : m_state(std::make_unique<State>()) {
    const EVP_MD* method = algorithm == HashAlgorithm::sha1     ? EVP_sha1()
                           : algorithm == HashAlgorithm::sha256 ? EVP_sha256()
                                                                : EVP_sha512();
    if (!m_state->context || EVP_DigestInit_ex(m_state->context.get(), method, nullptr) != 1) {
        throw Error(ErrorCode::failed, "OpenSSL: cannot start a hash");
    }
}

Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

void Hasher::update(const void* data, std::size_t size) {
    if (EVP_DigestUpdate(m_state->context.get(), data, size) != 1) {
        throw Error(ErrorCode::failed, "OpenSSL: hashing failed");
    }
}

std::string Hasher::finish() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int size = 0;
    if (EVP_DigestFinal_ex(m_state->context.get(), digest.data(), &size) != 1) {
        throw Error(ErrorCode::failed, "OpenSSL: hashing failed");
    }
    return {reinterpret_cast<const char*>(digest.data()), size};
}

Hasher git_blob_hasher(std::uint64_t size) {
    Hasher hasher(HashAlgorithm::sha1);
    hasher.update("blob " + std::to_string(size));
    hasher.update(std::string_view("\0", 1));
    return hasher;
}

std::string to_hex(std::string_view bytes) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string out;
    out.reserve(bytes.size() * 2);
    for (const char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        out += digits[byte >> 4U];
        out += digits[byte & 15U];
    }
    return out;
}

std::string from_hex(std::string_view hex) {
    const auto value = [&](char c) -> unsigned {
        if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
        if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a') + 10;
        if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A') + 10;
        throw Error(ErrorCode::failed, "not hexadecimal: " + std::string(hex.substr(0, 80)));
    };
    if (hex.size() % 2 != 0) throw Error(ErrorCode::failed, "an odd number of hexadecimal digits");
    std::string out;
    for (std::size_t i = 0; i < hex.size(); i += 2) {
        out += static_cast<char>(value(hex[i]) * 16 + value(hex[i + 1]));
    }
    return out;
}

std::string to_base64(std::string_view bytes) {
    std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
    const int size =
        EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                        reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
    out.resize(static_cast<std::size_t>(size));
    return out;
}

std::string from_base64(std::string_view text) {
    const auto fail = [] { return Error(ErrorCode::failed, "not base64"); };
    if (text.size() % 4 != 0) throw fail();
    if (text.empty()) return {};
    std::string out(text.size() / 4 * 3, '\0');
    const int size =
        EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                        reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
    if (size < 0) throw fail();
    std::size_t padding = 0;
    while (padding < 2 && text[text.size() - 1 - padding] == '=')
        ++padding;
    out.resize(static_cast<std::size_t>(size) - padding);
    return out;
}

std::string hash_bytes(HashAlgorithm algorithm, std::string_view bytes) {
    Hasher hasher(algorithm);
    hasher.update(bytes);
    return to_hex(hasher.finish());
}

std::string hash_file(Hasher hasher, const std::filesystem::path& path, const std::atomic<bool>* cancel) {
    std::ifstream in(path, std::ios::binary);
    if (!in) throw Error(ErrorCode::failed, path.string() + ": cannot be opened: " + std::strerror(errno));
    std::vector<char> buffer(std::size_t{1} << 20U);
    while (in) {
        check_cancelled(cancel);
        in.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
        hasher.update(buffer.data(), static_cast<std::size_t>(in.gcount()));
    }
    if (in.bad()) throw Error(ErrorCode::failed, path.string() + ": cannot be read");
    return to_hex(hasher.finish());
}

std::string hash_file(HashAlgorithm algorithm, const std::filesystem::path& path,
                      const std::atomic<bool>* cancel) {
    return hash_file(Hasher(algorithm), path, cancel);
}

std::string git_blob_oid(const std::filesystem::path& path) {
    std::error_code error;
    const auto size = std::filesystem::file_size(path, error);
    if (error) throw Error(ErrorCode::failed, path.string() + ": " + error.message());
    return hash_file(git_blob_hasher(size), path);
}

}  // namespace kernels
