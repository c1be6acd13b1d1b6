#pragma once

#include <memory>
#include <openvino/openvino.hpp>
#include <vector>

namespace lam {

/// The fused delta rule of chunks of 128 tokens as an operator of OpenVINO on the CPU.
///
/// Inputs and output are those of `com.lam.FusedDeltaRule_c128` in a bundle's `model.onnx`: projected `[B, L, W]`,
/// lengths `[B]` int32, conv_weight `[3M, 4]`, conv_bias `[3M]`, norm_weight `[D]`, blend `[2]`; heads `[B, L, M]`.
/// All are float32 but lengths; projected and heads may both be bfloat16.
class FusedDeltaRule : public ov::op::Op {
  public:
    OPENVINO_OP("FusedDeltaRule_c128", "com.lam")

    FusedDeltaRule() = default;
    explicit FusedDeltaRule(const ov::OutputVector& inputs);

    /// Throws ov::NodeValidationFailure: the inputs are not such, or the sizes of the parameters are not known.
    void validate_and_infer_types() override;
    std::shared_ptr<ov::Node> clone_with_new_inputs(const ov::OutputVector& inputs) const override;
    bool visit_attributes(ov::AttributeVisitor&) override { return true; }
    bool has_evaluate() const override { return true; }
    bool evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const override;
};

/// What OpenVINO must be given to read such nodes from ONNX, and from its own cache.
std::vector<std::shared_ptr<ov::Extension>> operator_extensions();

/// Give the operators of a graph bfloat16 to read and to write. OpenVINO gives an operator that it does not know the
/// types that the graph says; where it computes everything in bfloat16, it drops the conversions that are added here.
void compute_in_bf16(const std::shared_ptr<ov::Model>& model);

}  // namespace lam
