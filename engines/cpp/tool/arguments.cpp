#include "arguments.h"

#include <getopt.h>

#include <cstdint>
#include <limits>

#include "text.h"

namespace lam {
namespace {

enum Long { force = 256, engine, precision, threads, batch_tokens, cache, version_option };

const option long_options[] = {
    {"output", required_argument, nullptr, 'o'},
    {"force", no_argument, nullptr, force},
    {"engine", required_argument, nullptr, engine},
    {"precision", required_argument, nullptr, precision},
    {"threads", required_argument, nullptr, threads},
    {"batch-tokens", required_argument, nullptr, batch_tokens},
    {"cache", required_argument, nullptr, cache},
    {"version", no_argument, nullptr, version_option},
    {"help", no_argument, nullptr, 'h'},
    {nullptr, 0, nullptr, 0},
};

/// A whole number from 1 to `most`.
std::size_t number(const std::string& name, const std::string& text, std::size_t most) {
    std::size_t value = 0;
    for (const char c : text) {
        if (c < '0' || c > '9' || value > most / 10) {
            value = 0;
            break;
        }
        value = value * 10 + static_cast<std::size_t>(c - '0');
    }
    if (value < 1 || value > most)
        throw UsageError("expected " + name + " from 1 to " + std::to_string(most) + ", found " +
                         lam::quoted(text, 40));
    return value;
}

}  // namespace

Arguments parse_arguments(int count, char** values) {
    Arguments arguments;
    opterr = 0;
    optind = 1;
    for (int c = 0; (c = ::getopt_long(count, values, ":o:h", long_options, nullptr)) != -1;) {
        switch (c) {
            case 'o':
                arguments.output = optarg;
                if (arguments.output.empty()) throw UsageError("expected a file after -o, found nothing");
                break;
            case force:
                arguments.force = true;
                break;
            case engine:
                arguments.options.backend = optarg;
                break;
            case precision:
                arguments.options.precision = optarg;
                break;
            case threads:
                arguments.options.threads = static_cast<int>(number("--threads", optarg, 1024));
                break;
            case batch_tokens:
                arguments.batch_tokens = number("--batch-tokens", optarg, std::numeric_limits<std::int32_t>::max());
                break;
            case cache:
                arguments.options.cache = optarg;
                break;
            case version_option:
                arguments.version = true;
                break;
            case 'h':
                arguments.help = true;
                break;
            case ':':
                throw UsageError("expected a value after " + lam::quoted(values[optind - 1], 40) + ", found none");
            default:
                throw UsageError("no such option: " + lam::quoted(values[optind - 1], 40));
        }
    }
    if (arguments.help || arguments.version) return arguments;
    if (optind + 1 != count)
        throw UsageError("expected one bundle, found " + std::to_string(count - optind) + " arguments");
    arguments.bundle = values[optind];
    return arguments;
}

const char* help() {
    return "Usage: lam-embed [OPTIONS] BUNDLE < texts.txt > out.npy\n"
           "\n"
           "Embed texts, one a line of standard input (UTF-8), into a NumPy file of float32 [texts, hidden size].\n"
           "\n"
           "  -o, --output FILE     Write this .npy file, whole or not at all, not standard output.\n"
           "      --force           Replace an output file that is there.\n"
           "      --engine NAME     openvino, tensorrt or tensorrt-rtx, as far as built.\n"
           "      --precision NAME  openvino: fp32 (its default) or bf16; the others: fp16 (their default) or fp32.\n"
           "      --threads N       Of the CPU. [default: one per core]\n"
           "      --batch-tokens N  Tokens that go through the model at once. [default: 512; on a GPU 16384]\n"
           "      --cache DIR       Where openvino keeps the compiled graph for the next start. What is there is used\n"
           "                        unchecked: let only yourself write to it.\n"
           "      --version         Print the version and exit.\n"
           "  -h, --help            Print this and exit.\n"
           "\n"
           "Exit codes: 0 success; 1 could not run (bad input or usage, a missing file); 129 hung up;\n"
           "130 interrupted; 141 nobody reads the output; 143 terminated.\n";
}

}  // namespace lam
