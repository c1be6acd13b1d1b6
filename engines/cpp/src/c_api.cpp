#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "lam/engine.h"
#include "lam_engine.h"

struct lam_engine {
    lam::Engine engine;
};

namespace {

/// A copy that `lam_string_free` gives back; null if there is no memory for it.
char* copied(const char* message) {
    const std::size_t size = std::strlen(message) + 1;
    auto* copy = static_cast<char*>(std::malloc(size));
    if (copy != nullptr) std::memcpy(copy, message, size);
    return copy;
}

lam_status failed(lam_status status, const char* message, char** error) {
    if (error != nullptr) *error = copied(message);
    return status;
}

/// What `work` throws, as a status and a message.
template <typename Work>
lam_status guarded(char** error, const Work& work) noexcept {
    if (error != nullptr) *error = nullptr;
    try {
        work();
        return LAM_OK;
    } catch (const lam::BundleError& problem) {
        return failed(LAM_BUNDLE_ERROR, problem.what(), error);
    } catch (const lam::EngineError& problem) {
        return failed(LAM_ENGINE_ERROR, problem.what(), error);
    } catch (const lam::InputError& problem) {
        return failed(LAM_INPUT_ERROR, problem.what(), error);
    } catch (const std::bad_alloc&) {
        return failed(LAM_ENGINE_ERROR, "memory does not suffice; embed fewer texts at once", error);
    } catch (const std::exception& problem) {
        return failed(LAM_OTHER_ERROR, problem.what(), error);
    } catch (...) {
        return failed(LAM_OTHER_ERROR, "an unknown fault", error);
    }
}

void check_given(const void* pointer, const char* name) {
    if (pointer == nullptr) throw lam::InputError(std::string("expected ") + name + ", found a null pointer");
}

std::string text_or_none(const char* text) { return text == nullptr ? "" : text; }

}  // namespace

lam_status lam_engine_load(const char* bundle, const lam_options* options, lam_engine** engine, char** error) {
    return guarded(error, [&] {
        check_given(engine, "a place for the engine");
        *engine = nullptr;
        check_given(bundle, "the path of a bundle");
        lam::Options chosen;
        if (options != nullptr)
            chosen = {text_or_none(options->backend), text_or_none(options->precision), options->threads,
                      text_or_none(options->cache)};
        *engine = new lam_engine{lam::Engine::load(bundle, chosen)};
    });
}

void lam_engine_free(lam_engine* engine) { delete engine; }

lam_status lam_engine_embed(const lam_engine* engine, const char* const* texts, const size_t* lengths, size_t count,
                            size_t batch_tokens, float* embeddings, char** error) {
    return guarded(error, [&] {
        check_given(engine, "an engine");
        if (count == 0) return;
        check_given(texts, "texts");
        check_given(embeddings, "room for the embeddings");
        std::vector<std::string> copies;
        for (size_t i = 0; i < count; ++i) {
            check_given(texts[i], "a text");
            copies.emplace_back(texts[i], lengths == nullptr ? std::strlen(texts[i]) : lengths[i]);
        }
        const lam::Embeddings found = engine->engine.embed(copies, batch_tokens);
        std::copy(found.values.begin(), found.values.end(), embeddings);
    });
}

lam_status lam_engine_embed_ids(const lam_engine* engine, const int64_t* ids, const size_t* lengths, size_t count,
                                size_t batch_tokens, float* embeddings, char** error) {
    return guarded(error, [&] {
        check_given(engine, "an engine");
        if (count == 0) return;
        check_given(lengths, "the lengths of the texts");
        check_given(embeddings, "room for the embeddings");
        std::vector<std::vector<std::int64_t>> rows;
        for (size_t i = 0; i < count; ++i) {
            if (lengths[i] > 0) check_given(ids, "ids");
            rows.emplace_back(ids, ids + lengths[i]);
            ids += lengths[i];
        }
        const lam::Embeddings found = engine->engine.embed_ids(rows, batch_tokens);
        std::copy(found.values.begin(), found.values.end(), embeddings);
    });
}

size_t lam_engine_hidden_size(const lam_engine* engine) { return engine == nullptr ? 0 : engine->engine.hidden_size(); }

size_t lam_engine_max_tokens(const lam_engine* engine) { return engine == nullptr ? 0 : engine->engine.max_tokens(); }

void lam_string_free(char* string) { std::free(string); }

const char* lam_version(void) { return lam::version(); }
