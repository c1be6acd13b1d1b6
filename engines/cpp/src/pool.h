#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace lam {

/// Contexts of a runtime, each used by one thread at a time; as many as there were threads at once.
template <typename Context>
class Pool {
  public:
    explicit Pool(std::function<std::unique_ptr<Context>()> make) : make_(std::move(make)) {}

    /// Work with a context that nobody else uses. If the work throws, the context is not used again.
    template <typename Work>
    auto with(const Work& work) {
        std::unique_ptr<Context> context = take();
        auto result = work(*context);
        const std::lock_guard lock(mutex_);
        idle_.push_back(std::move(context));
        return result;
    }

  private:
    std::unique_ptr<Context> take() {
        {
            const std::lock_guard lock(mutex_);
            if (!idle_.empty()) {
                std::unique_ptr<Context> context = std::move(idle_.back());
                idle_.pop_back();
                return context;
            }
        }
        return make_();
    }

    std::function<std::unique_ptr<Context>()> make_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<Context>> idle_;
};

}  // namespace lam
