/* Element types, and single values. */

#ifndef NUMPACK_DTYPE_HPP
#define NUMPACK_DTYPE_HPP

#include "result.hpp"
#include "span.hpp"

#include <complex>
#include <limits>

NUMPACK_BEGIN

/* The types of elements; numpack.h says more of each. */
enum class dtype : std::int32_t {
    /* No type: of an empty tensor; the array's own type where one may be chosen. */
    none = -1,
    bool_ = NUMPACK_DTYPE_BOOL,
    uint8 = NUMPACK_DTYPE_UINT8,
    uint16 = NUMPACK_DTYPE_UINT16,
    uint32 = NUMPACK_DTYPE_UINT32,
    uint64 = NUMPACK_DTYPE_UINT64,
    int8 = NUMPACK_DTYPE_INT8,
    int16 = NUMPACK_DTYPE_INT16,
    int32 = NUMPACK_DTYPE_INT32,
    int64 = NUMPACK_DTYPE_INT64,
    float16 = NUMPACK_DTYPE_FLOAT16,
    float32 = NUMPACK_DTYPE_FLOAT32,
    float64 = NUMPACK_DTYPE_FLOAT64,
    complex64 = NUMPACK_DTYPE_COMPLEX64,
    complex128 = NUMPACK_DTYPE_COMPLEX128,
    bfloat16 = NUMPACK_DTYPE_BFLOAT16,
    complex32 = NUMPACK_DTYPE_COMPLEX32,
    bcomplex32 = NUMPACK_DTYPE_BCOMPLEX32,
    float8_e4m3fn = NUMPACK_DTYPE_FLOAT8_E4M3FN,
    float8_e4m3fnuz = NUMPACK_DTYPE_FLOAT8_E4M3FNUZ,
    float8_e5m2 = NUMPACK_DTYPE_FLOAT8_E5M2,
    float8_e5m2fnuz = NUMPACK_DTYPE_FLOAT8_E5M2FNUZ,
    float8_e8m0fnu = NUMPACK_DTYPE_FLOAT8_E8M0FNU,
    float4_e2m1fn_x2 = NUMPACK_DTYPE_FLOAT4_E2M1FN_X2,
    qint8 = NUMPACK_DTYPE_QINT8,
    quint8 = NUMPACK_DTYPE_QUINT8,
    qint32 = NUMPACK_DTYPE_QINT32,
    quint4x2 = NUMPACK_DTYPE_QUINT4X2,
    quint2x4 = NUMPACK_DTYPE_QUINT2X4,
    bits8 = NUMPACK_DTYPE_BITS8,
    bits16 = NUMPACK_DTYPE_BITS16,
    bits1x8 = NUMPACK_DTYPE_BITS1X8,
    bits2x4 = NUMPACK_DTYPE_BITS2X4,
    bits4x2 = NUMPACK_DTYPE_BITS4X2
};

/* The size of an element in bytes; 0 for `none`. */
inline std::size_t size(dtype type) noexcept {
    return numpack_dtype_size(static_cast<std::int32_t>(type));
}

/* The word for a type, such as `float32`; empty for `none`. It lives as long as the library. */
inline std::string_view name(dtype type) noexcept {
    const char *word = numpack_dtype_name(static_cast<std::int32_t>(type));
    return word == nullptr ? std::string_view() : std::string_view(word);
}

namespace detail {

template <class T>
constexpr bool is_character =
    std::is_same_v<T, char> || std::is_same_v<T, wchar_t> || std::is_same_v<T, char16_t> ||
    std::is_same_v<T, char32_t>
#if defined(__cpp_char8_t)
    || std::is_same_v<T, char8_t>
#endif
    ;

template <class T>
constexpr dtype integer_type() {
    constexpr bool is_signed = std::is_signed_v<T>;
    switch (sizeof(T)) {
    case 1:
        return is_signed ? dtype::int8 : dtype::uint8;
    case 2:
        return is_signed ? dtype::int16 : dtype::uint16;
    case 4:
        return is_signed ? dtype::int32 : dtype::uint32;
    default:
        return is_signed ? dtype::int64 : dtype::uint64;
    }
}

} // namespace detail

/* `value` is the element type of a C++ type; absent for a type that is none. A program may
 * specialise it for a type of its own that has the bytes of one, such as a half. */
template <class T, class = void>
struct dtype_traits {};
template <class T>
struct dtype_traits<
    T, std::enable_if_t<std::is_integral_v<T> && !detail::is_character<T> && sizeof(T) <= 8>> {
    static constexpr dtype value = detail::integer_type<T>();
};
template <>
struct dtype_traits<bool> {
    static constexpr dtype value = dtype::bool_;
};
template <>
struct dtype_traits<float> {
    static constexpr dtype value = dtype::float32;
};
template <>
struct dtype_traits<double> {
    static constexpr dtype value = dtype::float64;
};
template <>
struct dtype_traits<std::complex<float>> {
    static constexpr dtype value = dtype::complex64;
};
template <>
struct dtype_traits<std::complex<double>> {
    static constexpr dtype value = dtype::complex128;
};

/* The element type of a C++ type: bool, integers, float, double, std::complex of those. */
template <class T>
constexpr dtype dtype_of() {
    return dtype_traits<std::remove_cv_t<T>>::value;
}

namespace detail {

template <class T>
constexpr bool is_byte = std::is_same_v<std::remove_cv_t<T>, std::byte>;

/* Whether memory of a C++ type may hold elements of a type. */
template <class T>
result<void> fits(dtype type) {
    if constexpr (!is_byte<T>) {
        if (dtype_of<T>() != type) {
            return failure{status::type, "the elements are " + std::string(name(type)) + ", not " +
                                             std::string(name(dtype_of<T>())) +
                                             ": use memory of that type, or of std::byte"};
        }
    }
    return {};
}

/* Bytes as elements, where they lie so that they can be. */
template <class T>
result<span<T>> as_elements(std::conditional_t<std::is_const_v<T>, const void, void> *data,
                            std::size_t nbytes, dtype type) {
    if (auto fit = fits<T>(type); !fit) {
        return fit.failure();
    }
    if (reinterpret_cast<std::uintptr_t>(data) % alignof(T) != 0) {
        return failure{status::sharing, "the elements of " + std::string(name(type)) +
                                            " are not aligned: copy them, or use std::byte"};
    }
    return span<T>(static_cast<T *>(data), nbytes / sizeof(T));
}

template <class T>
struct is_complex : std::false_type {};
template <class T>
struct is_complex<std::complex<T>> : std::true_type {};

} // namespace detail

/* One element, of whichever type. A plain value; any thread. */
class scalar {
  public:
    template <class T,
              class = std::enable_if_t<std::is_arithmetic_v<T> || detail::is_complex<T>::value>>
    scalar(T value) noexcept {
        if constexpr (std::is_same_v<T, bool>) {
            c_ = numpack_scalar_bool(value);
        } else if constexpr (std::is_floating_point_v<T>) {
            c_ = numpack_scalar_float(static_cast<double>(value));
        } else if constexpr (detail::is_complex<T>::value) {
            c_ = numpack_scalar_complex(static_cast<double>(value.real()),
                                        static_cast<double>(value.imag()));
        } else if constexpr (std::is_signed_v<T>) {
            c_ = numpack_scalar_int(static_cast<std::int64_t>(value));
        } else {
            c_ = numpack_scalar_uint(static_cast<std::uint64_t>(value));
        }
    }
    explicit scalar(const numpack_scalar &c) noexcept : c_(c) {}
    const numpack_scalar &c() const noexcept { return c_; }

    /* The value as a C++ type: truth values as any, integers as floats or integers that hold them
     * (`status::parameter` else), floats as floats, rounded, or complex, and complex as complex.
     * Else `status::type`. */
    template <class T>
    result<T> try_as() const {
        const bool is_float = c_.kind == NUMPACK_SCALAR_FLOAT;
        const bool is_whole = !is_float && c_.kind != NUMPACK_SCALAR_COMPLEX;
        if constexpr (detail::is_complex<T>::value) {
            using part = typename T::value_type;
            return T(static_cast<part>(is_whole ? whole() : c_.real),
                     static_cast<part>(c_.kind == NUMPACK_SCALAR_COMPLEX ? c_.imaginary : 0.0));
        } else if constexpr (std::is_floating_point_v<T>) {
            if (is_float || is_whole) {
                return static_cast<T>(is_whole ? whole() : c_.real);
            }
        } else if constexpr (std::is_same_v<T, bool>) {
            if (c_.kind == NUMPACK_SCALAR_BOOL) {
                return c_.integer != 0;
            }
        } else {
            static_assert(std::is_integral_v<T>, "a value is a truth value, a number or complex");
            if (is_whole) {
                return integer<T>();
            }
        }
        return failure{status::type, "the value is of another kind: ask for a float, an integer, a "
                                     "truth value or a complex number, as the tensor has them"};
    }
#if NUMPACK_EXCEPTIONS
    template <class T>
    T as() const {
        return try_as<T>().value();
    }
#endif

  private:
    double whole() const {
        return c_.kind == NUMPACK_SCALAR_UINT
                   ? static_cast<double>(static_cast<std::uint64_t>(c_.integer))
                   : static_cast<double>(c_.integer);
    }

    template <class T>
    result<T> integer() const {
        const bool is_beyond = c_.kind == NUMPACK_SCALAR_UINT && c_.integer < 0;
        const auto largest = static_cast<std::uint64_t>((std::numeric_limits<T>::max)());
        const bool is_below =
            c_.integer < 0 &&
            (std::is_unsigned_v<T> ||
             c_.integer < static_cast<std::int64_t>((std::numeric_limits<T>::min)()));
        const bool is_above = (is_beyond || c_.integer >= 0) &&
                              static_cast<std::uint64_t>(c_.integer) > largest;
        if (is_above || (is_below && !is_beyond)) {
            return failure{status::parameter, "the value does not fit: ask for a wider integer"};
        }
        return static_cast<T>(c_.integer);
    }

    numpack_scalar c_;
};

NUMPACK_END

#endif /* NUMPACK_DTYPE_HPP */
