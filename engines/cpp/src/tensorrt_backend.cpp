#include <NvInferRuntime.h>

#include <map>
#include <optional>
#include <string_view>

#include "backend.h"
#include "lam/errors.h"
#include "plans.h"
#include "pool.h"
#include "tensorrt_loader.h"
#include "tensorrt_names.h"
#include "tensorrt_session.h"

namespace lam {
namespace {

/// A GPU is not busy with a CPU's 512. Not measured.
constexpr std::size_t batch_tokens = 16384;
constexpr std::size_t most_padding = 2048;

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

/// The GPU's compute capability. Where no GPU can be asked, TensorRT for RTX's plans can still be chosen and checked, and
/// `no_gpu` is why; a plan of TensorRT could not have been built there.
std::optional<std::string> capability_for(const PlanLibrary& library, std::string& no_gpu) {
    try {
        return compute_capability(library.name);
    } catch (const EngineError& error) {
        if (std::string_view(library.name) == tensorrt_library.name) throw;
        no_gpu = error.what();
        return std::nullopt;
    }
}

/// One of a bundle's plans, on the first GPU that CUDA shows. Every thread has a session of its own, whose memory is
/// that of the largest batch it met.
class TensorRtBackend : public Backend {
  public:
    TensorRtBackend(const Bundle& bundle, const std::string& precision, const PlanLibrary& library, bool replays)
        : title_(library.title),
          model_(bundle.manifest().model),
          build_(build_command(bundle, precision, library)),
          sessions_([this, replays] {
              return std::make_unique<TensorRtSession>(*engine_, log_, plan_, model_, replays);
          }) {
        const TensorRtLoader loader(library);
        const std::string version = loader.version();
        std::string no_gpu;
        const auto capability = capability_for(library, no_gpu);
        const std::string name = choose_plan(bundle, precision, {library, version, capability});
        plan_ = plan_of(bundle, name);
        const Content content = bundle.read(name);
        if (!capability) throw EngineError(no_gpu);
        loader.check_interface();
        runtime_ = loader.make_runtime(log_);
        if (runtime_) engine_.reset(runtime_->deserializeCudaEngine(content.view().data(), content.size()));
        if (!engine_)
            throw BundleError(title_ + " " + version + " cannot load " + name + ": " + log_.said() +
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
            throw EngineError(title_ + " failed on a batch of " + std::to_string(batch.rows) + " x " +
                              std::to_string(batch.tokens) + " tokens: " + error.what() +
                              "; if memory is short, lower batch_tokens or cut the longest texts");
        }
    }

  private:
    std::string title_;
    TensorRtLog log_;
    ModelInfo model_;
    Plan plan_;
    std::string build_;
    std::unique_ptr<nvinfer1::IRuntime> runtime_;
    std::unique_ptr<nvinfer1::ICudaEngine> engine_;
    mutable Pool<TensorRtSession> sessions_;  // given back before the engine
};

std::unique_ptr<Backend> make(const Bundle& bundle, const Options& options, const PlanLibrary& library, bool replays) {
    if (options.threads != 0)
        throw EngineError("expected no threads with the engine " + std::string(library.name) +
                          ", which runs on a GPU, found " + std::to_string(options.threads));
    const std::string precision = options.precision.empty() ? "fp16" : options.precision;
    return std::make_unique<TensorRtBackend>(bundle, precision, library, replays);
}

}  // namespace

std::unique_ptr<Backend> make_tensorrt_backend(const Bundle& bundle, const Options& options) {
    return make(bundle, options, tensorrt_library, true);
}

std::unique_ptr<Backend> make_tensorrt_rtx_backend(const Bundle& bundle, const Options& options) {
    return make(bundle, options, rtx_library, false);
}

}  // namespace lam
