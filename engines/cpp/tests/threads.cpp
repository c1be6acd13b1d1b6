// lam-threads-test BUNDLE THREADS ROUNDS: one engine, many threads; every embedding must be the one that a thread alone
// gets. Exit code 1 if one is not.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "lam/engine.h"

namespace {

std::vector<std::string> texts_of(int thread) {
    std::vector<std::string> texts{"", "the cat sleeps", "\u6771\u4eac \u00e9 \U0001f600"};
    for (int i = 0; i < 5; ++i) {
        std::string text;
        for (int word = 0; word < 1 + (thread * 7 + i * 13) % 40; ++word) text += " the dog runs";
        texts.push_back(text);
    }
    return texts;
}

float distance(const lam::Embeddings& a, const lam::Embeddings& b) {
    float most = a.values.size() == b.values.size() ? 0.0F : 1.0F;
    for (std::size_t i = 0; i < std::min(a.values.size(), b.values.size()); ++i)
        most = std::max(most, std::abs(a.values[i] - b.values[i]));
    return most;
}

}  // namespace

int main(int count, char** values) {
    if (count != 4) return 1;
    const int threads = std::atoi(values[2]);
    const int rounds = std::atoi(values[3]);
    const lam::Engine engine = lam::Engine::load(values[1]);
    std::vector<lam::Embeddings> expected;
    for (int i = 0; i < threads; ++i) expected.push_back(engine.embed(texts_of(i)));
    std::atomic<int> wrong{0};
    std::vector<std::thread> workers;
    for (int i = 0; i < threads; ++i)
        workers.emplace_back([&, i] {
            for (int round = 0; round < rounds; ++round)
                if (distance(engine.embed(texts_of(i), 64), expected[static_cast<std::size_t>(i)]) > 2e-6F) ++wrong;
        });
    for (std::thread& worker : workers) worker.join();
    std::printf("%d wrong\n", wrong.load());
    return wrong == 0 ? 0 : 1;
}
