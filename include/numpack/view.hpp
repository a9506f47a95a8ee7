/* What goes in: arrays in the caller's memory, and choices of rows. */

#ifndef NUMPACK_VIEW_HPP
#define NUMPACK_VIEW_HPP

#include "dtype.hpp"

#include <vector>

NUMPACK_BEGIN

/* An array in the caller's memory, which it borrows; shape and strides are its own. */
class array_view {
  public:
    /* Elements in C order: anything with std::data, of the given shape, or of one dimension. */
    template <class R, class T = std::remove_const_t<detail::element_of<const R>>,
              numpack::dtype Type = dtype_traits<T>::value>
    array_view(const R &elements, shape_argument shape)
        : array_view(Type, shape, elements) {}
    template <class R, class T = std::remove_const_t<detail::element_of<const R>>,
              numpack::dtype Type = dtype_traits<T>::value>
    array_view(const R &elements) : array_view(elements, {std::size(elements)}) {}

    /* Elements of any type, little-endian, in C order. */
    template <class R>
    array_view(numpack::dtype type, shape_argument shape, const R &memory)
        : type_(type), shape_(shape.begin(), shape.end()), data_(std::data(memory)),
          nbytes_(detail::elements(memory).size_bytes()) {}

    /* The same with steps in bytes, also negative or 0, and the first element at a byte of the
     * memory. */
    template <class R>
    array_view(numpack::dtype type, shape_argument shape, const R &memory, index_argument strides,
               std::size_t offset = 0)
        : array_view(type, shape, memory) {
        strides_.assign(strides.begin(), strides.end());
        has_strides_ = true;
        offset_ = offset;
    }

    /* What a function of numpack.h described. */
    explicit array_view(const numpack_view &view)
        : type_(static_cast<numpack::dtype>(view.dtype)), has_strides_(view.strides != nullptr),
          data_(view.data), nbytes_(view.nbytes), offset_(view.offset) {
        if (view.ndim > 0) {
            shape_.assign(view.shape, view.shape + view.ndim);
            if (has_strides_) {
                strides_.assign(view.strides, view.strides + view.ndim);
            }
        }
    }

    numpack::dtype dtype() const noexcept { return type_; }
    span<const std::uint64_t> shape() const noexcept { return {shape_.data(), shape_.size()}; }

    /* The struct for functions of numpack.h; it borrows from this. */
    numpack_view c() const & noexcept {
        const auto ndim = static_cast<std::uint32_t>(shape_.size());
        numpack_view view = numpack_view_of(static_cast<std::int32_t>(type_), ndim, shape_.data(),
                                            data_, nbytes_);
        view.strides = has_strides_ ? strides_.data() : nullptr;
        view.offset = offset_;
        return view;
    }
    numpack_view c() const && = delete;

  private:
    numpack::dtype type_;
    std::vector<std::uint64_t> shape_;
    std::vector<std::int64_t> strides_;
    bool has_strides_ = false;
    const void *data_;
    std::size_t nbytes_;
    std::size_t offset_ = 0;
};

/* An array and its name, which both are borrowed. */
struct named_view {
    std::string_view name;
    array_view view;
};

namespace detail {

/* Several names and views as C takes them, for as long as a call lasts. */
class c_views {
  public:
    c_views(const named_view *items, std::size_t count) {
        for (std::size_t i = 0; i < count; i++) {
            texts_.emplace_back(items[i].name);
            views_.push_back(items[i].view.c());
        }
        for (const text &item : texts_) {
            names_.push_back(item);
            is_whole_ = is_whole_ && item.is_whole();
        }
    }
    bool is_whole() const { return is_whole_; }
    const char *const *names() const { return names_.data(); }
    const numpack_view *views() const { return views_.data(); }
    std::size_t size() const { return views_.size(); }

  private:
    std::vector<text> texts_;
    std::vector<const char *> names_;
    std::vector<numpack_view> views_;
    bool is_whole_ = true;
};

/* Several names as C takes them. */
class c_names {
  public:
    template <class R>
    explicit c_names(const R &names) {
        for (const auto &name : names) {
            texts_.emplace_back(std::string_view(name));
        }
        for (const text &item : texts_) {
            names_.push_back(item);
            is_whole_ = is_whole_ && item.is_whole();
        }
    }
    bool is_whole() const { return is_whole_; }
    const char *const *names() const { return names_.data(); }
    std::size_t size() const { return names_.size(); }

  private:
    std::vector<text> texts_;
    std::vector<const char *> names_;
    bool is_whole_ = true;
};

} // namespace detail

/* A choice of rows of an array, counted without dropped ones; a negative number counts from the
 * end. It owns its list. */
class rows {
  public:
    /* In place of a slice's `start` or `stop`: from or to the end. */
    static constexpr std::int64_t end = NUMPACK_ROWS_END;

    static rows all() { return rows(numpack_rows_all()); }
    static rows index(std::int64_t row) { return rows(numpack_rows_index(row)); }
    /* Every `step`-th row from `start` to before `stop`, cut to the rows there are. */
    static rows slice(std::int64_t start, std::int64_t stop, std::int64_t step = 1) {
        return rows(numpack_rows_slice(start, stop, step));
    }
    /* These rows, in this order; one may come several times. */
    static rows list(std::vector<std::int64_t> numbers) {
        rows chosen(numpack_rows_list(nullptr, numbers.size()));
        chosen.list_ = std::move(numbers);
        return chosen;
    }
    /* The rows whose byte is not 0; as many bytes as rows. */
    static rows mask(std::vector<std::uint8_t> bytes) {
        rows chosen(numpack_rows_mask(nullptr, bytes.size()));
        chosen.mask_ = std::move(bytes);
        return chosen;
    }

    /* The struct for functions of numpack.h; it borrows from this. */
    numpack_rows c() const & noexcept {
        numpack_rows chosen = c_;
        chosen.list = c_.kind == NUMPACK_ROWS_LIST ? list_.data() : nullptr;
        chosen.mask = c_.kind == NUMPACK_ROWS_MASK ? mask_.data() : nullptr;
        return chosen;
    }
    numpack_rows c() const && = delete;

    /* How many rows are chosen of so many. `status::parameter` for a row that is not there. */
    result<std::uint64_t> try_count(std::uint64_t total) const {
        const numpack_rows chosen = c();
        return detail::ask<std::uint64_t>(numpack_rows_count, &chosen, total);
    }
#if NUMPACK_EXCEPTIONS
    std::uint64_t count(std::uint64_t total) const { return try_count(total).value(); }
#endif

  private:
    explicit rows(const numpack_rows &c) : c_(c) {}

    numpack_rows c_;
    std::vector<std::int64_t> list_;
    std::vector<std::uint8_t> mask_;
};

NUMPACK_END

#endif /* NUMPACK_VIEW_HPP */
