#include <NvInferRuntime.h>

#include <map>

#include "backend.h"
#include "lam/errors.h"
#include "plans.h"
#include "pool.h"
#include "tensorrt_names.h"
#include "tensorrt_session.h"

#if NV_TENSORRT_MAJOR < 10 || (NV_TENSORRT_MAJOR == 10 && NV_TENSORRT_MINOR < 9)
#error "expected TensorRT 10.9 or newer; name its folder: cmake -DTENSORRT_ROOT=DIR"
#endif

namespace lam {
namespace {

/// A GPU is not busy with a CPU's 512. Not measured.
constexpr std::size_t batch_tokens = 16384;
constexpr std::size_t most_padding = 2048;

std::string tensorrt_version() {
    return std::to_string(getInferLibMajorVersion()) + "." + std::to_string(getInferLibMinorVersion()) + "." +
           std::to_string(getInferLibPatchVersion()) + "." + std::to_string(getInferLibBuildVersion());
}

const char* type_name(nvinfer1::DataType type) {
    switch (type) {
        case nvinfer1::DataType::kFLOAT:
            return "float32";
        case nvinfer1::DataType::kINT64:
            return "int64";
        case nvinfer1::DataType::kINT32:
            return "int32";
        case nvinfer1::DataType::kHALF:
            return "float16";
        default:
            return "another type";
    }
}

/// See that inputs, outputs and profiles are as the manifest has them.
void check_interface(const nvinfer1::ICudaEngine& engine, const std::string& name, std::size_t profiles,
                     std::int64_t hidden_size) {
    std::map<std::string, bool> right;  // each tensor that is there, and whether it is as it should be
    std::string found;
    for (std::int32_t i = 0; i < engine.getNbIOTensors(); ++i) {
        const char* tensor = engine.getIOTensorName(i);
        const bool input = engine.getTensorIOMode(tensor) == nvinfer1::TensorIOMode::kINPUT;
        const nvinfer1::DataType type = engine.getTensorDataType(tensor);
        const nvinfer1::Dims shape = engine.getTensorShape(tensor);
        const bool known = input == (tensor == std::string(tensorrt::ids) || tensor == std::string(tensorrt::mask));
        const bool wide = tensor != std::string(tensorrt::output) || (shape.nbDims == 2 && shape.d[1] == hidden_size);
        right[tensor] = known && wide && type == (input ? nvinfer1::DataType::kINT64 : nvinfer1::DataType::kFLOAT);
        found += std::string(tensor) + " " + type_name(type) + (input ? " (input), " : " (output), ");
    }
    bool fits = static_cast<std::size_t>(engine.getNbOptimizationProfiles()) == profiles;
    for (const auto& [tensor, as_it_should] : right) fits = fits && as_it_should;
    for (const char* needed : {tensorrt::ids, tensorrt::mask, tensorrt::output})
        fits = fits && right.count(needed) == 1;
    if (!fits)
        throw BundleError("expected " + name + " with int64 inputs " + tensorrt::ids + ", " + tensorrt::mask +
                          ", float32 output " + tensorrt::output + " [batch, " + std::to_string(hidden_size) +
                          "] and " + std::to_string(profiles) + " profiles, found " + found + "and " +
                          std::to_string(engine.getNbOptimizationProfiles()) +
                          " profiles; build it again: lam-export trt");
}

/// One of a bundle's plans, on the first GPU that CUDA shows. Every thread has a session of its own, whose memory is
/// that of the largest batch it met.
class TensorRtBackend : public Backend {
  public:
    TensorRtBackend(const Bundle& bundle, const std::string& precision)
        : model_(bundle.manifest().model),
          build_(build_command(bundle, precision, "tensorrt")),
          sessions_([this] { return std::make_unique<TensorRtSession>(*engine_, log_, plan_, model_); }) {
        const std::string version = tensorrt_version();
        const std::string name = choose_plan(bundle, precision, {"tensorrt", version, compute_capability()});
        plan_ = plan_of(bundle, name);
        const Content content = bundle.read(name);
        runtime_.reset(nvinfer1::createInferRuntime(log_));
        if (runtime_) engine_.reset(runtime_->deserializeCudaEngine(content.view().data(), content.size()));
        if (!engine_)
            throw BundleError("TensorRT " + version + " cannot load " + name + ": " + log_.said() +
                              "; build it again: " + build_);
        check_interface(*engine_, name, plan_.profiles.size(), model_.hidden_size);
    }

    std::size_t default_batch_tokens() const override { return batch_tokens; }

    std::size_t max_padding() const override { return most_padding; }
    std::size_t max_tokens() const override { return lam::max_tokens(plan_); }
    std::size_t max_batch(std::size_t tokens) const override { return lam::max_batch(plan_, tokens, build_); }

    std::vector<float> infer(const Batch& batch) const override {
        try {
            return sessions_.with([&](TensorRtSession& session) { return session.infer(batch); });
        } catch (const EngineError& error) {
            throw EngineError("TensorRT failed on a batch of " + std::to_string(batch.rows) + " x " +
                              std::to_string(batch.tokens) + " tokens: " + error.what() +
                              "; if memory is short, lower batch_tokens or cut the longest texts");
        }
    }

  private:
    TensorRtLog log_;
    ModelInfo model_;
    Plan plan_;
    std::string build_;
    std::unique_ptr<nvinfer1::IRuntime> runtime_;
    std::unique_ptr<nvinfer1::ICudaEngine> engine_;
    mutable Pool<TensorRtSession> sessions_;  // given back before the engine
};

}  // namespace

std::unique_ptr<Backend> make_tensorrt_backend(const Bundle& bundle, const Options& options) {
    if (options.threads != 0)
        throw EngineError("expected no threads with the engine tensorrt, which runs on a GPU, found " +
                          std::to_string(options.threads));
    return std::make_unique<TensorRtBackend>(bundle, options.precision.empty() ? "fp16" : options.precision);
}

}  // namespace lam
