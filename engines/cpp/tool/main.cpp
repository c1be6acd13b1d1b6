// lam-embed: texts on standard input to a NumPy file of embeddings.

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "arguments.h"
#include "lines.h"
#include "npy.h"
#include "progress_line.h"
#include "signals.h"
#include "text.h"

namespace {

enum ExitCode { passed = 0, could_not_run = 1, signalled = 128 };

/// Fill the standard streams that are closed, so that no file that is opened later takes their numbers. What is done with
/// them fails, but for messages.
void fill_closed_streams() {
    for (const int number : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
        if (::fcntl(number, F_GETFD) < 0) (void)!::open("/dev/null", number == STDOUT_FILENO ? O_RDONLY : O_WRONLY);
}

void print(const std::string& text) {
    if (std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0) return;
    if (errno == EPIPE) throw lam::BrokenPipe();
    throw lam::OutputError(std::string("expected standard output to take the text, found: ") + std::strerror(errno) +
                           "; send it elsewhere");
}

int say(const std::string& message, int code) {
    std::fprintf(stderr, "error: %s\n", lam::one_line(message).c_str());
    return code;
}

void embed(const lam::Arguments& arguments) {
    const lam::Engine engine = lam::Engine::load(arguments.bundle, arguments.options);
    const auto writer = arguments.output.empty()
                            ? lam::standard_output_writer(engine.hidden_size())
                            : lam::file_writer(arguments.output, engine.hidden_size(), arguments.force);
    lam::Lines lines(STDIN_FILENO, "standard input");
    {
        lam::ProgressLine progress;
        const auto done = [&](std::size_t texts) {
            progress.advance(texts);
            lam::stop_if_signalled();
        };
        for (auto window = lam::next_window(lines); !window.empty(); window = lam::next_window(lines)) {
            const lam::Embeddings found = engine.embed(window, arguments.batch_tokens, done);
            writer->write(found.values.data(), found.rows);
        }
        lam::stop_if_signalled();
        writer->finish();
    }
    if (!arguments.output.empty())
        std::fprintf(stderr, "Wrote %s (%llu embeddings of %zu)\n", arguments.output.c_str(),
                     static_cast<unsigned long long>(writer->rows()), engine.hidden_size());
}

}  // namespace

int main(int count, char** values) {
    fill_closed_streams();
    lam::watch_signals();
    try {
        const lam::Arguments arguments = lam::parse_arguments(count, values);
        if (arguments.help || arguments.version)
            print(arguments.help ? lam::help() : "lam-embed " + std::string(lam::version()) + "\n");
        else
            embed(arguments);
        return passed;
    } catch (const lam::UsageError& error) {
        return say(std::string(error.what()) + ". See: lam-embed --help", could_not_run);
    } catch (const lam::Interrupted& error) {
        return say("stopped; no file was left half written", signalled + error.signal);
    } catch (const lam::BrokenPipe&) {
        return signalled + SIGPIPE;
    } catch (const std::exception& error) {
        return say(error.what(), could_not_run);
    }
}
