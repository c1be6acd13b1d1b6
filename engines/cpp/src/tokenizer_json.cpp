#include "tokenizer_json.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>

#include "lam/errors.h"
#include "text.h"
#include "unicode.h"
#include "utf8.h"

namespace lam {
namespace {

using Value = nlohmann::json;
using Vocabulary = std::map<std::string, std::uint32_t>;

// Limits, as in tokenizer_file.py: a file from a stranger costs no more than BERT's.
constexpr std::size_t most_bytes = std::size_t{32} << 20U;
constexpr std::size_t most_steps = 16;
constexpr std::size_t most_added = 10'000;
constexpr std::size_t longest_added = 1024;  // bytes
constexpr std::size_t longest_prefix = 64;   // bytes
constexpr std::uint64_t longest_word = 256;
// A Sequence in a Sequence costs stack; nobody needs two.
constexpr int deepest = 16;

[[noreturn]] void broken(const std::string& reason) {
    throw BundleError("tokenizer.json cannot be used (" + reason + "); take the one that the model was trained with");
}

[[noreturn]] void unsupported(const std::string& what, const std::string& found, const std::string& known) {
    throw BundleError("tokenizer.json cannot be used: expected " + what + " of " + known + ", found " + found +
                      "; the C++ engine reads BERT's tokenizers, the Python engine reads all");
}

std::uint32_t id_of(const Value& value, const std::string& place) {
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > UINT32_MAX)
        broken(place + ": " + (value.is_number() ? value.dump() : value.type_name()) + " is no token id");
    return value.get<std::uint32_t>();
}

// A value of the file and where it stands there.
class Field {
  public:
    Field(const Value& value, std::string place) : value_(value), place_(std::move(place)) {}

    Field operator[](const std::string& name) const {
        const auto found = has(name) ? value_.find(name) : value_.end();
        const std::string shown = is_printable(name) ? name : lam::quoted(name);
        if (!value_.is_object() || found == value_.end()) broken(place_ + " has no " + shown);
        return {*found, place_ + "." + shown};
    }
    // Whether an object has a member, and not just null.
    bool has(const std::string& name) const {
        return value_.is_object() && value_.contains(name) && !value_.at(name).is_null();
    }
    std::vector<Field> elements(std::size_t most = most_steps) const {
        if (!value_.is_array()) broken(place_ + " is no list");
        if (value_.size() > most) broken(place_ + " has more than " + std::to_string(most) + " elements");
        std::vector<Field> elements;
        for (const Value& element : value_)
            elements.emplace_back(element, place_ + "." + std::to_string(elements.size()));
        return elements;
    }
    const Value::object_t& members() const {
        if (!value_.is_object()) broken(place_ + " is no object");
        return value_.get_ref<const Value::object_t&>();
    }
    std::string text(std::size_t longest = longest_added) const {
        if (!value_.is_string()) broken(place_ + " is no string");
        if (value_.get_ref<const std::string&>().size() > longest)
            broken(place_ + " has more than " + std::to_string(longest) + " bytes");
        return value_.get<std::string>();
    }
    bool flag() const {
        if (!value_.is_boolean()) broken(place_ + " is neither true nor false");
        return value_.get<bool>();
    }
    std::uint64_t count(std::uint64_t most) const {
        if (!value_.is_number_unsigned()) broken(place_ + " is no number from 0");
        const auto found = value_.get<std::uint64_t>();
        if (found > most) broken(place_ + " is more than " + std::to_string(most));
        return found;
    }
    std::uint32_t id() const { return id_of(value_, place_); }

  private:
    const Value& value_;
    std::string place_;
};

void add_steps(const Field& normalizer, std::vector<Normalizer::Step>& steps, int depth = 0) {
    using Step = Normalizer::Step;
    const std::string type = normalizer["type"].text();
    if (steps.size() > 5 * most_steps) broken("its normalizers are more than " + std::to_string(most_steps));
    if (type == "BertNormalizer") {
        const bool lowercase = normalizer["lowercase"].flag();
        if (normalizer["clean_text"].flag()) steps.push_back(Step::clean_text);
        if (normalizer["handle_chinese_chars"].flag()) steps.push_back(Step::space_chinese);
        if (normalizer.has("strip_accents") ? normalizer["strip_accents"].flag() : lowercase)
            steps.insert(steps.end(), {Step::decompose, Step::drop_nonspacing_marks});
        if (lowercase) steps.push_back(Step::lowercase);
    } else if (type == "Sequence") {
        if (depth == deepest) broken("its normalizers are nested " + std::to_string(deepest) + " deep");
        for (const Field& part : normalizer["normalizers"].elements()) add_steps(part, steps, depth + 1);
    } else if (type == "NFD") {
        steps.push_back(Step::decompose);
    } else if (type == "StripAccents") {
        steps.push_back(Step::drop_marks);
    } else if (type == "Lowercase") {
        steps.push_back(Step::lowercase);
    } else {
        unsupported("a normalizer", lam::quoted(type),
                    "BertNormalizer, NFD, StripAccents, Lowercase or a Sequence of them");
    }
}

Normalizer normalizer_of(const Field& file) {
    std::vector<Normalizer::Step> steps;
    if (file.has("normalizer")) add_steps(file["normalizer"], steps);
    return Normalizer(std::move(steps));
}

void check_pre_tokenizer(const Field& file) {
    const std::string type = file.has("pre_tokenizer") ? file["pre_tokenizer"]["type"].text() : "none";
    if (type != "BertPreTokenizer") unsupported("a pre_tokenizer", lam::quoted(type), "BertPreTokenizer");
}

void check_model(const Field& file) {
    const Field model = file["model"];
    const std::string type = model.has("type") ? model["type"].text() : "none";
    if (type != "WordPiece") unsupported("a model", lam::quoted(type), "WordPiece");
}

Vocabulary vocabulary_of(const Field& file) {
    Vocabulary vocabulary;
    for (const auto& [token, id] : file["model"]["vocab"].members())
        vocabulary.emplace_hint(vocabulary.end(), token, id_of(id, "model.vocab"));
    return vocabulary;
}

WordPiece model_of(const Field& file, const Vocabulary& vocabulary) {
    const Field model = file["model"];
    const auto unknown = vocabulary.find(model["unk_token"].text());
    if (unknown == vocabulary.end()) broken("model.vocab has no " + lam::quoted(model["unk_token"].text()));
    return {vocabulary,
            {unknown->second, model["continuing_subword_prefix"].text(longest_prefix),
             model["max_input_chars_per_word"].count(longest_word)}};
}

bool is_white_space(const std::string& text) {
    const std::u32string characters = utf8::decoded(text);
    return std::all_of(characters.begin(), characters.end(), unicode::is_white_space);
}

// The added tokens that are found in the raw (false) and in the normalized (true) text, with their contents there.
struct TokenLists {
    std::map<bool, std::vector<AddedToken>> tokens;
    std::map<std::string, std::uint32_t> ids;
};

// The library gives an added token that the vocabulary lacks the next free id, whatever the file says. A file in which
// the two differ, or two tokens meet, depends on the version of the library: it is refused.
TokenLists added_tokens_of(const Field& file, const Vocabulary& vocabulary, const Normalizer& normalizer) {
    TokenLists lists;
    if (!file.has("added_tokens")) return lists;
    std::set<std::uint32_t> ids;
    std::set<std::pair<bool, std::string>> contents;
    auto next_id = static_cast<std::uint32_t>(vocabulary.size());
    for (const Field& entry : file["added_tokens"].elements(most_added)) {
        const std::string name = entry["content"].text();
        const bool normalized = entry["normalized"].flag();
        AddedToken token{name, entry["id"].id(), entry["single_word"].flag(), entry["lstrip"].flag(),
                         entry["rstrip"].flag()};
        if (name.empty()) continue;
        const auto known = vocabulary.find(name);
        const std::uint32_t id = known == vocabulary.end() ? next_id++ : known->second;
        if (id != token.id)
            broken("added token " + lam::quoted(name) + " has the id " + std::to_string(token.id) +
                   ", but its place is " + std::to_string(id));
        if (normalized) normalizer.apply(name, token.content);
        if (token.content.empty()) broken("added token " + lam::quoted(name) + " is empty once normalized");
        if (!ids.insert(id).second || !lists.ids.emplace(name, id).second ||
            !contents.emplace(normalized, token.content).second)
            broken("added token " + lam::quoted(name) + " is there twice");
        if ((token.lstrip || token.rstrip) && is_white_space(token.content))
            unsupported("added tokens", lam::quoted(name) + " with lstrip or rstrip", "more than white space");
        lists.tokens[normalized].push_back(std::move(token));
    }
    return lists;
}

using Around = std::vector<std::vector<std::int64_t>>;

Around template_of(const Field& processor) {
    Around around(1);
    for (const Field& piece : processor["single"].elements()) {
        if (piece.has("SpecialToken")) {
            const Field token = processor["special_tokens"][piece["SpecialToken"]["id"].text()];
            for (const Field& id : token["ids"].elements()) around.back().push_back(id.id());
        } else if (piece["Sequence"]["id"].text() == "A") {
            around.emplace_back();
        } else {
            broken("post_processor.single has another sequence than A");
        }
    }
    return around;
}

Around around_of(const Field& file) {
    if (!file.has("post_processor")) return Around(2);
    const Field processor = file["post_processor"];
    const std::string type = processor["type"].text();
    if (type == "TemplateProcessing") return template_of(processor);
    if (type != "BertProcessing")
        unsupported("a post_processor", lam::quoted(type), "TemplateProcessing or BertProcessing");
    Around around;
    for (const char* name : {"cls", "sep"}) {
        const std::vector<Field> pair = processor[name].elements();
        if (pair.size() != 2) broken(std::string("post_processor.") + name + " is no pair of token and id");
        around.push_back({pair[1].id()});
    }
    return around;
}

std::int64_t largest_id(const Vocabulary& vocabulary, const TokenLists& added, const Around& around) {
    std::int64_t largest = 0;
    for (const auto* tokens : {&vocabulary, &added.ids})
        for (const auto& token : *tokens) largest = std::max<std::int64_t>(largest, token.second);
    for (const auto& ids : around)
        for (const std::int64_t id : ids) largest = std::max(largest, id);
    return largest;
}

std::int64_t pad_id_of(const Vocabulary& vocabulary, const TokenLists& added) {
    for (const auto* tokens : {&vocabulary, &added.ids})
        if (const auto found = tokens->find("[PAD]"); found != tokens->end()) return found->second;
    return 0;
}

}  // namespace

TokenizerParts tokenizer_parts(std::string_view json) {
    if (json.size() > most_bytes)
        broken("expected at most " + std::to_string(most_bytes) + " bytes, found " + std::to_string(json.size()));
    Value value;
    try {
        value = Value::parse(json);
    } catch (const Value::parse_error& error) {  // its message may hold bytes that are no UTF-8
        broken("it is no JSON from byte " + std::to_string(error.byte) + " on");
    } catch (const Value::exception& error) {
        broken(one_line(error.what()));
    }
    const Field file(value, "it");
    if (file.has("version") && file["version"].text() != "1.0")
        unsupported("a version", lam::quoted(file["version"].text()), "1.0");
    check_model(file);
    check_pre_tokenizer(file);
    Normalizer normalizer = normalizer_of(file);
    const Vocabulary vocabulary = vocabulary_of(file);
    TokenLists added = added_tokens_of(file, vocabulary, normalizer);
    Around around = around_of(file);
    const std::int64_t pad = pad_id_of(vocabulary, added);
    const std::int64_t largest = largest_id(vocabulary, added, around);
    return {std::move(normalizer),
            AddedTokens(std::move(added.tokens[false])),
            AddedTokens(std::move(added.tokens[true])),
            model_of(file, vocabulary),
            std::move(around),
            pad,
            largest};
}

}  // namespace lam
