/* Statuses, errors, results, and how a C function is called. */

#ifndef NUMPACK_RESULT_HPP
#define NUMPACK_RESULT_HPP

#include "../numpack.h"

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#if defined(__cpp_exceptions)
#define NUMPACK_EXCEPTIONS 1
/* Parts of a program with and without exceptions may be linked together: they share no name. */
#define NUMPACK_BEGIN namespace numpack { inline namespace throwing {
#else
#define NUMPACK_EXCEPTIONS 0
#define NUMPACK_BEGIN namespace numpack { inline namespace not_throwing {
#endif
#define NUMPACK_END } }

NUMPACK_BEGIN

/* What came of a call; numpack.h says more of each. */
enum class status : std::int32_t {
    ok = NUMPACK_OK,
    io = NUMPACK_IO,
    format = NUMPACK_FORMAT,
    unsupported = NUMPACK_UNSUPPORTED,
    parameter = NUMPACK_PARAMETER,
    limit = NUMPACK_LIMIT,
    cancelled = NUMPACK_CANCELLED,
    exists = NUMPACK_EXISTS,
    locked = NUMPACK_LOCKED,
    panic = NUMPACK_PANIC,
    not_found = NUMPACK_NOT_FOUND,
    changed = NUMPACK_CHANGED,
    forked = NUMPACK_FORKED,
    poisoned = NUMPACK_POISONED,
    not_a_store = NUMPACK_NOT_A_STORE,
    sharing = NUMPACK_SHARING,
    type = NUMPACK_TYPE,
    in_use = NUMPACK_IN_USE,
    out_of_memory = NUMPACK_OUT_OF_MEMORY,
    device = NUMPACK_DEVICE,
    index = NUMPACK_INDEX
};

/* Why a call failed. */
struct failure {
    numpack::status code = numpack::status::ok;
    std::string message;
    /* The system's number (`errno`), such as ENOENT; 0 where it was not the system that refused. */
    int os_error = 0;
};

/* What functions throw that can fail. */
class error : public std::runtime_error {
  public:
    explicit error(const failure &why)
        : std::runtime_error(why.message), status_(why.code), os_error_(why.os_error) {}
    numpack::status status() const noexcept { return status_; }
    int os_error() const noexcept { return os_error_; }

  private:
    numpack::status status_;
    int os_error_;
};

/* A value, or why there is none. Looking at the wrong one of the two ends the program. */
template <class T>
class [[nodiscard]] result {
  public:
    result(T value) : value_(std::move(value)) {}
    result(numpack::failure why) : failure_(std::move(why)) {}

    bool has_value() const noexcept { return value_.has_value(); }
    explicit operator bool() const noexcept { return has_value(); }
    T &operator*() & { return *checked(); }
    const T &operator*() const & { return *const_cast<result *>(this)->checked(); }
    T &&operator*() && { return std::move(*checked()); }
    T *operator->() { return checked(); }
    const T *operator->() const { return const_cast<result *>(this)->checked(); }
    T value_or(T other) && { return has_value() ? std::move(*value_) : std::move(other); }

    /* `status::ok` if there is a value. */
    numpack::status status() const noexcept { return failure_.code; }
    const numpack::failure &failure() const noexcept { return failure_; }
    const std::string &message() const noexcept { return failure_.message; }

#if NUMPACK_EXCEPTIONS
    /* The value; throws `error` if there is none. */
    T value() && {
        if (!has_value()) {
            throw error(failure_);
        }
        return std::move(*value_);
    }
#endif

  private:
    T *checked() {
        if (!value_.has_value()) {
            std::abort();
        }
        return &*value_;
    }

    std::optional<T> value_;
    numpack::failure failure_;
};

/* Success, or why not. */
template <>
class [[nodiscard]] result<void> {
  public:
    result() = default;
    result(numpack::failure why) : failure_(std::move(why)) {}

    bool has_value() const noexcept { return failure_.code == numpack::status::ok; }
    explicit operator bool() const noexcept { return has_value(); }
    numpack::status status() const noexcept { return failure_.code; }
    const numpack::failure &failure() const noexcept { return failure_; }
    const std::string &message() const noexcept { return failure_.message; }

#if NUMPACK_EXCEPTIONS
    /* Throws `error` after a failure. */
    void value() const {
        if (!has_value()) {
            throw error(failure_);
        }
    }
#endif

  private:
    numpack::failure failure_;
};

/* The version of the library, such as `0.1.0`. */
inline std::string_view version() noexcept { return numpack_version(); }

/* Whether the library at hand belongs to the numpack.h that this was compiled with. */
inline bool is_compatible() noexcept { return numpack_abi_version() == NUMPACK_ABI_VERSION; }

namespace detail {

/* The message is the thread's: it is fetched before any other call. */
inline failure last_failure(std::int32_t code) {
    failure why;
    why.code = static_cast<status>(code);
    why.os_error = numpack_last_os_error();
    const std::size_t length = numpack_last_error(nullptr, 0);
    why.message.resize(length + 1);
    numpack_last_error(why.message.data(), length + 1);
    why.message.resize(length);
    return why;
}

/* Text as C has it, for as long as a call lasts. */
class text {
  public:
    explicit text(std::string_view from) : text_(from) {}
    operator const char *() const noexcept { return text_.c_str(); }
    bool is_whole() const noexcept { return text_.find('\0') == std::string::npos; }

  private:
    std::string text_;
};

template <class A>
auto argument(A given) {
    if constexpr (std::is_same_v<A, std::string_view>) {
        return text(given);
    } else {
        return given;
    }
}

template <class A>
bool is_whole(const A &given) {
    if constexpr (std::is_same_v<A, text>) {
        return given.is_whole();
    } else {
        return true;
    }
}

inline failure nul_within() {
    return {status::parameter, "a path or name has a NUL within: the library takes none such", 0};
}

template <class F, class... A>
result<void> call_with(F function, const A &...arguments) {
    if (!(is_whole(arguments) && ...)) {
        return nul_within();
    }
    const std::int32_t code = function(arguments...);
    if (code != NUMPACK_OK) {
        return last_failure(code);
    }
    return {};
}

/* Calls a C function; a std::string_view becomes text that ends in NUL. */
template <class F, class... A>
result<void> call(F function, A... arguments) {
    return call_with(function, argument(arguments)...);
}

/* Calls a C function whose last argument takes a handle, and owns that. */
template <class T, class F, class... A>
result<T> make(F function, A... arguments) {
    typename T::c_type *handle = nullptr;
    result<void> done = call(function, arguments..., &handle);
    if (!done) {
        return done.failure();
    }
    return T(handle);
}

/* Calls a C function whose last argument takes a value. */
template <class T, class F, class... A>
result<T> ask(F function, A... arguments) {
    T value{};
    result<void> done = call(function, arguments..., &value);
    if (!done) {
        return done.failure();
    }
    return value;
}

/* The same for a struct that begins with its size. */
template <class T, class F, class... A>
result<T> ask_struct(F function, A... arguments) {
    T value{};
    value.struct_size = static_cast<std::uint32_t>(sizeof value);
    result<void> done = call(function, arguments..., &value);
    if (!done) {
        return done.failure();
    }
    return value;
}

} // namespace detail

NUMPACK_END

#endif /* NUMPACK_RESULT_HPP */
