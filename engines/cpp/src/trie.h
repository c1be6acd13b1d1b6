#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lam {

/// Strings with a value each, to find the longest that begins at a place in a text. Never changed once built.
class Trie {
  public:
    using Node = std::uint32_t;
    static constexpr Node root = 0;

    struct Match {
        /// Bytes of the text that matched; never 0.
        std::size_t size;
        std::uint32_t value;
    };

    /// Built in time and memory linear in the bytes of all strings.
    explicit Trie(const std::map<std::string, std::uint32_t>& strings);

    /// The node that `text` leads to, if any string begins with it.
    std::optional<Node> find(std::string_view text) const;

    /// The longest match at the beginning of `text`, as if what leads to the node `from` stood before it.
    std::optional<Match> longest(std::string_view text, Node from = root) const;

    /// Whether any string begins with this byte.
    bool begins_with(char byte) const { return from_root_[static_cast<unsigned char>(byte)] != none; }

  private:
    static constexpr std::uint32_t none = UINT32_MAX;

    Node child(Node node, char byte) const;

    // The children of node n are the nodes first_child_[n] to first_child_[n + 1], in the order of their bytes.
    std::vector<Node> first_child_;
    std::vector<unsigned char> byte_;
    std::vector<std::uint32_t> value_;
    std::vector<Node> from_root_;
};

}  // namespace lam
