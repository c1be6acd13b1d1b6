#include "manifest.h"

#include <algorithm>
#include <set>
#include <stdexcept>

#include "lam/errors.h"
#include "schema.h"
#include "text.h"

namespace lam {
namespace {

constexpr std::int64_t format_version = 1;
const char* const again = "; make the bundle again: lam-export onnx";

/// Deeper than anything that is written in a manifest.
constexpr int deepest = 32;

/// Readers do not agree which of two fields of the same name counts, so neither does. Throws std::invalid_argument.
Json parsed(std::string_view content) {
    using Event = Json::parse_event_t;
    std::vector<std::set<std::string>> open;
    const auto look = [&](int depth, Event event, const Json& value) {
        const bool opens = event == Event::object_start || event == Event::array_start;
        if (opens && depth >= deepest)
            throw std::invalid_argument("nested more than " + std::to_string(deepest) + " deep");
        if (event == Event::object_start) open.emplace_back();
        if (event == Event::object_end) open.pop_back();
        if (event == Event::key && !open.back().insert(value.get<std::string>()).second)
            throw std::invalid_argument("a field stands twice");
        return true;
    };
    try {
        return Json::parse(content, look);
    } catch (const Json::parse_error& error) {
        throw std::invalid_argument("wrong at byte " + std::to_string(error.byte));
    } catch (const Json::exception&) {
        throw std::invalid_argument("a number is out of range");
    }
}

ModelInfo read_model(const Field& field) {
    ModelInfo model;
    model.hidden_size = field["hidden_size"].at_least(1);
    model.vocab_size = field["vocab_size"].at_least(1);
    model.pad_token_id = field["pad_token_id"].at_least(0);
    if (model.pad_token_id >= model.vocab_size)
        field.fail("Value error, pad_token_id must be below vocab_size (" + std::to_string(model.vocab_size) + ")");
    return model;
}

FileEntry read_file(const Field& field) {
    return {field["sha256"].sha256(), static_cast<std::uint64_t>(field["bytes"].at_least(0))};
}

Range read_range(const Field& field) {
    const Range range{field["min"].at_least(1), field["opt"].integer(), field["max"].integer()};
    if (range.min > range.opt || range.opt > range.max) field.fail("Value error, must be min <= opt <= max");
    return range;
}

std::vector<Profile> read_profiles(const Field& field) {
    std::vector<Profile> profiles;
    for (const Field& profile : field.elements()) {
        profiles.push_back({read_range(profile["batch"]), read_range(profile["tokens"])});
    }
    return profiles;
}

Plan read_plan(const Field& field, std::set<std::string>& named) {
    if (!field["inspector"].is_null()) named.insert(field["inspector"].path());
    Plan plan;
    plan.graph = field["graph"].path();
    plan.graph_sha256 = field["graph_sha256"].sha256();
    plan.precision = field["precision"].one_of({"fp32", "fp16", "bf16", "int8"});
    plan.library = field["library"].text();
    plan.version = field["version"].text();
    for (const Field& capability : field["compute_capabilities"].elements())
        plan.compute_capabilities.push_back(capability.text());
    if (!field["gpu"].is_null()) plan.gpu = field["gpu"].text();
    plan.profiles = read_profiles(field["profiles"]);
    return plan;
}

Manifest read_manifest(const Field& field, const std::string& where) {
    Manifest manifest;
    manifest.model = read_model(field["model"]);
    manifest.form = field["form"].text();
    manifest.chunk_size = field["chunk_size"].integer_or_none();
    for (const auto& [name, entry] : field["files"].members()) {
        entry.has_path_for_key(name);
        manifest.files.emplace_back(name, read_file(entry));
    }
    std::set<std::string> named;
    for (const auto& [name, graph] : field["graphs"].members()) {
        graph.has_path_for_key(name);
        named.insert(name);
    }
    // Bundles made before there were plans do without the two.
    for (const auto& [name, plan] : field.object_or_empty("plans").members()) {
        plan.has_path_for_key(name);
        named.insert(name);
        manifest.plans.emplace_back(name, read_plan(plan, named));
    }
    for (const auto& [key, cache] : field.object_or_empty("timing_cache").members()) named.insert(cache.path());
    std::vector<std::string> unknown;
    for (const std::string& name : named)
        if (manifest.file(name) == nullptr) unknown.push_back(name);
    if (!unknown.empty()) throw BundleError(where + " names " + joined(unknown) + ", not among its files" + again);
    return manifest;
}

}  // namespace

const FileEntry* Manifest::file(std::string_view name) const {
    const auto found = std::find_if(files.begin(), files.end(), [&](const auto& file) { return file.first == name; });
    return found == files.end() ? nullptr : &found->second;
}

Manifest Manifest::from_json(std::string_view content, const std::string& where) {
    Json fields;
    try {
        fields = parsed(content);
    } catch (const std::invalid_argument& error) {
        throw BundleError(where + " is no valid JSON (" + error.what() + ")" + again);
    }
    if (!fields.contains("format_version"))
        throw BundleError("expected a bundle's manifest in " + where + ", found other JSON" + again);
    const Json& version = fields["format_version"];
    if (version != format_version) {
        const std::string found = version.is_string()      ? lam::quoted(version.get<std::string>(), 30)
                                  : version.is_primitive() ? version.dump()
                                                           : "something else";
        throw BundleError("expected bundle format " + std::to_string(format_version) + ", found " + found + " in " +
                          where + "; make the bundle again with this version: lam-export onnx");
    }
    try {
        return read_manifest({fields, ""}, where);
    } catch (const SchemaError& error) {
        throw BundleError(where + ": " + lam::quoted(error.place) + ": " + error.what() + again);
    }
}

}  // namespace lam
