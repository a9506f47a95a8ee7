/* Memory of others: spans, and how lists of numbers and memory are handed in. */

#ifndef NUMPACK_SPAN_HPP
#define NUMPACK_SPAN_HPP

#include "result.hpp"

#include <cstddef>
#include <initializer_list>
#include <iterator>

#if defined(__has_include)
#if __has_include(<version>)
#include <version>
#endif
#endif
#if defined(__cpp_lib_span)
#include <span>
#endif

NUMPACK_BEGIN

#if defined(__cpp_lib_span)
template <class T>
using span = std::span<T>;
#else
/* Borrowed elements one after another: the part of C++20's std::span that this interface needs. */
template <class T>
class span {
  public:
    using element_type = T;
    using value_type = std::remove_cv_t<T>;
    using size_type = std::size_t;
    using iterator = T *;

    constexpr span() noexcept = default;
    constexpr span(T *data, std::size_t size) noexcept : data_(data), size_(size) {}
    /* Of anything that has its elements one after another, for as long as that lives. */
    template <class R, class P = decltype(std::data(std::declval<R &>())),
              class = std::enable_if_t<std::is_convertible_v<
                  std::remove_pointer_t<P> (*)[], T (*)[]>>>
    constexpr span(R &&from) : data_(std::data(from)), size_(std::size(from)) {}

    constexpr T *data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }
    constexpr std::size_t size_bytes() const noexcept { return size_ * sizeof(T); }
    constexpr bool empty() const noexcept { return size_ == 0; }
    constexpr T *begin() const noexcept { return data_; }
    constexpr T *end() const noexcept { return data_ + size_; }
    constexpr T &operator[](std::size_t index) const { return data_[index]; }
    constexpr T &front() const { return data_[0]; }
    constexpr T &back() const { return data_[size_ - 1]; }
    constexpr span first(std::size_t count) const { return {data_, count}; }
    constexpr span last(std::size_t count) const { return {data_ + (size_ - count), count}; }
    constexpr span subspan(std::size_t offset) const { return {data_ + offset, size_ - offset}; }
    constexpr span subspan(std::size_t offset, std::size_t count) const {
        return {data_ + offset, count};
    }

  private:
    T *data_ = nullptr;
    std::size_t size_ = 0;
};
#endif

/* A list of numbers as an argument: `{2, 3}`, a vector, a span. It borrows, so it is the type of
 * arguments only. */
template <class T>
class list_argument {
  public:
    list_argument() noexcept = default;
    list_argument(std::initializer_list<T> numbers) noexcept {
        data_ = numbers.begin();
        size_ = numbers.size();
    }
    template <class R, class P = decltype(std::data(std::declval<const R &>())),
              class = std::enable_if_t<std::is_convertible_v<P, const T *>>>
    list_argument(const R &numbers) noexcept
        : data_(std::data(numbers)), size_(std::size(numbers)) {}

    const T *data() const noexcept { return data_; }
    std::uint32_t size() const noexcept { return static_cast<std::uint32_t>(size_); }
    const T *begin() const noexcept { return data_; }
    const T *end() const noexcept { return data_ + size_; }

  private:
    const T *data_ = nullptr;
    std::size_t size_ = 0;
};

/* Lengths of dimensions. */
using shape_argument = list_argument<std::uint64_t>;
/* Dimensions, sizes or indices, of which some may be negative. */
using index_argument = list_argument<std::int64_t>;

namespace detail {

/* The type of the elements of what has std::data, with its const. */
template <class R>
using element_of = std::remove_pointer_t<decltype(std::data(std::declval<R &>()))>;

/* What has std::data, as a span. */
template <class R>
auto elements(R &range) {
    return span<element_of<R>>(std::data(range), std::size(range));
}

} // namespace detail

NUMPACK_END

#endif /* NUMPACK_SPAN_HPP */
