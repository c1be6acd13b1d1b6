#include "sha256.h"

#include <openssl/evp.h>

#include <array>

#include "lam/errors.h"

namespace lam {
namespace {

void check(int succeeded) {
    if (succeeded != 1) throw EngineError("expected SHA-256 from OpenSSL, found it refused; mend OpenSSL's settings");
}

}  // namespace

Sha256::Sha256()
    : context_(EVP_MD_CTX_new(), [](void* context) { EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context)); }) {
    check(EVP_DigestInit_ex(static_cast<EVP_MD_CTX*>(context_.get()), EVP_sha256(), nullptr));
}

void Sha256::update(const char* data, std::size_t size) {
    check(EVP_DigestUpdate(static_cast<EVP_MD_CTX*>(context_.get()), data, size));
}

std::string Sha256::hex() {
    std::array<unsigned char, 32> digest{};
    check(EVP_DigestFinal_ex(static_cast<EVP_MD_CTX*>(context_.get()), digest.data(), nullptr));
    std::string out;
    for (const unsigned char byte : digest) {
        out += "0123456789abcdef"[byte >> 4U];
        out += "0123456789abcdef"[byte & 15U];
    }
    return out;
}

std::string sha256(std::string_view content) {
    Sha256 hash;
    hash.update(content.data(), content.size());
    return hash.hex();
}

}  // namespace lam
