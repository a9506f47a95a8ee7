/* Packages: a store in one file. */

#ifndef NUMPACK_PACKAGE_HPP
#define NUMPACK_PACKAGE_HPP

#include "array.hpp"
#include "callback.hpp"
#include "handle.hpp"

NUMPACK_BEGIN

/* A package, open for reading as it is. It has the file open. */
class package
    : public detail::shared_handle<numpack_package, numpack_package_retain, numpack_package_free> {
  public:
    using shared_handle::shared_handle;

    /* Opens a package: all but the content of the arrays is read and checked. `status::format`,
     * `unsupported`, `limit`, `io`. */
    static result<package> try_open(std::string_view path) {
        return detail::make<package>(numpack_package_open, path);
    }

    package share() const { return *this; }
    result<numpack::list> try_list() const {
        return detail::make<numpack::list>(numpack_package_list, c());
    }
    /* Reads one array whole into `out`, which has its size. `status::not_found`; else as
     * `array::read`. Memory of another type than std::byte takes a listing for each call. */
    template <class R>
    result<void> try_read(std::string_view name, R &&out) const {
        auto memory = detail::elements(out);
        if (auto fit = fits<detail::element_of<R>>(name); !fit) {
            return fit;
        }
        return detail::call(numpack_package_read, c(), name, memory.data(), memory.size_bytes());
    }
    /* Reads `count` rows of one array from row `start` on. In a compressed package all before them
     * is inflated too. */
    template <class R>
    result<void> try_read_rows(std::string_view name, std::uint64_t start, std::uint64_t count,
                               R &&out) const {
        auto memory = detail::elements(out);
        if (auto fit = fits<detail::element_of<R>>(name); !fit) {
            return fit;
        }
        return detail::call(numpack_package_read_rows, c(), name, start, count, memory.data(),
                            memory.size_bytes());
    }
    /* Reads everything and compares the checksum. `status::format` if it is damaged. */
    result<void> try_verify() const { return detail::call(numpack_package_verify, c()); }

#if NUMPACK_EXCEPTIONS
    static package open(std::string_view path) { return try_open(path).value(); }
    numpack::list list() const { return try_list().value(); }
    template <class R>
    void read(std::string_view name, R &&out) const {
        try_read(name, out).value();
    }
    template <class R>
    void read_rows(std::string_view name, std::uint64_t start, std::uint64_t count,
                   R &&out) const {
        try_read_rows(name, start, count, out).value();
    }
    void verify() const { try_verify().value(); }
#endif

  private:
    template <class T>
    result<void> fits(std::string_view name) const {
        if constexpr (!detail::is_byte<T>) {
            auto arrays = try_list();
            if (!arrays) {
                return arrays.failure();
            }
            auto index = arrays->try_find(name);
            if (!index) {
                return index.failure();
            }
            auto info = arrays->try_get(*index);
            if (!info) {
                return info.failure();
            }
            return detail::fits<T>(info->dtype);
        } else {
            return {};
        }
    }
};

/* How the files of a package are stored. */
enum class compression : std::int32_t {
    none = NUMPACK_COMPRESSION_NONE,
    zlib = NUMPACK_COMPRESSION_ZLIB
};

/* How `pack` makes a package. */
struct pack_options {
    numpack::compression compression = numpack::compression::none;
    /* A file at the path is replaced; else it is `status::exists`. */
    bool overwrite = false;
    warning_callback warning;
};

/* What `pack` and `unpack` did. */
struct packed {
    std::uint64_t files = 0;
    std::uint64_t size = 0;
    /* 0 after `unpack`. */
    std::uint64_t package_size = 0;
};

/* How `unpack` makes a store. */
struct unpack_options {
    /* A store at the path is replaced; else it is `status::exists`. */
    bool overwrite = false;
    /* Where a writer has that store, it is `status::locked`, and this does not wait. */
    bool no_wait = false;
    warning_callback warning;
};

/* Makes a package of the store at a path, in one state of it; it appears whole or not at all.
 * `status::exists`, `not_a_store`, `changed`, `format`, `io`. */
inline result<packed> try_pack(std::string_view store, std::string_view package,
                               const pack_options &options = {}) {
    detail::listener heard;
    heard.warning = &options.warning;
    numpack_pack_options c_options{};
    c_options.struct_size = static_cast<std::uint32_t>(sizeof c_options);
    c_options.compression = static_cast<std::int32_t>(options.compression);
    c_options.overwrite = options.overwrite;
    c_options.warning = heard.on_warning;
    c_options.user = &heard;
    packed made;
    auto done = detail::call(numpack_pack, store, package, &c_options, &made.files, &made.size,
                             &made.package_size);
    heard.caught.rethrow();
    if (!done) {
        return done.failure();
    }
    return made;
}

/* Makes a store of a package; everything is checked before it appears, whole. `status::exists`,
 * `not_a_store`, `format`, `limit`, `locked`, `io`. */
inline result<packed> try_unpack(std::string_view package, std::string_view store,
                                 const unpack_options &options = {}) {
    detail::listener heard;
    heard.warning = &options.warning;
    numpack_unpack_options c_options{};
    c_options.struct_size = static_cast<std::uint32_t>(sizeof c_options);
    c_options.overwrite = options.overwrite;
    c_options.no_wait = options.no_wait;
    c_options.warning = heard.on_warning;
    c_options.user = &heard;
    packed made;
    auto done =
        detail::call(numpack_unpack, package, store, &c_options, &made.files, &made.size);
    heard.caught.rethrow();
    if (!done) {
        return done.failure();
    }
    return made;
}

#if NUMPACK_EXCEPTIONS
inline packed pack(std::string_view store, std::string_view package,
                   const pack_options &options = {}) {
    return try_pack(store, package, options).value();
}
inline packed unpack(std::string_view package, std::string_view store,
                     const unpack_options &options = {}) {
    return try_unpack(package, store, options).value();
}
#endif

NUMPACK_END

#endif /* NUMPACK_PACKAGE_HPP */
