#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace lam {

using Json = nlohmann::ordered_json;

/// The fields of a manifest of no files.
Json manifest_fields();

/// A folder for a test, removed with what is in it.
class Folder {
  public:
    Folder();
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    ~Folder();

    const std::filesystem::path path;

    void write(const std::string& name, const std::string& content) const;
    std::string read(const std::string& name) const;
    /// Write a manifest, and the `SHA256SUMS` that belongs to it.
    void write_manifest(const Json& fields) const;
};

}  // namespace lam
