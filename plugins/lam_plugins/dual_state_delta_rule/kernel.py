"""The dual-state delta rule as three Triton kernels: all chunks at once, then the states in turn, then all chunks.

Only one product ``[D, D] [D, D]`` per state, and the states' norms, must wait for the previous chunk. The other two
kernels do the rest in parallel. README.md has the maths and the names; ``launch.py`` runs the kernels.
"""

import triton
import triton.language as tl

from lam_plugins.fused_delta_rule.kernel import columns, conv_silu, gate, sigmoid, unit


@triton.jit
def _dot(a, b, EXACT: tl.constexpr):
    """A product accumulated in float32. TF32 has the bits of float16 and the range of float32, which u needs."""
    return tl.dot(a, b, input_precision="ieee" if EXACT else "tf32")


@triton.jit
def _keys_and_values(
    projected,
    conv_weight,
    conv_bias,
    row,
    head,
    length,
    HEADS: tl.constexpr,
    HEAD_SIZE: tl.constexpr,
    WIDTH: tl.constexpr,
    EXACT: tl.constexpr,
):
    """k, u and w of one chunk and head, ``[C, D]`` each; zero outside the text."""
    HIDDEN: tl.constexpr = HEADS * HEAD_SIZE
    column = head * HEAD_SIZE + tl.arange(0, HEAD_SIZE)
    inside = row < length
    below = row[:, None] > row[None, :]
    k = unit(conv_silu(projected, conv_weight, conv_bias, row, HIDDEN + column, length, WIDTH))
    k = tl.where(inside[:, None], k, 0.0)
    v = conv_silu(projected, conv_weight, conv_bias, row, 2 * HIDDEN + column, length, WIDTH)
    beta = tl.where(inside, gate(projected, row, 4 * HIDDEN + head, length, WIDTH), 0.0)[:, None]
    v *= beta
    kb = k * beta
    a = tl.where(below, _dot(kb, tl.trans(k), EXACT), 0.0)
    t = tl.where(below, _dot(a, tl.trans(a), EXACT), 0.0) - a
    return k, v + _dot(t, v, EXACT), kb + _dot(t, kb, EXACT)


@triton.jit
def _square(SIZE: tl.constexpr):
    """Offsets of ``[D, D]``."""
    i = tl.arange(0, SIZE)
    return i[:, None] * SIZE + i[None, :]


@triton.jit(do_not_specialize=["tokens", "chunks"])
def chunks_kernel(
    projected,  # [B, L, WIDTH]
    lengths,  # [B] int32
    conv_weight,  # [3M, 4]
    conv_bias,  # [3M]
    decay_bias,  # [2 HEADS]
    flux_weight,  # [HEADS, D, D], or SHARED [D, D]
    flux_temperature,  # [HEADS]
    flux_in_weight,  # [D / 2, 2 D + 1]
    flux_in_bias,  # [D / 2]
    flux_out_weight,  # [1, D / 2]
    flux_out_bias,  # [1]
    tokens,  # L, int32
    chunks,  # N, int32
    memory,  # [B, N, HEADS, 2, D, D]: written, k^T u and k^T w
    scalars,  # [B, N, HEADS, 4]: written
    HEADS: tl.constexpr,
    HEAD_SIZE: tl.constexpr,
    CHUNK: tl.constexpr,
    WIDTH: tl.constexpr,
    SHARED: tl.constexpr,
):
    """Grid ``(N * HEADS, B)``: the part of each chunk that needs no state. Chunks outside the text are left out."""
    EXACT: tl.constexpr = projected.dtype.element_ty == tl.float32
    HIDDEN: tl.constexpr = HEADS * HEAD_SIZE
    head = tl.program_id(0) % HEADS
    chunk = tl.program_id(0) // HEADS
    text = tl.program_id(1).to(tl.int64)
    length = tl.load(lengths + text)
    if chunk * CHUNK < length:
        projected += text * tokens * WIDTH
        place = (text * chunks + chunk) * HEADS + head
        row = chunk * CHUNK + tl.arange(0, CHUNK)
        inside = row < length
        count = tl.minimum(length - chunk * CHUNK, CHUNK).to(tl.float32)
        k, u, w = _keys_and_values(projected, conv_weight, conv_bias, row, head, length, HEADS, HEAD_SIZE, WIDTH, EXACT)
        kt = tl.trans(k)
        z = _dot(kt, u, EXACT)
        memory += place * (2 * HEAD_SIZE * HEAD_SIZE)
        tl.store(memory + _square(HEAD_SIZE), z)
        tl.store(memory + HEAD_SIZE * HEAD_SIZE + _square(HEAD_SIZE), _dot(kt, w, EXACT))

        # psi. The sum over tokens of (k_t W) · u_t is the sum over all entries of W times k^T u.
        k_mean = tl.sum(k, axis=0) / count
        u_mean = tl.sum(u, axis=0) / count
        if SHARED:
            weight = tl.load(flux_weight + _square(HEAD_SIZE)).to(tl.float32)
            k_weight = tl.sum(weight * k_mean[:, None], axis=0)
            s = tl.sum(k_weight * u_mean, axis=0)
        else:
            weight = tl.load(flux_weight + head * (HEAD_SIZE * HEAD_SIZE) + _square(HEAD_SIZE)).to(tl.float32)
            s = tl.sum(tl.sum(weight * z, axis=1), axis=0) / count
        s /= tl.load(flux_temperature + head).to(tl.float32)
        e = tl.arange(0, HEAD_SIZE // 2)
        d = tl.arange(0, HEAD_SIZE)
        first = flux_in_weight + e[:, None] * (2 * HEAD_SIZE + 1) + d[None, :]
        inner = tl.sum(tl.load(first).to(tl.float32) * k_mean[None, :], axis=1)
        inner += tl.sum(tl.load(first + HEAD_SIZE).to(tl.float32) * u_mean[None, :], axis=1)
        inner += tl.load(flux_in_weight + e * (2 * HEAD_SIZE + 1) + 2 * HEAD_SIZE).to(tl.float32) * s
        inner += tl.load(flux_in_bias + e).to(tl.float32)
        inner *= sigmoid(inner)
        out = tl.sum(inner * tl.load(flux_out_weight + e).to(tl.float32), axis=0)
        out += tl.load(flux_out_bias).to(tl.float32)
        psi = tl.minimum(tl.maximum(sigmoid(out), 0.01), 0.99)

        column = projected + row * WIDTH + 4 * HIDDEN + 3 * HEADS + head
        fast = tl.load(column, mask=inside, other=0.0).to(tl.float32)
        slow = tl.load(column + HEADS, mask=inside, other=0.0).to(tl.float32)
        fast = tl.where(inside, sigmoid(fast + tl.load(decay_bias + head).to(tl.float32)), 0.0)
        slow = tl.where(inside, sigmoid(slow + tl.load(decay_bias + HEADS + head).to(tl.float32)), 0.0)
        scalars += place * 4
        tl.store(scalars, psi)
        tl.store(scalars + 1, tl.sum(fast, axis=0) / count * (1 - 0.1 * psi))
        tl.store(scalars + 2, tl.sum(slow, axis=0) / count * (1 - 0.05 * psi))


@triton.jit
def _unit_state(s):
    return s / (tl.sqrt(tl.sum(tl.sum(s * s, axis=1), axis=0)) + 1e-8)


@triton.jit(do_not_specialize=["chunks"])
def states_kernel(
    lengths,  # [B] int32
    chunks,  # N, int32
    memory,  # [B, N, HEADS, 2, D, D]: k^T u and k^T w; what is read from the fast and the slow state takes their place
    scalars,  # [B, N, HEADS, 4]
    HEADS: tl.constexpr,
    HEAD_SIZE: tl.constexpr,
    CHUNK: tl.constexpr,
    COUPLED: tl.constexpr,
    FINAL_NORM: tl.constexpr,
    READOUT_NORM: tl.constexpr,
    THRESHOLD: tl.constexpr,
):
    """Grid ``(HEADS, B)``: the states of one head of one text, in registers from its first chunk to its last."""
    HEADS_2: tl.constexpr = triton.next_power_of_2(HEADS)
    head = tl.program_id(0)
    text = tl.program_id(1).to(tl.int64)
    length = tl.load(lengths + text)
    square = _square(HEAD_SIZE)
    every = tl.arange(0, HEADS_2)
    s_f = tl.zeros((HEAD_SIZE, HEAD_SIZE), tl.float32)
    s_s = tl.zeros((HEAD_SIZE, HEAD_SIZE), tl.float32)
    for chunk in tl.range(0, tl.cdiv(length, CHUNK)):
        first_head = (text * chunks + chunk) * HEADS
        place = scalars + (first_head + head) * 4
        here = memory + (first_head + head) * (2 * HEAD_SIZE * HEAD_SIZE)
        psi = tl.load(place)
        s_f *= tl.load(place + 1)
        s_s *= tl.load(place + 2)
        z = tl.load(here + square)
        ktw = tl.load(here + HEAD_SIZE * HEAD_SIZE + square)
        r_f = s_f
        r_s = s_s
        if READOUT_NORM:
            r_f = _unit_state(s_f)
            r_s = _unit_state(s_s)
        tl.debug_barrier()  # a thread must not store before others have loaded
        tl.store(here + square, r_f)
        tl.store(here + HEAD_SIZE * HEAD_SIZE + square, r_s)
        # Exact, because an error here would last for the rest of the text. Products are not this loop's bottleneck.
        s_f += z - tl.dot(ktw, r_f, input_precision="ieee")
        taken = z - tl.dot(ktw, r_s, input_precision="ieee")
        if THRESHOLD is not None:
            taken = tl.where(psi > THRESHOLD, taken, 0.0)
        s_s += taken
        if COUPLED:
            all_psi = tl.load(scalars + (first_head + every) * 4, mask=every < HEADS, other=0.0)
            c = 0.05 + 0.1 * tl.sum(all_psi, axis=0) / HEADS
            before = s_f
            s_f += c * psi * s_s
            s_s += c * (1 - psi) * before
        if FINAL_NORM:
            s_f = _unit_state(s_f)
            s_s = _unit_state(s_s)


@triton.jit(do_not_specialize=["tokens", "chunks"])
def heads_kernel(
    projected,  # [B, L, WIDTH]
    lengths,  # [B] int32
    conv_weight,  # [3M, 4]
    conv_bias,  # [3M]
    norm_weight,  # [D]
    tokens,  # L, int32
    chunks,  # N, int32
    memory,  # [B, N, HEADS, 2, D, D]: what is read from the fast and the slow state
    scalars,  # [B, N, HEADS, 4]
    heads,  # [B, L, M]: written
    HEADS: tl.constexpr,
    HEAD_SIZE: tl.constexpr,
    CHUNK: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """Grid ``(N * HEADS, B)``: the result of each chunk, now that its states are known."""
    EXACT: tl.constexpr = projected.dtype.element_ty == tl.float32
    HIDDEN: tl.constexpr = HEADS * HEAD_SIZE
    head = tl.program_id(0) % HEADS
    chunk = tl.program_id(0) // HEADS
    text = tl.program_id(1).to(tl.int64)
    length = tl.load(lengths + text)
    projected += text * tokens * WIDTH
    column = head * HEAD_SIZE + tl.arange(0, HEAD_SIZE)
    row = chunk * CHUNK + tl.arange(0, CHUNK)
    result = heads + text * tokens * HIDDEN + row[:, None] * HIDDEN + column[None, :]
    written = (row < tokens)[:, None]
    if chunk * CHUNK < length:
        place = (text * chunks + chunk) * HEADS + head
        k, u, w = _keys_and_values(projected, conv_weight, conv_bias, row, head, length, HEADS, HEAD_SIZE, WIDTH, EXACT)
        q = unit(conv_silu(projected, conv_weight, conv_bias, row, column, length, WIDTH))
        p = tl.where(row[:, None] >= row[None, :], _dot(q, tl.trans(k), EXACT), 0.0)
        alpha = 0.5 + 0.3 * tl.load(scalars + place * 4)
        read = memory + place * (2 * HEAD_SIZE * HEAD_SIZE) + _square(HEAD_SIZE)
        r = tl.load(read)
        o = _dot(q, r, EXACT) + _dot(p, u - _dot(w, r, EXACT), EXACT)
        o *= (alpha * gate(projected, row, 4 * HIDDEN + HEADS + head, length, WIDTH))[:, None]
        r = tl.load(read + HEAD_SIZE * HEAD_SIZE)
        slow = _dot(q, r, EXACT) + _dot(p, u - _dot(w, r, EXACT), EXACT)
        o += slow * ((1 - alpha) * gate(projected, row, 4 * HIDDEN + 2 * HEADS + head, length, WIDTH))[:, None]
        o *= tl.rsqrt(tl.sum(o * o, axis=1) / HEAD_SIZE + 1e-5)[:, None]
        norm = tl.load(norm_weight + tl.arange(0, HEAD_SIZE)).to(tl.float32)
        o *= norm[None, :] * sigmoid(columns(projected, row, 3 * HIDDEN + column, length, WIDTH))
        tl.store(result, tl.where((row < length)[:, None], o, 0.0).to(heads.dtype.element_ty), mask=written)
    else:
        tl.store(result, tl.zeros((CHUNK, HEAD_SIZE), heads.dtype.element_ty), mask=written)


STEPS = {"chunks": chunks_kernel, "states": states_kernel, "heads": heads_kernel}
