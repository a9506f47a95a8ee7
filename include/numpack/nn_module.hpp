/* Modules, their states, and optimisers. */

#ifndef NUMPACK_NN_MODULE_HPP
#define NUMPACK_NN_MODULE_HPP

#include "nn.hpp"

NUMPACK_BEGIN
namespace nn {

/* A tensor with a name; the name is borrowed from the state or the module that was asked. */
struct named_tensor {
    std::string_view name;
    nn::tensor tensor;
};

namespace detail {

template <class T, class F>
result<named_tensor> named(F function, const T &of, std::size_t index) {
    const char *name = nullptr;
    const numpack_nn_tensor *tensor = nullptr;
    auto done = numpack::detail::call(function, of.c(), index, &name, &tensor);
    if (!done) {
        return done.failure();
    }
    return named_tensor{name, nn::tensor(numpack_nn_tensor_retain(tensor))};
}

} // namespace detail

/* The parameters and buffers of a module by their dotted names. Any thread. */
class state : public numpack::detail::shared_handle<numpack_nn_state, numpack_nn_state_retain,
                                                    numpack_nn_state_free> {
  public:
    using shared_handle::shared_handle;
    using iterator = numpack::detail::place_iterator<state, named_tensor>;

    state share() const { return *this; }
    std::size_t size() const noexcept { return numpack_nn_state_count(c()); }
    iterator begin() const { return iterator(*this, 0); }
    iterator end() const { return iterator(*this, size()); }
    /* `status::parameter` for an index past the last one. */
    result<named_tensor> try_get(std::size_t index) const {
        return detail::named(numpack_nn_state_get, *this, index);
    }
#if NUMPACK_EXCEPTIONS
    named_tensor get(std::size_t index) const { return try_get(index).value(); }
#endif
};

/* How a layer of a transformer's encoder is made; the defaults are PyTorch's. */
struct transformer_options {
    std::uint64_t dim_feedforward = 2048;
    double dropout = 0.1;
    /* `relu` or `gelu`. */
    unary activation = unary::relu;
    double layer_norm_eps = 1e-5;
    bool batch_first = false;
    bool norm_first = false;
    bool bias = true;
};

/* What has parameters and computes with them. A copy is the same module. Any thread. */
class module : public numpack::detail::shared_handle<numpack_nn_module, numpack_nn_module_retain,
                                                     numpack_nn_module_free> {
  public:
    using shared_handle::shared_handle;

    /* == Made, on the host; numpack.h says more of each ======================================= */

    static result<module> try_linear(std::uint64_t inputs, std::uint64_t outputs,
                                     bool bias = true) {
        return make(numpack_nn_module_linear, inputs, outputs, std::int32_t(bias));
    }
    /* `relu`, `gelu`, `gelu_tanh`, `silu`, `tanh` or `sigmoid`. */
    static result<module> try_activation(unary op) {
        return make(numpack_nn_module_activation, static_cast<std::int32_t>(op));
    }
    static result<module> try_softmax(std::int64_t dim) {
        return make(numpack_nn_module_softmax, dim, std::int32_t(0));
    }
    static result<module> try_log_softmax(std::int64_t dim) {
        return make(numpack_nn_module_softmax, dim, std::int32_t(1));
    }
    static result<module> try_dropout(double p) { return make(numpack_nn_module_dropout, p); }
    static result<module> try_layer_norm(shape_argument shape, double eps = 1e-5,
                                         bool affine = true) {
        return make(numpack_nn_module_layer_norm, shape.size(), shape.data(), eps,
                    std::int32_t(affine));
    }
    static result<module> try_rms_norm(shape_argument shape, std::optional<double> eps = {}) {
        return make(numpack_nn_module_rms_norm, shape.size(), shape.data(),
                    eps ? &*eps : nullptr);
    }
    static result<module> try_embedding(std::uint64_t rows, std::uint64_t columns,
                                        std::int64_t padding_idx = -1) {
        return make(numpack_nn_module_embedding, rows, columns, padding_idx);
    }
    static result<module> try_flatten(std::int64_t first = 1, std::int64_t last = -1) {
        return make(numpack_nn_module_flatten, first, last);
    }
    static result<module> try_sequential(const std::vector<module> &modules) {
        std::vector<const numpack_nn_module *> all;
        for (const module &one : modules) {
            all.push_back(one.c());
        }
        return make(numpack_nn_module_sequential, all.data(), all.size());
    }
    static result<module> try_multihead_attention(std::uint64_t embed_dim, std::uint64_t heads,
                                                  double dropout = 0, bool bias = true,
                                                  bool batch_first = false) {
        return make(numpack_nn_module_multihead_attention, embed_dim, heads, dropout,
                    std::int32_t(bias), std::int32_t(batch_first));
    }
    static result<module> try_transformer_encoder_layer(std::uint64_t embed_dim,
                                                        std::uint64_t heads,
                                                        const transformer_options &options = {}) {
        numpack_nn_transformer_options given{};
        given.struct_size = static_cast<std::uint32_t>(sizeof given);
        given.activation = static_cast<std::int32_t>(options.activation);
        given.dim_feedforward = options.dim_feedforward;
        given.layer_norm_eps = options.layer_norm_eps;
        given.batch_first = options.batch_first;
        given.norm_first = options.norm_first;
        given.without_bias = !options.bias;
        return make(numpack_nn_module_transformer_encoder_layer, embed_dim, heads,
                    options.dropout, &given);
    }

    /* == Used ================================================================================= */

    module share() const { return *this; }
    result<tensor> try_forward(const tensor &x) const {
        return numpack::detail::make<tensor>(numpack_nn_module_forward, c(), x.c());
    }
    /* Of attention and layers of encoders, attending to no more than two masks allow; either may be
     * empty. */
    result<tensor> try_forward(const tensor &x, const tensor &key_padding_mask,
                               const tensor &attn_mask) const {
        return numpack::detail::make<tensor>(numpack_nn_module_forward_masked, c(), x.c(),
                                             key_padding_mask.c(), attn_mask.c());
    }
    /* By name, as the module has them: whoever changes one changes the module. */
    std::vector<named_tensor> named_parameters() const {
        std::vector<named_tensor> all;
        const std::size_t count = numpack_nn_module_parameter_count(c());
        for (std::size_t i = 0; i < count; i++) {
            all.push_back(*detail::named(numpack_nn_module_get_parameter, *this, i));
        }
        return all;
    }
    std::vector<tensor> parameters() const {
        std::vector<tensor> all;
        for (named_tensor &one : named_parameters()) {
            all.push_back(std::move(one.tensor));
        }
        return all;
    }
    result<nn::state> try_state() const {
        return numpack::detail::make<nn::state>(numpack_nn_module_state, c());
    }
    /* `status::parameter`, listing all names that are missing or unknown, and all shapes that
     * differ; nothing is changed then. */
    result<void> try_load_state(const nn::state &from, bool strict = true) const {
        std::vector<const char *> names;
        std::vector<const numpack_nn_tensor *> tensors;
        for (const named_tensor &one : from) {
            names.push_back(one.name.data());
            tensors.push_back(one.tensor.c());
        }
        return numpack::detail::call(numpack_nn_module_load_state, c(), names.data(),
                                     tensors.data(), names.size(), std::int32_t(strict));
    }
    /* There, or to the host for an empty device. */
    result<void> try_to(const device &there) const {
        return numpack::detail::call(numpack_nn_module_to_device, c(), there.c());
    }
    result<void> try_train(bool training = true) const {
        return numpack::detail::call(numpack_nn_module_train, c(), std::int32_t(training));
    }
    result<void> try_zero_grad() const {
        return numpack::detail::call(numpack_nn_module_zero_grad, c());
    }
    /* As a .pt file or a .npk store. `status::exists`. */
    result<void> try_save(std::string_view path, bool overwrite = false) const {
        return numpack::detail::call(numpack_nn_module_save, c(), path, std::int32_t(overwrite));
    }
    /* Of any file of tensors: those under a key, or all for an empty one. */
    result<void> try_load(std::string_view path, std::string_view key = {},
                          bool strict = true) const {
        const auto flag = std::int32_t(strict);
        if (key.empty()) {
            const char *all = nullptr;
            return numpack::detail::call(numpack_nn_module_load, c(), path, all, flag);
        }
        return numpack::detail::call(numpack_nn_module_load, c(), path, key, flag);
    }

#if NUMPACK_EXCEPTIONS
    /* == The same, which throw ================================================================ */

    static module linear(std::uint64_t inputs, std::uint64_t outputs, bool bias = true) {
        return try_linear(inputs, outputs, bias).value();
    }
    static module activation(unary op) { return try_activation(op).value(); }
    static module relu() { return activation(unary::relu); }
    static module gelu() { return activation(unary::gelu); }
    static module silu() { return activation(unary::silu); }
    static module tanh() { return activation(unary::tanh); }
    static module sigmoid() { return activation(unary::sigmoid); }
    static module softmax(std::int64_t dim) { return try_softmax(dim).value(); }
    static module log_softmax(std::int64_t dim) { return try_log_softmax(dim).value(); }
    static module dropout(double p) { return try_dropout(p).value(); }
    static module layer_norm(shape_argument shape, double eps = 1e-5, bool affine = true) {
        return try_layer_norm(shape, eps, affine).value();
    }
    static module rms_norm(shape_argument shape, std::optional<double> eps = {}) {
        return try_rms_norm(shape, eps).value();
    }
    static module embedding(std::uint64_t rows, std::uint64_t columns,
                            std::int64_t padding_idx = -1) {
        return try_embedding(rows, columns, padding_idx).value();
    }
    static module flatten(std::int64_t first = 1, std::int64_t last = -1) {
        return try_flatten(first, last).value();
    }
    static module sequential(const std::vector<module> &modules) {
        return try_sequential(modules).value();
    }
    static module multihead_attention(std::uint64_t embed_dim, std::uint64_t heads,
                                      double dropout = 0, bool bias = true,
                                      bool batch_first = false) {
        return try_multihead_attention(embed_dim, heads, dropout, bias, batch_first).value();
    }
    static module transformer_encoder_layer(std::uint64_t embed_dim, std::uint64_t heads,
                                            const transformer_options &options = {}) {
        return try_transformer_encoder_layer(embed_dim, heads, options).value();
    }

    tensor forward(const tensor &x) const { return try_forward(x).value(); }
    tensor operator()(const tensor &x) const { return forward(x); }
    tensor forward(const tensor &x, const tensor &key_padding_mask,
                   const tensor &attn_mask) const {
        return try_forward(x, key_padding_mask, attn_mask).value();
    }
    nn::state state() const { return try_state().value(); }
    void load_state(const nn::state &from, bool strict = true) const {
        try_load_state(from, strict).value();
    }
    void to(const device &there) const { try_to(there).value(); }
    void train(bool training = true) const { try_train(training).value(); }
    void eval() const { train(false); }
    void zero_grad() const { try_zero_grad().value(); }
    void save(std::string_view path, bool overwrite = false) const {
        try_save(path, overwrite).value();
    }
    void load(std::string_view path, std::string_view key = {}, bool strict = true) const {
        try_load(path, key, strict).value();
    }
#endif

  private:
    template <class F, class... A>
    static result<module> make(F function, A... arguments) {
        return numpack::detail::make<module>(function, arguments...);
    }
};

/* How `optimizer::sgd` changes parameters. */
struct sgd_options {
    double momentum = 0;
    double dampening = 0;
    double weight_decay = 0;
    bool nesterov = false;
};

/* How `optimizer::adam` changes parameters. */
struct adam_options {
    double beta1 = 0.9;
    double beta2 = 0.999;
    double eps = 1e-8;
    double weight_decay = 0;
    /* Weight decay leaves the gradient alone: AdamW. */
    bool decoupled = false;
    bool amsgrad = false;
};

/* Changes parameters by their gradients, in groups with a learning rate of their own. One thread at a
 * time. */
class optimizer
    : public numpack::detail::unique_handle<numpack_nn_optimizer, numpack_nn_optimizer_free> {
  public:
    using unique_handle::unique_handle;

    static result<optimizer> try_sgd(const std::vector<tensor> &params, double lr,
                                     const sgd_options &options = {}) {
        numpack_nn_sgd_options given{};
        given.struct_size = static_cast<std::uint32_t>(sizeof given);
        given.nesterov = options.nesterov;
        given.momentum = options.momentum;
        given.dampening = options.dampening;
        given.weight_decay = options.weight_decay;
        const auto all = tensor::borrow(params);
        return numpack::detail::make<optimizer>(numpack_nn_optimizer_sgd, all.data(), all.size(),
                                                lr, &given);
    }
    static result<optimizer> try_adam(const std::vector<tensor> &params, double lr,
                                      const adam_options &options = {}) {
        numpack_nn_adam_options given{};
        given.struct_size = static_cast<std::uint32_t>(sizeof given);
        given.decoupled = options.decoupled;
        given.beta1 = options.beta1;
        given.beta2 = options.beta2;
        given.eps = options.eps;
        given.weight_decay = options.weight_decay;
        given.amsgrad = options.amsgrad;
        const auto all = tensor::borrow(params);
        return numpack::detail::make<optimizer>(numpack_nn_optimizer_adam, all.data(), all.size(),
                                                lr, &given);
    }
    /* All but the learning rate is as in the first group. */
    result<void> try_add_group(const std::vector<tensor> &params, double lr) {
        const auto all = tensor::borrow(params);
        return numpack::detail::call(numpack_nn_optimizer_add_group, c(), all.data(), all.size(),
                                     lr);
    }
    result<void> try_set_lr(std::size_t group, double lr) {
        return numpack::detail::call(numpack_nn_optimizer_set_lr, c(), group, lr);
    }
    std::size_t group_count() const noexcept { return numpack_nn_optimizer_group_count(c()); }
    /* By PyTorch's names, with `beta1`, `beta2` and `decoupled`; yes is 1. */
    result<double> try_setting(std::size_t group, std::string_view name) const {
        return numpack::detail::ask<double>(numpack_nn_optimizer_get_setting, c(), group, name);
    }
    result<void> try_set_setting(std::size_t group, std::string_view name, double value) {
        return numpack::detail::call(numpack_nn_optimizer_set_setting, c(), group, name, value);
    }
    /* What it keeps, copied, by names such as `0.exp_avg`. */
    result<nn::state> try_state() const {
        return numpack::detail::make<nn::state>(numpack_nn_optimizer_state, c());
    }
    result<void> try_load_state(const nn::state &from) {
        std::vector<const char *> names;
        std::vector<const numpack_nn_tensor *> tensors;
        for (const named_tensor &one : from) {
            names.push_back(one.name.data());
            tensors.push_back(one.tensor.c());
        }
        return numpack::detail::call(numpack_nn_optimizer_load_state, c(), names.data(),
                                     tensors.data(), names.size());
    }
    /* Of a file, from below a key, or the whole one for an empty key. */
    result<void> try_load(std::string_view path, std::string_view key = {}) {
        if (key.empty()) {
            const char *all = nullptr;
            return numpack::detail::call(numpack_nn_optimizer_load, c(), path, all);
        }
        return numpack::detail::call(numpack_nn_optimizer_load, c(), path, key);
    }
    result<void> try_step() { return numpack::detail::call(numpack_nn_optimizer_step, c()); }
    result<void> try_zero_grad() {
        return numpack::detail::call(numpack_nn_optimizer_zero_grad, c());
    }

#if NUMPACK_EXCEPTIONS
    static optimizer sgd(const std::vector<tensor> &params, double lr,
                         const sgd_options &options = {}) {
        return try_sgd(params, lr, options).value();
    }
    static optimizer adam(const std::vector<tensor> &params, double lr,
                          const adam_options &options = {}) {
        return try_adam(params, lr, options).value();
    }
    void add_group(const std::vector<tensor> &params, double lr) {
        try_add_group(params, lr).value();
    }
    void set_lr(std::size_t group, double lr) { try_set_lr(group, lr).value(); }
    double setting(std::size_t group, std::string_view name) const {
        return try_setting(group, name).value();
    }
    void set_setting(std::size_t group, std::string_view name, double value) {
        try_set_setting(group, name, value).value();
    }
    nn::state state() const { return try_state().value(); }
    void load_state(const nn::state &from) { try_load_state(from).value(); }
    void load(std::string_view path, std::string_view key = {}) { try_load(path, key).value(); }
    void step() { try_step().value(); }
    void zero_grad() { try_zero_grad().value(); }
#endif
};

/* Both states as `{"model": …, "optimizer": …}`, a .pt file. `status::exists`. */
inline result<void> try_save_training(std::string_view path, const module &model,
                                      const optimizer &update, bool overwrite = false) {
    return numpack::detail::call(numpack_nn_save_training, path, model.c(), update.c(),
                                 std::int32_t(overwrite));
}
#if NUMPACK_EXCEPTIONS
inline void save_training(std::string_view path, const module &model, const optimizer &update,
                          bool overwrite = false) {
    try_save_training(path, model, update, overwrite).value();
}
#endif

/* A training step of a module for inputs like `x` and `y`, recorded once on a device. It keeps both. */
class train_step : public numpack::detail::unique_handle<numpack_nn_step, numpack_nn_step_free> {
  public:
    using unique_handle::unique_handle;

    /* `loss` is NUMPACK_NN_CROSS_ENTROPY, NUMPACK_NN_MSE, NUMPACK_NN_L1 or NUMPACK_NN_BCE_WITH_LOGITS. */
    static result<train_step> try_create(const module &model, optimizer &update, std::int32_t loss,
                                         const tensor &x, const tensor &y) {
        return numpack::detail::make<train_step>(numpack_nn_step_create, model.c(), update.c(), loss,
                                                 x.c(), y.c());
    }
    result<void> try_run(const tensor &x, const tensor &y) {
        return numpack::detail::call(numpack_nn_step_run, c(), x.c(), y.c());
    }
    /* That of the last run, before its update. */
    result<tensor> try_loss() const {
        return numpack::detail::make<tensor>(numpack_nn_step_loss, c());
    }

#if NUMPACK_EXCEPTIONS
    train_step(const module &model, optimizer &update, std::int32_t loss, const tensor &x,
               const tensor &y)
        : train_step(try_create(model, update, loss, x, y).value()) {}
    void run(const tensor &x, const tensor &y) { try_run(x, y).value(); }
    tensor loss() const { return try_loss().value(); }
#endif
};

/* Scales gradients so that the root of the sum of their squares is at most `max_norm`; what it was. */
inline result<double> try_clip_grad_norm(const std::vector<tensor> &params, double max_norm) {
    const auto all = tensor::borrow(params);
    return numpack::detail::ask<double>(numpack_nn_clip_grad_norm, all.data(), all.size(),
                                        max_norm);
}
/* Cuts each element of the gradients to between -value and value. */
inline result<void> try_clip_grad_value(const std::vector<tensor> &params, double value) {
    const auto all = tensor::borrow(params);
    return numpack::detail::call(numpack_nn_clip_grad_value, all.data(), all.size(), value);
}
#if NUMPACK_EXCEPTIONS
inline double clip_grad_norm(const std::vector<tensor> &params, double max_norm) {
    return try_clip_grad_norm(params, max_norm).value();
}
inline void clip_grad_value(const std::vector<tensor> &params, double value) {
    try_clip_grad_value(params, value).value();
}
#endif

} // namespace nn
NUMPACK_END

#endif /* NUMPACK_NN_MODULE_HPP */
