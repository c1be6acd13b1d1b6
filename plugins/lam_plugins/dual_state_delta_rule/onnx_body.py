"""The nodes of the operator's ONNX function, with a loop over chunks among them."""

from collections.abc import Mapping, Sequence

import onnx_ir as ir
from onnxscript import OpBuilder

from lam_plugins.fused_delta_rule.naive import CONV_KERNEL, L2_NORM_EPS, RMS_NORM_EPS

from . import Options
from .naive import PSI_RANGE, STATE_NORM_EPS

CARRIED: Mapping[str, int] = {"own": 1, "context": 3, "state": 5}
"""The additional inputs of the function that continues a text, and their numbers of dimensions."""


class Body:
    """Records the function's nodes."""

    def __init__(
        self, op: OpBuilder, inputs: Mapping[str, ir.Value], chunk_size: int, hidden_size: int, head_size: int
    ) -> None:
        """Take the function's inputs. If those of :data:`CARRIED` are among them, the function continues a text."""
        self.op = op
        self.chunk_size = chunk_size
        self.channels = 3 * hidden_size
        self.head_size = head_size
        self.projected = inputs["projected"]
        self.lengths = inputs["lengths"]
        self.carried = {name: inputs[name] for name in CARRIED if name in inputs}
        rows = {"projected", "lengths", *CARRIED}
        self.weights = {name: self.cast(value) for name, value in inputs.items() if name not in rows}

    def cast(self, x: ir.Value) -> ir.Value:
        return self.op.Cast(x, to=ir.DataType.FLOAT)

    def shape(self, *parts: "ir.Value | int") -> ir.Value:
        return self.op.Concat(*([p] if isinstance(p, int) else p for p in parts), axis=0)

    def silu(self, x: ir.Value) -> ir.Value:
        return self.op.Mul(x, self.op.Sigmoid(x))

    def transposed(self, x: ir.Value) -> ir.Value:
        """``[N, B, H, rows, columns]`` with the last two exchanged."""
        return self.op.Transpose(x, perm=[0, 1, 2, 4, 3])

    def heads_and_state(self, options: Options, shared_flux: bool) -> tuple[ir.Value, ir.Value | None]:
        """The function's results: heads ``[B, L, M]`` and, if it continues a text, the state after the own rows.

        Comments give shapes. The N chunks are the first dimension, because the loop reads them one by one.
        """
        op = self.op
        self._sizes()
        convolved, g, scalars, valid = self._columns()

        # To chunks, [N, B, H, C, D] and [N, B, H, C, 1].
        q, k, v = op.Split(self._chunks(convolved, 3, self.size_d), axis=2, num_outputs=3, _outputs=3)
        parts = op.Split(self._chunks(scalars, 5, 1), axis=2, num_outputs=5, _outputs=5)
        beta, fast_gate, slow_gate, fast_decay, slow_decay = parts
        valid = op.Transpose(
            self._filled_up(valid, self.shape(self.size_b, self.size_n, self.size_c, 1, 1)), perm=[1, 0, 3, 4, 2]
        )
        count = op.Max(op.ReduceSum(valid, [-1]), 1.0)  # [N, B, 1, 1, 1]
        share = op.Div(valid, count)  # [N, B, 1, 1, C], a token's weight in the mean over its chunk

        # The part that needs no state. beta is zero in padded rows, so v', kb, u and w are zero there too.
        k = op.LpNormalization(k, axis=-1, p=2)
        vk = self._stacked(op.Mul(v, beta), op.Mul(k, beta))  # [N, B, H, 2, C, D], v' and kb
        below = self._triangle(-1)
        kt = self.transposed(k)
        a = op.Mul(op.MatMul(op.Mul(k, beta), kt), below)  # -A
        t = op.Sub(op.Mul(op.MatMul(a, self.transposed(a)), below), a)  # T - I
        uw = op.Add(vk, op.MatMul(op.Unsqueeze(t, [3]), vk))  # u and w
        zg = op.MatMul(op.Unsqueeze(kt, [3]), uw)  # [N, B, H, 2, D, D], k^T u and k^T w
        z, ktw = op.Split(zg, axis=3, num_outputs=2, _outputs=2)
        u, w = op.Split(uw, axis=3, num_outputs=2, _outputs=2)  # [N, B, H, 1, C, D]
        psi = self._psi(op.MatMul(share, k), op.MatMul(share, op.Squeeze(u, [3])), z, count, shared_flux)

        decay = self._decay(op.MatMul(share, fast_decay), op.MatMul(share, slow_decay), psi)
        z = op.Reshape(z, self.shape(0, 0, 0, 1, -1))
        reads, state = self._loop(options, decay, z, ktw, psi)  # [N, B, H, 2, D²]
        reads = op.Reshape(reads, self.shape(0, 0, 0, 2, self.size_d, self.size_d))

        # What needs the states, for all chunks at once. q's norm divides the gates, one number per row, not q.
        p = op.Mul(op.MatMul(q, kt), self._triangle(0))
        u = op.Sub(u, op.MatMul(w, reads))
        q_norm = op.Max(op.ReduceL2(q, [-1]), L2_NORM_EPS)
        o = op.Add(op.MatMul(op.Unsqueeze(q, [3]), reads), op.MatMul(op.Unsqueeze(p, [3]), u))
        alpha = op.Add(op.Mul(psi, 0.3), 0.5)
        slow_share = op.Sub(1.0, alpha)
        gates = self._stacked(
            op.Div(op.Mul(fast_gate, alpha), q_norm), op.Div(op.Mul(slow_gate, slow_share), q_norm)
        )  # [N, B, H, 2, C, 1]
        o = op.ReduceSum(op.Mul(o, gates), [3], keepdims=0)

        # Back to [B, L, H, D], RMSNorm over D, gate.
        shape = self.shape(self.size_b, self.filled, self.size_h, self.size_d)
        o = op.Reshape(op.Transpose(o, perm=[1, 0, 3, 2, 4]), shape, allowzero=1)
        mixed = _named(op.Slice(o, [0], self.size_l, [1]), "mixed")
        square = op.ReduceMean(op.Mul(mixed, mixed), [-1])
        rms = op.Sqrt(op.Add(square, RMS_NORM_EPS))
        o = op.Mul(op.Div(mixed, rms), self.weights["norm_weight"])
        heads = op.Mul(op.Reshape(o, self.shape(0, 0, -1)), op.Sigmoid(g))
        return _named(op.CastLike(heads, self.projected), "heads"), state

    def _sizes(self) -> None:
        op = self.op
        self.size_b = op.Shape(self.projected, start=0, end=1)
        self.size_l = op.Shape(self.projected, start=1, end=2)
        self.size_d = op.Shape(self.weights["norm_weight"])
        self.size_m = op.Div(op.Shape(self.weights["conv_bias"]), [3])
        self.size_h = op.Div(self.size_m, self.size_d)
        self.size_c = op.Min(self.size_l, [self.chunk_size])
        self.size_n = op.Div(op.Sub(op.Add(self.size_l, self.size_c), [1]), self.size_c)
        self.filled = op.Mul(self.size_n, self.size_c)

    def _columns(self) -> tuple[ir.Value, ir.Value, ir.Value, ir.Value]:
        """Convolved q, k, v ``[B, L, 3M]``, g ``[B, L, M]``, the scalars ``[B, L, 5H]``, what is valid ``[B, L, 1]``.

        Among the scalars, beta and the gates are zero in padded rows, so the heads are zero there too.
        """
        op = self.op
        token = op.Unsqueeze(op.Range(0, op.Squeeze(self.size_l), 1), [0])
        lengths = op.Unsqueeze(op.Cast(self.lengths, to=ir.DataType.INT64), [1])
        valid = op.Unsqueeze(self.cast(op.Less(token, lengths)), [2])
        width = op.Shape(self.projected, start=2, end=3)
        size_3h, size_2h = op.Mul(self.size_h, [3]), op.Mul(self.size_h, [2])
        used = [op.Mul(self.size_m, [3]), self.size_m, size_3h, size_2h]
        alignment = op.Sub(width, op.Add(op.Mul(self.size_m, [4]), op.Add(size_3h, size_2h)))
        x = self.cast(self.projected)
        qkv, g, gates, decays, _ = op.Split(x, op.Concat(*used, alignment, axis=0), axis=2, _outputs=5)

        # A two-dimensional convolution of width one, between transposes of [B, L, 1, 3M]: ONNX Runtime turns exactly
        # this into its blocked channel layout, without a transpose in memory.
        qkv = op.Mul(qkv, valid)
        if self.carried:
            qkv = op.Concat(self.cast(self.carried["context"]), qkv, axis=1)
        qkv = op.Transpose(op.Unsqueeze(qkv, [2]), perm=[0, 3, 1, 2])
        weight = op.Unsqueeze(self.weights["conv_weight"], [1, 3])
        # Taps see tokens t-2 .. t+1, so the last of the left padding's counterparts on the right is dropped.
        pads = [0 if self.carried else CONV_KERNEL // 2, 0, CONV_KERNEL // 2 - 1, 0]
        qkv = op.Conv(
            qkv, weight, self.weights["conv_bias"], group=self.channels, kernel_shape=[CONV_KERNEL, 1], pads=pads
        )
        convolved = _named(self.silu(op.Squeeze(op.Transpose(qkv, perm=[0, 2, 3, 1]), [2])), "convolved")
        gates = op.Mul(op.Sigmoid(gates), valid)
        decays = op.Sigmoid(op.Add(decays, self.weights["decay_bias"]))
        return convolved, g, op.Concat(gates, decays, axis=2), valid

    def _filled_up(self, x: ir.Value, shape: ir.Value) -> ir.Value:
        """``[B, L, columns]`` padded with zeros to whole chunks, in another shape.

        Where a computed size might be 0, and copy a size, TensorRT reserves memory for both: hence ``allowzero``.
        """
        fill = self.shape(0, 0, 0, 0, self.op.Sub(self.filled, self.size_l), 0)
        return self.op.Reshape(self.op.Pad(x, fill), shape, allowzero=1)

    def _chunks(self, x: ir.Value, parts: int, size: "ir.Value | int") -> ir.Value:
        """``[B, L, parts * H * size]`` to ``[N, B, parts * H, C, size]``."""
        heads = self.op.Mul(self.size_h, [parts])
        x = self._filled_up(x, self.shape(self.size_b, self.size_n, self.size_c, heads, size))
        return self.op.Transpose(x, perm=[1, 0, 3, 2, 4])

    def _stacked(self, first: ir.Value, second: ir.Value) -> ir.Value:
        """Two of ``[N, B, H, ...]`` as ``[N, B, H, 2, ...]``."""
        axis = [3]
        return self.op.Concat(self.op.Unsqueeze(first, axis), self.op.Unsqueeze(second, axis), axis=3)

    def _triangle(self, diagonal: int) -> ir.Value:
        """``[C, C]`` of ones at and below a diagonal."""
        ones = self.op.Expand(1.0, self.shape(self.size_c, self.size_c))
        return self.op.Trilu(ones, diagonal, upper=0)

    def _psi(self, k: ir.Value, u: ir.Value, z: ir.Value, count: ir.Value, shared: bool) -> ir.Value:
        """psi ``[N, B, H, 1, 1]``, from the means ``k, u [N, B, H, 1, D]`` and from ``z``, which is k^T u."""
        op, weights = self.op, self.weights
        temperature = op.Unsqueeze(weights["flux_temperature"], [1, 2])  # [H, 1, 1]
        if shared:
            s = op.ReduceSum(op.Mul(op.MatMul(k, weights["flux_weight"]), u), [-1])
        else:
            # The sum over tokens of (k_t W) · u_t is the sum over all entries of W times k^T u.
            s = op.Mul(op.Squeeze(z, [3]), weights["flux_weight"])
            s = op.Div(op.ReduceSum(s, [-2, -1]), count)
        features = op.Concat(k, u, op.Div(s, temperature), axis=-1)
        inner = op.MatMul(features, op.Transpose(weights["flux_in_weight"], perm=[1, 0]))
        inner = self.silu(op.Add(inner, weights["flux_in_bias"]))
        out = op.MatMul(inner, op.Transpose(weights["flux_out_weight"], perm=[1, 0]))
        psi = op.Sigmoid(op.Add(out, weights["flux_out_bias"]))
        return op.Clip(psi, *PSI_RANGE)

    def _decay(self, fast: ir.Value, slow: ir.Value, psi: ir.Value) -> ir.Value:
        """Each state's decay factor in each chunk, ``[N, B, H, 2, 1]``, from the mean decays ``[N, B, H, 1, 1]``."""
        op = self.op
        less = op.Reshape(op.Constant(value_floats=[0.1, 0.05]), [2, 1])
        return op.Mul(op.Concat(fast, slow, axis=3), op.Sub(1.0, op.Mul(psi, less)))

    def _loop(
        self, options: Options, decay: ir.Value, z: ir.Value, ktw: ir.Value, psi: ir.Value
    ) -> tuple[ir.Value, ir.Value | None]:
        """What each chunk reads from both states, ``[N, B, H, 2, D²]``. Only this part must wait for earlier chunks.

        If the function continues a text, also the states ``[B, H, 2, D, D]`` after the own rows.
        """
        op = self.op
        scanned = {"decay": decay, "z": z, "ktw": ktw}
        if options.surprise_threshold is not None:
            taken = self.cast(op.Greater(psi, options.surprise_threshold))
            always = op.Add(op.Mul(taken, 0.0), 1.0)
            scanned["taken"] = op.Concat(always, taken, axis=3)  # [N, B, H, 2, 1]
        if options.cross_coupling:
            # Of a text's own heads. The pair of states is multiplied by [[1, c psi], [c (1 - psi), 1]].
            c = op.Add(op.Mul(op.ReduceMean(psi, [2]), 0.1), 0.05)
            to_fast = op.Mul(c, psi)
            to_slow = op.Sub(op.Expand(c, op.Shape(psi)), to_fast)
            one = op.Expand(1.0, op.Shape(psi))
            mix = op.Concat(one, to_fast, to_slow, one, axis=-1)
            scanned["mix"] = op.Reshape(mix, [0, 0, 0, 2, 2])
        # [B, H, 2, D²]
        size = op.Concat(op.Shape(psi, start=1, end=3), [2], op.Mul(self.size_d, self.size_d), axis=0)
        if self.carried:
            before = op.Reshape(self.cast(self.carried["state"]), size)
            scanned["own"] = self._is_own()
            states = {"state": before, "kept": before}
        else:
            states = {"state": op.Expand(0.0, size)}

        def chunk(op: OpBuilder, *now: ir.Value) -> Sequence[ir.Value]:
            """One chunk: the states ``[B, H, 2, D²]`` before it to the states after it, and what it reads from them."""
            given = dict(zip((*states, *scanned), now, strict=True))
            decayed = op.Mul(given["state"], given["decay"])
            read = _unit(op, decayed) if options.readout_norm else op.Identity(decayed)
            split = op.Reshape(read, op.Constant(value_ints=[0, 0, 0, self.head_size, self.head_size]))
            forgotten = op.Reshape(op.MatMul(given["ktw"], split), op.Constant(value_ints=[0, 0, 0, -1]))
            new = op.Sub(given["z"], forgotten)
            if "taken" in given:
                new = op.Mul(new, given["taken"])
            new = op.Add(decayed, new)
            if "mix" in given:
                new = op.MatMul(given["mix"], new)
            if options.final_norm:
                new = _unit(op, new)
            kept = [op.Where(given["own"], new, given["kept"])] if "own" in given else []
            return new, *kept, read

        types = {name: ir.DataType.BOOL if name == "own" else ir.DataType.FLOAT for name in (*states, *scanned)}
        inputs = [ir.Value(name=f"chunk.{name}", type=ir.TensorType(kind)) for name, kind in types.items()]
        # ONNX Runtime needs the ranks of a loop's outputs, and cannot infer them if it knows no rank of the inputs.
        shape = ir.Shape([None, None, 2, self.head_size**2])
        outputs = [
            ir.Value(name=f"chunk.{name}", type=ir.TensorType(ir.DataType.FLOAT), shape=shape)
            for name in (*(f"{name}_after" for name in states), "read")
        ]
        op.builder.push_module("chunk")  # no name may occur both inside and outside the loop
        body = op.builder.subgraph(chunk, inputs, outputs, name="chunk")
        op.builder.pop_module()
        loop = {"body": body, "num_scan_inputs": len(scanned), "_outputs": len(outputs)}
        *after, reads = op.Scan(*states.values(), *scanned.values(), **loop)
        if not self.carried:
            return reads, None
        return reads, _named(op.Reshape(after[1], op.Shape(self.carried["state"])), "state_after")

    def _is_own(self) -> ir.Value:
        """``[N, B, 1, 1, 1]``: whether a chunk begins before the end of a text's own rows."""
        op = self.op
        begin = op.Range(0, op.Squeeze(self.filled), op.Squeeze(self.size_c))
        own = op.Unsqueeze(op.Cast(self.carried["own"], to=ir.DataType.INT64), [0])
        return op.Unsqueeze(op.Less(op.Unsqueeze(begin, [1]), own), [2, 3, 4])


def _named(value: ir.Value, name: str) -> ir.Value:
    value.name = name
    return value


def _unit(op: OpBuilder, state: ir.Value) -> ir.Value:
    """``[B, H, 2, D²]`` with every state brought to unit length."""
    norm = op.ReduceL2(state, op.Constant(value_ints=[-1]))
    return op.Div(state, op.Add(norm, op.Constant(value_float=STATE_NORM_EPS)))
