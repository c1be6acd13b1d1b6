#pragma once

#include <NvInferRuntime.h>

#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "batching.h"
#include "cuda_stream.h"
#include "manifest.h"

namespace lam {

/// TensorRT's log: keeps the last error for a message, and prints nothing. Thread-safe.
class TensorRtLog : public nvinfer1::ILogger {
  public:
    void log(Severity severity, const char* message) noexcept override;
    std::string said() const;

  private:
    mutable std::mutex mutex_;
    std::string said_ = "it does not say why";
};

/// One thread's way into an engine: a stream, its memory, and a context for each shape that it met.
///
/// A batch is padded to the next of few shapes. Each has an execution context of its own, whose second use is captured
/// as a CUDA graph and replayed from then on: a graph's shapes are fixed, and TensorRT 11.1 and 11.2 lose memory
/// whenever a context changes its shapes (NVIDIA/TensorRT#4849). TensorRT for RTX replaces a context's kernels while it runs,
/// so its work is not captured.
class TensorRtSession {
  public:
    /// All that it is given must outlive it. `replays`: a shape's second use is captured as a CUDA graph.
    TensorRtSession(nvinfer1::ICudaEngine& engine, const TensorRtLog& log, const Plan& plan, const ModelInfo& model,
                    bool replays);

    /// The embeddings of a batch, `[rows, hidden_size]`. Throws EngineError.
    std::vector<float> infer(const Batch& batch);

  private:
    /// An execution context bound to one shape and to the stream's buffers as they are.
    struct Shape {
        std::size_t profile = 0;
        std::size_t rows = 0;
        std::size_t tokens = 0;
        std::unique_ptr<nvinfer1::IExecutionContext> context;
        int uses = 0;
        CudaGraph graph;
    };

    Shape& ready(std::size_t profile, std::size_t rows, std::size_t tokens);
    Shape make(std::size_t profile, std::size_t rows, std::size_t tokens);
    void run(Shape& shape);
    void check(bool succeeded) const;

    nvinfer1::ICudaEngine& engine_;
    const TensorRtLog& log_;
    const Plan& plan_;
    const ModelInfo& model_;
    bool replays_;
    CudaStream stream_;
    std::list<Shape> shapes_;  // the last used first; given back before the stream
};

}  // namespace lam
