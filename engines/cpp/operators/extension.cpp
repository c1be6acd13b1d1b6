// `liblam_operators`, what any program with OpenVINO may load: core.add_extension("liblam_operators.so").
#include <openvino/core/extension.hpp>
#include <openvino/core/version.hpp>

#include "openvino_operator.h"

OPENVINO_CREATE_EXTENSIONS(lam::operator_extensions())

#define LAM_TEXT(x) #x
#define LAM_VERSION_TEXT(major, minor, patch) LAM_TEXT(major) "." LAM_TEXT(minor) "." LAM_TEXT(patch)

/// The version of OpenVINO that this was built with, 2026.4.1. It works with no other.
extern "C" __attribute__((visibility("default"))) const char* lam_operators_openvino_version() {
    return LAM_VERSION_TEXT(OPENVINO_VERSION_MAJOR, OPENVINO_VERSION_MINOR, OPENVINO_VERSION_PATCH);
}
