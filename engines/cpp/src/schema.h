#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace lam {

using Json = nlohmann::ordered_json;

/// Whether a name leads to a file below the folder, by the same spelling for every reader.
bool is_plain_relative(const std::string& name);

/// Whether it is a SHA-256 as 64 hexadecimal digits.
bool is_sha256(const std::string& text);

/// A value that cannot be right: where it stands and why.
struct SchemaError : std::runtime_error {
    SchemaError(std::string at, const std::string& reason) : std::runtime_error(reason), place(std::move(at)) {}
    std::string place;
};

/// A value of a manifest and where it stands. Every reader throws SchemaError, in the words of the Python engine.
class Field {
  public:
    Field(const Json& value, std::string place) : value_(&value), place_(std::move(place)) {}

    /// A member of an object that must be there.
    Field operator[](const std::string& name) const;
    /// A member that may be left out, or an empty object in its place.
    Field object_or_empty(const std::string& name) const;
    /// The members of an object, in the order of the text.
    std::vector<std::pair<std::string, Field>> members() const;
    /// The elements of an array of at least one.
    std::vector<Field> elements() const;

    std::int64_t integer() const;
    std::optional<std::int64_t> integer_or_none() const;
    bool is_null() const;
    std::int64_t at_least(std::int64_t least) const;
    std::string text() const;
    std::string one_of(const std::vector<std::string>& texts) const;
    std::string sha256() const;
    /// A file's name: a plain relative path inside the bundle.
    std::string path() const;
    /// That the name by which this member goes is such a path.
    void has_path_for_key(const std::string& name) const;

    [[noreturn]] void fail(const std::string& reason) const;

  private:
    Field member(const std::string& name, const Json& value) const;

    const Json* value_;
    std::string place_;
};

}  // namespace lam
