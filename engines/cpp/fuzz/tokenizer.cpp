// libFuzzer: any bytes are encoded, and any content is a tokenizer or refused with a message.

#include "lam/tokenizer.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace {

// Small, but with every kind of normalisation and of added token.
constexpr std::string_view tokenizer_json = R"({
    "version": "1.0",
    "added_tokens": [
        {"id": 0, "content": "[PAD]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false},
        {"id": 4, "content": "<l>", "single_word": false, "lstrip": true, "rstrip": true, "normalized": false},
        {"id": 5, "content": " w", "single_word": true, "lstrip": false, "rstrip": false, "normalized": false},
        {"id": 6, "content": "N\u00e9", "single_word": true, "lstrip": true, "rstrip": true, "normalized": true}
    ],
    "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
                   "lowercase": true},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
    "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
              "max_input_chars_per_word": 20,
              "vocab": {"[PAD]": 0, "[UNK]": 1, "a": 2, "##\u0436": 3}}
})";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const lam::Tokenizer tokenizer = lam::Tokenizer::from_json(tokenizer_json);
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    for (const std::int64_t id : tokenizer.encode(input)) {
        if (id < 0 || id > tokenizer.max_id()) std::abort();
    }
    try {
        (void)lam::Tokenizer::from_json(input).encode(input);
    } catch (const lam::BundleError&) {
    }
    return 0;
}
