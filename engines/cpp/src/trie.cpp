#include "trie.h"

#include <algorithm>

namespace lam {
namespace {

// The strings that share their first `depth` bytes, which lead to one node.
struct Family {
    std::size_t first;
    std::size_t last;
    std::size_t depth;
};

}  // namespace

Trie::Trie(const std::map<std::string, std::uint32_t>& strings) : from_root_(256, none) {
    std::vector<std::pair<std::string_view, std::uint32_t>> sorted(strings.begin(), strings.end());
    std::vector<Family> families{{0, sorted.size(), 0}};  // one for each node, breadth first
    byte_.push_back(0);
    for (std::size_t node = 0; node < families.size(); ++node) {
        auto [first, last, depth] = families[node];
        first_child_.push_back(static_cast<Node>(families.size()));
        value_.push_back(none);
        if (first < last && sorted[first].first.size() == depth) {
            value_.back() = sorted[first].second;
            ++first;
        }
        while (first < last) {
            const char byte = sorted[first].first[depth];
            const auto end = std::partition_point(
                sorted.begin() + static_cast<std::ptrdiff_t>(first), sorted.begin() + static_cast<std::ptrdiff_t>(last),
                [&, depth = depth](const auto& string) { return string.first[depth] == byte; });
            const auto next = static_cast<std::size_t>(end - sorted.begin());
            if (node == root) {
                from_root_[static_cast<unsigned char>(byte)] = static_cast<Node>(families.size());
            }
            families.push_back({first, next, depth + 1});
            byte_.push_back(static_cast<unsigned char>(byte));
            first = next;
        }
    }
    first_child_.push_back(static_cast<Node>(families.size()));
}

Trie::Node Trie::child(Node node, char byte) const {
    const auto wanted = static_cast<unsigned char>(byte);
    if (node == root) {
        return from_root_[wanted];
    }
    const auto first = byte_.begin() + first_child_[node];
    const auto last = byte_.begin() + first_child_[node + 1];
    const auto found = std::lower_bound(first, last, wanted);
    return found != last && *found == wanted ? static_cast<Node>(found - byte_.begin()) : none;
}

std::optional<Trie::Node> Trie::find(std::string_view text) const {
    Node node = root;
    for (const char byte : text) {
        node = child(node, byte);
        if (node == none) {
            return std::nullopt;
        }
    }
    return node;
}

std::optional<Trie::Match> Trie::longest(std::string_view text, Node from) const {
    std::optional<Match> match;
    Node node = from;
    for (std::size_t i = 0; i < text.size(); ++i) {
        node = child(node, text[i]);
        if (node == none) {
            break;
        }
        if (value_[node] != none) {
            match = Match{i + 1, value_[node]};
        }
    }
    return match;
}

}  // namespace lam
