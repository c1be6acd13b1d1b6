// lam-tokenize-test TOKENIZER_JSON < FRAMES > FRAMES: ids of texts, for the tests to compare.
//
// A frame in: the bytes of a text as a little-endian uint64, then the text. A frame out: the number of ids as a
// little-endian uint64, then each as an int64. A tokenizer that is refused: its message on stderr, exit code 1.

#include <cstdint>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "lam/tokenizer.h"

int main(int argc, char** argv) {
    if (argc != 2) {
        std::cerr << "usage: lam-tokenize-test TOKENIZER_JSON\n";
        return 2;
    }
    try {
        const lam::Tokenizer tokenizer = lam::Tokenizer::from_file(argv[1]);
        std::ios::sync_with_stdio(false);
        std::uint64_t size = 0;
        while (std::cin.read(reinterpret_cast<char*>(&size), sizeof size)) {
            std::string text(size, '\0');
            std::cin.read(text.data(), static_cast<std::streamsize>(size));
            const std::vector<std::int64_t> ids = tokenizer.encode(text);
            const std::uint64_t count = ids.size();
            std::cout.write(reinterpret_cast<const char*>(&count), sizeof count);
            std::cout.write(reinterpret_cast<const char*>(ids.data()),
                            static_cast<std::streamsize>(count * sizeof(std::int64_t)));
        }
        std::cout.flush();
    } catch (const std::exception& error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
    return 0;
}
