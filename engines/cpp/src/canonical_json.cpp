#include "canonical_json.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <vector>

namespace lam {
namespace {

using nlohmann::json;

/// Deeper than anything that is written in a manifest; every level copies what is below it.
constexpr std::size_t deepest = 32;

struct Value {
    std::string key;  // as JSON, quotes included
    std::string name;
    std::string canonical;
    std::string indented;
};

struct Container {
    bool object = false;
    std::string key;
    std::string name;
    std::vector<Value> values;
};

std::string quoted_json(const std::string& text) { return json(text).dump(-1, ' ', true); }

/// Writes each value as the parser meets its end.
class Writer : public nlohmann::json_sax<json> {
  public:
    explicit Writer(std::string_view left_out) : left_out_(left_out) {}

    std::string error;
    bool is_object = false;
    CanonicalObject result;

    bool null() override { return add("null"); }
    bool boolean(bool value) override { return add(value ? "true" : "false"); }
    bool number_integer(std::int64_t value) override { return add(std::to_string(value)); }
    bool number_unsigned(std::uint64_t value) override { return add(std::to_string(value)); }
    bool number_float(double value, const std::string& spelled) override {
        const bool whole = spelled.find_first_of(".eE") == std::string::npos;  // more digits than 64 bits hold
        return add(whole ? spelled : python_float(value));
    }
    bool string(std::string& value) override { return add(quoted_json(value)); }
    bool binary(json::binary_t&) override { return false; }
    bool start_object(std::size_t) override { return open(true); }
    bool start_array(std::size_t) override { return open(false); }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }
    bool key(std::string& value) override {
        name_ = value;
        key_ = quoted_json(value);
        return true;
    }
    bool parse_error(std::size_t position, const std::string&, const json::exception&) override {
        error = "wrong at byte " + std::to_string(position);
        return false;
    }

  private:
    bool add(std::string text) {
        std::string same = text;
        return add(std::move(text), std::move(same));
    }

    bool add(std::string canonical, std::string indented) {
        if (!open_.empty()) open_.back().values.push_back({key_, name_, std::move(canonical), std::move(indented)});
        return true;
    }

    bool open(bool object) {
        if (open_.size() >= deepest) {
            error = "nested more than " + std::to_string(deepest) + " deep";
            return false;
        }
        open_.push_back({object, key_, name_, {}});
        return true;
    }

    bool close() {
        Container done = std::move(open_.back());
        open_.pop_back();
        std::vector<Value>& values = done.values;
        const bool outermost = open_.empty();
        if (outermost && done.object)
            values.erase(
                std::remove_if(values.begin(), values.end(), [&](const Value& v) { return v.name == left_out_; }),
                values.end());
        const std::string indent = "\n" + std::string(2 * (open_.size() + 1), ' ');
        std::string indented(done.object ? "{" : "[");
        for (std::size_t i = 0; i < values.size(); ++i)
            indented += (i ? "," : "") + indent + (done.object ? values[i].key + ": " : "") + values[i].indented;
        if (done.object) {  // UTF-8 sorts as the code points that Python sorts by
            std::sort(values.begin(), values.end(), [](const Value& a, const Value& b) { return a.name < b.name; });
            for (std::size_t i = 1; i < values.size(); ++i)
                result.repeats = result.repeats || values[i].name == values[i - 1].name;
        }
        std::string canonical(done.object ? "{" : "[");
        for (std::size_t i = 0; i < values.size(); ++i)
            canonical += (i ? "," : "") + (done.object ? values[i].key + ":" : "") + values[i].canonical;
        canonical += done.object ? '}' : ']';
        if (outermost) {
            is_object = done.object;
            result.canonical = std::move(canonical);
            result.indented = std::move(indented);
            return true;
        }
        if (!values.empty()) indented += indent.substr(0, indent.size() - 2);
        indented += done.object ? '}' : ']';
        key_ = std::move(done.key);
        name_ = std::move(done.name);
        return add(std::move(canonical), std::move(indented));
    }

    std::string_view left_out_;
    std::vector<Container> open_;
    std::string key_;
    std::string name_;
};

}  // namespace

std::optional<CanonicalObject> canonical_object(std::string_view text, std::string_view left_out) {
    Writer writer(left_out);
    if (!json::sax_parse(text, &writer)) throw std::invalid_argument(writer.error);
    if (!writer.is_object) return std::nullopt;
    return std::move(writer.result);
}

std::string python_float(double value) {
    char buffer[40];
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
    const std::string_view spelled(buffer, static_cast<std::size_t>(end - buffer));  // [-]d[.ddd]e[+-]dd
    const std::size_t e = spelled.find('e');
    const bool negative = spelled.front() == '-';
    std::string digits;
    for (const char c : spelled.substr(0, e))
        if (c >= '0' && c <= '9') digits += c;
    const int exponent = std::stoi(std::string(spelled.substr(e + 1)));
    std::string out;
    if (exponent < -4 || exponent >= 16) {
        out = digits.substr(0, 1) + (digits.size() > 1 ? "." + digits.substr(1) : "") + std::string(spelled.substr(e));
    } else if (exponent < 0) {
        out = "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
    } else {
        const auto whole = static_cast<std::size_t>(exponent) + 1;
        if (digits.size() <= whole) digits += std::string(whole - digits.size(), '0') + "0";
        out = digits.substr(0, whole) + "." + digits.substr(whole);
    }
    return (negative ? "-" : "") + out;
}

}  // namespace lam
