#include "openvino_operator.h"

#include <openvino/core/op_extension.hpp>
#include <openvino/core/parallel.hpp>
#include <openvino/frontend/onnx/extension/conversion.hpp>
#include <openvino/op/convert.hpp>

#include "fused_delta_rule.h"

namespace lam {
namespace {

constexpr std::size_t chunk_size = 128;
constexpr std::size_t inputs_count = 6;

/// Room for a kernel to work in, one for each thread, kept between calls.
float* scratch(std::size_t size) {
    static thread_local std::vector<float> room;
    if (room.size() < size) room.resize(size);
    return room.data();
}

}  // namespace

FusedDeltaRule::FusedDeltaRule(const ov::OutputVector& inputs) : Op(inputs) { constructor_validate_and_infer_types(); }

void FusedDeltaRule::validate_and_infer_types() {
    NODE_VALIDATION_CHECK(this, get_input_size() == inputs_count, "expected 6 inputs, found ", get_input_size());
    for (std::size_t i = 0; i < inputs_count; ++i) {
        const bool bf16 = i == 0 && get_input_element_type(0) == ov::element::bf16;
        const ov::element::Type expected = i == 1 ? ov::element::i32 : bf16 ? ov::element::bf16 : ov::element::f32;
        NODE_VALIDATION_CHECK(this, get_input_element_type(i) == expected, "expected ", expected, " for input ", i,
                              ", found ", get_input_element_type(i));
    }
    const ov::PartialShape& projected = get_input_partial_shape(0);
    const ov::PartialShape& bias = get_input_partial_shape(3);
    const ov::PartialShape& norm = get_input_partial_shape(4);
    NODE_VALIDATION_CHECK(this, projected.rank() == 3 && projected[2].is_static(),
                          "expected projected [B, L, W], found ", projected);
    NODE_VALIDATION_CHECK(this, bias.is_static() && bias.rank() == 1 && norm.is_static() && norm.rank() == 1,
                          "expected conv_bias [3M] and norm_weight [D], found ", bias, " and ", norm);
    const auto channels = bias[0].get_length();
    const auto hidden_size = channels / 3;
    const auto head_size = norm[0].get_length();
    NODE_VALIDATION_CHECK(this, channels % 3 == 0 && head_size > 0 && hidden_size % head_size == 0,
                          "expected conv_bias [3M] and norm_weight [D], M a multiple of D, found ", bias, " and ",
                          norm);
    NODE_VALIDATION_CHECK(this,
                          get_input_partial_shape(1).compatible({projected[0]}) &&
                              get_input_partial_shape(2) == ov::PartialShape({channels, 4}) &&
                              get_input_partial_shape(5) == ov::PartialShape{2} &&
                              projected[2].get_length() >= 4 * hidden_size + 3 * (hidden_size / head_size),
                          "expected shapes that agree, found projected ", projected, ", lengths ",
                          get_input_partial_shape(1), ", conv_weight ", get_input_partial_shape(2), ", conv_bias ",
                          bias, ", norm_weight ", norm, ", blend ", get_input_partial_shape(5));
    set_output_type(0, get_input_element_type(0), {projected[0], projected[1], hidden_size});
}

std::shared_ptr<ov::Node> FusedDeltaRule::clone_with_new_inputs(const ov::OutputVector& inputs) const {
    return std::make_shared<FusedDeltaRule>(inputs);
}

bool FusedDeltaRule::evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const {
    static const fused_delta_rule::Kernel kernel = fused_delta_rule::best_kernel();
    const ov::Shape& shape = inputs[0].get_shape();
    const std::size_t hidden_size = inputs[3].get_size() / 3;
    outputs[0].set_shape({shape[0], shape[1], hidden_size});
    const fused_delta_rule::Call call{
        inputs[0].data(),
        inputs[1].data<const std::int32_t>(),
        inputs[2].data<const float>(),
        inputs[3].data<const float>(),
        inputs[4].data<const float>(),
        inputs[5].data<const float>(),
        outputs[0].data(),
        inputs[0].get_element_type() == ov::element::bf16,
        shape[1],
        shape[2],
        hidden_size,
        inputs[4].get_size(),
        chunk_size,
    };
    const std::size_t heads = call.head_count();
    const std::size_t chunks = call.chunk_count();
    const std::size_t room = fused_delta_rule::scratch_size(call.head_size);
    ov::parallel_for(shape[0] * chunks * heads, [&](std::size_t i) {
        kernel(call, {i / (heads * chunks), i / heads % chunks, i % heads}, scratch(room));
    });
    return true;
}

std::vector<std::shared_ptr<ov::Extension>> operator_extensions() {
    const auto& type = FusedDeltaRule::get_type_info_static();
    return {
        std::make_shared<ov::OpExtension<FusedDeltaRule>>(),
        std::make_shared<ov::frontend::onnx::ConversionExtension>(
            type.name, type.version_id,
            [](const ov::frontend::NodeContext& node) {
                ov::OutputVector inputs;
                for (std::size_t i = 0; i < node.get_input_size(); ++i)
                    inputs.push_back(node.get_input(static_cast<int>(i)));
                return std::make_shared<FusedDeltaRule>(inputs)->outputs();
            }),
    };
}

void compute_in_bf16(const std::shared_ptr<ov::Model>& model) {
    for (const auto& node : model->get_ordered_ops())
        if (ov::is_type<FusedDeltaRule>(node)) {
            const auto users = node->output(0).get_target_inputs();
            node->input(0).replace_source_output(
                std::make_shared<ov::op::v0::Convert>(node->input_value(0), ov::element::bf16));
            node->validate_and_infer_types();
            const auto back = std::make_shared<ov::op::v0::Convert>(node->output(0), ov::element::f32);
            for (auto user : users) user.replace_source_output(back->output(0));
        }
}

}  // namespace lam
