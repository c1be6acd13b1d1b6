#pragma once

#include <string>
#include <string_view>

namespace lam {

/// See that an ONNX file holds all its values itself, and is no larger in memory than its size lets expect. Throws a
/// BundleError that names `where`. `bundles/graph_file.py` says why, and refuses the same in the same words.
void check_graph(std::string_view content, const std::string& where);

}  // namespace lam
