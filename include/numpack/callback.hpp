/* Callbacks: any callable, whose exceptions do not cross C. */

#ifndef NUMPACK_CALLBACK_HPP
#define NUMPACK_CALLBACK_HPP

#include "result.hpp"

#include <exception>
#include <functional>

NUMPACK_BEGIN

/* A callable that is told something, and returns whether to go on; one that returns nothing goes
 * on. Called on the thread of the call it is handed to; may be empty. */
template <class... A>
class stoppable {
  public:
    stoppable() = default;
    stoppable(std::nullptr_t) {}
    template <class F, class R = std::invoke_result_t<F &, A...>,
              class = std::enable_if_t<!std::is_same_v<std::decay_t<F>, stoppable>>>
    stoppable(F callable) {
        if constexpr (std::is_void_v<R>) {
            function_ = [callable = std::move(callable)](A... told) mutable {
                callable(told...);
                return true;
            };
        } else {
            static_assert(std::is_same_v<R, bool>, "return a bool, whether to go on, or nothing");
            function_ = std::move(callable);
        }
    }

    explicit operator bool() const noexcept { return static_cast<bool>(function_); }
    bool operator()(A... told) const { return function_(told...); }

  private:
    std::function<bool(A...)> function_;
};

/* Told how many bytes of how many are done, at least once for every 16 MiB. */
using progress_callback = stoppable<std::uint64_t, std::uint64_t>;
/* Told what the caller should know though the work succeeded, which it has by then: what this
 * throws undoes nothing. The text is valid during the call. */
using warning_callback = std::function<void(std::string_view)>;

namespace detail {

/* Keeps what a callback throws until the C function has returned. */
class guard {
  public:
    /* What the callback returns; false once one has thrown. */
    template <class F>
    bool run(F &&callback) noexcept {
#if NUMPACK_EXCEPTIONS
        if (thrown_) {
            return false;
        }
        try {
            return callback();
        } catch (...) {
            thrown_ = std::current_exception();
            return false;
        }
#else
        return callback();
#endif
    }

    void rethrow() {
#if NUMPACK_EXCEPTIONS
        if (thrown_) {
            std::rethrow_exception(std::exchange(thrown_, nullptr));
        }
#endif
    }

  private:
#if NUMPACK_EXCEPTIONS
    std::exception_ptr thrown_;
#endif
};

/* The callbacks of one call. It is the `user` of both functions below. */
struct listener {
    const progress_callback *progress = nullptr;
    const warning_callback *warning = nullptr;
    guard caught;

    static std::int32_t on_progress(std::uint64_t done, std::uint64_t total, void *user) noexcept {
        auto &self = *static_cast<listener *>(user);
        const bool goes_on = self.caught.run([&] { return (*self.progress)(done, total); });
        return goes_on ? 0 : 1;
    }

    static void on_warning(const char *message, void *user) noexcept {
        auto &self = *static_cast<listener *>(user);
        self.caught.run([&] {
            if (*self.warning) {
                (*self.warning)(message);
            }
            return true;
        });
    }
};

} // namespace detail

NUMPACK_END

#endif /* NUMPACK_CALLBACK_HPP */
