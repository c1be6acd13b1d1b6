#include "lam/engine.h"

#include <algorithm>
#include <future>
#include <optional>

#include "backend.h"
#include "bundle.h"
#include "lam/tokenizer.h"
#include "text.h"

namespace lam {
namespace {

using Ids = std::vector<std::vector<std::int64_t>>;

/// The backend that the options name, seen to be in this build.
std::string chosen_backend(const Options& options) {
    const std::vector<std::string> built = built_backends();
    const std::string name = options.backend.empty() ? built.front() : options.backend;
    if (name != "openvino" && name != "tensorrt" && name != "tensorrt-rtx")
        throw EngineError("expected engine openvino, tensorrt or tensorrt-rtx, found " + lam::quoted(name));
    if (std::find(built.begin(), built.end(), name) == built.end())
        throw EngineError("expected an engine of this build of lam_engine (" + joined(built) + "), found " + name +
                          "; build it where that runtime's headers are: see engines/cpp/README.md");
    return name;
}

/// The bundle's tokenizer, whose ids are seen to fit the model.
Tokenizer tokenizer_of(const Bundle& bundle) {
    Tokenizer tokenizer = Tokenizer::from_json(bundle.read("tokenizer.json").view());
    const std::int64_t rows = bundle.manifest().model.vocab_size;
    if (tokenizer.max_id() >= rows)
        throw BundleError("tokenizer.json gives ids up to " + std::to_string(tokenizer.max_id()) +
                          ", but the model has " + std::to_string(rows) +
                          " word embeddings; take the one that the model was trained with");
    return tokenizer;
}

}  // namespace

class Engine::Impl {
  public:
    Impl(const std::filesystem::path& path, const Options& options) : bundle_(path), name_(chosen_backend(options)) {
        // The tokenizer is read while the graph is.
        std::future<Tokenizer> tokenizer = std::async(std::launch::async, tokenizer_of, std::cref(bundle_));
        backend_ = make_backend(name_, bundle_, options);
        tokenizer_ = tokenizer.get();
    }

    Embeddings embed(const Ids& ids, std::size_t batch_tokens, const Progress& progress) const {
        check(ids);
        if (batch_tokens == 0) batch_tokens = backend_->default_batch_tokens();
        Embeddings out{ids.size(), hidden_size(), std::vector<float>(ids.size() * hidden_size())};
        std::vector<std::size_t> lengths;
        for (const auto& row : ids) lengths.push_back(row.size());
        const auto most = [this](std::size_t tokens) { return backend_->max_batch(tokens); };
        for (const std::vector<std::size_t>& rows : batches(lengths, batch_tokens, backend_->max_padding(), most)) {
            const std::vector<float> values = backend_->infer(pad(ids, rows, bundle_.manifest().model.pad_token_id));
            auto from = values.begin();
            for (const std::size_t row : rows) {
                std::copy_n(from, hidden_size(), out.values.begin() + static_cast<std::ptrdiff_t>(row * hidden_size()));
                from += static_cast<std::ptrdiff_t>(hidden_size());
            }
            if (progress) progress(rows.size());
        }
        return out;
    }

    std::size_t hidden_size() const { return static_cast<std::size_t>(bundle_.manifest().model.hidden_size); }
    const std::string& name() const { return name_; }
    const Backend& backend() const { return *backend_; }
    const Tokenizer& tokenizer() const { return *tokenizer_; }

  private:
    void check(const Ids& ids) const {
        const std::int64_t vocabulary = bundle_.manifest().model.vocab_size;
        for (const auto& row : ids)
            for (const std::int64_t id : row)
                if (id < 0 || id >= vocabulary)
                    throw InputError("expected token ids 0 to " + std::to_string(vocabulary - 1) + ", found " +
                                     std::to_string(id) + "; tokenise with the bundle's tokenizer.json");
    }

    Bundle bundle_;
    std::string name_;
    std::unique_ptr<Backend> backend_;
    std::optional<Tokenizer> tokenizer_;
};

Engine Engine::load(const std::filesystem::path& bundle, const Options& options) {
    return Engine(std::make_unique<Impl>(bundle, options));
}

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::Engine(Engine&& other) noexcept = default;
Engine& Engine::operator=(Engine&& other) noexcept = default;
Engine::~Engine() = default;

const Engine::Impl& Engine::impl() const {
    if (!impl_) throw EngineError("this engine was moved from; use the one it was moved to");
    return *impl_;
}

Embeddings Engine::embed(const std::vector<std::string>& texts, std::size_t batch_tokens,
                         const Progress& progress) const {
    Ids ids;
    ids.reserve(texts.size());
    for (const std::string& text : texts) ids.push_back(impl().tokenizer().encode(text));
    return impl().embed(ids, batch_tokens, progress);
}

Embeddings Engine::embed_ids(const Ids& ids, std::size_t batch_tokens, const Progress& progress) const {
    return impl().embed(ids, batch_tokens, progress);
}

std::vector<std::int64_t> Engine::tokenize(std::string_view text) const { return impl().tokenizer().encode(text); }
std::size_t Engine::hidden_size() const { return impl().hidden_size(); }
std::size_t Engine::max_tokens() const { return impl().backend().max_tokens(); }
const std::string& Engine::backend() const { return impl().name(); }

const char* version() noexcept { return LAM_VERSION; }
std::vector<std::string> backends() { return built_backends(); }

}  // namespace lam
