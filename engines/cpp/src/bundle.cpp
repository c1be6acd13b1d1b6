#include "bundle.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <new>
#include <system_error>

#include "checksums.h"
#include "graph_file.h"
#include "lam/errors.h"
#include "sha256.h"
#include "text.h"

namespace lam {
namespace {

namespace fs = std::filesystem;

/// An open file that is closed again.
class File {
  public:
    // Without O_NONBLOCK, opening a pipe would wait for ever.
    explicit File(const fs::path& path) : descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
        if (descriptor_ < 0) fail();
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    ~File() { ::close(descriptor_); }

    struct stat status() const {
        struct stat found {};
        if (::fstat(descriptor_, &found) != 0) fail();
        return found;
    }

    std::size_t read(char* to, std::size_t size) const {
        for (;;) {
            const ssize_t count = ::read(descriptor_, to, size);
            if (count >= 0) return static_cast<std::size_t>(count);
            if (errno != EINTR) fail();
        }
    }

  private:
    [[noreturn]] static void fail() { throw std::system_error(errno, std::generic_category()); }

    int descriptor_;
};

/// The folder that links of a bundle may lead into: the folder around it, or the repository in a cache of Hugging Face,
/// where each file is a link from `snapshots/REVISION` to `blobs`. The hashes guard the content, wherever it lies.
fs::path reach(const fs::path& folder) {
    for (fs::path inner = folder; inner.has_relative_path(); inner = inner.parent_path()) {
        const fs::path parent = inner.parent_path();
        if (parent.filename() == "snapshots" && fs::is_directory(parent.parent_path() / "blobs"))
            return parent.parent_path();
    }
    return folder.parent_path().has_relative_path() ? folder.parent_path() : folder;
}

bool leads_outside(const fs::path& folder, const fs::path& file) {
    // Without the slash that a user may have put behind the folder's name.
    const fs::path inside = reach((fs::weakly_canonical(folder) / "x").parent_path());
    const fs::path resolved = fs::weakly_canonical(file);
    return std::mismatch(inside.begin(), inside.end(), resolved.begin(), resolved.end()).first != inside.end();
}

BundleError differs(const fs::path& path, const std::string& what) {
    return BundleError(path.string() + " is not the file that the bundle was made with (expected " + what +
                       "); copy the bundle again");
}

/// Bytes of `manifest.json` and of `SHA256SUMS` at most. Both have some kilobytes.
constexpr std::uint64_t most_bytes = std::uint64_t{16} << 20U;

/// A file's bytes; `hash` is fed with them piece by piece, while they are in the processor's cache. `expected` is the size
/// that the file must have, and is compared first: a huge file is not read.
Content content_of(const fs::path& folder, const std::string& name, Sha256* hash,
                   const std::uint64_t* expected = nullptr) {
    const fs::path path = folder / name;
    try {
        if (leads_outside(folder, path))
            throw BundleError(path.string() + " leads outside the bundle and is not read; put the file itself there");
        const File file(path);
        const struct stat status = file.status();
        if (!S_ISREG(status.st_mode))
            throw BundleError("expected a file at " + path.string() + ", found something else; copy the bundle again");
        const auto found = static_cast<std::uint64_t>(status.st_size);
        if (expected == nullptr && found > most_bytes)
            throw BundleError("expected at most " + std::to_string(most_bytes) + " bytes in " + path.string() +
                              ", found " + std::to_string(found) + "; " + copy_again);
        if (expected != nullptr && found != *expected)
            throw differs(path, std::to_string(*expected) + " bytes, found " + std::to_string(found));
        constexpr std::size_t piece = std::size_t{1} << 19U;
        Content content(static_cast<std::size_t>(status.st_size));
        std::size_t done = 0;
        while (done < content.size()) {
            const std::size_t count = file.read(content.data() + done, std::min(piece, content.size() - done));
            if (count == 0) break;  // it was cut short just now
            if (hash != nullptr) hash->update(content.data() + done, count);
            done += count;
        }
        content.cut(done);
        return content;
    } catch (const std::system_error& error) {
        throw BundleError(path.string() + " cannot be read (" + error.code().message() + "); copy the bundle again");
    }
}

/// Whether nothing is there, a link to nothing and a link to itself included.
bool is_missing(const fs::path& path) {
    std::error_code error;
    return !fs::exists(path, error) && (!error || error == std::errc::too_many_symbolic_link_levels);
}

std::string checksums_of(const fs::path& folder) {
    if (is_missing(folder / manifest_name))
        throw BundleError(std::string("expected a bundle (a folder with ") + manifest_name + "), found none at " +
                          folder.string() + "; make one: lam-export onnx CHECKPOINT -o " + folder.string());
    if (is_missing(folder / checksums_name))
        throw BundleError(std::string("expected ") + checksums_name + " beside " + manifest_name + " in " +
                          folder.string() + ", found none; " + copy_again);
    return std::string(content_of(folder, checksums_name, nullptr).view());
}

Manifest manifest_under(const fs::path& folder, std::string_view content) {
    const Checksums checksums = Checksums::from_bytes(content, (folder / checksums_name).string());
    const fs::path path = folder / checksums.manifest;
    Sha256 hash;
    const Content bytes = content_of(folder, checksums.manifest, &hash);
    if (hash.hex() != checksums.manifest_sha256)
        throw BundleError(path.string() + " was altered or damaged (it differs from its hash in " + checksums_name +
                          "); " + copy_again);
    Manifest manifest = Manifest::from_json(bytes.view(), path.string());
    std::map<std::string, std::string> listed;
    for (const auto& [name, entry] : manifest.files) listed.emplace(name, entry.sha256);
    const auto [one, other] =
        std::mismatch(listed.begin(), listed.end(), checksums.files.begin(), checksums.files.end());
    if (one == listed.end() && other == checksums.files.end()) return manifest;
    const std::string& name = one == listed.end()              ? other->first
                              : other == checksums.files.end() ? one->first
                                                               : std::min(one->first, other->first);
    throw BundleError(std::string(checksums_name) + " and " + checksums.manifest + " in " + folder.string() +
                      " disagree about " + name + "; " + copy_again);
}

/// While a `SHA256SUMS` is in place no file that it lists changes, and an extension of the bundle replaces it in one
/// step. So what does not fit to it was changed by an extension if there is another one by now, and is damaged if not.
Manifest manifest_of(const fs::path& folder) {
    std::string checksums = checksums_of(folder);
    for (;;) {
        try {
            return manifest_under(folder, checksums);
        } catch (const BundleError&) {
            std::string now = checksums_of(folder);
            if (now == checksums) throw;
            checksums = std::move(now);
        }
    }
}

}  // namespace

Content::Content(std::size_t size) : size_(size) {
    constexpr std::size_t page = std::size_t{1} << 21U;
    const std::size_t alignment = size < page ? alignof(std::max_align_t) : page;
    const std::size_t room = (size / alignment + 1) * alignment;
    data_.reset(static_cast<char*>(std::aligned_alloc(alignment, room)));
    if (!data_) throw std::bad_alloc();
    if (size >= page) (void)::madvise(data_.get(), room, MADV_HUGEPAGE);  // without them it works as well
}

void Content::Free::operator()(char* data) const { std::free(data); }

Bundle::Bundle(fs::path path) : path_(std::move(path)), manifest_(manifest_of(path_)) {}

Content Bundle::read(const std::string& name) const {
    const FileEntry* entry = manifest_.file(name);
    if (entry == nullptr) {
        std::vector<std::string> listed;
        for (const auto& file : manifest_.files) listed.push_back(file.first);
        throw BundleError("expected " + name + " in the bundle " + path_.string() + ", its manifest lists " +
                          joined(listed) + "; make it again: lam-export onnx CHECKPOINT -o " + path_.string() +
                          " --force");
    }
    Sha256 hash;
    Content content = content_of(path_, name, &hash, &entry->bytes);
    const std::string digest = hash.hex();
    if (digest != entry->sha256)
        throw differs(path_ / name, "sha256 " + entry->sha256.substr(0, 12) + "..., found " + digest.substr(0, 12) + "...");
    if (fs::path(name).extension() == ".onnx") check_graph(content.view(), (path_ / name).string());
    return content;
}

}  // namespace lam
