/* Modules and losses that a program computes itself. */

#ifndef NUMPACK_NN_CUSTOM_HPP
#define NUMPACK_NN_CUSTOM_HPP

#include "callback.hpp"
#include "nn_module.hpp"

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

NUMPACK_BEGIN
namespace nn {

/* What a module gives of `x`. It is called on whichever thread uses the module, by several at once if they
 * do. What it throws, or an empty tensor, makes the call `status::cancelled`. */
using forward_function = std::function<tensor(const tensor &x)>;
/* A loss, a single number, of what a module gave and what it should have given. */
using loss_function = std::function<tensor(const tensor &output, const tensor &target)>;

namespace detail {

/* The functions that C calls; `user` is a function on the heap. */
template <class Function>
struct caller {
    template <class... T>
    static std::int32_t give(numpack_nn_tensor **result, void *user, const T *...given) noexcept {
        numpack::detail::guard caught;
        tensor found;
        const bool is_done = caught.run([&] {
            found = (*static_cast<Function *>(user))(tensor(numpack_nn_tensor_retain(given))...);
            return true;
        });
        if (!is_done || !found) {
            return 1;
        }
        *result = found.release();
        return 0;
    }
    static void release(void *user) noexcept { delete static_cast<Function *>(user); }
};

inline std::int32_t on_forward(const numpack_nn_tensor *x, numpack_nn_tensor **result,
                               void *user) noexcept {
    return caller<forward_function>::give(result, user, x);
}

inline std::int32_t on_loss(const numpack_nn_tensor *output, const numpack_nn_tensor *target,
                            numpack_nn_tensor **loss, void *user) noexcept {
    return caller<loss_function>::give(loss, user, output, target);
}

} // namespace detail

/* A module of these parameters, whose names differ, that computes by a function. */
inline result<module> try_custom_module(const std::vector<std::pair<std::string, tensor>> &parameters,
                                        forward_function forward) {
    std::vector<const char *> names;
    std::vector<const numpack_nn_tensor *> tensors;
    for (const auto &[name, one] : parameters) {
        names.push_back(name.c_str());
        tensors.push_back(one.c());
    }
    auto user = std::make_unique<forward_function>(std::move(forward));
    auto made = numpack::detail::make<module>(
        numpack_nn_module_custom, names.data(), tensors.data(), names.size(), detail::on_forward,
        detail::caller<forward_function>::release, static_cast<void *>(user.get()));
    if (made) {
        user.release();
    }
    return made;
}

/* A training step, as `train_step` is one, whose loss is computed by a function. */
inline result<train_step> try_custom_step(const module &model, optimizer &update, loss_function loss,
                                          const tensor &x, const tensor &y) {
    auto user = std::make_unique<loss_function>(std::move(loss));
    auto made = numpack::detail::make<train_step>(
        numpack_nn_step_create_custom, model.c(), update.c(), detail::on_loss,
        detail::caller<loss_function>::release, static_cast<void *>(user.get()), x.c(), y.c());
    if (made) {
        user.release();
    }
    return made;
}

#if NUMPACK_EXCEPTIONS
inline module custom_module(const std::vector<std::pair<std::string, tensor>> &parameters,
                            forward_function forward) {
    return try_custom_module(parameters, std::move(forward)).value();
}
inline train_step custom_step(const module &model, optimizer &update, loss_function loss,
                              const tensor &x, const tensor &y) {
    return try_custom_step(model, update, std::move(loss), x, y).value();
}
#endif

} // namespace nn
NUMPACK_END

#endif /* NUMPACK_NN_CUSTOM_HPP */
