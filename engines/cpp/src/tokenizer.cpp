#include "lam/tokenizer.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <string>
#include <utility>

#include "tokenizer_json.h"
#include "utf8.h"

namespace lam {

struct Tokenizer::Parts : TokenizerParts {
    explicit Parts(TokenizerParts parts) : TokenizerParts(std::move(parts)) {}

    void encode(std::string_view text, std::vector<std::int64_t>& ids) const {
        std::string normalized;
        for (const AddedTokens::Piece& raw : raw_tokens.split(text)) {
            if (raw.id) {
                ids.push_back(*raw.id);
                continue;
            }
            normalizer.apply(raw.text, normalized);
            for (const AddedTokens::Piece& piece : normalized_tokens.split(normalized)) {
                if (piece.id) {
                    ids.push_back(*piece.id);
                } else {
                    model.encode(piece.text, ids);
                }
            }
        }
    }
};

Tokenizer::Tokenizer(std::shared_ptr<const Parts> parts) : parts_(std::move(parts)) {}

Tokenizer Tokenizer::from_file(const std::filesystem::path& tokenizer_json) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(tokenizer_json.c_str(), "rb"), std::fclose);
    std::string content;
    std::array<char, 65536> block;
    for (std::size_t size = 1; file && size != 0;) {
        size = std::fread(block.data(), 1, block.size(), file.get());
        content.append(block.data(), size);
    }
    if (!file || std::ferror(file.get()) != 0)
        throw BundleError("cannot read " + tokenizer_json.string() + ": " + std::strerror(errno));
    return from_json(content);
}

Tokenizer Tokenizer::from_json(std::string_view json) {
    return Tokenizer(std::make_shared<const Parts>(tokenizer_parts(json)));
}

std::vector<std::int64_t> Tokenizer::encode(std::string_view utf8) const {
    std::string storage;
    const std::string_view text = utf8::valid(utf8, storage);
    std::vector<std::int64_t> ids = parts_->around.front();
    for (auto behind = std::next(parts_->around.begin()); behind != parts_->around.end(); ++behind) {
        parts_->encode(text, ids);
        ids.insert(ids.end(), behind->begin(), behind->end());
    }
    return ids;
}

std::int64_t Tokenizer::pad_id() const { return parts_->pad_id; }

std::int64_t Tokenizer::max_id() const { return parts_->max_id; }

}  // namespace lam
