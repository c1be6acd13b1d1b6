"""The operator as an ONNX function of standard operators, for runtimes without a kernel for it."""

import onnx
import onnxscript
from onnxscript import script

from . import OP_DOMAIN, op_type
from .naive import CONV_KERNEL, L2_NORM_EPS, RMS_NORM_EPS

FUNCTION_INPUTS = ("projected", "lengths", "conv_weight", "conv_bias", "norm_weight", "blend")


def fused_delta_rule_function(chunk_size: int, hidden_size: int, opset: int) -> onnx.FunctionProto:
    """The definition that travels in an exported file beside the nodes that call it.

    It computes what ``naive.py`` computes. The order of products is another one, without a product of two ``[C, C]``
    matrices (README.md derives it), and the layouts need few transposes. Padded rows of ``projected`` must be finite;
    they have no influence. Inputs may be float32 or float16, and the heads have the same type. Everything between is
    float32, because the rule's raw output exceeds the range of float16.

    Args:
        chunk_size: C. A text of fewer tokens is one chunk of its own length.
        hidden_size: M; the depthwise convolution's ``group`` must be a constant.
        opset: of the standard operators, at least 18.

    Returns:
        A function with inputs ``projected [B, L, W]``, ``lengths [B]`` int32, ``conv_weight [3M, 4]``,
        ``conv_bias [3M]``, ``norm_weight [D]``, ``blend [2]`` and the output ``heads [B, L, M]``.
    """
    op = getattr(onnxscript, f"opset{opset}")
    channels = 3 * hidden_size
    # Taps see tokens t-2 .. t+1, so the last of the left padding's counterparts on the right is dropped.
    conv_pads = [CONV_KERNEL // 2, 0, CONV_KERNEL // 2 - 1, 0]

    @script(onnxscript.values.Opset(OP_DOMAIN, 1), default_opset=op)
    def FusedDeltaRule(projected, lengths, conv_weight, conv_bias, norm_weight, blend):  # noqa: N802
        x = op.Cast(projected, to=onnx.TensorProto.FLOAT)
        weight = op.Cast(conv_weight, to=onnx.TensorProto.FLOAT)
        bias = op.Cast(conv_bias, to=onnx.TensorProto.FLOAT)
        scale = op.Cast(norm_weight, to=onnx.TensorProto.FLOAT)
        weights = op.Cast(blend, to=onnx.TensorProto.FLOAT)

        zero = op.Constant(value_ints=[0])
        one = op.Constant(value_ints=[1])
        two = op.Constant(value_ints=[2])
        three = op.Constant(value_ints=[3])
        last = op.Constant(value_ints=[-1])
        size_b = op.Shape(projected, start=0, end=1)
        size_l = op.Shape(projected, start=1, end=2)
        size_w = op.Shape(projected, start=2, end=3)
        size_3m = op.Shape(conv_bias)
        size_m = op.Div(size_3m, three)
        size_d = op.Shape(norm_weight)
        size_h = op.Div(size_m, size_d)
        size_3h = op.Mul(size_h, three)
        size_c = op.Min(size_l, op.Constant(value_ints=[chunk_size]))
        size_n = op.Div(op.Sub(op.Add(size_l, size_c), one), size_c)
        filled = op.Mul(size_n, size_c)

        # Columns to their parts; padded rows to zero before the convolution, which looks one token ahead.
        token = op.Unsqueeze(op.Range(op.Squeeze(zero), op.Squeeze(size_l), op.Squeeze(one)), zero)
        valid = op.Less(token, op.Unsqueeze(op.Cast(lengths, to=onnx.TensorProto.INT64), one))
        valid = op.Cast(op.Unsqueeze(valid, two), to=onnx.TensorProto.FLOAT)  # [B, L, 1]
        alignment = op.Sub(size_w, op.Add(op.Add(size_3m, size_m), size_3h))
        parts = op.Concat(size_3m, size_m, size_3h, alignment, axis=0)
        qkv, g, gates, _unused = op.Split(x, parts, axis=2)

        # A two-dimensional convolution of width one, between transposes of [B, L, 1, 3M]: ONNX Runtime turns exactly
        # this into its blocked channel layout, without a transpose in memory.
        qkv = op.Transpose(op.Unsqueeze(op.Mul(qkv, valid), two), perm=[0, 3, 1, 2])
        weight = op.Unsqueeze(weight, op.Constant(value_ints=[1, 3]))
        qkv = op.Conv(qkv, weight, bias, group=channels, kernel_shape=[CONV_KERNEL, 1], pads=conv_pads)
        qkv = op.Squeeze(op.Transpose(qkv, perm=[0, 2, 3, 1]), two)
        convolved = op.Mul(qkv, op.Sigmoid(qkv))

        # beta | fast_gate | slow_gate, zero in padded rows, so that heads are too; times 1 | blend[0] | blend[1].
        scales = op.Unsqueeze(op.Concat(op.Constant(value_floats=[1.0]), weights, axis=0), one)
        scales = op.Reshape(op.Expand(scales, op.Concat(one, size_h, axis=0)), last)
        gates = op.Mul(op.Sigmoid(gates), op.Mul(valid, scales))

        # To chunks, [B, H, N, C, D] and [B, H, N, C, 1]. allowzero: where a computed size might be 0, and copy a size,
        # TensorRT reserves memory for both.
        fill = op.Concat(op.Constant(value_ints=[0, 0, 0, 0]), op.Sub(filled, size_l), zero, axis=0)
        qkv = op.Reshape(
            op.Pad(convolved, fill), op.Concat(size_b, size_n, size_c, size_3h, size_d, axis=0), allowzero=1
        )
        gates = op.Reshape(op.Pad(gates, fill), op.Concat(size_b, size_n, size_c, size_3h, one, axis=0), allowzero=1)
        q, k, v = op.Split(op.Transpose(qkv, perm=[0, 3, 1, 2, 4]), axis=1, num_outputs=3)
        beta, fast_gate, slow_gate = op.Split(op.Transpose(gates, perm=[0, 3, 1, 2, 4]), axis=1, num_outputs=3)

        # q's norm divides the gates, one number a row, instead of q.
        q_norm = op.Clip(op.ReduceL2(q, last), op.Constant(value_float=L2_NORM_EPS))
        fast_gate = op.Div(fast_gate, q_norm)
        slow_gate = op.Div(slow_gate, q_norm)
        k = op.LpNormalization(k, axis=-1, p=2)
        kb = op.Mul(k, beta)
        v = op.Mul(v, beta)

        # The chunk's [C, C] matrices, each a product of two [C, D] ones and a mask.
        ones = op.Expand(op.Constant(value_float=1.0), op.Concat(size_c, size_c, axis=0))
        lower = op.Trilu(ones, upper=0)
        below = op.Trilu(ones, op.Constant(value_int=-1), upper=0)
        a = op.Mul(op.MatMul(kb, op.Transpose(k, perm=[0, 1, 2, 4, 3])), below)  # -A
        z = op.Sub(op.MatMul(a, k), k)
        s = op.Mul(op.MatMul(kb, op.Transpose(z, perm=[0, 1, 2, 4, 3])), below)  # T - I
        u = op.Add(v, op.MatMul(s, v))
        p = op.Mul(op.MatMul(q, op.Transpose(k, perm=[0, 1, 2, 4, 3])), lower)
        o = op.Add(op.Mul(fast_gate, op.MatMul(p, v)), op.Mul(slow_gate, op.MatMul(p, u)))

        # Back to [B, L, H, D], RMSNorm over D, gate.
        o = op.Reshape(
            op.Transpose(o, perm=[0, 2, 3, 1, 4]), op.Concat(size_b, filled, size_h, size_d, axis=0), allowzero=1
        )
        mixed = op.Slice(o, zero, size_l, one)
        square = op.ReduceMean(op.Pow(mixed, op.Constant(value_float=2.0)), last)
        rms = op.Sqrt(op.Add(square, op.Constant(value_float=RMS_NORM_EPS)))
        o = op.Mul(op.Div(mixed, rms), scale)
        heads = op.Mul(op.Reshape(o, op.Concat(zero, zero, last, axis=0)), op.Sigmoid(g))
        return op.CastLike(heads, projected)

    function = FusedDeltaRule.to_function_proto()
    function.name = op_type(chunk_size)
    return function
