// libFuzzer: any values in any pieces make the file that they should, or none; any bytes are lines or refused.

#include "npy.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

#include "lines.h"
#include "text.h"

namespace fs = std::filesystem;

namespace {

/// The first byte says how wide a row is, each later one how many rows come next.
void write(const std::string& input) {
    const fs::path path = fs::temp_directory_path() / ("lam-fuzz-" + std::to_string(::getpid()) + ".npy");
    if (input.empty()) return;
    const std::size_t columns = static_cast<unsigned char>(input[0]) % 16U + 1;
    std::string expected;
    std::uint64_t rows = 0;
    try {
        const auto writer = lam::file_writer(path, columns, true);
        for (std::size_t at = 1; at < input.size();) {
            const std::size_t asked = static_cast<unsigned char>(input[at++]);
            const std::size_t count = std::min(asked, (input.size() - at) / (columns * sizeof(float)));
            std::vector<float> values(count * columns);
            if (count > 0) std::memcpy(values.data(), input.data() + at, values.size() * sizeof(float));
            const bool finite = std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
            try {
                writer->write(values.data(), count);
                if (!finite) std::abort();
            } catch (const lam::EngineError&) {
                if (finite) std::abort();
                return;
            }
            expected.append(input, at, values.size() * sizeof(float));
            at += values.size() * sizeof(float);
            rows += count;
        }
        writer->finish();
    } catch (const lam::OutputError&) {
        std::abort();
    }
    std::ifstream file(path, std::ios::binary);
    const std::string found{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    const auto header = lam::npy_header(rows, columns);
    if (found != std::string(header.begin(), header.end()) + expected) std::abort();
    fs::remove(path);
}

void read(const std::string& input) {
    int ends[2];
    if (input.size() > 4096 || ::pipe(ends) != 0) return;  // what a pipe holds without a reader
    const lam::Descriptor out(ends[0]);
    {
        const lam::Descriptor in(ends[1]);
        if (::write(in.number(), input.data(), input.size()) != static_cast<ssize_t>(input.size())) std::abort();
    }
    lam::Lines lines(out.number(), "texts");
    std::size_t bytes = 0;
    try {
        while (const auto line = lines.next()) bytes += line->size();
    } catch (const lam::InputError& error) {
        if (!lam::is_printable(error.what())) std::abort();
    }
    if (bytes > input.size()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string input(reinterpret_cast<const char*>(data), size);
    write(input);
    read(input);
    return 0;
}
