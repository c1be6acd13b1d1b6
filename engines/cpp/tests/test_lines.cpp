#include <doctest/doctest.h>
#include <fcntl.h>

#include <fstream>

#include "bundle_folder.h"
#include "lam/errors.h"
#include "lines.h"
#include "npy.h"

namespace {

std::vector<std::string> lines_of(const std::string& content) {
    const lam::Folder folder;
    folder.write("texts", content);
    const lam::Descriptor file(::open((folder.path / "texts").c_str(), O_RDONLY | O_CLOEXEC));
    lam::Lines lines(file.number(), "texts");
    return lam::next_window(lines);
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("lines end as in Python") {
    CHECK(lines_of("").empty());
    CHECK(lines_of("a") == Texts{"a"});
    CHECK(lines_of("a\n") == Texts{"a"});
    CHECK(lines_of("\n\n") == Texts{"", ""});
    CHECK(lines_of("a\r\nb\rc\n\rd") == Texts{"a", "b", "c", "", "d"});
    CHECK(lines_of("\r") == Texts{""});
    CHECK(lines_of("a\vb\u2028c\x1c") == Texts{"a\vb\u2028c\x1c"});
    CHECK(lines_of("\xef\xbb\xbf").empty());
    CHECK(lines_of("\xef\xbb\xbf"
                   "a\n\xef\xbb\xbf") == Texts{"a", "\xef\xbb\xbf"});
    CHECK(lines_of(std::string("a\0b", 3)) == Texts{std::string("a\0b", 3)});
    CHECK(lines_of(std::string(70000, 'x') + "\r\ny").back() == "y");
}

TEST_CASE("a window ends when it is full") {
    std::string content;
    for (int i = 0; i < 5000; ++i) content += "x\n";
    CHECK(lines_of(content).size() == 4096);
    CHECK(lines_of(std::string(1 << 24, 'x') + "\ny\n").size() == 1);
}

TEST_CASE("what is not UTF-8 is named") {
    for (const char* wrong : {"\xff", "\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc0\x80"})
        CHECK_THROWS_AS(lines_of(wrong), lam::InputError);
    CHECK_THROWS_WITH(
        lines_of("a\n\u00e9b\xff"),
        "texts, line 2: expected UTF-8, found byte 0xff after 2 characters; convert the file with: iconv -f "
        "ITS_ENCODING -t UTF-8");
}
