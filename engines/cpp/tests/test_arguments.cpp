#include <doctest/doctest.h>

#include "arguments.h"

namespace {

lam::Arguments parse(std::vector<std::string> words) {
    words.insert(words.begin(), "lam-embed");
    std::vector<char*> values;
    for (std::string& word : words) values.push_back(word.data());
    values.push_back(nullptr);
    return lam::parse_arguments(static_cast<int>(words.size()), values.data());
}

}  // namespace

TEST_CASE("options in any order") {
    const lam::Arguments found = parse({"--threads", "2", "bundle", "-o", "x.npy", "--force", "--batch-tokens=77",
                                        "--engine", "tensorrt", "--precision", "fp32", "--cache", "dir"});
    CHECK(found.bundle == "bundle");
    CHECK(found.output == "x.npy");
    CHECK(found.force);
    CHECK(found.batch_tokens == 77);
    CHECK(found.options.threads == 2);
    CHECK(found.options.backend == "tensorrt");
    CHECK(found.options.precision == "fp32");
    CHECK(found.options.cache == "dir");
    CHECK(parse({"--help"}).help);
    CHECK(parse({"--version"}).version);
}

TEST_CASE("what cannot be followed") {
    CHECK_THROWS_WITH(parse({}), "expected one bundle, found 0 arguments");
    CHECK_THROWS_WITH(parse({"a", "b"}), "expected one bundle, found 2 arguments");
    CHECK_THROWS_WITH(parse({"a", "--no"}), "no such option: '--no'");
    CHECK_THROWS_WITH(parse({"a", "-o"}), "expected a value after '-o', found none");
    for (const char* number : {"0", "-1", "", "1025", "99999999999999999999", "two"})
        CHECK_THROWS_AS(parse({"a", "--threads", number}), lam::UsageError);
}
