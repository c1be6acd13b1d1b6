#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <memory>
#include <string>

#include "lam/errors.h"

namespace lam {

/// A file of embeddings that cannot be written.
struct OutputError : Error {
    using Error::Error;
};

/// Whoever read our output has gone.
struct BrokenPipe : std::exception {};

/// The header of a NumPy file of float32 `[rows, columns]`, byte for byte as NumPy writes it.
std::array<char, 128> npy_header(std::uint64_t rows, std::uint64_t columns);

/// An open file, closed in the end.
class Descriptor {
  public:
    explicit Descriptor(int number) : number_(number) {}
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor();

    int number() const { return number_; }

  private:
    int number_;
};

/// A `.npy` file of float32 `[rows, columns]` in the making, of which only a part is held in memory.
///
/// The number of rows is known last: the header is written then, so that what was not finished cannot be read as a
/// whole file.
class NpyWriter {
  public:
    NpyWriter(const NpyWriter&) = delete;
    NpyWriter& operator=(const NpyWriter&) = delete;
    virtual ~NpyWriter() = default;

    /// Append rows. Throws EngineError: a value is not finite; OutputError: the disk is full or fails; BrokenPipe.
    void write(const float* values, std::size_t rows);

    /// Complete the file after the last row.
    virtual void finish() = 0;

    std::uint64_t rows() const { return rows_; }

  protected:
    /// `folder` is where room is to be made if the disk is full.
    NpyWriter(std::string name, std::filesystem::path folder, std::size_t columns);

    virtual int descriptor() const = 0;
    void put(int descriptor, const char* data, std::size_t size) const;
    void put_header_at(int descriptor, std::int64_t offset) const;
    [[noreturn]] void fail(int error) const;

    std::string name_;
    std::filesystem::path folder_;
    std::size_t columns_;
    std::uint64_t rows_ = 0;
};

/// Writes to standard output: in place if it is a file, through a spool if it is a pipe.
///
/// Throws OutputError: it is a terminal, or closed.
std::unique_ptr<NpyWriter> standard_output_writer(std::size_t columns);

/// Writes a file beside its place, which takes that place when it is finished, and is removed if it is not.
///
/// Throws OutputError: no such folder, another suffix than .npy, or an existing file without `force`.
std::unique_ptr<NpyWriter> file_writer(const std::filesystem::path& path, std::size_t columns, bool force);

}  // namespace lam
