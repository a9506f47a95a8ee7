/* What owns a handle of the C interface, and the iterator over what one lists. */

#ifndef NUMPACK_HANDLE_HPP
#define NUMPACK_HANDLE_HPP

#include "result.hpp"

#include <cstddef>
#include <iterator>
#include <memory>

NUMPACK_BEGIN

namespace detail {

/* Owns a handle, alone; may be empty. */
template <class C, void (*Free)(C *)>
class unique_handle {
  public:
    using c_type = C;

    unique_handle() noexcept = default;
    /* Takes the ownership of a handle from C. */
    explicit unique_handle(C *owned) noexcept : c_(owned) {}
    unique_handle(unique_handle &&other) noexcept : c_(other.release()) {}
    unique_handle &operator=(unique_handle &&other) noexcept {
        if (this != &other) {
            Free(std::exchange(c_, other.release()));
        }
        return *this;
    }
    ~unique_handle() { Free(c_); }

    /* Whether there is a handle. */
    explicit operator bool() const noexcept { return c_ != nullptr; }
    /* The handle, borrowed. */
    C *c() const noexcept { return c_; }
    /* The handle, whose ownership goes to the caller. */
    C *release() noexcept { return std::exchange(c_, nullptr); }

  private:
    C *c_ = nullptr;
};

/* Owns its share of a handle; a copy owns one more. */
template <class C, C *(*Retain)(const C *), void (*Free)(C *)>
class shared_handle : public unique_handle<C, Free> {
  public:
    shared_handle() noexcept = default;
    explicit shared_handle(C *owned) noexcept : unique_handle<C, Free>(owned) {}
    shared_handle(shared_handle &&) noexcept = default;
    shared_handle &operator=(shared_handle &&) noexcept = default;
    shared_handle(const shared_handle &other) noexcept
        : unique_handle<C, Free>(Retain(other.c())) {}
    shared_handle &operator=(const shared_handle &other) noexcept {
        if (this != &other) {
            *this = shared_handle(other);
        }
        return *this;
    }
};

/* Goes over what `owner.try_get(index)` gives, which the iterator holds: an input iterator. It is
 * valid as long as the owner is. */
template <class Owner, class Value>
class place_iterator {
  public:
    using iterator_category = std::input_iterator_tag;
    using value_type = Value;
    using difference_type = std::ptrdiff_t;
    using pointer = const Value *;
    using reference = const Value &;

    place_iterator() = default;
    place_iterator(const Owner &owner, std::size_t index) : owner_(&owner), index_(index) {
        load();
    }

    reference operator*() const { return value_; }
    pointer operator->() const { return &value_; }
    place_iterator &operator++() {
        index_++;
        load();
        return *this;
    }
    place_iterator operator++(int) {
        place_iterator before = *this;
        ++*this;
        return before;
    }
    friend bool operator==(const place_iterator &a, const place_iterator &b) {
        return a.index_ == b.index_;
    }
    friend bool operator!=(const place_iterator &a, const place_iterator &b) { return !(a == b); }

  private:
    void load() {
        if (index_ < owner_->size()) {
            value_ = *owner_->try_get(index_);
        }
    }

    const Owner *owner_ = nullptr;
    std::size_t index_ = 0;
    Value value_{};
};

} // namespace detail

NUMPACK_END

#endif /* NUMPACK_HANDLE_HPP */
