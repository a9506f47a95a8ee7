/* What a store or a package holds: lists of arrays, arrays, their rows as memory. */

#ifndef NUMPACK_ARRAY_HPP
#define NUMPACK_ARRAY_HPP

#include "callback.hpp"
#include "dtype.hpp"
#include "handle.hpp"
#include "span.hpp"
#include "tensor.hpp"
#include "view.hpp"

NUMPACK_BEGIN

/* What is said of one array; numpack.h says more of each. Name and shape are borrowed from the list
 * or the array that was asked. */
struct array_info {
    std::string_view name;
    numpack::dtype dtype = numpack::dtype::none;
    /* What the elements stand for where that is not `dtype`, such as `bfloat16`; else empty. */
    std::string_view logical_dtype;
    span<const std::uint64_t> shape;
    bool hidden = false;
    std::uint64_t rows = 0;
    std::uint64_t row_size = 0;
    std::uint64_t nbytes = 0;
    std::uint64_t stored_rows = 0;
    std::int64_t modified_micros = 0;
};

namespace detail {

inline array_info info_of(const numpack_array_info &c) {
    array_info info;
    info.name = {c.name, c.name_length};
    info.dtype = static_cast<numpack::dtype>(c.dtype);
    info.logical_dtype = c.logical_dtype == nullptr ? std::string_view() : c.logical_dtype;
    info.shape = {c.shape, c.ndim};
    info.hidden = c.hidden != 0;
    info.rows = c.rows;
    info.row_size = c.row_size;
    info.nbytes = c.nbytes;
    info.stored_rows = c.stored_rows;
    info.modified_micros = c.modified_micros;
    return info;
}

} // namespace detail

/* The arrays of a store or a package in one state of it, in their order. Does not change. */
class list : public detail::shared_handle<numpack_list, numpack_list_retain, numpack_list_free> {
  public:
    using shared_handle::shared_handle;
    using iterator = detail::place_iterator<list, array_info>;

    list share() const { return *this; }
    std::size_t size() const noexcept { return numpack_list_count(c()); }
    bool empty() const noexcept { return size() == 0; }
    /* Goes over the arrays; what it gives is borrowed from this list. */
    iterator begin() const { return {*this, 0}; }
    iterator end() const { return {*this, size()}; }

    /* What there is at a place, from 0. `status::parameter` past the last one. */
    result<array_info> try_get(std::size_t index) const {
        auto info = detail::ask_struct<numpack_array_info>(numpack_list_get, c(), index);
        if (!info) {
            return info.failure();
        }
        return detail::info_of(*info);
    }
    /* The place of a name. `status::not_found`. */
    result<std::size_t> try_find(std::string_view name) const {
        return detail::ask<std::size_t>(numpack_list_find, c(), name);
    }
    /* Tells what a reader should know though the arrays can be read. */
    result<void> try_warnings(const warning_callback &warning) const {
        detail::listener heard;
        heard.warning = &warning;
        auto done = detail::call(numpack_list_warnings, c(), heard.on_warning, &heard);
        heard.caught.rethrow();
        return done;
    }

#if NUMPACK_EXCEPTIONS
    array_info get(std::size_t index) const { return try_get(index).value(); }
    std::size_t find(std::string_view name) const { return try_find(name).value(); }
    array_info operator[](std::string_view name) const { return get(find(name)); }
    void warnings(const warning_callback &warning) const { try_warnings(warning).value(); }
#endif
};

/* The rows of an array as memory, read from the disk as they are touched. The caller answers for
 * the files: numpack_array_map in numpack.h says how. */
class mapped_rows
    : public detail::shared_handle<numpack_mapped_rows, numpack_mapped_rows_retain,
                                   numpack_mapped_rows_free> {
  public:
    mapped_rows() noexcept = default;
    /* Takes a handle from C, of rows of a type; without it they are bytes only. */
    explicit mapped_rows(numpack_mapped_rows *owned,
                         numpack::dtype type = numpack::dtype::none) noexcept
        : shared_handle(owned), type_(type) {}

    mapped_rows share() const { return *this; }
    numpack::dtype dtype() const noexcept { return type_; }

    /* One row, from 0, at any address; borrowed from this handle. `status::parameter`. */
    result<span<const std::byte>> try_row(std::uint64_t row) const {
        const void *data = nullptr;
        std::size_t size = 0;
        auto done = detail::call(numpack_mapped_rows_get, c(), row, &data, &size);
        if (!done) {
            return done.failure();
        }
        return span<const std::byte>(static_cast<const std::byte *>(data), size);
    }
    /* Copies rows, in the order and as often as they are named, into `out`, which has their size.
     * A negative number counts from the end. `status::parameter`: nothing is written then. */
    template <class R>
    result<void> try_gather(index_argument numbers, R &&out) const {
        auto memory = detail::elements(out);
        if (auto fit = detail::fits<detail::element_of<R>>(type_); !fit) {
            return fit;
        }
        return detail::call(numpack_mapped_rows_gather, c(), numbers.data(),
                            std::size_t(numbers.size()), static_cast<void *>(memory.data()),
                            memory.size_bytes());
    }

#if NUMPACK_EXCEPTIONS
    span<const std::byte> row(std::uint64_t row) const { return try_row(row).value(); }
    template <class R>
    void gather(index_argument numbers, R &&out) const {
        try_gather(numbers, out).value();
    }
#endif

  private:
    numpack::dtype type_ = numpack::dtype::none;
};

/* An array, open for reading. It keeps its rows when the store is changed, but for rows that are
 * replaced. */
class array
    : public detail::shared_handle<numpack_array, numpack_array_retain, numpack_array_free> {
  public:
    using shared_handle::shared_handle;

    array share() const { return *this; }

    /* What there is of it; borrowed from this array. */
    result<array_info> try_info() const {
        auto info = detail::ask_struct<numpack_array_info>(numpack_array_get_info, c());
        if (!info) {
            return info.failure();
        }
        return detail::info_of(*info);
    }

    /* Reads all elements into `out`, which has their size: in C order, without dropped rows.
     * `status::io`, `status::format`; after an error `out` may be filled in part. */
    template <class R>
    result<void> try_read(R &&out) const {
        auto memory = detail::elements(out);
        return checked<detail::element_of<R>>(numpack_array_read, c(), memory.data(),
                                              memory.size_bytes());
    }
    /* Reads `count` rows from row `start` on. `status::parameter` also for rows that are not
     * there. */
    template <class R>
    result<void> try_read_rows(std::uint64_t start, std::uint64_t count, R &&out) const {
        auto memory = detail::elements(out);
        return checked<detail::element_of<R>>(numpack_array_read_rows, c(), start, count,
                                              memory.data(), memory.size_bytes());
    }
    /* Reads bytes from byte `offset` on: for a stream. */
    result<void> try_read_bytes(std::uint64_t offset, span<std::byte> out) const {
        return detail::call(numpack_array_read_bytes, c(), offset, static_cast<void *>(out.data()),
                            out.size());
    }
    /* Reads the chosen rows in the order of the choice. */
    template <class R>
    result<void> try_gather(const rows &chosen, R &&out) const {
        auto memory = detail::elements(out);
        const numpack_rows c_rows = chosen.c();
        return checked<detail::element_of<R>>(numpack_array_gather, c(), &c_rows, memory.data(),
                                              memory.size_bytes());
    }
    /* Reads all elements into a vector. */
    template <class T>
    result<std::vector<T>> try_to_vector() const {
        auto info = try_info();
        if (!info) {
            return info.failure();
        }
        std::vector<T> out(static_cast<std::size_t>(info->nbytes) / sizeof(T));
        auto done = try_read(out);
        if (!done) {
            return done.failure();
        }
        return out;
    }

    /* Reads all rows into a tensor, of the type that the array has in the store. */
    result<tensor> try_load() const { return detail::make<tensor>(numpack_array_load, c()); }

    /* The whole array as memory of its file, borrowed from this array. The caller answers for the
     * file: numpack_array_map in numpack.h says how. `status::parameter` for an array in segments
     * or with dropped rows. */
    template <class T = std::byte>
    result<span<const T>> try_map() const {
        auto info = try_info();
        if (!info) {
            return info.failure();
        }
        if (auto fit = detail::fits<T>(info->dtype); !fit) {
            return fit.failure();
        }
        const void *data = nullptr;
        std::size_t nbytes = 0;
        auto done = detail::call(numpack_array_map, c(), &data, &nbytes);
        if (!done) {
            return done.failure();
        }
        return detail::as_elements<const T>(data, nbytes, info->dtype);
    }
    /* Its rows as memory, also in segments or with dropped ones; they outlive this array. */
    result<mapped_rows> try_map_rows() const {
        auto info = try_info();
        if (!info) {
            return info.failure();
        }
        numpack_mapped_rows *handle = nullptr;
        auto done = detail::call(numpack_array_map_rows, c(), &handle);
        if (!done) {
            return done.failure();
        }
        return mapped_rows(handle, info->dtype);
    }

#if NUMPACK_EXCEPTIONS
    array_info info() const { return try_info().value(); }
    tensor load() const { return try_load().value(); }
    template <class R>
    void read(R &&out) const {
        try_read(out).value();
    }
    template <class R>
    void read_rows(std::uint64_t start, std::uint64_t count, R &&out) const {
        try_read_rows(start, count, out).value();
    }
    void read_bytes(std::uint64_t offset, span<std::byte> out) const {
        try_read_bytes(offset, out).value();
    }
    template <class R>
    void gather(const rows &chosen, R &&out) const {
        try_gather(chosen, out).value();
    }
    template <class T>
    std::vector<T> to_vector() const {
        return try_to_vector<T>().value();
    }
    template <class T = std::byte>
    span<const T> map() const {
        return try_map<T>().value();
    }
    mapped_rows map_rows() const { return try_map_rows().value(); }
#endif

  private:
    /* A call that fills memory of a type. */
    template <class T, class F, class... A>
    result<void> checked(F function, A... arguments) const {
        if constexpr (!detail::is_byte<T>) {
            auto info = try_info();
            if (!info) {
                return info.failure();
            }
            if (auto fit = detail::fits<T>(info->dtype); !fit) {
                return fit;
            }
        }
        return detail::call(function, arguments...);
    }
};

/* The rows of an array as memory to work in: what is written is in the file at once. It has the
 * store locked. One thread at a time may use it. */
class rows_mut : public detail::unique_handle<numpack_rows_mut, numpack_rows_mut_free> {
  public:
    rows_mut() noexcept = default;
    /* Takes a handle from C, of rows of a type; without it they are bytes only. */
    explicit rows_mut(numpack_rows_mut *owned, numpack::dtype type = numpack::dtype::none) noexcept
        : unique_handle(owned), type_(type) {}

    numpack::dtype dtype() const noexcept { return type_; }

    /* The memory, borrowed from this handle. `status::type`. */
    template <class T = std::byte>
    result<span<T>> try_data() {
        void *data = nullptr;
        std::size_t nbytes = 0;
        auto done = detail::call(numpack_rows_mut_get, c(), &data, &nbytes);
        if (!done) {
            return done.failure();
        }
        return detail::as_elements<T>(data, nbytes, type_);
    }
    /* Makes what was written so far durable. `status::io`. */
    result<void> try_flush() { return detail::call(numpack_rows_mut_flush, c()); }

#if NUMPACK_EXCEPTIONS
    template <class T = std::byte>
    span<T> data() {
        return try_data<T>().value();
    }
    void flush() { try_flush().value(); }
#endif

  private:
    numpack::dtype type_ = numpack::dtype::none;
};

NUMPACK_END

#endif /* NUMPACK_ARRAY_HPP */
