#include "signed_manifest.h"

#include <cstdlib>
#include <fstream>

#include "canonical_json.h"
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

std::string signed_manifest(const Json& fields) {
    const CanonicalObject object = canonical_object(fields.dump(), "sha256").value();
    return object.indented + ",\n  \"sha256\": \"" + sha256(object.canonical) + "\"\n}\n";
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

}  // namespace lam
