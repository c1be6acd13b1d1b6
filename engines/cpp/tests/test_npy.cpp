#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <limits>

#include "bundle_folder.h"
#include "lam/errors.h"
#include "npy.h"

namespace fs = std::filesystem;

namespace {

std::string content_of(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::size_t files_in(const fs::path& folder) {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

}  // namespace

TEST_CASE("a header of any number of rows has the same length") {
    for (const std::uint64_t rows : {std::uint64_t{0}, std::uint64_t{7}, std::numeric_limits<std::uint64_t>::max()}) {
        const auto header = lam::npy_header(rows, rows);
        const std::string text(header.begin(), header.end());
        const std::string shape = "(" + std::to_string(rows) + ", " + std::to_string(rows) + "), }";
        CHECK(text.find(shape) != std::string::npos);
        CHECK(text.substr(0, 10) == std::string("\x93NUMPY\x01\x00\x76\x00", 10));
        CHECK(text.back() == '\n');
    }
}

TEST_CASE("a file is there when it is finished, and not before") {
    const lam::Folder folder;
    const fs::path path = folder.path / "out.npy";
    const float values[] = {1, 2, 3, 4};
    {
        const auto writer = lam::file_writer(path, 2, false);
        writer->write(values, 2);
        CHECK_FALSE(fs::exists(path));
    }
    CHECK(files_in(folder.path) == 0);
    {
        const auto writer = lam::file_writer(path, 2, false);
        writer->write(values, 1);
        writer->write(values + 2, 1);
        writer->finish();
        CHECK(writer->rows() == 2);
    }
    const auto header = lam::npy_header(2, 2);
    CHECK(content_of(path) == std::string(header.begin(), header.end()) +
                                  std::string(reinterpret_cast<const char*>(values), sizeof values));
    CHECK(files_in(folder.path) == 1);
}

TEST_CASE("what is not written") {
    const lam::Folder folder;
    const auto writer = lam::file_writer(folder.path / "out.npy", 2, false);
    const float values[] = {1, 2, 3, std::numeric_limits<float>::quiet_NaN()};
    CHECK_THROWS_AS(writer->write(values, 2), lam::EngineError);
    CHECK_THROWS_AS(lam::file_writer(folder.path / "out.txt", 2, false), lam::OutputError);
    CHECK_THROWS_AS(lam::file_writer(folder.path / "none" / "out.npy", 2, false), lam::OutputError);
    CHECK_THROWS_AS(lam::file_writer(folder.path, 2, true), lam::OutputError);
    folder.write("there.npy", "something");
    CHECK_THROWS_AS(lam::file_writer(folder.path / "there.npy", 2, false), lam::OutputError);
    lam::file_writer(folder.path / "there.npy", 2, true)->finish();
    CHECK(content_of(folder.path / "there.npy").size() == 128);
}
