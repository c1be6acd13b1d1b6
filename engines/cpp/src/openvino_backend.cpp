#include <algorithm>
#include <cmath>
#include <istream>
#include <limits>
#include <map>
#include <openvino/frontend/manager.hpp>
#include <openvino/openvino.hpp>
#include <streambuf>

#include "backend.h"
#include "lam/errors.h"
#include "openvino_operator.h"
#include "pool.h"
#include "text.h"

namespace lam {
namespace {

const char* const fused_graph = "model.onnx";
const char* const inlined_graph = "model.inlined.onnx";
const char* const ids_name = "input_ids";
const char* const mask_name = "attention_mask";
const char* const output_name = "sentence_embedding";
/// What 512 tokens become between two operators fits into a CPU's caches.
constexpr std::size_t batch_tokens = 512;
/// As many tokens take as long to compute as a batch takes by itself.
constexpr std::size_t most_padding = 32;
/// Prepared kernels that are kept for shapes seen before, about 0.3 MB each with the demo model. Lengths vary without
/// end: with OpenVINO's own 5,000 a process grows by more than a gigabyte.
constexpr int kernels = 1000;

/// 2026.4.1 of 2026.4.1-22982-e213a147257-releases/2026/4
std::string openvino_version() {
    const std::string build = ov::get_openvino_version().buildNumber;
    return build.substr(0, build.find('-'));
}

/// Older versions give NaN for every padded text: they divide a row of zeros by its norm, whatever the epsilon.
void check_version() {
    const std::string found = openvino_version();
    int year = 0;
    int release = 0;
    if (std::sscanf(found.c_str(), "%d.%d", &year, &release) != 2 || std::pair(year, release) < std::pair(2026, 2))
        throw EngineError("expected OpenVINO 2026.2 or newer, found " + found +
                          ", which gives NaN for padded texts; run: pip install --upgrade 'openvino>=2026.2'");
}

/// What went wrong, without the places in OpenVINO's source that its messages begin with.
std::string reason(const std::exception& error) {
    std::string said;
    std::string first;
    std::string line;
    for (const char* c = error.what();; ++c) {
        if (*c != '\n' && *c != '\0') {
            line += *c;
            continue;
        }
        line = one_line(line);
        if (first.empty()) first = line;
        if (said.empty() && line.rfind("Exception from ", 0) != 0 && line.rfind("Check '", 0) != 0) said = line;
        line.clear();
        if (*c == '\0') break;
    }
    return (said.empty() ? first : said).substr(0, 300);
}

/// A stream over bytes that are there, which spares a copy of the whole graph.
class Bytes : public std::streambuf {
  public:
    explicit Bytes(std::string_view content) {
        char* begin = const_cast<char*>(content.data());  // a streambuf's way; nothing is written
        setg(begin, begin, begin + content.size());
    }

  protected:
    pos_type seekoff(off_type offset, std::ios_base::seekdir from, std::ios_base::openmode) override {
        const char* base = from == std::ios_base::beg ? eback() : from == std::ios_base::cur ? gptr() : egptr();
        const off_type at = base - eback() + offset;
        if (at < 0 || at > egptr() - eback()) return pos_type(off_type(-1));
        setg(eback(), eback() + at, egptr());
        return at;
    }
    pos_type seekpos(pos_type position, std::ios_base::openmode mode) override {
        return seekoff(position, std::ios_base::beg, mode);
    }
};

/// The graph to run: the one whose nodes our operator computes, or the one of standard operators for other forms.
const char* graph_of(const Manifest& manifest) {
    return manifest.form == "flat" && manifest.chunk_size == 128 ? fused_graph : inlined_graph;
}

std::string remedy(const std::string& graph) {
    return std::string("; make the bundle again: lam-export onnx") + (graph == inlined_graph ? " --inline" : "");
}

std::shared_ptr<ov::Model> read_model(std::string_view content) {
    Bytes bytes(content);
    std::istream stream(&bytes);
    ov::frontend::FrontEndManager manager;
    const auto frontend = manager.load_by_framework("onnx");
    frontend->add_extension(operator_extensions());
    return frontend->convert(frontend->load(static_cast<std::istream*>(&stream)));
}

/// OpenVINO's `Core` that compiles every graph of this process. It is never destroyed.
///
/// With its first graph a `Core` loads its plugin for the CPU, which gives the calling thread a stack for signal
/// handlers, and frees the stack when the `Core` and its graphs are gone. If that is in another thread, or another
/// `Core` was loaded meanwhile, the thread keeps the freed stack, and a handler with SA_ONSTACK, such as Python's and
/// Go's, ends the process (2026.4.1).
ov::Core& core() {
    static ov::Core* const one = [] {
        auto* made = new ov::Core;
        made->add_extension(operator_extensions());  // a graph kept in the cache is read by it
        return made;
    }();
    return *one;
}

/// Whether this CPU computes in bfloat16. With AVX-512 alone OpenVINO imitates it, which is slower than float32.
bool has_bf16() {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && !__builtin_cpu_supports("avx512bf16")) return false;
#endif
    const auto found = core().get_property("CPU", ov::device::capabilities);
    return std::find(found.begin(), found.end(), ov::device::capability::BF16) != found.end();
}

void check_precision(const std::string& precision) {
    if (precision.empty() || precision == "fp32") return;
    if (precision != "bf16")
        throw EngineError("expected precision fp32 or bf16 with the engine openvino, found " + lam::quoted(precision) +
                          "; leave it out for fp32");
    if (!has_bf16())
        throw EngineError(
            "expected a processor with instructions for bf16 (AMX, AVX-512 BF16 or ARM BF16), found none; leave the "
            "precision out for fp32");
}

ov::AnyMap settings(const Options& options) {
    ov::AnyMap map{
        // A CPU with bfloat16 instructions would use them unasked.
        {ov::hint::inference_precision.name(), options.precision == "bf16" ? ov::element::bf16 : ov::element::f32},
        {ov::hint::performance_mode.name(), ov::hint::PerformanceMode::LATENCY},
        {"CPU_RUNTIME_CACHE_CAPACITY", kernels},
    };
    if (options.threads > 0) map[ov::inference_num_threads.name()] = options.threads;
    if (!options.cache.empty()) map[ov::cache_dir.name()] = options.cache.string();
    return map;
}

template <typename Ports>
std::string listed(const Ports& ports) {
    std::map<std::string, std::string> found;
    for (const auto& port : ports)
        for (const std::string& name : port.get_names()) found[name] = port.get_partial_shape().to_string();
    std::vector<std::string> out;
    for (const auto& [name, shape] : found) out.push_back(name + " " + shape);
    return joined(out);
}

void check_interface(const ov::CompiledModel& model, const std::string& graph, std::int64_t hidden_size) {
    const std::string inputs = listed(model.inputs());
    const std::string outputs = listed(model.outputs());
    const std::string width = "[?," + std::to_string(hidden_size) + "]";
    const auto has_output = [&](const auto& port) {
        return port.get_names().count(output_name) == 1 && port.get_partial_shape().to_string() == width;
    };
    const auto ports = model.outputs();
    const bool right = inputs == std::string(mask_name) + " [?,?], " + ids_name + " [?,?]" &&
                       std::any_of(ports.begin(), ports.end(), has_output);
    if (!right)
        throw BundleError("expected " + graph + " with inputs " + ids_name + ", " + mask_name + " and output " +
                          output_name + " " + width + ", found inputs " + inputs + " and outputs " + outputs +
                          remedy(graph));
}

ov::CompiledModel compile(const Bundle& bundle, const Options& options) {
    const std::string graph = graph_of(bundle.manifest());
    const Content content = bundle.read(graph);
    try {
        const std::shared_ptr<ov::Model> model = read_model(content.view());
        if (options.precision == "bf16") compute_in_bf16(model);
        return core().compile_model(model, "CPU", settings(options));
    } catch (const std::exception& error) {
        throw BundleError("OpenVINO " + openvino_version() + " cannot load " + graph + ": " + reason(error) +
                          remedy(graph));
    }
}

/// A bundle's graph in OpenVINO on the CPU, in float32 or bfloat16. Every thread has an inference request of its own.
class OpenVinoBackend : public Backend {
  public:
    OpenVinoBackend(const Bundle& bundle, const Options& options)
        : hidden_size_(static_cast<std::size_t>(bundle.manifest().model.hidden_size)),
          model_(compile(bundle, options)),
          requests_([this] { return std::make_unique<ov::InferRequest>(model_.create_infer_request()); }) {
        check_interface(model_, graph_of(bundle.manifest()), bundle.manifest().model.hidden_size);
    }

    std::size_t default_batch_tokens() const override { return batch_tokens; }

    std::size_t max_padding() const override { return most_padding; }

    std::vector<float> infer(const Batch& batch) const override {
        try {
            return requests_.with([&](ov::InferRequest& request) {
                const ov::Shape shape{batch.rows, batch.tokens};
                // Inputs and output outlive the call.
                request.set_tensor(ids_name, ov::Tensor(ov::element::i64, shape, shared(batch.input_ids)));
                request.set_tensor(mask_name, ov::Tensor(ov::element::i64, shape, shared(batch.attention_mask)));
                // On one thread OpenVINO drops its own errors, and the output stays as it was. NaN shows it.
                const ov::Shape result{batch.rows, hidden_size_};
                std::vector<float> found(ov::shape_size(result), std::numeric_limits<float>::quiet_NaN());
                request.set_tensor(output_name, ov::Tensor(ov::element::f32, result, found.data()));
                request.infer();
                OPENVINO_ASSERT(!std::all_of(found.begin(), found.end(), [](float x) { return std::isnan(x); }),
                                "it computed nothing");
                return found;
            });
        } catch (const std::exception& error) {
            throw EngineError("OpenVINO failed on a batch of " + std::to_string(batch.rows) + " x " +
                              std::to_string(batch.tokens) + " tokens: " + reason(error) +
                              "; if memory is short, lower batch_tokens or cut the longest texts");
        }
    }

  private:
    static void* shared(const std::vector<std::int64_t>& values) {
        return const_cast<std::int64_t*>(values.data());  // inputs are only read
    }

    std::size_t hidden_size_;
    mutable ov::CompiledModel model_;
    mutable Pool<ov::InferRequest> requests_;
};

}  // namespace

std::unique_ptr<Backend> make_openvino_backend(const Bundle& bundle, const Options& options) {
    check_precision(options.precision);
    if (options.threads < 0)
        throw EngineError("expected at least 1 thread, found " + std::to_string(options.threads) +
                          "; leave it out for one per core");
    const std::string graph = graph_of(bundle.manifest());
    if (bundle.manifest().file(graph) == nullptr)
        throw BundleError("expected " + graph + " in the bundle " + bundle.path().string() +
                          ", found none; make it again: lam-export onnx CHECKPOINT -o " +
                          shell_quoted(bundle.path().string()) + " --inline --force");
    check_version();
    return std::make_unique<OpenVinoBackend>(bundle, options);
}

}  // namespace lam
