#include "signals.h"

#include <csignal>

namespace lam {
namespace {

volatile std::sig_atomic_t came_in = 0;  // a handler of signals has nowhere else to put it

void note(int signal) { came_in = signal; }

}  // namespace

void watch_signals() {
    struct sigaction action {};
    action.sa_handler = note;
    action.sa_flags = static_cast<int>(SA_RESETHAND);  // and no SA_RESTART: reading ends
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
    struct sigaction before {};
    if (sigaction(SIGHUP, nullptr, &before) == 0 && before.sa_handler != SIG_IGN)  // as nohup leaves it
        sigaction(SIGHUP, &action, nullptr);
    std::signal(SIGPIPE, SIG_IGN);  // a failed write says so
}

void stop_if_signalled() {
    if (came_in != 0) throw Interrupted(came_in);
}

}  // namespace lam
