#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "batching.h"
#include "bundle.h"
#include "lam/engine.h"

namespace lam {

/// A bundle's graph in one runtime. Thread-safe.
class Backend {
  public:
    Backend() = default;
    Backend(const Backend&) = delete;
    Backend& operator=(const Backend&) = delete;
    virtual ~Backend() = default;

    /// Tokens that go through the model at once, padding counted, where the caller does not say.
    virtual std::size_t default_batch_tokens() const = 0;

    /// Tokens of padding in a batch, at most: what a batch costs by itself.
    virtual std::size_t max_padding() const = 0;

    /// The longest text that it takes; 0: any.
    virtual std::size_t max_tokens() const { return 0; }

    /// How many texts of so many tokens it takes at once; 0: any number. Throws InputError: none, they are too long.
    virtual std::size_t max_batch(std::size_t) const { return 0; }

    /// The embeddings of a batch, `[rows, hidden_size]`. Throws EngineError: it failed.
    virtual std::vector<float> infer(const Batch& batch) const = 0;
};

/// The names of the backends that were built, the default first.
std::vector<std::string> built_backends();

/// Load a bundle into the backend of that name, one of `built_backends`.
std::unique_ptr<Backend> make_backend(const std::string& name, const Bundle& bundle, const Options& options);

std::unique_ptr<Backend> make_openvino_backend(const Bundle& bundle, const Options& options);
std::unique_ptr<Backend> make_tensorrt_backend(const Bundle& bundle, const Options& options);
std::unique_ptr<Backend> make_tensorrt_rtx_backend(const Bundle& bundle, const Options& options);

}  // namespace lam
