// libFuzzer: any bytes are a manifest or refused in one line; so are any fields with the digest that belongs to them.

#include "manifest.h"

#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "canonical_json.h"
#include "lam/errors.h"
#include "sha256.h"
#include "text.h"

namespace {

void read(const std::string& content) {
    try {
        const lam::Manifest manifest = lam::Manifest::from_json(content, "manifest.json");
        if (manifest.model.pad_token_id >= manifest.model.vocab_size) std::abort();
        for (const auto& [name, entry] : manifest.files)
            if (entry.sha256.size() != 64 || name.find("..") == 0 || name.front() == '/') std::abort();
    } catch (const lam::BundleError& error) {
        if (!lam::is_printable(error.what())) std::abort();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string content(reinterpret_cast<const char*>(data), size);
    read(content);
    try {
        const auto object = lam::canonical_object(content, "sha256");
        if (object && object->indented != "{")
            read(object->indented + ",\n  \"sha256\": \"" + lam::sha256(object->canonical) + "\"\n}\n");
    } catch (const std::invalid_argument&) {
    }
    return 0;
}
