#include "tensorrt_loader.h"

#include <dlfcn.h>

#include "lam/errors.h"
#include "text.h"

#if NV_TENSORRT_MAJOR < 10 || (NV_TENSORRT_MAJOR == 10 && NV_TENSORRT_MINOR < 9)
#error "expected TensorRT 10.9 or newer; name its folder: cmake -DTENSORRT_ROOT=DIR"
#endif

namespace lam {
namespace {

bool is_rtx(const PlanLibrary& library) { return std::string_view(library.name) == rtx_library.name; }

}  // namespace

TensorRtLoader::TensorRtLoader(const PlanLibrary& library)
    : library_(library),
      file_(is_rtx(library) ? "libtensorrt_rtx.so.1" : "libnvinfer.so." + std::to_string(NV_TENSORRT_MAJOR)),
      // Never closed: its threads and static objects may outlive every engine.
      handle_(::dlopen(file_.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (handle_ == nullptr) {
        const std::string reason = one_line(::dlerror());
        throw EngineError("expected " + std::string(library.title) + " for the engine " + library.name +
                          ", found no library that loads (" + reason +
                          "); name its folder: export LD_LIBRARY_PATH=DIR");
    }
}

template <typename Function>
Function* TensorRtLoader::function(const char* name) const {
    void* found = ::dlsym(handle_, name);
    if (found == nullptr)
        throw EngineError("expected the function " + std::string(name) + " in " + file_ + ", found none; install " +
                          library_.title + " again");
    return reinterpret_cast<Function*>(found);
}

std::string TensorRtLoader::version() const {
    std::string version;
    for (const char* part : {"Major", "Minor", "Patch", "Build"}) {
        const auto number = function<std::int32_t()>(("getInferLib" + std::string(part) + "Version").c_str());
        version += (version.empty() ? "" : ".") + std::to_string(number());
    }
    return version;
}

void TensorRtLoader::check_interface() const {
    // The virtual functions that are used here have the places in TensorRT for RTX 1.7 that they have in TensorRT 11.
    const std::string found = version();
    if (is_rtx(library_) && (NV_TENSORRT_MAJOR != 11 || found.rfind("1.7.", 0) != 0))
        throw EngineError("expected " + std::string(library_.title) +
                          " 1.7 and a lam_engine built with the headers of TensorRT 11, whose interface it has, found " +
                          found + " and the headers of TensorRT " + std::to_string(NV_TENSORRT_MAJOR) +
                          "; build lam_engine with them: -DTENSORRT_ROOT=DIR");
}

std::unique_ptr<nvinfer1::IRuntime> TensorRtLoader::make_runtime(nvinfer1::ILogger& log) const {
    const auto make = function<void*(void*, std::int32_t)>("createInferRuntime_INTERNAL");
    return std::unique_ptr<nvinfer1::IRuntime>(static_cast<nvinfer1::IRuntime*>(make(&log, NV_TENSORRT_VERSION)));
}

}  // namespace lam
