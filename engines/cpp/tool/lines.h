#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace lam {

/// The lines of a UTF-8 stream, with or without a byte order mark, in constant memory; only `\n`, `\r\n` and `\r` end
/// one. As the texts of `lam-export embed --input -`.
class Lines {
  public:
    /// `descriptor` is read, and left open. `name` is what messages call it.
    Lines(int descriptor, std::string name);

    /// The next line without its end, an empty one too; nullopt after the last.
    ///
    /// Throws InputError: the stream cannot be read, or a line is not UTF-8. Throws Interrupted on a signal.
    std::optional<std::string> next();

  private:
    /// The next byte, negative at the end.
    int byte();
    void check(const std::string& line) const;

    int descriptor_;
    std::string name_;
    std::size_t number_ = 0;
    std::vector<char> buffer_;
    std::size_t at_ = 0;
    std::size_t held_ = 0;
    bool skip_newline_ = false;
};

/// Texts to embed at once: enough of them to find batches of like length, and no more than fit into memory. Empty at
/// the end of the lines.
std::vector<std::string> next_window(Lines& lines);

}  // namespace lam
