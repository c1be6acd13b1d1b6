// The kernel, compiled once for each instruction set: LAM_VARIANT is its name, LAM_LANES its floats in a vector.
//
// A part (a text's chunk in one head) is walked in blocks of 16 tokens. Within a block every product is a masked one;
// what a block must know of those before it is in four sums of [D, D], as the operator's README derives. Everything
// that is worked on fits into the first cache: 36 KB at D = 32, 50 KB where products are computed of bfloat16.
#include "fused_delta_rule.h"
#include "work.h"

namespace lam::fused_delta_rule::LAM_VARIANT {
namespace {

constexpr float rms_norm_eps = 1e-5f;
constexpr float l2_norm_eps = 1e-12f;

/// A text of a call, and a head's columns of it.
template <typename Element>
struct Columns {
    const Call& call;
    /// `[L, W]` of the text.
    const Element* projected;
    /// `[L, M]` of the text.
    Element* heads;
    /// The text's true tokens.
    size_t length;
    size_t head;
};

template <typename N>
LAM_INLINE void load_parameters(const Call& call, size_t head, const Work<N>& w) {
    for (size_t part = 0; part < 3; ++part)
        for (size_t j = 0; j < w.P; ++j) {
            const size_t channel = part * call.hidden_size + head * w.D + j;
            for (size_t tap = 0; tap < taps; ++tap)
                w.conv_weight[(part * taps + tap) * w.P + j] = j < w.D ? call.conv_weight[channel * taps + tap] : 0;
            w.conv_bias[part * w.P + j] = j < w.D ? call.conv_bias[channel] : 0;
        }
    for (size_t j = 0; j < w.P; ++j) w.norm_weight[j] = j < w.D ? call.norm_weight[j] : 0;
}

/// The convolution and silu of q, k or v (`part` 0, 1, 2) of the `rows` tokens from `first` on, to `to [T, stride]`;
/// rows after them are zeros.
template <typename Element, typename N>
LAM_INLINE void convolve(const Columns<Element>& c, const Work<N>& w, size_t part, size_t first, size_t rows, float* to,
                         size_t stride) {
    const size_t width = c.call.width;
    for (size_t j = 0; j < w.P; j += W) {
        const size_t count = w.D - j;
        const float* tap = w.conv_weight + part * taps * w.P + j;
        const Floats t0 = load(tap), t1 = load(tap + w.P), t2 = load(tap + 2 * w.P), t3 = load(tap + 3 * w.P);
        const Floats bias = load(w.conv_bias + part * w.P + j);
        const Element* x = c.projected + first * width + part * c.call.hidden_size + c.head * w.D + j;
        Floats x0 = first >= 2 ? load(x - 2 * width, count) : Floats{};
        Floats x1 = first >= 1 ? load(x - width, count) : Floats{};
        Floats x2 = load(x, count);
        const auto step = [&](size_t r, Floats x3) LAM_INLINED {
            const Floats sum = bias + x0 * t0 + x1 * t1 + x2 * t2 + x3 * t3;
            store(to + r * stride + j, sum * sigmoid(sum, w.k_left));
            x0 = x1;
            x1 = x2;
            x2 = x3;
        };
        const size_t followed = first + rows < c.length ? rows : rows - 1;  // the text's last token has none after it
        for (size_t r = 0; r < followed; ++r) step(r, load(x + (r + 1) * width, count));
        if (followed < rows) step(followed, Floats{});
        for (size_t r = rows; r < T; ++r) store(to + r * stride + j, Floats{});
    }
}

template <typename Element, typename N>
LAM_INLINE void load_gates(const Columns<Element>& c, const Work<N>& w, size_t first, size_t rows) {
    const size_t heads = c.call.head_count();
    const Element* gates = c.projected + first * c.call.width + 4 * c.call.hidden_size + c.head;
    for (size_t r = 0; r < rows; ++r, gates += c.call.width) {
        w.beta[r] = number(gates[0]);
        w.fast[r] = number(gates[heads]);
        w.slow[r] = number(gates[2 * heads]);
    }
    for (size_t r = rows; r < T; ++r) w.beta[r] = w.fast[r] = w.slow[r] = 0;
    for (size_t r = 0; r < T; r += W) {
        store(w.beta + r, sigmoid(load(w.beta + r), w.k_left));
        store(w.fast + r, c.call.blend[0] * sigmoid(load(w.fast + r), w.k_left));
        store(w.slow + r, c.call.blend[1] * sigmoid(load(w.slow + r), w.k_left));
    }
}

/// 1 / max(|x|, eps) of each row of `x [T, P]`, to `to [T]`.
LAM_INLINE void inverse_norms(const float* x, size_t P, float* to) {
    for (size_t r = 0; r < T; ++r) to[r] = sum_of_squares(x + r * P, P);
    for (size_t r = 0; r < T; ++r) {
        const float norm = __builtin_sqrtf(to[r]);
        to[r] = 1.0f / (norm < l2_norm_eps ? l2_norm_eps : norm);
    }
}

/// q, k, v' and the gates of a block; q's norm divides the gates, one number a row, instead of q.
template <typename Element, typename N>
LAM_INLINE void load_block(const Columns<Element>& c, const Work<N>& w, size_t first, size_t rows) {
    load_gates(c, w, first, rows);
    convolve(c, w, 0, first, rows, w.q, w.P);
    convolve(c, w, 1, first, rows, w.k, w.P);
    convolve(c, w, 2, first, rows, w.vu, 2 * w.P);
    float of_q[T];
    float of_k[T];
    inverse_norms(w.q, w.P, of_q);
    inverse_norms(w.k, w.P, of_k);
    for (size_t r = 0; r < T; ++r) {
        w.fast[r] *= of_q[r];
        w.slow[r] *= of_q[r];
        for (size_t j = 0; j < w.P; j += W) {
            float* k = w.k + r * w.P + j;
            float* v = w.vu + r * 2 * w.P + j;
            store(k, load(k) * of_k[r]);
            store(v, load(v) * w.beta[r]);
        }
    }
    pack_rows(w.q, w.P, w.q_left);
    pack_rows(w.k, w.P, w.k_left);
    pack_columns(w.k, w.P, w.P, w.k_by);
    pack_columns(w.vu, w.P, 2 * w.P, w.vu_by);
    transpose(w.k_left, w.P / w.n, w.kt);
}

/// For each of the first `rows` rows of `left [T, P]` its products with all rows of k, through `finish`.
template <typename N, typename Finish>
LAM_INLINE void with_keys(const Work<N>& w, const N* left, size_t rows, Finish finish) {
    for (size_t r = 0; r < rows; r += RT)
        each_panel(T, [&](size_t j, auto count) LAM_INLINED {
            Tile<RT, decltype(count)::value> tile;
            tile.add_product(left + r * w.P / w.n, w.P / w.n, 1, w.kt + j, T, w.P / w.n);
            tile.each([&](size_t i, size_t m, Floats& x) LAM_INLINED { finish(x, r + i, j + m); });
        });
}

/// A matrix whose element (r, k) is at `row * r + step * k`.
template <typename N>
struct Operand {
    const N* at;
    size_t row;
    size_t step;
};

/// For each of the first `rows` rows of a block and each column of P: `left [T, P]` times `sums [P, stride]` if there
/// are any, times `by [T]` if given, plus `within [T, T]`, of which the tokens up to the row's tile count, times `right
/// [T, right_stride]`; through `finish`.
template <typename N, typename Finish>
LAM_INLINE void with_past(const Work<N>& w, size_t rows, const N* left, const N* sums, size_t stride, const float* by,
                          Operand<N> within, const N* right, size_t right_stride, Finish finish) {
    for (size_t r = 0; r < rows; r += R)
        each_panel(w.P, [&](size_t j, auto count) LAM_INLINED {
            Tile<R, decltype(count)::value> tile;
            if (sums != nullptr) tile.add_product(left + r * w.P / w.n, w.P / w.n, 1, sums + j, stride, w.P / w.n);
            if (sums != nullptr && by != nullptr) tile.scale(by + r);
            tile.add_product(within.at + r * within.row, within.row, within.step, right + j, right_stride,
                             (r + R) / w.n);
            tile.each([&](size_t i, size_t m, Floats& x) LAM_INLINED { finish(x, r + i, j + m); });
        });
}

/// The rule in a block: `o [T, P]`, and `u` and `z` on the way; `past` if there are blocks before it.
///
///     A = below(kb kᵀ)     z = (N - I) k = kb kk + A k - k     with N over the whole chunk, and kb = beta k
///     S = below(kb zᵀ)     u = v' + kb zv + S v'
///     P = lower(q kᵀ)      o = fast (q kv + P v') + slow (q ku + P u)
template <typename N>
LAM_INLINE void rule(const Work<N>& w, size_t rows, bool past) {
    const size_t P = w.P;
    const auto is_after = [](size_t row, size_t column)
                              LAM_INLINED { return count_from(column) < static_cast<std::int32_t>(row); };
    with_keys(w, w.k_left, rows, [&](Floats x, size_t row, size_t column) LAM_INLINED {
        store_row(w.a + (row * T + column) / w.n, keep(x * w.beta[row], is_after(row, column)));
    });
    with_keys(w, w.q_left, rows, [&](Floats x, size_t row, size_t column) LAM_INLINED {
        store_row(w.p + (row * T + column) / w.n, keep(x, is_after(row + 1, column)));
    });
    const Operand<N> a{w.a, T / w.n, 1}, p{w.p, T / w.n, 1}, s{w.s, 1, T};
    with_past(w, rows, w.k_left, past ? w.kk_by : nullptr, P, w.beta, a, w.k_by, P,
              [&](Floats x, size_t row, size_t column)
                  LAM_INLINED { store(w.z + row * P + column, x - load(w.k + row * P + column)); });
    pack_rows(w.z, P, w.z_left);
    pack_columns(w.z, P, P, w.z_by);
    // Transposed, because it is k's transpose that is at hand.
    with_keys(w, w.z_left, rows, [&](Floats x, size_t row, size_t column) LAM_INLINED {
        store(w.s_values + row * T + column, keep(x * load(w.beta + column), ~is_after(row + 1, column)));
    });
    pack_columns(w.s_values, T, T, w.s);
    with_past(w, rows, w.k_left, past ? w.zv_by : nullptr, P, w.beta, s, w.vu_by, 2 * P,
              [&](Floats x, size_t row, size_t column) LAM_INLINED {
                  float* v = w.vu + row * 2 * P + column;
                  store(v + P, load(v) + x);
              });
    pack_columns(w.vu + P, P, 2 * P, w.vu_by + P);
    with_past(w, rows, w.q_left, past ? w.kvu_by : nullptr, 2 * P, nullptr, p, w.vu_by, 2 * P,
              [&](Floats x, size_t row, size_t column) LAM_INLINED { store(w.o + row * P + column, x * w.fast[row]); });
    with_past(w, rows, w.q_left, past ? w.kvu_by + P : nullptr, 2 * P, nullptr, p, w.vu_by + P, 2 * P,
              [&](Floats x, size_t row, size_t column) LAM_INLINED {
                  float* o = w.o + row * P + column;
                  store(o, load(o) + x * w.slow[row]);
              });
}

/// `sums [P, columns] = leftᵀ right`, added to what is there if there is a `past`; `left [T, P]`, `right [T, stride]`.
template <typename N>
LAM_INLINE void add_to_sums(const Work<N>& w, float* sums, N* sums_by, size_t columns, const N* left, const N* right,
                            size_t stride, bool past) {
    for (size_t r = 0; r < w.P; r += R)
        each_panel(columns, [&](size_t j, auto count) LAM_INLINED {
            Tile<R, decltype(count)::value> tile;
            float* to = sums + r * columns + j;
            if (past) tile.each([&](size_t i, size_t m, Floats& x) LAM_INLINED { x = load(to + i * columns + m); });
            tile.add_product(left + r, 1, w.P, right + j, stride, T / w.n);
            tile.each([&](size_t i, size_t m, Floats& x) LAM_INLINED { store(to + i * columns + m, x); });
            if constexpr (Work<N>::n > 1) tile.store_paired(sums_by + r / w.n * columns + j, columns);
        });
}

/// RMSNorm and gate of a block's rows, to the result.
template <typename Element, typename N>
LAM_INLINE void store_block(const Columns<Element>& c, const Work<N>& w, size_t first, size_t rows) {
    float by[T];
    for (size_t r = 0; r < T; ++r) by[r] = r < rows ? sum_of_squares(w.o + r * w.P, w.P) : 0;
    for (size_t r = 0; r < T; ++r) by[r] = 1.0f / __builtin_sqrtf(by[r] / static_cast<float>(w.D) + rms_norm_eps);
    for (size_t r = 0; r < rows; ++r) {
        const Element* g = c.projected + (first + r) * c.call.width + 3 * c.call.hidden_size + c.head * w.D;
        Element* to = c.heads + (first + r) * c.call.hidden_size + c.head * w.D;
        for (size_t j = 0; j < w.P; j += W) {
            const Floats o = load(w.o + r * w.P + j) * by[r] * load(w.norm_weight + j);
            store(to + j, o * sigmoid(load(g + j, w.D - j), w.k_left), w.D - j);
        }
    }
}

template <typename Element, typename N>
LAM_INLINE void run(const Call& call, const Part& part, float* scratch, size_t head_size) {
    const size_t begin = part.chunk * call.chunk_size;
    const size_t end = begin + call.chunk_size < call.tokens ? begin + call.chunk_size : call.tokens;
    const std::int32_t given = call.lengths[part.text] < 0 ? 0 : call.lengths[part.text];
    const size_t length = static_cast<size_t>(given) < call.tokens ? static_cast<size_t>(given) : call.tokens;
    const Columns<Element> c{call, static_cast<const Element*>(call.projected) + part.text * call.tokens * call.width,
                             static_cast<Element*>(call.heads) + part.text * call.tokens * call.hidden_size, length,
                             part.head};
    for (size_t t = length > begin ? length : begin; t < end; ++t)
        for (size_t j = 0; j < head_size; ++j) c.heads[t * call.hidden_size + part.head * head_size + j] = {};
    if (length <= begin) return;

    const Work<N> w(scratch, head_size);
    load_parameters(call, part.head, w);
    const size_t last = length < end ? length : end;
    for (size_t t = begin; t < last; t += T) {
        const bool past = t > begin;
        const size_t rows = last - t < T ? last - t : T;
        load_block(c, w, t, rows);
        rule(w, rows, past);
        store_block(c, w, t, rows);
        if (t + T >= last) break;
        add_to_sums(w, w.kk, w.kk_by, w.P, w.k_by, w.k_by, w.P, past);
        add_to_sums(w, w.zv, w.zv_by, w.P, w.z_by, w.vu_by, 2 * w.P, past);
        add_to_sums(w, w.kvu, w.kvu_by, 2 * w.P, w.k_by, w.vu_by, 2 * w.P, past);
    }
}

}  // namespace

void kernel(const Call& call, const Part& part, float* scratch) {
    const auto of_size = [&](size_t head_size) LAM_INLINED {
        if (call.bf16)
            run<Bfloat16, Product>(call, part, scratch, head_size);
        else
            run<float, float>(call, part, scratch, head_size);
    };
    if (call.head_size == 32)
        of_size(32);
    else
        of_size(call.head_size);
}

size_t scratch_size(size_t head_size) {
    const size_t most = Work<Product>(nullptr, head_size).size;
    const size_t other = Work<float>(nullptr, head_size).size;
    return (most > other ? most : other) + 16;
}

}  // namespace lam::fused_delta_rule::LAM_VARIANT
