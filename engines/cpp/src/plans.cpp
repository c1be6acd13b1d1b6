#include "plans.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <set>

#include "batching.h"
#include "lam/errors.h"
#include "text.h"

namespace lam {
namespace {

using Named = std::pair<std::string, Plan>;
using Texts = std::vector<std::string>;

std::size_t most(const Range& range) { return static_cast<std::size_t>(range.max); }

std::size_t within(const Range& range, std::size_t count) {
    return std::clamp(bucket(count), static_cast<std::size_t>(range.min), most(range));
}

std::vector<const Named*> those(const std::vector<const Named*>& plans, const std::function<bool(const Plan&)>& fit) {
    std::vector<const Named*> out;
    std::copy_if(plans.begin(), plans.end(), std::back_inserter(out), [&](const Named* n) { return fit(n->second); });
    return out;
}

/// What differs between plans, each once, in order.
std::string there(const std::vector<const Named*>& plans, const std::function<Texts(const Plan&)>& of) {
    std::set<std::string> found;
    for (const Named* plan : plans)
        for (std::string& text : of(plan->second)) found.insert(std::move(text));
    return found.empty() ? "none" : joined({found.begin(), found.end()});
}

Texts gpus(const Plan& plan) {
    Texts found = plan.compute_capabilities;
    for (std::string& capability : found)
        if (!plan.gpu.empty()) capability += " (" + plan.gpu + ")";
    return found;
}

}  // namespace

std::string build_command(const Bundle& bundle, const std::string& precision, const PlanLibrary& library) {
    return "lam-export trt " + shell_quoted(bundle.path().string()) + " --" + precision + library.build_option;
}

std::string choose_plan(const Bundle& bundle, const std::string& precision, const Environment& environment) {
    const PlanLibrary& library = environment.library;
    const std::string title = library.title;
    if (precision != "fp16" && precision != "fp32")
        throw EngineError("expected precision fp16 or fp32 with the engine " + std::string(library.name) + ", found " +
                          lam::quoted(precision));
    const std::string build = build_command(bundle, precision, library);
    const std::string place = " in " + bundle.path().string();
    std::vector<const Named*> all;
    for (const Named& plan : bundle.manifest().plans)
        if (plan.second.library == library.name) all.push_back(&plan);

    const auto found = those(all, [&](const Plan& plan) { return plan.precision == precision; });
    if (found.empty())
        throw BundleError("expected a plan of precision " + precision + " for " + title + place + ", found " +
                          there(all, [](const Plan& plan) { return Texts{plan.precision}; }) +
                          "; build it here: " + build);
    const auto here = those(found, [&](const Plan& plan) { return plan.version == environment.version; });
    if (here.empty())
        throw BundleError("expected a plan for " + title + " " + environment.version +
                          ", the version installed here, found " + precision + " plans for " +
                          there(found, [](const Plan& plan) { return Texts{plan.version}; }) + place +
                          "; build it here: " + build);
    const auto& capability = environment.compute_capability;
    const auto fitting = those(here, [&](const Plan& plan) {
        const Texts& known = plan.compute_capabilities;
        return !capability || std::find(known.begin(), known.end(), *capability) != known.end();
    });
    if (fitting.empty())
        throw BundleError("expected a plan for compute capability " + *capability +
                          ", that of the GPU here, found " + precision + " plans for " + there(here, gpus) + place +
                          "; build it here: " + build);
    const auto& [name, plan] = *fitting.back();
    const FileEntry* graph = bundle.manifest().file(plan.graph);
    if (graph != nullptr && graph->sha256 != plan.graph_sha256)
        throw BundleError("expected " + name + " to be built from the " + plan.graph + " of " + bundle.path().string() +
                          ", found it built from another; build it again: " + build);
    return name;
}

const Plan& plan_of(const Bundle& bundle, const std::string& name) {
    const auto& plans = bundle.manifest().plans;
    return std::find_if(plans.begin(), plans.end(), [&](const Named& plan) { return plan.first == name; })->second;
}

std::size_t max_tokens(const Plan& plan) {
    std::size_t longest = 0;
    for (const Profile& profile : plan.profiles) longest = std::max(longest, most(profile.tokens));
    return longest;
}

std::size_t max_batch(const Plan& plan, std::size_t tokens, const std::string& build_command) {
    std::size_t rows = 0;
    for (const Profile& profile : plan.profiles)
        if (tokens <= most(profile.tokens)) rows = std::max(rows, most(profile.batch));
    if (rows == 0)
        throw InputError("expected texts of at most " + std::to_string(max_tokens(plan)) +
                         " tokens, the longest that the plan's profiles take, found one of " + std::to_string(tokens) +
                         "; build a plan for longer texts: " + build_command + " --max-tokens " +
                         std::to_string(bucket(tokens)));
    return rows;
}

std::size_t choose_profile(const std::vector<Profile>& profiles, std::size_t batch, std::size_t tokens) {
    const auto size = [&](std::size_t i) {
        return std::pair(most(profiles[i].batch) * most(profiles[i].tokens), most(profiles[i].tokens));
    };
    std::optional<std::size_t> best;
    for (std::size_t i = 0; i < profiles.size(); ++i) {
        const bool fits = batch <= most(profiles[i].batch) && tokens <= most(profiles[i].tokens);
        if (fits && (!best || size(i) < size(*best))) best = i;
    }
    return best.value();
}

std::pair<std::size_t, std::size_t> padded_shape(const Profile& profile, std::size_t batch, std::size_t tokens) {
    return {within(profile.batch, batch), within(profile.tokens, tokens)};
}

}  // namespace lam
