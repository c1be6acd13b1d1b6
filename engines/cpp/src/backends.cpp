#include "backend.h"

namespace lam {

std::vector<std::string> built_backends() {
    return {
#ifdef LAM_WITH_OPENVINO
        "openvino",
#endif
#ifdef LAM_WITH_TENSORRT
        "tensorrt", "tensorrt-rtx",
#endif
    };
}

std::unique_ptr<Backend> make_backend(const std::string& name, const Bundle& bundle, const Options& options) {
#ifdef LAM_WITH_OPENVINO
    if (name == "openvino") return make_openvino_backend(bundle, options);
#endif
#ifdef LAM_WITH_TENSORRT
    if (name == "tensorrt") return make_tensorrt_backend(bundle, options);
    if (name == "tensorrt-rtx") return make_tensorrt_rtx_backend(bundle, options);
#endif
    throw EngineError("expected a backend of this build, found " + name + "; build lam_engine with it");
}

}  // namespace lam
