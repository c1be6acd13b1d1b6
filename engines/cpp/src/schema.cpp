#include "schema.h"

#include <algorithm>
#include <limits>

#include "text.h"

namespace lam {
namespace {

const char* const no_path = "Value error, must be a plain relative path inside the bundle";

}  // namespace

bool is_plain_relative(const std::string& name) {
    if (name.find_first_of("\\:") != std::string::npos || !is_printable(name)) return false;
    for (std::size_t start = 0; start <= name.size();) {
        const std::size_t end = std::min(name.find('/', start), name.size());
        const std::string part = name.substr(start, end - start);
        if (part.empty() || part == "." || part == "..") return false;
        start = end + 1;
    }
    return true;
}

bool is_sha256(const std::string& text) {
    return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

Field Field::member(const std::string& name, const Json& value) const {
    return {value, place_.empty() ? name : place_ + "." + name};
}

Field Field::operator[](const std::string& name) const {
    if (!value_->is_object()) fail("Input should be a valid dictionary");
    const auto found = value_->find(name);
    if (found == value_->end()) member(name, *value_).fail("Field required");
    return member(name, *found);
}

Field Field::object_or_empty(const std::string& name) const {
    static const Json empty = Json::object();
    return value_->contains(name) ? (*this)[name] : member(name, empty);
}

std::vector<std::pair<std::string, Field>> Field::members() const {
    if (!value_->is_object()) fail("Input should be a valid dictionary");
    std::vector<std::pair<std::string, Field>> out;
    for (const auto& [name, value] : value_->items()) out.emplace_back(name, member(name, value));
    return out;
}

std::vector<Field> Field::elements() const {
    if (!value_->is_array()) fail("Input should be a valid tuple");
    if (value_->empty()) fail("Tuple should have at least 1 item after validation, not 0");
    std::vector<Field> out;
    for (std::size_t i = 0; i < value_->size(); ++i) out.push_back(member(std::to_string(i), (*value_)[i]));
    return out;
}

std::int64_t Field::integer() const {
    if (!value_->is_number_integer()) fail("Input should be a valid integer");
    if (value_->is_number_unsigned() &&
        value_->get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
        fail("Input should fit into 64 bits");
    return value_->get<std::int64_t>();
}

bool Field::is_null() const { return value_->is_null(); }

std::optional<std::int64_t> Field::integer_or_none() const {
    if (value_->is_null()) return std::nullopt;
    return integer();
}

std::int64_t Field::at_least(std::int64_t least) const {
    const std::int64_t value = integer();
    if (value < least)
        fail(least == 1 ? "Input should be greater than 0"
                        : "Input should be greater than or equal to " + std::to_string(least));
    return value;
}

std::string Field::text() const {
    if (!value_->is_string()) fail("Input should be a valid string");
    return value_->get<std::string>();
}

std::string Field::one_of(const std::vector<std::string>& texts) const {
    const std::string value = text();
    if (std::find(texts.begin(), texts.end(), value) == texts.end()) fail("Input should be one of " + joined(texts));
    return value;
}

std::string Field::sha256() const {
    std::string value = text();
    if (!is_sha256(value)) fail("String should match pattern '^[0-9a-f]{64}$'");
    return value;
}

std::string Field::path() const {
    std::string value = text();
    if (!is_plain_relative(value)) fail(no_path);
    return value;
}

void Field::has_path_for_key(const std::string& name) const {
    if (!is_plain_relative(name)) throw SchemaError(place_ + ".[key]", no_path);
}

void Field::fail(const std::string& reason) const { throw SchemaError(place_, reason); }

}  // namespace lam
