#include "graph_file.h"

#include <cstddef>
#include <cstdint>
#include <vector>

#include "lam/errors.h"

namespace lam {
namespace {

constexpr std::size_t most_fields = 1'000'000;
constexpr int deepest = 100;

enum class Message : unsigned char { none, model, training, graph, function, node, attribute, sparse, tensor };

/// The message that a field of onnx.proto holds, of those through which a tensor can be reached.
Message inner_of(Message message, std::uint64_t field) {
    switch (message) {
        case Message::model:
            return field == 7 ? Message::graph
                              : field == 20 ? Message::training : field == 25 ? Message::function : Message::none;
        case Message::training:
            return field == 1 || field == 2 ? Message::graph : Message::none;
        case Message::graph:
            return field == 1 ? Message::node
                              : field == 5 ? Message::tensor : field == 15 ? Message::sparse : Message::none;
        case Message::function:
            return field == 7 ? Message::node : field == 11 ? Message::attribute : Message::none;
        case Message::node:
            return field == 5 ? Message::attribute : Message::none;
        case Message::attribute:
            if (field == 5 || field == 10) return Message::tensor;
            if (field == 6 || field == 11) return Message::graph;
            return field == 22 || field == 23 ? Message::sparse : Message::none;
        case Message::sparse:
            return field == 1 || field == 2 ? Message::tensor : Message::none;
        default:
            return Message::none;
    }
}

struct Part {
    Message message;
    std::string_view content;
    int depth;
};

class Check {
  public:
    explicit Check(const std::string& where) : where_(where) {}

    void run(std::string_view content) {
        if (content.substr(0, 8).size() == 8 && content.substr(4, 4) == "ORTM")
            refuse("is in the format of ONNX Runtime");
        waiting_.push_back({Message::model, content, 0});
        while (!waiting_.empty()) {
            const Part part = waiting_.back();
            waiting_.pop_back();
            read(part);
        }
    }

  private:
    void read(Part part) {
        while (!part.content.empty()) {
            const std::uint64_t key = number(part.content);
            const std::uint64_t field = key >> 3U;
            std::uint64_t size = 0;
            std::uint64_t value = 0;
            switch (key & 7U) {
                case 0:
                    value = number(part.content);
                    break;
                case 1:
                    size = 8;
                    break;
                case 2:
                    size = number(part.content);
                    break;
                case 5:
                    size = 4;
                    break;
                default:
                    refuse("is no ONNX file");  // a group, which ONNX has not
            }
            const bool external = part.message == Message::tensor && (field == 13 || field == 14);
            if (external && ((key & 7U) != 0 || value != 0))
                refuse("has a weight in another file, which no hash covers");
            if (++fields_ > most_fields || part.depth > deepest)
                refuse("has more than 1,000,000 fields, or 100 in one another");
            if (size > part.content.size()) refuse("is no ONNX file");
            const auto bytes = static_cast<std::size_t>(size);
            const Message inner = (key & 7U) == 2 ? inner_of(part.message, field) : Message::none;
            if (inner != Message::none) waiting_.push_back({inner, part.content.substr(0, bytes), part.depth + 1});
            part.content.remove_prefix(bytes);
        }
    }

    std::uint64_t number(std::string_view& content) const {
        std::uint64_t found = 0;
        for (unsigned i = 0; i < 10 && i < content.size(); ++i) {
            const auto byte = static_cast<unsigned char>(content[i]);
            found |= static_cast<std::uint64_t>(byte & 0x7FU) << 7U * i;
            if (byte < 0x80U) {
                content.remove_prefix(i + 1);
                return found;
            }
        }
        refuse("is no ONNX file");
    }

    [[noreturn]] void refuse(const char* found) const {
        throw BundleError(where_ + " " + found +
                          ", and is not read; make the bundle again: lam-export onnx CHECKPOINT -o BUNDLE");
    }

    const std::string& where_;
    std::vector<Part> waiting_;
    std::size_t fields_ = 0;
};

}  // namespace

void check_graph(std::string_view content, const std::string& where) { Check(where).run(content); }

}  // namespace lam
