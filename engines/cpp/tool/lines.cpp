#include "lines.h"

#include <unicode/utf8.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "lam/errors.h"
#include "signals.h"

namespace lam {
namespace {

constexpr std::size_t window_texts = 4096;
constexpr std::size_t window_bytes = std::size_t{1} << 24U;
const char* const byte_order_mark = "\xef\xbb\xbf";

}  // namespace

Lines::Lines(int descriptor, std::string name)
    : descriptor_(descriptor), name_(std::move(name)), buffer_(std::size_t{1} << 16U) {}

std::optional<std::string> Lines::next() {
    std::string line;
    int c = byte();
    if (skip_newline_ && c == '\n') c = byte();
    skip_newline_ = false;
    if (c < 0) return std::nullopt;
    for (; c >= 0 && c != '\n' && c != '\r'; c = byte()) line += static_cast<char>(c);
    skip_newline_ = c == '\r';
    if (++number_ == 1 && line.rfind(byte_order_mark, 0) == 0) {
        line.erase(0, std::strlen(byte_order_mark));
        if (line.empty() && c < 0) return std::nullopt;
    }
    check(line);
    return line;
}

int Lines::byte() {
    if (at_ == held_) {
        at_ = held_ = 0;
        for (;;) {
            stop_if_signalled();
            const ssize_t count = ::read(descriptor_, buffer_.data(), buffer_.size());
            if (count >= 0) {
                held_ = static_cast<std::size_t>(count);
                break;
            }
            if (errno != EINTR)
                throw InputError("expected a readable file of texts, found " + name_ + ": " + std::strerror(errno) +
                                 "; check the path and the file");
        }
        if (held_ == 0) return -1;
    }
    return static_cast<unsigned char>(buffer_[at_++]);
}

void Lines::check(const std::string& line) const {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(line.data());
    const auto size = static_cast<std::int64_t>(line.size());
    std::int64_t characters = 0;
    for (std::int64_t at = 0; at < size; ++characters) {
        const std::int64_t start = at;
        UChar32 point = 0;
        U8_NEXT(bytes, at, size, point);
        if (point >= 0) continue;
        char wrong[8];
        std::snprintf(wrong, sizeof wrong, "0x%02x", static_cast<unsigned>(bytes[start]));
        throw InputError(name_ + ", line " + std::to_string(number_) + ": expected UTF-8, found byte " + wrong +
                         " after " + std::to_string(characters) +
                         " characters; convert the file with: iconv -f ITS_ENCODING -t UTF-8");
    }
}

std::vector<std::string> next_window(Lines& lines) {
    std::vector<std::string> window;
    std::size_t held = 0;
    while (window.size() < window_texts && held < window_bytes) {
        std::optional<std::string> line = lines.next();
        if (!line) break;
        held += line->size();
        window.push_back(std::move(*line));
    }
    return window;
}

}  // namespace lam
