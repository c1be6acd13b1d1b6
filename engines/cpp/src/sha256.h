#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace lam {

/// A SHA-256 in the making.
class Sha256 {
  public:
    Sha256();
    void update(const char* data, std::size_t size);
    /// The digest as 64 hexadecimal digits; nothing can be added afterwards.
    std::string hex();

  private:
    std::shared_ptr<void> context_;
};

/// The SHA-256 of `content` as 64 hexadecimal digits.
std::string sha256(std::string_view content);

}  // namespace lam
