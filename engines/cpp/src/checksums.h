#pragma once

#include <map>
#include <string>
#include <string_view>

namespace lam {

extern const char* const manifest_name;
extern const char* const checksums_name;

/// The way out where a bundle is damaged.
extern const char* const copy_again;

/// What `SHA256SUMS` says: the hash of every file of a bundle, as `sha256sum` writes it and `sha256sum -c` checks it.
struct Checksums {
    /// The file that is the manifest: `manifest.json`, or `manifest.next.json` while the bundle is extended.
    std::string manifest;
    std::string manifest_sha256;
    /// Name of every other file to its hash.
    std::map<std::string, std::string> files;

    /// Read the file's content, trusting nothing in it; `where` names it in messages.
    ///
    /// Throws BundleError: a line is not as `sha256sum` writes it or repeats a name, or not one manifest is listed.
    static Checksums from_bytes(std::string_view content, const std::string& where);
};

}  // namespace lam
