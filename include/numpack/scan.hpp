/* What unpickling a file would do, what is wrong with it, and what two files disagree on. */

#ifndef NUMPACK_SCAN_HPP
#define NUMPACK_SCAN_HPP

#include "callback.hpp"
#include "checkpoint.hpp"
#include "store.hpp"

NUMPACK_BEGIN

/* What a file is good for, the better one first. */
enum class verdict : std::int32_t {
    clean = NUMPACK_SCAN_CLEAN,
    suspicious = NUMPACK_SCAN_SUSPICIOUS,
    dangerous = NUMPACK_SCAN_DANGEROUS
};

/* One place of a name that is dangerous or unknown, or something else that is odd. The texts are
 * borrowed during the callback. */
struct finding {
    numpack::verdict level;
    std::string_view what;
    /* The pickle or record it is in; may be empty. */
    std::string_view part;
    /* The byte there, or -1. */
    std::int64_t offset;
};

using finding_callback = stoppable<const finding &>;

/* What was found in a file. */
struct scanned {
    numpack::verdict verdict = numpack::verdict::clean;
    /* Whether `torch.load` would take the pickles with `weights_only=True`. */
    bool weights_only = false;
};

/* Told what is wrong with a file, or only a notice, and in which words; borrowed during the call. */
using file_fault_callback = stoppable<bool, std::string_view>;

/* One thing that is not the same in two files. The texts are borrowed during the callback. */
struct difference {
    /* Where, as a dotted path; empty for the whole object. */
    std::string_view path;
    std::string_view what;
};

using difference_callback = stoppable<const difference &>;

namespace detail {

struct finding_listener {
    const finding_callback *callback;
    guard caught;

    static std::int32_t on_finding(std::int32_t level, const char *what, const char *part,
                                   std::int64_t offset, void *user) noexcept {
        auto &self = *static_cast<finding_listener *>(user);
        const bool goes_on = self.caught.run([&] {
            const finding found{static_cast<verdict>(level), what, part, offset};
            return (*self.callback)(found);
        });
        return goes_on ? 0 : 1;
    }
};

struct file_fault_listener {
    const file_fault_callback *callback;
    guard caught;

    static std::int32_t on_fault(std::int32_t is_notice, const char *message, void *user) noexcept {
        auto &self = *static_cast<file_fault_listener *>(user);
        return self.caught.run([&] { return (*self.callback)(is_notice != 0, message); }) ? 0 : 1;
    }
};

struct difference_listener {
    const difference_callback *callback;
    guard caught;

    static std::int32_t on_difference(const char *path, const char *what, void *user) noexcept {
        auto &self = *static_cast<difference_listener *>(user);
        const bool goes_on = self.caught.run([&] {
            const difference found{path, what};
            return (*self.callback)(found);
        });
        return goes_on ? 0 : 1;
    }
};

} // namespace detail

/* Reads each pickle that can be reached in a file of whatever kind; nothing is executed. `callback`
 * may be empty. `status::io`; `cancelled` by the callback. */
inline result<scanned> try_scan(std::string_view path, const finding_callback &callback = {}) {
    detail::finding_listener heard{&callback, {}};
    std::int32_t worst = 0, takes = 0;
    auto done = detail::call(numpack_scan, path, callback ? heard.on_finding : nullptr, &heard,
                             &worst, &takes);
    heard.caught.rethrow();
    if (!done) {
        return done.failure();
    }
    return scanned{static_cast<verdict>(worst), takes != 0};
}

/* Looks for everything that is wrong with a file of any kind; writes nothing. Faults are a result, not
 * an error. `callback` may be empty. `status::io`, `unsupported`, `cancelled`. */
inline result<verification> try_verify(std::string_view path,
                                       const file_fault_callback &callback = {}) {
    detail::file_fault_listener heard{&callback, {}};
    verification found;
    auto done = detail::call(numpack_verify, path, callback ? heard.on_fault : nullptr, &heard,
                             &found.faults, &found.notices);
    heard.caught.rethrow();
    if (!done && (done.status() != status::format || found.faults == 0)) {
        return done.failure();
    }
    found.message = done.message();
    return found;
}

/* How many differences there are between the objects of two files, `limit` at most, of which
 * `callback`, which may be empty, is told; 0 if they hold the same. Strides and the invisible rest
 * of storages are not compared. */
inline result<std::size_t> try_diff(const checkpoint &a, const checkpoint &b,
                                    const difference_callback &callback = {},
                                    std::size_t limit = 100) {
    detail::difference_listener heard{&callback, {}};
    std::size_t count = 0;
    auto done = detail::call(numpack_diff, a.c(), b.c(), limit,
                             callback ? heard.on_difference : nullptr, &heard, &count);
    heard.caught.rethrow();
    if (!done) {
        return done.failure();
    }
    return count;
}

#if NUMPACK_EXCEPTIONS
inline scanned scan(std::string_view path, const finding_callback &callback = {}) {
    return try_scan(path, callback).value();
}
inline verification verify(std::string_view path, const file_fault_callback &callback = {}) {
    return try_verify(path, callback).value();
}
inline std::size_t diff(const checkpoint &a, const checkpoint &b,
                        const difference_callback &callback = {}, std::size_t limit = 100) {
    return try_diff(a, b, callback, limit).value();
}
#endif

NUMPACK_END

#endif /* NUMPACK_SCAN_HPP */
