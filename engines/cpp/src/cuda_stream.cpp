#include "cuda_stream.h"

#include <algorithm>

#include "lam/errors.h"

namespace lam {

void check_cuda(cudaError_t status) {
    if (status != cudaSuccess) throw EngineError(std::string("CUDA failed: ") + cudaGetErrorString(status));
}

std::string compute_capability(const std::string& engine) {
    int major = 0;
    int minor = 0;
    try {
        check_cuda(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0));
        check_cuda(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0));
    } catch (const EngineError& error) {
        throw EngineError("expected a GPU for the engine " + engine + ", found none that CUDA can use (" + error.what() + "); see nvidia-smi, or use another engine");
    }
    return std::to_string(major) + "." + std::to_string(minor);
}

CudaStream::CudaStream() { check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }

CudaStream::~CudaStream() {  // after a kernel that failed these fail too, which is no news
    for (const auto& [name, buffer] : buffers_) cudaFree(buffer.address);
    cudaStreamDestroy(stream_);
}

bool CudaStream::holds(const std::map<std::string, std::size_t>& sizes) const {
    return std::all_of(sizes.begin(), sizes.end(), [this](const auto& size) {
        const auto found = buffers_.find(size.first);
        return found != buffers_.end() && found->second.bytes >= size.second;
    });
}

void CudaStream::reserve(const std::map<std::string, std::size_t>& sizes) {
    for (const auto& [name, bytes] : sizes) {
        if (holds({{name, bytes}})) continue;
        Buffer& buffer = buffers_[name];
        check_cuda(cudaFree(buffer.address));
        buffer = {};
        check_cuda(cudaMalloc(&buffer.address, bytes));
        buffer.bytes = bytes;
    }
}

void CudaStream::upload(const std::string& name, const void* from, std::size_t bytes) {
    check_cuda(cudaMemcpyAsync(buffer(name), from, bytes, cudaMemcpyHostToDevice, stream_));
}

void CudaStream::download(const std::string& name, void* to, std::size_t bytes) {
    check_cuda(cudaMemcpyAsync(to, buffer(name), bytes, cudaMemcpyDeviceToHost, stream_));
}

void CudaStream::wait() { check_cuda(cudaStreamSynchronize(stream_)); }

CudaGraph CudaStream::capture(const std::function<bool()>& work) {
    check_cuda(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
    const bool succeeded = work();
    cudaGraph_t graph = nullptr;
    if (cudaStreamEndCapture(stream_, &graph) != cudaSuccess) {
        cudaGetLastError();  // the next call would report it
        return nullptr;
    }
    cudaGraphExec_t executable = nullptr;
    const cudaError_t status = succeeded ? cudaGraphInstantiate(&executable, graph, 0) : cudaSuccess;
    cudaGraphDestroy(graph);
    check_cuda(status);
    return CudaGraph(executable);
}

void CudaStream::launch(const CudaGraph& graph) { check_cuda(cudaGraphLaunch(graph.get(), stream_)); }

}  // namespace lam
