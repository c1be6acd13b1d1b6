#include "checksums.h"

#include "lam/errors.h"
#include "schema.h"

namespace lam {
namespace {

const char* const next_manifest_name = "manifest.next.json";

}  // namespace

const char* const manifest_name = "manifest.json";
const char* const checksums_name = "SHA256SUMS";
const char* const copy_again = "copy the bundle again, or make it again: lam-export onnx";

Checksums Checksums::from_bytes(std::string_view content, const std::string& where) {
    const auto fail = [&](const std::string& reason) {
        throw BundleError(where + " was altered or damaged (" + reason + "); " + copy_again);
    };
    Checksums found;
    if (!content.empty() && content.back() != '\n') fail("its last line has no end");
    for (std::size_t number = 1; !content.empty(); ++number) {
        const std::string line(content.substr(0, content.find('\n')));
        content.remove_prefix(line.size() + 1);
        constexpr std::size_t digits = 64;
        const bool is_entry = line.size() > digits + 2 && line.compare(digits, 2, "  ") == 0;
        const std::string digest = line.substr(0, digits);
        const std::string name = is_entry ? line.substr(digits + 2) : "";
        if (!is_sha256(digest) || !is_plain_relative(name) || name == checksums_name)
            fail("line " + std::to_string(number) + " is not a hash, two spaces and the name of a file");
        if (!found.files.emplace(name, digest).second) fail("line " + std::to_string(number) + " repeats a name");
    }
    int manifests = 0;
    for (const char* name : {manifest_name, next_manifest_name}) {
        const auto entry = found.files.find(name);
        if (entry == found.files.end()) continue;
        ++manifests;
        found.manifest = name;
        found.manifest_sha256 = entry->second;
    }
    if (manifests != 1)
        fail(std::string("expected one line for ") + manifest_name + ", found " + std::to_string(manifests));
    found.files.erase(found.manifest);
    return found;
}

}  // namespace lam
