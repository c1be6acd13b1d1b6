#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lam/errors.h"
#include "lam/export.h"

namespace lam {

/// How a bundle is loaded. What is left as it is means the backend's own choice.
struct Options {
    /// `openvino`, `tensorrt` or `tensorrt-rtx`; the first of them that this build has.
    std::string backend;
    /// Of the graph or plan: openvino `fp32` (its default) or `bf16`; the others `fp16` (their default) or `fp32`.
    std::string precision;
    /// Of the CPU, for each operator, with openvino; 0: one per physical core.
    int threads = 0;
    /// A folder in which openvino keeps the graph as it compiled it, which halves the time of the next start. What is
    /// there is used unchecked: keep it where only the user of the process can write. Empty: nothing is kept.
    std::filesystem::path cache;
};

/// Embeddings of unit length, row after row.
struct Embeddings {
    std::size_t rows = 0;
    /// The model's hidden size.
    std::size_t columns = 0;
    /// `rows * columns` values.
    std::vector<float> values;

    /// The `columns` values of a row.
    const float* operator[](std::size_t row) const { return values.data() + row * columns; }
};

/// Told of every batch that is done: how many texts it held. May throw to stop the work.
using Progress = std::function<void(std::size_t texts)>;

/// A bundle loaded into a runtime: texts in, unit-length embeddings out.
///
/// An embedding depends on its own text alone, not on the texts beside it. Texts are taken whole, whatever their
/// length, as far as the backend goes (`max_tokens`). One engine may serve many threads.
class LAM_API Engine {
  public:
    /// Load a bundle, every file of it that is used checked against its hash.
    ///
    /// Throws BundleError if the bundle is missing, altered or broken, or has nothing that the backend runs;
    /// EngineError if the backend, its runtime or its device is not there, or has no such option.
    static Engine load(const std::filesystem::path& bundle, const Options& options = {});

    Engine(Engine&& other) noexcept;
    Engine& operator=(Engine&& other) noexcept;
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;
    ~Engine();

    /// Embed texts of any length, in any number, in their order.
    ///
    /// `texts` are UTF-8; every maximal invalid part of one is read as U+FFFD. At most `batch_tokens` tokens, padding
    /// counted, go through the model at once; 0: the backend's own choice. Throws InputError for a text that is too
    /// long, EngineError if memory does not suffice.
    Embeddings embed(const std::vector<std::string>& texts, std::size_t batch_tokens = 0,
                     const Progress& progress = {}) const;

    /// Embed tokenised texts: the ids of each, special tokens included, without padding.
    ///
    /// A row of zeros for a text of no ids. Throws InputError for an id that is not in the vocabulary, and as `embed`.
    Embeddings embed_ids(const std::vector<std::vector<std::int64_t>>& ids, std::size_t batch_tokens = 0,
                         const Progress& progress = {}) const;

    /// The ids that `embed` gives the model for a text, special tokens included.
    std::vector<std::int64_t> tokenize(std::string_view text) const;

    /// The length of an embedding.
    std::size_t hidden_size() const;

    /// The longest text that the engine takes; 0: any.
    std::size_t max_tokens() const;

    /// The backend that runs the model.
    const std::string& backend() const;

  private:
    class Impl;
    explicit Engine(std::unique_ptr<Impl> impl);
    const Impl& impl() const;

    std::unique_ptr<Impl> impl_;
};

/// The version of the library.
LAM_API const char* version() noexcept;

/// The backends that this build has, the default first.
LAM_API std::vector<std::string> backends();

}  // namespace lam
