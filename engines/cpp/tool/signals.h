#pragma once

#include <exception>

namespace lam {

/// Ctrl-C, a request to terminate or the end of the terminal came in; what was begun is to be undone on the way out.
struct Interrupted : std::exception {
    explicit Interrupted(int which) : signal(which) {}
    const char* what() const noexcept override { return "stopped"; }
    int signal;
};

/// Note SIGINT, SIGTERM and SIGHUP once, for `stop_if_signalled`; a second one ends the process at once.
void watch_signals();

/// Throws Interrupted if one of them came in.
void stop_if_signalled();

}  // namespace lam
