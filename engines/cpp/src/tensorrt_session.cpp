#include "tensorrt_session.h"

#include <algorithm>

#include "lam/errors.h"
#include "plans.h"
#include "tensorrt_names.h"
#include "text.h"

namespace lam {
namespace {

const char* const scratch = "scratch";
/// Shapes that are kept ready, the last ones used. Texts of all lengths to 8,192, sorted and batched, make about 120.
constexpr std::size_t most_shapes = 128;

std::size_t values_in(const nvinfer1::Dims& shape) {
    std::size_t count = 1;
    for (int i = 0; i < shape.nbDims; ++i) count *= static_cast<std::size_t>(shape.d[i]);
    return count;
}

}  // namespace

void TensorRtLog::log(Severity severity, const char* message) noexcept {
    if (severity != Severity::kINTERNAL_ERROR && severity != Severity::kERROR) return;
    try {
        const std::lock_guard lock(mutex_);
        said_ = one_line(message);
    } catch (const std::exception&) {  // no memory even for a message
    }
}

std::string TensorRtLog::said() const {
    const std::lock_guard lock(mutex_);
    return said_;
}

TensorRtSession::TensorRtSession(nvinfer1::ICudaEngine& engine, const TensorRtLog& log, const Plan& plan,
                                 const ModelInfo& model, bool replays)
    : engine_(engine), log_(log), plan_(plan), model_(model), replays_(replays) {}

std::vector<float> TensorRtSession::infer(const Batch& batch) {
    const std::size_t profile = choose_profile(plan_.profiles, batch.rows, batch.tokens);
    const auto [rows, tokens] = padded_shape(plan_.profiles[profile], batch.rows, batch.tokens);
    const Batch padded = pad_to(batch, rows, tokens, model_.pad_token_id);
    const auto hidden_size = static_cast<std::size_t>(model_.hidden_size);
    std::vector<float> values(rows * hidden_size);
    Shape& shape = ready(profile, rows, tokens);
    const std::size_t bytes = padded.input_ids.size() * sizeof(std::int64_t);
    stream_.upload(tensorrt::ids, padded.input_ids.data(), bytes);
    stream_.upload(tensorrt::mask, padded.attention_mask.data(), bytes);
    run(shape);
    stream_.download(tensorrt::output, values.data(), values.size() * sizeof(float));
    stream_.wait();
    values.resize(batch.rows * hidden_size);
    return values;
}

TensorRtSession::Shape& TensorRtSession::ready(std::size_t profile, std::size_t rows, std::size_t tokens) {
    const auto found = std::find_if(shapes_.begin(), shapes_.end(), [&](const Shape& shape) {
        return shape.profile == profile && shape.rows == rows && shape.tokens == tokens;
    });
    if (found != shapes_.end()) {
        shapes_.splice(shapes_.begin(), shapes_, found);
    } else {
        Shape made = make(profile, rows, tokens);  // may drop all others
        shapes_.push_front(std::move(made));
        if (shapes_.size() > most_shapes) shapes_.pop_back();
    }
    return shapes_.front();
}

TensorRtSession::Shape TensorRtSession::make(std::size_t profile, std::size_t rows, std::size_t tokens) {
    Shape shape;
    shape.profile = profile;
    shape.rows = rows;
    shape.tokens = tokens;
    shape.context.reset(engine_.createExecutionContext(nvinfer1::ExecutionContextAllocationStrategy::kUSER_MANAGED));
    check(shape.context != nullptr);
    nvinfer1::IExecutionContext& context = *shape.context;
    check(context.setOptimizationProfileAsync(static_cast<std::int32_t>(profile), stream_.handle()));
    std::map<std::string, std::size_t> sizes;
    for (const char* name : {tensorrt::ids, tensorrt::mask}) {
        check(context.setInputShape(
            name, nvinfer1::Dims2(static_cast<std::int64_t>(rows), static_cast<std::int64_t>(tokens))));
        sizes[name] = rows * tokens * sizeof(std::int64_t);
    }
    for (std::int32_t i = 0; i < engine_.getNbIOTensors(); ++i) {
        const char* name = engine_.getIOTensorName(i);
        if (engine_.getTensorIOMode(name) == nvinfer1::TensorIOMode::kOUTPUT)
            sizes[name] = values_in(context.getTensorShape(name)) * sizeof(float);
    }
    // One memory for all shapes: batches of a session run one after the other. A growing buffer moves, and takes with
    // it whatever the contexts and graphs made so far were bound to.
    sizes[scratch] = std::max<std::size_t>(1, context.updateDeviceMemorySizeForShapes());
    if (!stream_.holds(sizes)) {
        shapes_.clear();
        stream_.reserve(sizes);
    }
    context.setDeviceMemoryV2(stream_.buffer(scratch), static_cast<std::int64_t>(stream_.size(scratch)));
    sizes.erase(scratch);
    for (const auto& [name, bytes] : sizes) check(context.setTensorAddress(name.c_str(), stream_.buffer(name)));
    return shape;
}

void TensorRtSession::run(Shape& shape) {
    const auto enqueue = [&] { return shape.context->enqueueV3(stream_.handle()); };
    // The first run did what happens once, and cannot be captured.
    if (shape.uses == 1 && replays_) shape.graph = stream_.capture(enqueue);
    shape.uses = std::min(shape.uses + 1, 2);
    if (shape.graph)
        stream_.launch(shape.graph);
    else
        check(enqueue());
}

void TensorRtSession::check(bool succeeded) const {
    if (!succeeded) throw EngineError(log_.said());
}

}  // namespace lam
