#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <set>
#include <thread>

#include "bundle.h"
#include "bundle_folder.h"
#include "checksums.h"
#include "lam/errors.h"
#include "sha256.h"

using lam::Json;

namespace {

std::string refusal(const std::function<void()>& action) {
    try {
        action();
    } catch (const lam::BundleError& error) {
        return error.what();
    }
    return "accepted";
}

std::string refusal_of(const std::string& content) {
    return refusal([&] { lam::Manifest::from_json(content, "manifest.json"); });
}

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

Json with(const std::function<void(Json&)>& change) {
    Json fields = lam::manifest_fields();
    change(fields);
    return fields;
}

}  // namespace

TEST_CASE("a manifest is read") {
    const Json fields = with([](Json& f) {
        f["files"]["a/b é.onnx"] = {{"sha256", std::string(64, 'a')}, {"bytes", 3}};
    });
    const lam::Manifest manifest = lam::Manifest::from_json(fields.dump(), "m");
    CHECK(manifest.model.hidden_size == 8);
    REQUIRE(manifest.file("a/b é.onnx") != nullptr);
    CHECK(manifest.file("a/b é.onnx")->bytes == 3);
    CHECK(manifest.file("x") == nullptr);
}

TEST_CASE("every bit of a manifest and its checksums counts, and every byte") {
    const lam::Folder folder;
    folder.write_manifest(with([](Json& f) {
        f["files"]["a"] = {{"sha256", std::string(64, 'a')}, {"bytes", 3}};
    }));
    const auto opened = [&] { return refusal([&] { lam::Bundle{folder.path}; }); };
    CHECK(opened() == "accepted");
    for (const char* name : {"manifest.json", "SHA256SUMS"}) {
        const std::string content = folder.read(name);
        const auto refused = [&](const std::string& changed) {
            folder.write(name, changed);
            return opened() != "accepted";
        };
        for (std::size_t i = 0; i < content.size(); ++i) {
            for (int bit = 0; bit < 8; ++bit) {
                std::string flipped = content;
                flipped[i] = static_cast<char>(flipped[i] ^ (1 << bit));
                CHECK(refused(flipped));
            }
            CHECK(refused(content.substr(0, i)));
            CHECK(refused(content.substr(0, i) + content.substr(i + 1)));
            CHECK(refused(content.substr(0, i) + " " + content.substr(i)));
        }
        folder.write(name, content);
        CHECK(opened() == "accepted");
    }
}

TEST_CASE("what is no JSON, or says something twice") {
    for (const char* wrong :
         {"", "{", "{\"a\": 1,}", "{\"a\": 01}", "\xff", "{\"a\": \"\xff\"}", "{} {}", "{\"a\": NaN}"})
        CHECK(holds(refusal_of(wrong), "manifest.json is no valid JSON (wrong at byte "));
    CHECK(holds(refusal_of("{\"a\": 1e999}"), "is no valid JSON (a number is out of range)"));
    CHECK(holds(refusal_of(std::string(100000, '[')), "is no valid JSON (nested more than 32 deep)"));
    const std::string twice = "is no valid JSON (a field stands twice); make the bundle again";
    CHECK(holds(refusal_of(R"({"a": 1, "b": {}, "a": 1})"), twice));
    CHECK(holds(refusal_of(R"({"x": [{"ab": {"c": 1}, "\u0061b": 2}]})"), twice));
    CHECK(holds(refusal_of(R"({"a": {"a": 1}, "b": [{"a": 1}, {"a": 1}]})"), "found other JSON"));
}

TEST_CASE("checksums are read") {
    const std::string a(64, 'a');
    const std::string b(64, 'b');
    const lam::Checksums found = lam::Checksums::from_bytes(b + "  x/\u00e9 y\n" + a + "  manifest.json\n", "S");
    CHECK(found.manifest == "manifest.json");
    CHECK(found.manifest_sha256 == a);
    CHECK(found.files == std::map<std::string, std::string>{{"x/\u00e9 y", b}});
    CHECK(lam::Checksums::from_bytes(a + "  manifest.next.json\n", "S").manifest == "manifest.next.json");
}

TEST_CASE("names that lead out of the bundle") {
    for (const char* name : {"../x", "a/../../x", "a/..", "..", ".", "", "./x", "a//x", "a/", "a/./x", "/etc/passwd",
                             "//x", "..\\x", "C:/x", "x:stream", "x\ny", "x\u202ey"}) {
        const Json entry = {{"sha256", std::string(64, 'a')}, {"bytes", 3}};
        const std::string said = refusal_of(with([&](Json& f) { f["files"][name] = entry; }).dump());
        CHECK(holds(said, "must be a plain relative path inside the bundle"));
    }
}

TEST_CASE("fields that cannot be right") {
    const std::pair<std::function<void(Json&)>, const char*> cases[] = {
        {[](Json& f) { f.erase("model"); }, "'model': Field required"},
        {[](Json& f) { f["model"]["hidden_size"] = 0; }, "'model.hidden_size': Input should be greater than 0"},
        {[](Json& f) { f["model"]["hidden_size"] = "wide"; }, "'model.hidden_size': Input should be a valid integer"},
        {[](Json& f) { f["model"]["vocab_size"] = 1ULL << 63; }, "'model.vocab_size': Input should fit into 64 bits"},
        {[](Json& f) { f["model"]["pad_token_id"] = 32; }, "pad_token_id must be below vocab_size (32)"},
        {[](Json& f) { f["files"] = Json::array(); }, "'files': Input should be a valid dictionary"},
        {[](Json& f) {
             f["files"]["a"] = {{"sha256", "0"}, {"bytes", 1}};
         },
         "'files.a.sha256': String should match"},
        {[](Json& f) { f["graphs"]["no.onnx"] = Json::object(); }, "names no.onnx, not among its files"},
        {[](Json& f) { f["format_version"] = 2; }, "expected bundle format 1, found 2"},
        {[](Json& f) { f["format_version"] = "1\n"; }, "expected bundle format 1, found '1\\n'"},
        {[](Json& f) { f.erase("format_version"); }, "expected a bundle's manifest in manifest.json, found other JSON"},
    };
    for (const auto& [change, part] : cases) {
        const std::string said = refusal_of(with(change).dump());
        CAPTURE(said);
        CHECK(holds(said, part));
        CHECK(holds(said, "lam-export onnx"));
    }
}

TEST_CASE("a file is read only if it is the one that the bundle was made with") {
    const lam::Folder folder;
    Json fields = lam::manifest_fields();
    fields["files"]["a"] = {{"sha256", lam::sha256("content")}, {"bytes", 7}};
    folder.write_manifest(fields);
    folder.write("a", "content");
    const lam::Bundle bundle(folder.path);
    CHECK(bundle.read("a").view() == "content");
    CHECK(holds(refusal([&] { bundle.read("b"); }), "its manifest lists a; make it again"));
    for (const char* other : {"contenT", "conten", "content ", ""}) {
        folder.write("a", other);
        const std::string said = refusal([&] { bundle.read("a"); });
        CHECK(holds(said, "is not the file that the bundle was made with (expected "));
        CHECK(holds(said, std::string(other) == "contenT" ? "sha256 " : "7 bytes, found "));
    }
    std::filesystem::remove(folder.path / "a");
    CHECK(holds(refusal([&] { bundle.read("a"); }), "a cannot be read (No such file or directory)"));
    std::filesystem::create_symlink("/dev/zero", folder.path / "a");
    CHECK(holds(refusal([&] { bundle.read("a"); }), "leads outside the bundle"));
    CHECK(holds(refusal([&] { lam::Bundle(folder.path / "none"); }), "found none at"));
}

TEST_CASE("a bundle that is extended all the while is read") {
    // As Python's writing.py extends it: each file is replaced by a rename, and SHA256SUMS says which is the manifest.
    const lam::Folder folder;
    folder.write_manifest(lam::manifest_fields());
    const auto replace = [&](const std::string& name, const std::string& content) {
        folder.write("draft", content);
        std::filesystem::rename(folder.path / "draft", folder.path / name);
    };
    std::atomic<bool> done{false};
    std::thread writer([&] {
        for (int tokens = 1; !done; ++tokens) {
            const std::string manifest = with([&](Json& f) { f["chunk_size"] = tokens; }).dump();
            const std::string hash = lam::sha256(manifest);
            replace("manifest.next.json", manifest);
            replace("SHA256SUMS", hash + "  manifest.next.json\n");
            replace("manifest.json", manifest);
            replace("SHA256SUMS", hash + "  manifest.json\n");
            std::filesystem::remove(folder.path / "manifest.next.json");
        }
    });
    std::set<std::string> said;
    for (int i = 0; i < 3000; ++i) said.insert(refusal([&] { lam::Bundle{folder.path}; }));
    done = true;
    writer.join();
    CHECK(said == std::set<std::string>{"accepted"});
}
