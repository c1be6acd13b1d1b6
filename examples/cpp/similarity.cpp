// similarity BUNDLE TEXT TEXT: the cosine of two texts.

#include <iostream>
#include <numeric>

#include "lam/engine.h"

int main(int argc, char** argv) {
    if (argc != 4) {
        std::cerr << "usage: similarity BUNDLE TEXT TEXT\n";
        return 1;
    }
    try {
        const lam::Engine engine = lam::Engine::load(argv[1]);
        const lam::Embeddings vectors = engine.embed({argv[2], argv[3]});
        // The vectors are of unit length, so that their product is the cosine.
        std::cout << std::inner_product(vectors[0], vectors[0] + vectors.columns, vectors[1], 0.0) << '\n';
        return 0;
    } catch (const lam::Error& error) {
        std::cerr << "error: " << error.what() << '\n';
        return 1;
    }
}
