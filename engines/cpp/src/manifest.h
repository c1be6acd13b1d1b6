#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lam {

/// A file of the bundle, as it was written.
struct FileEntry {
    std::string sha256;
    std::uint64_t bytes = 0;
};

/// What a dimension may be in an optimization profile, and what its kernels were chosen for.
struct Range {
    std::int64_t min = 0;
    std::int64_t opt = 0;
    std::int64_t max = 0;
};

/// A TensorRT optimization profile: the shapes `[batch, tokens]` that it takes.
struct Profile {
    Range batch;
    Range tokens;
};

/// A serialised engine of TensorRT, or of TensorRT for RTX: of one version of the library.
struct Plan {
    std::string graph;
    std::string graph_sha256;
    std::string precision;
    /// The engine that loads it: tensorrt or tensorrt-rtx.
    std::string library;
    /// Full version, 10.9.0.34.
    std::string version;
    /// Of the GPUs that it is for, 9.0.
    std::vector<std::string> compute_capabilities;
    /// The GPU that built it; empty if none was needed.
    std::string gpu;
    std::vector<Profile> profiles;
};

/// What an engine needs to know of the model.
struct ModelInfo {
    std::int64_t hidden_size = 0;
    std::int64_t vocab_size = 0;
    std::int64_t pad_token_id = 0;
};

/// What an engine needs of `manifest.json`; the rest is not looked at.
struct Manifest {
    ModelInfo model;
    /// Of the mixer: flat, recurrent or parallel.
    std::string form;
    /// Tokens in a chunk; none for a form without chunks.
    std::optional<std::int64_t> chunk_size;
    /// By name, in the manifest's order.
    std::vector<std::pair<std::string, FileEntry>> files;
    std::vector<std::pair<std::string, Plan>> plans;

    /// A file's entry; null if it is not listed.
    const FileEntry* file(std::string_view name) const;

    /// Read a manifest, trusting nothing in it; `where` names it in messages.
    ///
    /// Throws BundleError: it is no JSON, says something twice, is of another format version, or breaks the schema.
    static Manifest from_json(std::string_view content, const std::string& where);
};

}  // namespace lam
