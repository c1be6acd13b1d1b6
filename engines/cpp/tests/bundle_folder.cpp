#include "bundle_folder.h"

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "sha256.h"

namespace lam {

Json manifest_fields() {
    return Json::parse(R"({
        "format_version": 1,
        "model": {"hidden_size": 8, "vocab_size": 32, "pad_token_id": 0, "layer_norm_eps": 0.5},
        "form": "flat",
        "chunk_size": 128,
        "checkpoint": {"file": "modèle.bin", "sha256": ""},
        "files": {},
        "graphs": {},
        "plans": {},
        "timing_cache": {}
    })");
}

Folder::Folder()
    : path([] {
          std::string name = (std::filesystem::temp_directory_path() / "lam-test.XXXXXX").string();
          if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
          return name;
      }()) {}

Folder::~Folder() { std::filesystem::remove_all(path); }

void Folder::write(const std::string& name, const std::string& content) const {
    std::filesystem::create_directories((path / name).parent_path());
    std::ofstream(path / name, std::ios::binary) << content;
}

std::string Folder::read(const std::string& name) const {
    std::ifstream file(path / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

void Folder::write_manifest(const Json& fields) const {
    const std::string manifest = fields.dump(2);
    std::string checksums = sha256(manifest) + "  manifest.json\n";
    for (const auto& [name, entry] : fields["files"].items())
        checksums += entry["sha256"].get<std::string>() + "  " + name + "\n";
    write("manifest.json", manifest);
    write("SHA256SUMS", checksums);
}

}  // namespace lam
