// Hashes: SHA-256, SHA-512, SHA-1 (git), streaming; hexadecimal and base64.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace kernels {

enum class HashAlgorithm { sha1, sha256, sha512 };

/// Hashes a stream of bytes. Not thread-safe; one object a stream.
class Hasher {
  public:
    explicit Hasher(HashAlgorithm algorithm);
    ~Hasher();
    Hasher(Hasher&&) noexcept;
    Hasher& operator=(Hasher&&) noexcept;

    void update(const void* data, std::size_t size);
    void update(std::string_view bytes) { update(bytes.data(), bytes.size()); }
    /// The raw digest; the object can not be used afterwards.
    std::string finish();

  private:
    struct State;
    std::unique_ptr<State> m_state;
};

/// A Hasher that has already taken git's blob header: its result is the git oid of a file of `size` bytes.
Hasher git_blob_hasher(std::uint64_t size);

/// Raw bytes as lower-case hexadecimal digits, and back (throws Error(failed) on anything else).
std::string to_hex(std::string_view bytes);
std::string from_hex(std::string_view hex);
/// Standard base64 with padding, and back (throws Error(failed) on anything else).
std::string to_base64(std::string_view bytes);
std::string from_base64(std::string_view text);

/// The hexadecimal digest of `bytes` or of a file. The file form throws Error(failed) when it cannot be read
/// and Error(interrupted) when `cancel` is set.
std::string hash_bytes(HashAlgorithm algorithm, std::string_view bytes);
std::string hash_file(Hasher hasher, const std::filesystem::path& path,
                      const std::atomic<bool>* cancel = nullptr);
std::string hash_file(HashAlgorithm algorithm, const std::filesystem::path& path,
                      const std::atomic<bool>* cancel = nullptr);
/// git's object id of a file: sha1("blob <size>\0" + bytes).
std::string git_blob_oid(const std::filesystem::path& path);

}  // namespace kernels
