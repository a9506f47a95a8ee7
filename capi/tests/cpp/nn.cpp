/* Tensors that compute, gradients, modules, optimisers, and devices where there are some. */
#include "parts.hpp"

#include "check.hpp"

#include <cmath>
#include <memory>

namespace nn = numpack::nn;
using numpack::dtype;
using numpack::status;
using floats = std::vector<float>;

static bool near(const nn::tensor &t, const floats &expected) {
    const floats found = t.to_vector<float>();
    bool same = found.size() == expected.size();
    for (std::size_t i = 0; same && i < found.size(); i++) {
        same = std::fabs(found[i] - expected[i]) <= 4e-6f * (1 + std::fabs(expected[i]));
    }
    return same;
}

static void computed() {
    const nn::tensor x = nn::tensor::copy(floats{1, 2, 3}, {3});
    x.require_grad();
    CHECK(x.is_leaf() && x.requires_grad() && !x.grad() && x.dtype() == dtype::float32);
    (x * x).sum().backward();
    CHECK(near(x.grad(), {2, 4, 6}));
    x.zero_grad();
    CHECK(!x.grad());
    {
        const nn::no_grad quiet;
        CHECK(!(x * 2).requires_grad());
    }
    CHECK((x * 2).requires_grad());
    CHECK(near(2 * x + 1, {3, 5, 7}) && near(1 - x, {0, -1, -2}) && near(-x, {-1, -2, -3}));
    CHECK(near(6 / x, {6, 3, 2}) && near(x / 2, {0.5f, 1, 1.5f}) && near(x - x, {0, 0, 0}));
    CHECK(near(x.pow(2), {1, 4, 9}) && near(x.log().exp(), {1, 2, 3}));
    CHECK(near(x.maximum(2), {2, 2, 3}) && near(x.clamp({}, 2), {1, 2, 2}));
    CHECK(near(x.where(x.gt(1.5), -x), {-1, 2, 3}));
    CHECK(x.argmax().item() == 2 && x.mean().item() == 2 && x.var().item() == 1);
    CHECK(x.mean({0}, true).ndim() == 1 && equal(x.shape(), {3}));

    const nn::tensor m = nn::tensor::copy(floats{1, 2, 3, 4, 5, 6}, {2, 3});
    CHECK(near(m.matmul(m.transpose(0, 1)), {14, 32, 32, 77}));
    CHECK(near(m.linear(m, {}), {14, 32, 32, 77}) && near(m.select(0, 1), {4, 5, 6}));
    CHECK(near(m.slice(1, 1, nn::tensor::end), {2, 3, 5, 6}) && m.reshape({3, -1}).ndim() == 2);
    CHECK(near(nn::tensor::cat({m, m}).narrow(0, 3, 1), {4, 5, 6}));
    CHECK(nn::tensor::stack({m, m}, -1).ndim() == 3 && near(m.flatten(), {1, 2, 3, 4, 5, 6}));
    const nn::tensor index = nn::tensor::copy(std::vector<std::int64_t>{1, 0}, {2});
    CHECK(near(m.index_select(0, index), {4, 5, 6, 1, 2, 3}));
    CHECK(near(m.embedding(index), {4, 5, 6, 1, 2, 3}));
    CHECK(near(m.softmax(1).sum({1}), {1, 1}) && near(m.log_softmax(1).exp().sum({1}), {1, 1}));
    CHECK(near(m.layer_norm({3}, {}, {}).mean({1}), {0, 0}) && m.rms_norm({3}, {}).ndim() == 2);
    nn::cross_entropy_options each;
    each.reduction = nn::reduction::none;
    CHECK(near(m.cross_entropy(index, each), {1.40760596f, 2.40760596f}));
    CHECK(m.mse_loss(m).item() == 0 && m.l1_loss(-m, nn::reduction::sum).item() == 42);
    CHECK(nn::tensor::arange(4).sum().item() == 6);
    CHECK(m.to(dtype::float64).to_tensor().get<double>({1, 2}) == 6);
    CHECK(near(nn::tensor::from(numpack::tensor::copy(floats{7}, {1})), {7}));

    CHECK(thrown_by([&] { m.matmul(m); }) == status::parameter);
    CHECK(thrown_by([&] { m.backward(); }) == status::sharing);
    CHECK(thrown_by([&] { index.require_grad(); }) == status::type);
    CHECK(thrown_by([&] { m.to_vector<double>(); }) == status::type);
    CHECK(thrown_by([&] { nn::tensor().exp(); }) == status::parameter);
    CHECK(m.try_compute(nn::unary::exp).has_value());
    CHECK(m.try_compute(nn::binary::add, index).status() == status::parameter);
}

static void trained(const std::string &folder) {
    nn::manual_seed(0);
    const auto make = [] {
        return nn::module::sequential(
            {nn::module::linear(10, 20), nn::module::relu(), nn::module::linear(20, 2)});
    };
    const nn::module model = make();
    const nn::tensor x = nn::tensor::randn({100, 10});
    const nn::tensor y = x.sum({1}).gt(0).to(dtype::int64);
    auto adam = nn::optimizer::adam(model.parameters(), 0.01);
    for (int epoch = 0; epoch < 100; epoch++) {
        adam.zero_grad();
        model(x).cross_entropy(y).backward();
        adam.step();
    }
    const double last = model(x).cross_entropy(y).item();
    CHECK(last < 0.2 && model.named_parameters()[2].name == "2.weight");
    model(x).cross_entropy(y).backward();
    CHECK(nn::clip_grad_norm(model.parameters(), 1e-3) > 1e-3);
    nn::clip_grad_value(model.parameters(), 1e-6);
    CHECK(thrown_by([&] { adam.set_lr(1, 0.1); }) == status::parameter);
    adam.add_group({x}, 0.1);
    adam.set_lr(1, 0.2);
    auto sgd = nn::optimizer::sgd(model.parameters(), 0.1);
    sgd.step();
    model.zero_grad();

    auto still = nn::optimizer::sgd(model.parameters(), 0);
    nn::train_step step(model, still, NUMPACK_NN_CROSS_ENTROPY, x, y);
    CHECK(thrown_by([&] { step.loss(); }) == status::parameter);
    step.run(x, y);
    CHECK(step.loss().item() == model(x).cross_entropy(y).item());
    CHECK(thrown_by([&] { step.run(y, x); }) == status::type);
    model.zero_grad();

    nn::tensor copied = nn::tensor::copy(std::vector<float>{1, 2}, {2});
    numpack::tensor memory = copied.to_tensor();
    CHECK(!copied.refresh(memory));
    memory.fill(5);
    CHECK(copied.refresh(memory) && copied.sum().item() == 10);
    copied.set_data(copied.to(dtype::float64));
    CHECK(thrown_by([&] { copied.write_to(memory); }) == status::parameter);
    copied.set_data(nn::tensor::copy(std::vector<float>{7, 8}, {2}));
    copied.write_to(memory);
    nn::tensor doubled = nn::tensor::try_compute(memory, nn::binary::add, memory).value();
    CHECK(doubled.sum().item() == 30);
    CHECK((memory.to_vector<float>() == std::vector<float>{7, 8}));
    const nn::tensor weight = model.parameters()[0], bias = model.parameters()[1];
    CHECK(x.linear(weight, bias, nn::unary::relu).sum().item() ==
          x.linear(weight, bias).relu().sum().item());
    CHECK(thrown_by([&] { x.linear(weight, bias, nn::unary::exp); }) == status::parameter);

    const std::string path = join(folder, "model.pt");
    model.save(path, true);
    const nn::module other = make(), third = make();
    CHECK(thrown_by([&] { other.load(path, "no.such"); }) == status::parameter);
    other.load(path);
    third.load_state(other.state());
    const double now = model(x).cross_entropy(y).item();
    CHECK(other(x).cross_entropy(y).item() == now && third(x).cross_entropy(y).item() == now);
    CHECK(model.state().size() == 4 && (*model.state().begin()).name == "0.weight");
    CHECK(thrown_by([&] { other.load_state(nn::module::linear(2, 2).state()); }) ==
          status::parameter);

    nn::transformer_options small;
    small.dim_feedforward = 16;
    small.batch_first = true;
    const nn::module encoder = nn::module::sequential(
        {nn::module::transformer_encoder_layer(8, 2, small),
         nn::module::multihead_attention(8, 2, 0, true, true), nn::module::layer_norm({8}),
         nn::module::rms_norm({8}), nn::module::dropout(0.5), nn::module::flatten(),
         nn::module::softmax(-1)});
    encoder.eval();
    CHECK(std::fabs(encoder(nn::tensor::rand({2, 5, 8})).sum().item() - 2) < 1e-5);
    const nn::module attention = nn::module::multihead_attention(8, 2, 0, true, true);
    const nn::tensor sequence = nn::tensor::rand({1, 2, 8});
    const nn::tensor first = nn::tensor::copy(std::vector<std::int64_t>{0, 1}, {1, 2}).gt(0);
    const nn::tensor seen = attention.forward(sequence, first, {});
    /* Both queries find what the first key has. */
    CHECK((seen.select(1, 0) - seen.select(1, 1)).abs().sum().item() < 1e-5);
    CHECK(thrown_by([&] { model.forward(x, {}, {}); }) == status::parameter);
    CHECK(nn::module::embedding(3, 4)(y).shape()[1] == 4);
}

/* The same training by a function and by the layer that it stands for. */
static void trained_by_functions(const std::string &folder) {
    const auto shared = std::make_shared<int>(0);
    const nn::tensor x = nn::tensor::rand({8, 3}), y = nn::tensor::rand({8, 2});
    const nn::module native = nn::module::linear(3, 2);
    const nn::tensor w = native.parameters()[0].detach().clone();
    const nn::tensor b = native.parameters()[1].detach().clone();
    CHECK(w.try_require_grad() && b.try_require_grad());
    {
        const nn::module own = nn::custom_module(
            {{"weight", w}, {"bias", b}},
            [shared, w, b](const nn::tensor &given) { return given.linear(w, b); });
        CHECK(own.named_parameters()[1].name == "bias" && shared.use_count() == 2);
        auto one = nn::optimizer::adam(native.parameters(), 0.1);
        auto other = nn::optimizer::adam(own.parameters(), 0.1);
        nn::train_step step(native, one, NUMPACK_NN_MSE, x, y);
        auto same = nn::custom_step(
            own, other,
            [shared](const nn::tensor &output, const nn::tensor &target) {
                return (output - target).square().mean();
            },
            x, y);
        for (int i = 0; i < 5; i++) {
            step.run(x, y);
            same.run(x, y);
            CHECK(std::fabs(step.loss().item() - same.loss().item()) < 1e-6);
        }
        CHECK(other.state().size() == 6 && (*other.state().begin()).name == "0.step");
        const std::string path = join(folder, "training.pt");
        nn::save_training(path, own, other);
        auto third = nn::optimizer::adam(own.parameters(), 0.5);
        third.load(path, "optimizer");
        CHECK(third.state().size() == 6 && third.group_count() == 1);
        third.load_state(other.state());
        third.set_setting(0, "beta1", 0.5);
        CHECK(third.setting(0, "beta1") == 0.5 && third.setting(0, "lr") == 0.5);
        CHECK(thrown_by([&] { third.setting(0, "momentum"); }) == status::parameter);
        const nn::module fails = nn::custom_module(
            {}, [](const nn::tensor &) -> nn::tensor { throw std::runtime_error("no"); });
        CHECK(thrown_by([&] { fails(x); }) == status::cancelled);
    }
    CHECK(shared.use_count() == 1);
}

/* Without a driver the reason is said. */
static void devices() {
    const auto found = numpack::device_list::try_find();
    if (!found) {
        CHECK(found.status() == status::device && found.message().find("install") != std::string::npos);
        CHECK(thrown_by([] { numpack::device::open(); }) == status::device);
        return;
    }
    for (const numpack::device_info &info : *found) {
        CHECK(!info.name.empty() && info.uuid.size() == 36);
    }
    const auto gpu = numpack::device::open();
    CHECK(!gpu.info().name.empty());
    CHECK((gpu.info().kind == "software") == !gpu.warning().empty());
    const numpack::tensor memory = numpack::tensor::copy(floats{1, 2}, {2}).to(gpu);
    CHECK(memory.layout().on_device && memory.cpu().get<float>({1}) == 2);
    const nn::tensor x = nn::tensor::from(memory) + nn::tensor::full(dtype::float32, {2}, 1, gpu);
    CHECK(x.on_device() && near(x, {2, 3}) && near(x.cpu(), {2, 3}));
    CHECK(gpu.usage().dispatches > 0);
    gpu.synchronize();
    gpu.trim();
    const nn::module linear = nn::module::linear(2, 2);
    linear.to(gpu);
    CHECK(linear(x).on_device());
}

void computing(const std::string &folder) {
    computed();
    trained(folder);
    trained_by_functions(folder);
    devices();
}
