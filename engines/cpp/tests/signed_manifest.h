#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace lam {

using Json = nlohmann::ordered_json;

/// The fields of a manifest of no files.
Json manifest_fields();

/// Fields as they are stored, with the digest that belongs to them.
std::string signed_manifest(const Json& fields);

/// A folder for a test, removed with what is in it.
class Folder {
  public:
    Folder();
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    ~Folder();

    const std::filesystem::path path;

    void write(const std::string& name, const std::string& content) const;
};

}  // namespace lam
