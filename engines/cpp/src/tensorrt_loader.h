#pragma once

#include <NvInferRuntime.h>

#include <memory>
#include <string>

#include "plans.h"

namespace lam {

/// TensorRT's or TensorRT for RTX's shared library. It is opened when a bundle is loaded and not linked, since both export
/// the same functions.
class TensorRtLoader {
  public:
    /// Throws EngineError: the library is not where the system looks for libraries, or does not load.
    explicit TensorRtLoader(const PlanLibrary& library);

    /// Its full version, such as 10.9.0.34.
    std::string version() const;

    /// See that the library has the interface that this was compiled for. Throws EngineError.
    void check_interface() const;

    /// A runtime, or null, and then the log says why.
    std::unique_ptr<nvinfer1::IRuntime> make_runtime(nvinfer1::ILogger& log) const;

  private:
    template <typename Function>
    Function* function(const char* name) const;

    PlanLibrary library_;
    std::string file_;
    void* handle_;
};

}  // namespace lam
