/* The object that the tensors of a file are part of, node by node. */

#ifndef NUMPACK_TREE_HPP
#define NUMPACK_TREE_HPP

#include "handle.hpp"

NUMPACK_BEGIN

/* What a node is; numpack.h says more of each. */
enum class node_kind : std::int32_t {
    none = NUMPACK_NODE_NONE,
    bool_ = NUMPACK_NODE_BOOL,
    integer = NUMPACK_NODE_INT,
    big_integer = NUMPACK_NODE_BIG_INT,
    real = NUMPACK_NODE_FLOAT,
    str = NUMPACK_NODE_STR,
    surrogate_str = NUMPACK_NODE_SURROGATE_STR,
    bytes = NUMPACK_NODE_BYTES,
    bytearray = NUMPACK_NODE_BYTEARRAY,
    tuple = NUMPACK_NODE_TUPLE,
    list = NUMPACK_NODE_LIST,
    set = NUMPACK_NODE_SET,
    frozenset = NUMPACK_NODE_FROZENSET,
    dict = NUMPACK_NODE_DICT,
    ordered_dict = NUMPACK_NODE_ORDERED_DICT,
    global = NUMPACK_NODE_GLOBAL,
    storage = NUMPACK_NODE_STORAGE,
    tensor = NUMPACK_NODE_TENSOR,
    object = NUMPACK_NODE_OBJECT
};

/* How an object of `node_kind::object` is made: its `integer`. */
enum class object_kind : std::int64_t {
    call = NUMPACK_OBJECT_CALL,
    new_ = NUMPACK_OBJECT_NEW,
    new_ex = NUMPACK_OBJECT_NEW_EX,
    persistent_id = NUMPACK_OBJECT_PERSISTENT_ID
};

struct node_entry;

/* One value of the object, and the children it has. It borrows from the checkpoint, and so do its
 * texts. Nodes form a graph, not a tree: two keys may lead to one, and a list may contain itself;
 * `number` tells them apart. May be used by several threads. */
class node {
  public:
    using iterator = detail::place_iterator<node, node_entry>;

    node() = default;

    /* The node of a number. `status::parameter` for one that there is not. */
    static result<node> try_of(const numpack_checkpoint *checkpoint, std::uint32_t number) {
        auto c_node =
            detail::ask_struct<numpack_node>(numpack_checkpoint_get_node, checkpoint, number);
        if (!c_node) {
            return c_node.failure();
        }
        node found;
        found.checkpoint_ = checkpoint;
        found.number_ = number;
        found.c_ = *c_node;
        return found;
    }

    std::uint32_t number() const noexcept { return number_; }
    node_kind kind() const noexcept { return static_cast<node_kind>(c_.kind); }
    /* A truth value, an integer, the number of a storage or tensor, an `object_kind`. */
    std::int64_t integer() const noexcept { return c_.integer; }
    double real() const noexcept { return c_.real; }
    /* A text, bytes, a big integer in two's complement, the module of a global. */
    std::string_view text() const noexcept { return {c_.text, c_.text == nullptr ? 0 : c_.length}; }
    /* The name of a global in its module. */
    std::string_view global_name() const noexcept {
        return {c_.name, c_.name == nullptr ? 0 : c_.name_length};
    }
    /* The place of a tensor in the checkpoint's list, if it has one. */
    std::optional<std::size_t> index() const noexcept {
        return kind() == node_kind::tensor && c_.index != SIZE_MAX ? std::optional(c_.index)
                                                                   : std::nullopt;
    }

    /* How many children there are. */
    std::size_t size() const noexcept { return c_.children; }
    /* Goes over the children; valid as long as this node object. */
    iterator begin() const;
    iterator end() const;
    /* A child and its key, from 0. `status::parameter`. */
    result<node_entry> try_get(std::size_t child) const;
    /* The value of a text key, such as of a dict. `status::not_found`. */
    result<node> try_find(std::string_view key) const;
    /* A dict of attributes, such as the `_metadata` of a state dict, if it has any. */
    result<std::optional<node>> try_attributes() const {
        auto number =
            detail::ask<std::uint32_t>(numpack_checkpoint_get_attributes, checkpoint_, number_);
        if (!number) {
            return number.failure();
        }
        if (*number == NUMPACK_NO_NODE) {
            return std::optional<node>();
        }
        auto found = try_of(checkpoint_, *number);
        if (!found) {
            return found.failure();
        }
        return std::optional(*found);
    }
#if NUMPACK_EXCEPTIONS
    node_entry get(std::size_t child) const;
    node operator[](std::string_view key) const { return try_find(key).value(); }
    std::optional<node> attributes() const { return try_attributes().value(); }
#endif

  private:
    const numpack_checkpoint *checkpoint_ = nullptr;
    std::uint32_t number_ = NUMPACK_NO_NODE;
    numpack_node c_{};
};

/* A child of a node, and its key if it has one. */
struct node_entry {
    std::optional<node> key;
    node value;
};

inline node::iterator node::begin() const { return {*this, 0}; }
inline node::iterator node::end() const { return {*this, size()}; }

inline result<node_entry> node::try_get(std::size_t child) const {
    std::uint32_t key = NUMPACK_NO_NODE, value = NUMPACK_NO_NODE;
    auto done =
        detail::call(numpack_checkpoint_get_child, checkpoint_, number_, child, &key, &value);
    if (!done) {
        return done.failure();
    }
    auto found = try_of(checkpoint_, value);
    if (!found) {
        return found.failure();
    }
    node_entry entry{std::nullopt, *found};
    if (key != NUMPACK_NO_NODE) {
        auto named = try_of(checkpoint_, key);
        if (!named) {
            return named.failure();
        }
        entry.key = *named;
    }
    return entry;
}

inline result<node> node::try_find(std::string_view key) const {
    for (std::size_t i = 0; i < size(); i++) {
        auto entry = try_get(i);
        if (!entry) {
            return entry.failure();
        }
        if (entry->key && entry->key->kind() == node_kind::str && entry->key->text() == key) {
            return entry->value;
        }
    }
    return failure{status::not_found, "the node has no key \"" + std::string(key) + "\""};
}

#if NUMPACK_EXCEPTIONS
inline node_entry node::get(std::size_t child) const { return try_get(child).value(); }
#endif

NUMPACK_END

#endif /* NUMPACK_TREE_HPP */
