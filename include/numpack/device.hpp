/* Devices, such as GPUs: what there is, opening one, tensors on it. */

#ifndef NUMPACK_DEVICE_HPP
#define NUMPACK_DEVICE_HPP

#include "handle.hpp"
#include "tensor.hpp"

NUMPACK_BEGIN

/* What is said of a device; numpack.h says more of each. The texts are borrowed from the list or the
 * device that was asked. Of an empty device there is nothing. */
struct device_info {
    std::uint32_t index = 0;
    std::string_view name;
    /* `discrete`, `integrated`, `virtual`, `other` or `software`. */
    std::string_view kind;
    std::string_view vendor;
    std::string_view uuid;
    std::string_view driver;
    /* Why it cannot be used; empty if it can. */
    std::string_view problem;
    std::uint64_t memory = 0;
    std::uint64_t max_storage_range = 0;
    std::uint64_t max_allocation = 0;
    std::uint32_t shared_memory = 0;
    std::uint32_t max_invocations = 0;
    std::uint32_t subgroup_size = 0;

    device_info() = default;
    explicit device_info(const numpack_device_info &c)
        : index(c.index), name(c.name), kind(c.kind), vendor(c.vendor), uuid(c.uuid),
          driver(c.driver), problem(c.problem == nullptr ? "" : c.problem), memory(c.memory),
          max_storage_range(c.max_storage_range), max_allocation(c.max_allocation),
          shared_memory(c.shared_memory), max_invocations(c.max_invocations),
          subgroup_size(c.subgroup_size) {}
};

/* The devices that Vulkan finds, in one state; also those that cannot be used. Any thread. */
class device_list : public detail::shared_handle<numpack_device_list, numpack_device_list_retain,
                                                 numpack_device_list_free> {
  public:
    using shared_handle::shared_handle;
    using iterator = detail::place_iterator<device_list, device_info>;

    /* `status::device` without a Vulkan loader or driver, saying what to install. */
    static result<device_list> try_find() { return detail::make<device_list>(numpack_devices); }

    std::size_t size() const noexcept { return numpack_device_list_count(c()); }
    bool empty() const noexcept { return size() == 0; }
    iterator begin() const { return iterator(*this, 0); }
    iterator end() const { return iterator(*this, size()); }
    /* `status::parameter` for an index past the last one. */
    result<device_info> try_get(std::size_t index) const {
        auto info = detail::ask_struct<numpack_device_info>(numpack_device_list_get, c(), index);
        if (!info) {
            return info.failure();
        }
        return device_info(*info);
    }
    device_list share() const { return *this; }

#if NUMPACK_EXCEPTIONS
    static device_list find() { return try_find().value(); }
    device_info get(std::size_t index) const { return try_get(index).value(); }
#endif
};

/* What the layers of Vulkan check, for tests. */
enum class validation : std::int32_t {
    off = NUMPACK_VALIDATION_OFF,
    core = NUMPACK_VALIDATION_CORE,
    synchronization = NUMPACK_VALIDATION_SYNCHRONIZATION
};

/* An open device; a copy is the same one. An empty one stands for the host, where functions take a
 * device to compute on. Any thread. */
class device
    : public detail::shared_handle<numpack_device, numpack_device_retain, numpack_device_free> {
  public:
    using shared_handle::shared_handle;

    /* By index or UUID, or for an empty text what the variable `NUMPACK_VULKAN_DEVICE` names, or else
     * the first that can be used. `status::device`, saying what there is; `status::parameter`. */
    static result<device> try_open(std::string_view select = {},
                                   numpack::validation checks = numpack::validation::off) {
        const detail::text named(select);
        if (!named.is_whole()) {
            return detail::nul_within();
        }
        numpack_device_options options{};
        options.struct_size = static_cast<std::uint32_t>(sizeof options);
        options.validation = static_cast<std::int32_t>(checks);
        options.select = select.empty() ? nullptr : static_cast<const char *>(named);
        return detail::make<device>(numpack_device_open, &options);
    }

    device share() const { return *this; }
    device_info info() const noexcept {
        numpack_device_info info{};
        info.struct_size = static_cast<std::uint32_t>(sizeof info);
        const bool is_there = numpack_device_get_info(c(), &info) == NUMPACK_OK;
        return is_there ? device_info(info) : device_info();
    }
    /* What a person should know who uses it, such as that it is no GPU; empty if nothing. */
    std::string_view warning() const noexcept {
        const char *text = nullptr;
        numpack_device_get_warning(c(), &text);
        return text == nullptr ? std::string_view() : std::string_view(text);
    }
    /* What it holds and did since it was opened. */
    result<numpack_device_usage> try_usage() const {
        return detail::ask_struct<numpack_device_usage>(numpack_device_get_usage, c());
    }
    /* Waits until all that was asked of it is done. */
    result<void> try_synchronize() const { return detail::call(numpack_device_synchronize, c()); }
    /* Gives memory back that was kept for the next tensors. */
    result<void> try_trim() const { return detail::call(numpack_device_trim, c()); }

#if NUMPACK_EXCEPTIONS
    static device open(std::string_view select = {},
                       numpack::validation checks = numpack::validation::off) {
        return try_open(select, checks).value();
    }
    numpack_device_usage usage() const { return try_usage().value(); }
    void synchronize() const { try_synchronize().value(); }
    void trim() const { try_trim().value(); }
#endif
};

inline result<tensor> tensor::try_to(const device &there) const {
    return detail::make<tensor>(numpack_tensor_to_device, c(), there.c());
}
#if NUMPACK_EXCEPTIONS
inline tensor tensor::to(const device &there) const { return try_to(there).value(); }
#endif

NUMPACK_END

#endif /* NUMPACK_DEVICE_HPP */
