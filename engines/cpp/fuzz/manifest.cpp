// libFuzzer: any bytes are a manifest or refused in one line, and likewise any bytes are checksums.

#include "manifest.h"

#include <cstdint>
#include <cstdlib>
#include <string>

#include "checksums.h"
#include "lam/errors.h"
#include "schema.h"
#include "text.h"

namespace {

template <typename Read>
void read_or_refuse(const Read& read) {
    try {
        read();
    } catch (const lam::BundleError& error) {
        if (!lam::is_printable(error.what())) std::abort();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string content(reinterpret_cast<const char*>(data), size);
    read_or_refuse([&] {
        const lam::Manifest manifest = lam::Manifest::from_json(content, "manifest.json");
        if (manifest.model.pad_token_id >= manifest.model.vocab_size) std::abort();
        for (const auto& [name, entry] : manifest.files)
            if (entry.sha256.size() != 64 || name.find("..") == 0 || name.front() == '/') std::abort();
    });
    read_or_refuse([&] {
        const lam::Checksums checksums = lam::Checksums::from_bytes(content, "SHA256SUMS");
        if (checksums.manifest_sha256.size() != 64) std::abort();
        for (const auto& [name, hash] : checksums.files)
            if (!lam::is_plain_relative(name) || hash.size() != 64) std::abort();
    });
    return 0;
}
