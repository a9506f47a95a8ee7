/* Whole objects to a file: values, containers and tensors, put together node by node. */

#ifndef NUMPACK_OBJECT_HPP
#define NUMPACK_OBJECT_HPP

#include "convert.hpp"
#include "handle.hpp"
#include "span.hpp"
#include "tensor.hpp"
#include "tree.hpp"

#include <string_view>
#include <utility>
#include <vector>

NUMPACK_BEGIN

/* An object to be saved as a `.pt` file. What is added gets a number, by which what comes later has it
 * as a part; one that several have is one object there, as in Python. One thread at a time. Errors:
 * `status::parameter`. */
class object : public detail::unique_handle<numpack_object, numpack_object_free> {
  public:
    using unique_handle::unique_handle;
    using number = std::uint32_t;
    static constexpr number none = NUMPACK_NO_NODE;

    static result<object> try_create() { return detail::make<object>(numpack_object_create); }

    /* A plain value, as C has it. */
    result<number> try_add(const numpack_node &value) {
        return detail::ask<number>(numpack_object_add, c(), &value);
    }
    result<number> try_add_none() { return try_add(of(node_kind::none)); }
    result<number> try_add_bool(bool value) {
        numpack_node node = of(node_kind::bool_);
        node.integer = value;
        return try_add(node);
    }
    result<number> try_add_integer(std::int64_t value) {
        numpack_node node = of(node_kind::integer);
        node.integer = value;
        return try_add(node);
    }
    result<number> try_add_real(double value) {
        numpack_node node = of(node_kind::real);
        node.real = value;
        return try_add(node);
    }
    /* A text; or bytes and what else has some, for another kind. */
    result<number> try_add_text(std::string_view text, node_kind kind = node_kind::str) {
        numpack_node node = of(kind);
        node.text = text.data();
        node.length = text.size();
        return try_add(node);
    }
    /* A tuple, list, set or frozenset of what was added before. */
    result<number> try_add_items(node_kind kind, const std::vector<number> &items) {
        return detail::ask<number>(numpack_object_add_items, c(), static_cast<std::int32_t>(kind),
                                   items.data(), items.size());
    }
    /* Keys and values, in order. The attributes are a dict, of an ordered one only. */
    result<number> try_add_dict(const std::vector<std::pair<number, number>> &items,
                                bool ordered = false, number attributes = none) {
        std::vector<number> keys, values;
        for (const auto &[key, value] : items) {
            keys.push_back(key);
            values.push_back(value);
        }
        return detail::ask<number>(numpack_object_add_dict, c(), keys.data(), values.data(),
                                   keys.size(), std::int32_t(ordered), attributes);
    }
    /* It is read when the object is saved. `status::type`. */
    result<number> try_add_tensor(const tensor &value, bool parameter = false) {
        return detail::ask<number>(numpack_object_add_tensor, c(), value.c(),
                                   std::int32_t(parameter));
    }
    /* Writes what a number stands for; whole or not at all. `status::exists`, `in_use`, `sharing`,
     * `io`. */
    result<void> try_save(number root, std::string_view path, save_options options = {}) const {
        numpack_save_options c_options{};
        c_options.struct_size = static_cast<std::uint32_t>(sizeof c_options);
        c_options.overwrite = options.overwrite;
        c_options.alignment = options.alignment;
        return detail::call(numpack_object_save, c(), root, path, &c_options);
    }

#if NUMPACK_EXCEPTIONS
    static object create() { return try_create().value(); }
    number add(const numpack_node &value) { return try_add(value).value(); }
    number add_none() { return try_add_none().value(); }
    number add_bool(bool value) { return try_add_bool(value).value(); }
    number add_integer(std::int64_t value) { return try_add_integer(value).value(); }
    number add_real(double value) { return try_add_real(value).value(); }
    number add_text(std::string_view text, node_kind kind = node_kind::str) {
        return try_add_text(text, kind).value();
    }
    number add_items(node_kind kind, const std::vector<number> &items) {
        return try_add_items(kind, items).value();
    }
    number add_dict(const std::vector<std::pair<number, number>> &items, bool ordered = false,
                    number attributes = none) {
        return try_add_dict(items, ordered, attributes).value();
    }
    number add_tensor(const tensor &value, bool parameter = false) {
        return try_add_tensor(value, parameter).value();
    }
    void save(number root, std::string_view path, save_options options = {}) const {
        try_save(root, path, options).value();
    }
#endif

  private:
    static numpack_node of(node_kind kind) noexcept {
        numpack_node node{};
        node.struct_size = static_cast<std::uint32_t>(sizeof node);
        node.kind = static_cast<std::int32_t>(kind);
        return node;
    }
};

NUMPACK_END

#endif /* NUMPACK_OBJECT_HPP */
