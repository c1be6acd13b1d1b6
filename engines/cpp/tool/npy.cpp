#include "npy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "signals.h"

namespace lam {
namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are written as they lie in memory");

constexpr std::size_t header_bytes = 128;

}  // namespace

std::array<char, header_bytes> npy_header(std::uint64_t rows, std::uint64_t columns) {
    std::array<char, header_bytes> header{};
    header.fill(' ');
    // The magic string, version 1.0, and how many bytes follow: two of them, little-endian.
    constexpr char prefix[] = {'\x93', 'N', 'U', 'M', 'P', 'Y', 1, 0, header_bytes - 10, 0};
    const std::string fields = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(rows) + ", " +
                               std::to_string(columns) + "), }";  // at most 94 bytes
    std::copy(fields.begin(), fields.end(), std::copy(std::begin(prefix), std::end(prefix), header.begin()));
    header.back() = '\n';
    return header;
}

Descriptor::~Descriptor() {
    if (number_ >= 0) ::close(number_);
}

NpyWriter::NpyWriter(std::string name, std::filesystem::path folder, std::size_t columns)
    : name_(std::move(name)), folder_(std::move(folder)), columns_(columns) {}

void NpyWriter::write(const float* values, std::size_t rows) {
    for (std::size_t i = 0; i < rows * columns_; ++i)
        if (!std::isfinite(values[i]))
            throw EngineError(
                name_ + ", row " + std::to_string(rows_ + i / columns_ + 1) +
                ": expected finite embeddings, found NaN or infinity from the engine; use the fp32 model");
    put(descriptor(), reinterpret_cast<const char*>(values), rows * columns_ * sizeof(float));
    rows_ += rows;
}

void NpyWriter::put(int descriptor, const char* data, std::size_t size) const {
    while (size > 0) {
        const ssize_t count = ::write(descriptor, data, size);
        if (count < 0 && errno == EINTR) {
            stop_if_signalled();
            continue;
        }
        if (count < 0) fail(errno);
        data += count;
        size -= static_cast<std::size_t>(count);
    }
}

void NpyWriter::put_header_at(int descriptor, std::int64_t offset) const {
    const std::array<char, header_bytes> header = npy_header(rows_, columns_);
    if (::pwrite(descriptor, header.data(), header.size(), offset) != static_cast<ssize_t>(header.size())) fail(errno);
}

void NpyWriter::fail(int error) const {
    if (error == EPIPE) throw BrokenPipe();
    char needed[40];
    std::snprintf(needed, sizeof needed, "%.1f", 1000.0 * static_cast<double>(columns_ * sizeof(float)) / 1e6);
    throw OutputError(name_ + ": expected room for the embeddings, found: " + std::strerror(error) + " (after " +
                      std::to_string(rows_) + " rows; 1000 rows take about " + needed + " MB); make room in " +
                      folder_.string() + ", or choose another folder");
}

}  // namespace lam
