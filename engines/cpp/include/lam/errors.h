#pragma once

#include <stdexcept>

#include "lam/export.h"

namespace lam {

/// What the user can mend: one line that says what was expected, what was found, and the way out.
class LAM_API Error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// A bundle that is missing, broken, changed since it was made, or of another format version.
class LAM_API BundleError : public Error {
  public:
    using Error::Error;
};

/// An engine that cannot run here.
class LAM_API EngineError : public Error {
  public:
    using Error::Error;
};

/// Texts or token ids that no engine may be given.
class LAM_API InputError : public Error {
  public:
    using Error::Error;
};

}  // namespace lam
