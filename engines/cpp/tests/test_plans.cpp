#include <doctest/doctest.h>

#include "bundle_folder.h"
#include "lam/errors.h"
#include "plans.h"
#include "sha256.h"

using lam::Json;

namespace {

Json range(int least, int most) { return {{"min", least}, {"opt", most}, {"max", most}}; }

Json plan(const std::string& precision, const std::string& version, const std::string& capability) {
    return {{"graph", "model.fp16.onnx"},
            {"graph_sha256", lam::sha256("graph")},
            {"precision", precision},
            {"library", "tensorrt"},
            {"version", version},
            {"compute_capabilities", {capability}},
            {"gpu", "GPU"},
            {"inspector", "a.json"},
            {"profiles",
             {{{"batch", range(1, 64)}, {"tokens", range(1, 64)}},
              {{"batch", range(1, 64)}, {"tokens", range(1, 512)}},
              {{"batch", range(1, 4)}, {"tokens", range(1, 8192)}}}}};
}

Json entry(const std::string& content) { return {{"sha256", lam::sha256(content)}, {"bytes", content.size()}}; }

/// A plan of TensorRT for RTX, built where there was no GPU.
Json rtx_plan() {
    Json fields = plan("fp16", "1.7.1.116", "8.6");
    fields["library"] = "tensorrt-rtx";
    fields["compute_capabilities"] = {"8.6", "8.9"};
    fields["gpu"] = nullptr;
    fields["inspector"] = nullptr;
    return fields;
}

/// A bundle with a plan for TensorRT 10.9.0.34 on 9.0, one for 11.1.0.106, one for another GPU and one in float32; and one
/// for TensorRT for RTX.
class Planned {
  public:
    Planned() {
        Json fields = lam::manifest_fields();
        for (const char* name : {"old.plan", "new.plan", "other.plan", "fp32.plan", "rtx.plan", "a.json"})
            fields["files"][name] = entry("");
        fields["files"]["model.fp16.onnx"] = entry("graph");
        fields["plans"]["old.plan"] = plan("fp16", "10.9.0.34", "9.0");
        fields["plans"]["new.plan"] = plan("fp16", "11.1.0.106", "9.0");
        fields["plans"]["other.plan"] = plan("fp16", "10.9.0.34", "8.6");
        fields["plans"]["fp32.plan"] = plan("fp32", "10.9.0.34", "9.0");
        fields["plans"]["fp32.plan"]["graph_sha256"] = lam::sha256("another graph");
        fields["plans"]["rtx.plan"] = rtx_plan();
        folder.write_manifest(fields);
    }

    std::string choose(const std::string& precision, const std::string& version, const std::string& capability) const {
        return choose(precision, {lam::tensorrt_library, version, capability});
    }

    std::string choose(const std::string& precision, const lam::Environment& environment) const {
        try {
            return lam::choose_plan(lam::Bundle(folder.path), precision, environment);
        } catch (const lam::Error& error) {
            std::string said = error.what();
            const std::string place = folder.path.string();
            for (auto at = said.find(place); at != std::string::npos; at = said.find(place))
                said.replace(at, place.size(), "B");
            return said;
        }
    }

    lam::Folder folder;
};

}  // namespace

TEST_CASE("the plan for this TensorRT and this GPU") {
    const Planned bundle;
    CHECK(bundle.choose("fp16", "10.9.0.34", "9.0") == "old.plan");
    CHECK(bundle.choose("fp16", "11.1.0.106", "9.0") == "new.plan");
    CHECK(bundle.choose("fp16", "10.9.0.34", "8.6") == "other.plan");
}

TEST_CASE("no plan that runs here") {
    const Planned bundle;
    CHECK(bundle.choose("int8", "10.9.0.34", "9.0") ==
          "expected precision fp16 or fp32 with the engine tensorrt, found 'int8'");
    CHECK(bundle.choose("fp32", "10.9.0.34", "9.0") ==
          "expected fp32.plan to be built from the model.fp16.onnx of B, found it built from another; build it again: "
          "lam-export trt B --fp32");
    CHECK(bundle.choose("fp16", "10.9.0.35", "9.0") ==
          "expected a plan for TensorRT 10.9.0.35, the version installed here, found fp16 plans for 10.9.0.34, "
          "11.1.0.106 "
          "in B; build it here: lam-export trt B --fp16");
    CHECK(bundle.choose("fp16", "11.1.0.106", "8.6") ==
          "expected a plan for compute capability 8.6, that of the GPU here, found fp16 plans for 9.0 (GPU) in B; "
          "build it "
          "here: lam-export trt B --fp16");
}

TEST_CASE("plans of TensorRT for RTX") {
    const Planned bundle;
    const auto choose = [&](const std::string& precision, const std::string& version, const char* capability) {
        lam::Environment environment{lam::rtx_library, version, std::nullopt};
        if (capability != nullptr) environment.compute_capability = capability;
        return bundle.choose(precision, environment);
    };
    CHECK(choose("fp16", "1.7.1.116", "8.9") == "rtx.plan");
    CHECK(choose("fp16", "1.7.1.116", nullptr) == "rtx.plan");
    CHECK(choose("fp32", "1.7.1.116", "8.9") ==
          "expected a plan of precision fp32 for TensorRT for RTX in B, found fp16; build it here: lam-export trt B "
          "--fp32 --rtx");
    CHECK(choose("fp16", "1.8.0.2", "8.9") ==
          "expected a plan for TensorRT for RTX 1.8.0.2, the version installed here, found fp16 plans for 1.7.1.116 in "
          "B; build it here: lam-export trt B --fp16 --rtx");
    CHECK(choose("fp16", "1.7.1.116", "7.5") ==
          "expected a plan for compute capability 7.5, that of the GPU here, found fp16 plans for 8.6, 8.9 in B; build "
          "it here: lam-export trt B --fp16 --rtx");
}

TEST_CASE("profiles and shapes") {
    const Planned bundle;
    const lam::Bundle opened(bundle.folder.path);
    const lam::Plan& plan = lam::plan_of(opened, "old.plan");
    CHECK(lam::max_tokens(plan) == 8192);
    CHECK(lam::max_batch(plan, 64, "") == 64);
    CHECK(lam::max_batch(plan, 513, "") == 4);
    CHECK_THROWS_WITH(
        lam::max_batch(plan, 8193, "BUILD"),
        "expected texts of at most 8192 tokens, the longest that the plan's profiles take, found one of 8193; "
        "build a plan for longer texts: BUILD --max-tokens 12288");
    CHECK(lam::choose_profile(plan.profiles, 64, 64) == 0);
    CHECK(lam::choose_profile(plan.profiles, 2, 65) == 1);  // both hold 32,768 tokens; the shorter texts decide
    CHECK(lam::padded_shape(plan.profiles[0], 5, 33) == std::pair<std::size_t, std::size_t>{6, 48});
    CHECK(lam::padded_shape(plan.profiles[2], 4, 8191) == std::pair<std::size_t, std::size_t>{4, 8192});
}
