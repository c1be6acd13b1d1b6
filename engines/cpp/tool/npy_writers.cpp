#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "npy.h"
#include "signals.h"

namespace lam {
namespace {

namespace fs = std::filesystem;

const char* const output_name = "standard output";

/// A regular file that standard output was sent to. If it is not finished it is cut back to what it held before.
class InPlaceWriter : public NpyWriter {
  public:
    InPlaceWriter(std::size_t columns, off_t start)
        : NpyWriter(output_name, "the folder it is in", columns), start_(start) {
        const std::vector<char> room(npy_header(0, columns).size());
        put(STDOUT_FILENO, room.data(), room.size());
    }
    ~InPlaceWriter() override {
        if (finished_ || ::ftruncate(STDOUT_FILENO, start_) != 0) return;
        (void)::lseek(STDOUT_FILENO, start_, SEEK_SET);
    }

    void finish() override {
        put_header_at(STDOUT_FILENO, start_);
        finished_ = true;
    }

  protected:
    int descriptor() const override { return STDOUT_FILENO; }

  private:
    off_t start_;
    bool finished_ = false;
};

/// A temporary file without a name, which is gone when the process is.
int open_spool(const fs::path& folder) {
    std::string name = (folder / "lam-embed.XXXXXX").string();
    const int descriptor = ::mkostemp(name.data(), O_CLOEXEC);
    if (descriptor < 0)
        throw OutputError("expected a place for a temporary file, found " + folder.string() + ": " +
                          std::strerror(errno) + "; name another with TMPDIR=DIR, or write to a file: -o FILE.npy");
    ::unlink(name.c_str());
    return descriptor;
}

/// A pipe, which takes its header first and is not written to before the last row is there.
class SpooledWriter : public NpyWriter {
  public:
    explicit SpooledWriter(std::size_t columns)
        : NpyWriter(output_name, fs::temp_directory_path(), columns), spool_(open_spool(folder_)) {}

    void finish() override {
        const auto header = npy_header(rows_, columns_);
        put(STDOUT_FILENO, header.data(), header.size());
        std::vector<char> piece(std::size_t{1} << 20U);
        for (off_t at = 0;;) {
            const ssize_t count = ::pread(spool_.number(), piece.data(), piece.size(), at);
            if (count < 0) fail(errno);
            if (count == 0) break;
            put(STDOUT_FILENO, piece.data(), static_cast<std::size_t>(count));
            at += count;
        }
    }

  protected:
    int descriptor() const override { return spool_.number(); }

  private:
    Descriptor spool_;
};

fs::path draft_of(const fs::path& target) {
    std::random_device random;
    return target.parent_path() / (".lam-embed." + std::to_string(random()) + ".part");
}

/// A file beside its place.
class FileWriter : public NpyWriter {
  public:
    FileWriter(const fs::path& path, fs::path target, std::size_t columns, bool force)
        : NpyWriter(path.string(), target.parent_path(), columns),
          force_(force),
          target_(std::move(target)),
          draft_(draft_of(target_)),
          file_(::open(draft_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)) {
        if (file_.number() < 0)
            throw OutputError(name_ + ": expected a place for a new file, found: " + std::strerror(errno) +
                              "; choose another");
        try {
            const std::vector<char> room(npy_header(0, columns).size());
            put(file_.number(), room.data(), room.size());
        } catch (...) {
            ::unlink(draft_.c_str());
            throw;
        }
    }
    ~FileWriter() override {
        if (!finished_) ::unlink(draft_.c_str());
    }

    void finish() override {
        put_header_at(file_.number(), 0);
        if (::fsync(file_.number()) != 0) fail(errno);
        if (force_) {
            if (::rename(draft_.c_str(), target_.c_str()) != 0) fail(errno);
            finished_ = true;
            return;
        }
        if (move_to(target_)) return;
        for (int number = 1;; ++number) {
            const fs::path other =
                folder_ / (target_.stem().string() + "-" + std::to_string(number) + target_.extension().string());
            if (move_to(other))
                throw OutputError("expected a new output file, found that " + name_ +
                                  " appeared during the run; it is unchanged, and the embeddings are in " +
                                  other.string());
        }
    }

  protected:
    int descriptor() const override { return file_.number(); }

  private:
    /// Whether no file had that name. One that has it stays.
    bool move_to(const fs::path& place) {
        if (::renameat2(AT_FDCWD, draft_.c_str(), AT_FDCWD, place.c_str(), RENAME_NOREPLACE) != 0) {
            if (errno == EEXIST) return false;
            if (errno != EINVAL && errno != ENOSYS) fail(errno);
            // This filesystem cannot look and rename in one step.
            std::error_code error;
            if (fs::exists(place, error)) return false;
            if (::rename(draft_.c_str(), place.c_str()) != 0) fail(errno);
        }
        finished_ = true;
        return true;
    }

    bool force_;
    fs::path target_;
    fs::path draft_;
    Descriptor file_;
    bool finished_ = false;
};

}  // namespace

std::unique_ptr<NpyWriter> standard_output_writer(std::size_t columns) {
    struct stat status {};
    const int flags = ::fcntl(STDOUT_FILENO, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY || ::fstat(STDOUT_FILENO, &status) != 0)
        throw OutputError(
            "expected standard output as a file or a pipe, found it closed; write to a file: -o FILE.npy");
    if (::isatty(STDOUT_FILENO) != 0)
        throw OutputError(
            "expected standard output as a file or a pipe, found a terminal; write to a file: -o FILE.npy");
    const off_t start = ::lseek(STDOUT_FILENO, 0, SEEK_CUR);
    const bool appended = (flags & O_APPEND) != 0;  // all is written to the end then
    if (S_ISREG(status.st_mode) && start >= 0 && !appended) return std::make_unique<InPlaceWriter>(columns, start);
    return std::make_unique<SpooledWriter>(columns);
}

std::unique_ptr<NpyWriter> file_writer(const fs::path& path, std::size_t columns, bool force) {
    std::error_code error;
    const fs::path target = fs::weakly_canonical(fs::absolute(path), error);
    if (path.extension() != ".npy")
        throw OutputError("expected an output file ending in .npy, found " + path.string() + "; rename it");
    if (fs::is_directory(target, error))
        throw OutputError("expected an output file, found the folder " + path.string() + "; name a file in it");
    if (!fs::is_directory(target.parent_path(), error))
        throw OutputError(path.string() + ": expected a folder at " + target.parent_path().string() +
                          ", found none; mkdir -p " + target.parent_path().string());
    if (fs::exists(target, error) && !force)
        throw OutputError("expected a new output file, found " + path.string() +
                          " in place; choose another name, or replace it with --force");
    return std::make_unique<FileWriter>(path, target, columns, force);
}

}  // namespace lam
