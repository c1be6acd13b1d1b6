#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace lam {

/// Throws EngineError with CUDA's words unless a call succeeded.
void check_cuda(cudaError_t status);

/// Of the first GPU that CUDA shows, as 9.0. Throws EngineError, which names the engine that asks: there is no GPU, or no
/// driver that CUDA can use.
std::string compute_capability(const std::string& engine);

/// A captured graph, ready to launch.
struct DestroyGraph {
    void operator()(cudaGraphExec_t graph) const { cudaGraphExecDestroy(graph); }
};
using CudaGraph = std::unique_ptr<CUgraphExec_st, DestroyGraph>;

/// A CUDA stream and the device memory that its work uses. For one thread at a time.
class CudaStream {
  public:
    CudaStream();
    CudaStream(const CudaStream&) = delete;
    CudaStream& operator=(const CudaStream&) = delete;
    ~CudaStream();

    cudaStream_t handle() const { return stream_; }
    /// A buffer's address.
    void* buffer(const std::string& name) const { return buffers_.at(name).address; }
    /// A buffer's bytes.
    std::size_t size(const std::string& name) const { return buffers_.at(name).bytes; }

    /// Whether every buffer holds at least so many bytes.
    bool holds(const std::map<std::string, std::size_t>& sizes) const;
    /// Make it so. A buffer that grows moves, and loses what it held.
    void reserve(const std::map<std::string, std::size_t>& sizes);

    /// Copy to the beginning of a buffer. `from` must not change before `wait`.
    void upload(const std::string& name, const void* from, std::size_t bytes);
    /// Copy from the beginning of a buffer, done by `wait`.
    void download(const std::string& name, void* to, std::size_t bytes);
    /// Until all work is done.
    void wait();

    /// The kernels that `work` puts on the stream, which are not run. Null if it did not succeed, or did what no graph
    /// can hold.
    CudaGraph capture(const std::function<bool()>& work);
    void launch(const CudaGraph& graph);

  private:
    struct Buffer {
        void* address = nullptr;
        std::size_t bytes = 0;
    };

    cudaStream_t stream_ = nullptr;
    std::map<std::string, Buffer> buffers_;
};

}  // namespace lam
