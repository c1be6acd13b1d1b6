#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "manifest.h"

namespace lam {

/// Bytes of a file, in large pages where the system has them: a graph's 94 MB would fault 23,000 small ones.
class Content {
  public:
    /// Room for a file of so many bytes.
    explicit Content(std::size_t size);

    char* data() { return data_.get(); }
    std::size_t size() const { return size_; }
    std::string_view view() const { return {data_.get(), size_}; }
    /// Keep only the first bytes.
    void cut(std::size_t size) { size_ = size; }

  private:
    struct Free {
        void operator()(char* data) const;
    };
    std::unique_ptr<char, Free> data_;
    std::size_t size_;
};

/// A bundle on disk. Its manifest is checked when it is opened, each file when it is read.
class Bundle {
  public:
    /// Throws BundleError: there is none, or its manifest is not to be trusted.
    explicit Bundle(std::filesystem::path path);

    /// The content of one of the bundle's files, equal to what was written when the bundle was made.
    ///
    /// The bytes that were hashed are the bytes returned, so nothing can change between check and use. Throws
    /// BundleError: the file is not listed, missing, outside the folder, or differs from its hash.
    Content read(const std::string& name) const;

    const std::filesystem::path& path() const { return path_; }
    const Manifest& manifest() const { return manifest_; }

  private:
    std::filesystem::path path_;
    Manifest manifest_;
};

}  // namespace lam
