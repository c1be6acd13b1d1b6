#pragma once

#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdio>

namespace lam {

/// A line on the terminal that says how far the work is; nothing where standard error is none.
class ProgressLine {
  public:
    ProgressLine() : shown_(::isatty(STDERR_FILENO) != 0), start_(Clock::now()), next_(start_) {}
    ProgressLine(const ProgressLine&) = delete;
    ProgressLine& operator=(const ProgressLine&) = delete;
    ~ProgressLine() {
        if (shown_) std::fputs("\r\x1b[K", stderr);
    }

    void advance(std::size_t texts) {
        done_ += texts;
        const Clock::time_point now = Clock::now();
        if (!shown_ || now < next_) return;
        next_ = now + std::chrono::milliseconds(100);
        const double seconds = std::chrono::duration<double>(now - start_).count();
        std::fprintf(stderr, "\rEmbedding %zu texts, %.0f a second\x1b[K", done_,
                     static_cast<double>(done_) / (seconds > 0 ? seconds : 1));
    }

  private:
    using Clock = std::chrono::steady_clock;

    bool shown_;
    Clock::time_point start_;
    Clock::time_point next_;
    std::size_t done_ = 0;
};

}  // namespace lam
