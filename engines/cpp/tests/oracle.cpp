#include "oracle.h"

#include <algorithm>
#include <cmath>

namespace lam {
namespace {

using std::size_t;
using Matrix = std::vector<std::vector<double>>;

Matrix matrix(size_t rows, size_t columns) { return Matrix(rows, std::vector<double>(columns)); }
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

double dot(const std::vector<double>& x, const std::vector<double>& y) {
    double sum = 0;
    for (size_t i = 0; i < x.size(); ++i) sum += x[i] * y[i];
    return sum;
}

void normalize(std::vector<double>& x) {
    const double norm = std::max(std::sqrt(dot(x, x)), 1e-12);
    for (double& value : x) value /= norm;
}

/// The matrix, lower triangular, times x.
Matrix product(const Matrix& lower, const Matrix& x) {
    Matrix out = matrix(x.size(), x[0].size());
    for (size_t t = 0; t < x.size(); ++t)
        for (size_t s = 0; s <= t; ++s)
            for (size_t j = 0; j < x[0].size(); ++j) out[t][j] += lower[t][s] * x[s][j];
    return out;
}

/// One head of a text's `length` tokens.
struct Head {
    const fused_delta_rule::Call& call;
    const float* projected;
    size_t length;
    size_t head;

    /// After convolution and silu, of q, k or v (`part` 0, 1, 2) at a token.
    std::vector<double> convolved(size_t part, size_t token) const {
        std::vector<double> out;
        for (size_t j = 0; j < call.head_size; ++j) {
            const size_t channel = part * call.hidden_size + head * call.head_size + j;
            double x = call.conv_bias[channel];
            for (size_t tap = 0; tap < 4; ++tap) {
                const size_t seen = token + tap;  // and two less
                if (seen >= 2 && seen - 2 < length)
                    x += double(projected[(seen - 2) * call.width + channel]) * call.conv_weight[channel * 4 + tap];
            }
            out.push_back(x * sigmoid(x));
        }
        return out;
    }

    /// beta, fast_gate or slow_gate (`which` 0, 1, 2) at a token.
    double gate(size_t which, size_t token) const {
        return sigmoid(projected[token * call.width + 4 * call.hidden_size + which * call.head_count() + head]);
    }

    /// The rule's output of a chunk, `[tokens, D]`, before its normalisation.
    Matrix chunk(size_t begin, size_t tokens) const {
        Matrix q, k, v;
        Matrix a = matrix(tokens, tokens), transform = a, p = a;
        for (size_t t = 0; t < tokens; ++t) {
            q.push_back(convolved(0, begin + t));
            k.push_back(convolved(1, begin + t));
            v.push_back(convolved(2, begin + t));
            normalize(q[t]);
            normalize(k[t]);
            for (double& value : v[t]) value *= gate(0, begin + t);
            for (size_t s = 0; s < t; ++s) a[t][s] = -gate(0, begin + t) * dot(k[t], k[s]);
            for (size_t s = 0; s <= t; ++s) p[t][s] = dot(q[t], k[s]);
            for (size_t s = 0; s < t; ++s) transform[t][s] = a[t][s] + dot(a[t], a[s]);
            transform[t][t] = 1;
        }
        const Matrix fast = product(p, v);
        Matrix out = product(p, product(transform, v));
        for (size_t t = 0; t < tokens; ++t)
            for (size_t j = 0; j < call.head_size; ++j)
                out[t][j] =
                    call.blend[0] * gate(1, begin + t) * fast[t][j] + call.blend[1] * gate(2, begin + t) * out[t][j];
        return out;
    }
};

}  // namespace

std::vector<double> fused_delta_rule_oracle(const fused_delta_rule::Call& call, size_t texts) {
    std::vector<double> heads(texts * call.tokens * call.hidden_size);
    for (size_t i = 0; i < texts * call.head_count(); ++i) {
        const size_t text = i / call.head_count();
        const Head head{call, static_cast<const float*>(call.projected) + text * call.tokens * call.width,
                        static_cast<size_t>(call.lengths[text]), i % call.head_count()};
        for (size_t begin = 0; begin < head.length; begin += call.chunk_size) {
            const Matrix mixed = head.chunk(begin, std::min(call.chunk_size, head.length - begin));
            for (size_t t = 0; t < mixed.size(); ++t) {
                const double mean = dot(mixed[t], mixed[t]) / double(call.head_size);
                for (size_t j = 0; j < call.head_size; ++j) {
                    const size_t column = head.head * call.head_size + j;
                    const double g = head.projected[(begin + t) * call.width + 3 * call.hidden_size + column];
                    heads[(text * call.tokens + begin + t) * call.hidden_size + column] =
                        mixed[t][j] / std::sqrt(mean + 1e-5) * call.norm_weight[j] * sigmoid(g);
                }
            }
        }
    }
    return heads;
}

}  // namespace lam
