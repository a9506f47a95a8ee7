//! Functions of one element and of two, comparisons, the choice between two.

use numpack_host_ops as host;
use numpack_host_ops::{Approximate, Array, Operand, Scalar};
use vulkan_core::{DType, Result, Tensor};

use crate::common::Numbers;
use crate::judge::{Bound, Judge};
use crate::layouts::{self, Both, PAIRS, View};
use crate::values::{self, Range};
use crate::{Bench, is_frugal, ways};

const FLOATS: [DType; 3] = [DType::F32, DType::F16, DType::BF16];
const INTEGERS: [DType; 3] = [DType::I64, DType::I32, DType::U8];

type Unary =
    (&'static str, fn(&Tensor) -> Result<Tensor>, fn(&Array) -> host::Result<Array>, Bound);

/// What the documentation of each promises.
const UNARY: &[Unary] = &[
    ("neg", Tensor::neg, host::neg, Bound::Exact),
    ("abs", Tensor::abs, host::abs, Bound::Exact),
    ("relu", Tensor::relu, host::relu, Bound::Exact),
    ("exp", Tensor::exp, host::exp, Bound::Ulps(2.0)),
    ("log", Tensor::log, host::log, Bound::Ulps(2.0)),
    ("sqrt", Tensor::sqrt, host::sqrt, Bound::Ulps(3.0)),
    ("rsqrt", Tensor::rsqrt, host::rsqrt, Bound::Ulps(5.0)),
    ("reciprocal", Tensor::reciprocal, host::reciprocal, Bound::Ulps(3.0)),
    ("square", Tensor::square, host::square, Bound::Ulps(1.0)),
    ("sin", Tensor::sin, host::sin, Bound::Absolute(2.4e-7)),
    ("cos", Tensor::cos, host::cos, Bound::Absolute(2.4e-7)),
    ("tanh", Tensor::tanh, host::tanh, Bound::Ulps(4.0)),
    ("sigmoid", Tensor::sigmoid, host::sigmoid, Bound::Ulps(5.0)),
    ("silu", Tensor::silu, host::silu, Bound::Ulps(6.0)),
    ("gelu", Tensor::gelu, |x| host::gelu(x, Approximate::None), Bound::Ulps(6.0)),
    (
        "gelu_tanh",
        Tensor::gelu_tanh,
        |x| host::gelu(x, Approximate::Tanh),
        Bound::UlpsOr(128.0, 1e-14),
    ),
    (
        "clamp",
        |t| t.clamp(Some(-1.5), Some(2.25)),
        |x| host::clamp(x, Some(number(-1.5)), Some(number(2.25))),
        Bound::Exact,
    ),
];

fn number(value: f64) -> Operand<'static> {
    Operand::Scalar(Scalar::Float(value))
}

fn views(dtype: DType) -> &'static [View] {
    match (dtype, is_frugal()) {
        (DType::F32, false) => layouts::ALL,
        (_, false) => layouts::first(3),
        (DType::F32, true) => layouts::first(2),
        (_, true) => layouts::first(1),
    }
}

fn wide(x: &Array) -> Array {
    x.cast(host::DType::F64).unwrap()
}

#[test]
fn functions_of_one_float() {
    for (way, options) in ways() {
        let Some(mut bench) = Bench::open(&options) else { return };
        let (mut judge, mut numbers) = (Judge::default(), Numbers::new(11));
        for &(name, device, reference, bound) in UNARY {
            for dtype in FLOATS {
                for view in views(dtype) {
                    bench.guard();
                    let values = values::floats(&mut numbers, view.numel(), Range::All);
                    let both = view.of(&bench.stream, dtype, &values::bytes(dtype, &values));
                    let got = device(&both.device).unwrap();
                    let case = format!("{name} of {dtype}, {}{way}", view.name);
                    assert_eq!(got.dtype(), dtype, "{case}");
                    judge.floats(&got, &reference(&wide(&both.host)).unwrap(), bound, &case);
                    // The same again is the same to the bit.
                    let again = device(&both.device).unwrap();
                    assert!(got.to_bytes().unwrap() == again.to_bytes().unwrap(), "{case}");
                }
            }
        }
        bench.finish(&format!("functions of one float{way}"), &judge);
    }
}

/// Of integers, functions of floats are `float32`, and the rest is exact.
#[test]
fn functions_of_one_integer() {
    type Whole = (&'static str, fn(&Tensor) -> Result<Tensor>, fn(&Array) -> host::Result<Array>);
    let whole: &[Whole] = &[
        ("neg", Tensor::neg, host::neg),
        ("abs", Tensor::abs, host::abs),
        ("relu", Tensor::relu, host::relu),
        ("square", Tensor::square, host::square),
        (
            "clamp",
            |t| t.clamp(Some(-3.0), Some(200.0)),
            |x| {
                host::clamp(
                    x,
                    Some(Operand::Scalar(Scalar::Int(-3))),
                    Some(Operand::Scalar(Scalar::Int(200))),
                )
            },
        ),
    ];
    let Some(mut bench) = Bench::open(&crate::common::options()) else { return };
    let (mut judge, mut numbers) = (Judge::default(), Numbers::new(12));
    for dtype in INTEGERS {
        for view in layouts::first(if is_frugal() { 1 } else { 7 }) {
            bench.guard();
            let bytes = values::integer_bytes(&mut numbers, dtype, view.numel());
            let both = view.of(&bench.stream, dtype, &bytes);
            for &(name, device, reference) in whole {
                // As bytes, a bound of -3 wraps on the host; on the device there is nothing below it.
                if (name, dtype) == ("clamp", DType::U8) {
                    continue;
                }
                let case = format!("{name} of {dtype}, {}", view.name);
                let got = device(&both.device).unwrap();
                judge.bits(&got, &reference(&both.host).unwrap(), &case);
            }
            let case = format!("exp of {dtype}, {}", view.name);
            let expected = host::exp(&wide(&both.host.cast(host::DType::F32).unwrap())).unwrap();
            let got = both.device.exp().unwrap();
            assert_eq!(got.dtype(), DType::F32, "{case}");
            judge.floats(&got, &expected, Bound::Ulps(2.0), &case);
        }
    }
    let refused = Tensor::from_host(&bench.stream, &[true], &[1]).unwrap().neg().unwrap_err();
    assert!(refused.to_string().contains("cast them to numbers first"), "{refused}");
    bench.finish("functions of one integer", &judge);
}

type Binary = (
    &'static str,
    fn(&Tensor, &Tensor) -> Result<Tensor>,
    fn(&Array, &Array) -> host::Result<Array>,
    Bound,
);

const ARITHMETIC: &[Binary] = &[
    ("add", |a, b| a.add(b), |a, b| host::add(a, b), Bound::Ulps(0.51)),
    ("sub", |a, b| a.sub(b), |a, b| host::sub(a, b), Bound::Ulps(0.51)),
    ("mul", |a, b| a.mul(b), |a, b| host::mul(a, b), Bound::Ulps(0.51)),
    ("div", |a, b| a.div(b), |a, b| host::div(a, b), Bound::Ulps(3.0)),
    ("pow", |a, b| a.pow(b), |a, b| host::pow(a, b), Bound::Ulps(16.0)),
    ("maximum", |a, b| a.maximum(b), |a, b| host::maximum(a, b), Bound::Exact),
    ("minimum", |a, b| a.minimum(b), |a, b| host::minimum(a, b), Bound::Exact),
];

const COMPARISONS: &[Binary] = &[
    ("eq", |a, b| a.eq(b), |a, b| host::eq(a, b), Bound::Exact),
    ("ne", |a, b| a.ne(b), |a, b| host::ne(a, b), Bound::Exact),
    ("lt", |a, b| a.lt(b), |a, b| host::lt(a, b), Bound::Exact),
    ("le", |a, b| a.le(b), |a, b| host::le(a, b), Bound::Exact),
    ("gt", |a, b| a.gt(b), |a, b| host::gt(a, b), Bound::Exact),
    ("ge", |a, b| a.ge(b), |a, b| host::ge(a, b), Bound::Exact),
];

fn pairs() -> &'static [(View, View)] {
    if is_frugal() { &PAIRS[1..2] } else { PAIRS }
}

#[test]
fn arithmetic_of_two_floats() {
    for (way, options) in ways() {
        let Some(mut bench) = Bench::open(&options) else { return };
        let (mut judge, mut numbers) = (Judge::default(), Numbers::new(13));
        for (first, second) in [
            (DType::F32, DType::F32),
            (DType::F16, DType::F16),
            (DType::BF16, DType::F32),
            (DType::F16, DType::BF16),
            (DType::F32, DType::I64),
            (DType::I32, DType::F16),
            (DType::U8, DType::F32),
        ] {
            for (a, b) in pairs() {
                bench.guard();
                let mut both = |view: &View, dtype| {
                    let values = values::floats(&mut numbers, view.numel(), Range::Moderate);
                    view.of(&bench.stream, dtype, &values::bytes(dtype, &values))
                };
                let (a_both, b_both) = (both(a, first), both(b, second));
                for &(name, device, reference, bound) in ARITHMETIC {
                    let case =
                        format!("{name} of {first} and {second}, {} and {}{way}", a.name, b.name);
                    let got = device(&a_both.device, &b_both.device).unwrap();
                    let promoted =
                        host::result_type(&[(&a_both.host).into(), (&b_both.host).into()]);
                    assert_eq!(layouts::on_host(got.dtype()), promoted, "{case}");
                    // Tensors with dimensions are rounded to the type of the result first.
                    let at = |x: &Array| match x.ndim() {
                        0 => wide(x),
                        _ => wide(&x.cast(promoted).unwrap()),
                    };
                    let expected = reference(&at(&a_both.host), &at(&b_both.host)).unwrap();
                    judge.floats(&got, &expected, bound, &case);
                }
            }
        }
        bench.finish(&format!("arithmetic of two floats{way}"), &judge);
    }
}

#[test]
fn arithmetic_of_two_integers() {
    let Some(mut bench) = Bench::open(&crate::common::options()) else { return };
    let (mut judge, mut numbers) = (Judge::default(), Numbers::new(14));
    let exact = ["add", "sub", "mul", "maximum", "minimum"];
    for (first, second) in [
        (DType::I64, DType::I64),
        (DType::I32, DType::I32),
        (DType::U8, DType::U8),
        (DType::I32, DType::U8),
        (DType::Bool, DType::I64),
    ] {
        for (a, b) in pairs() {
            bench.guard();
            let mut both = |view: &View, dtype| {
                let bytes = values::integer_bytes(&mut numbers, dtype, view.numel());
                view.of(&bench.stream, dtype, &bytes)
            };
            let (a_both, b_both) = (both(a, first), both(b, second));
            for &(name, device, reference, _) in ARITHMETIC {
                // The host refuses to subtract bools, as torch does.
                if !exact.contains(&name) || (name == "sub" && first == DType::Bool) {
                    continue;
                }
                let case = format!("{name} of {first} and {second}, {} and {}", a.name, b.name);
                let got = device(&a_both.device, &b_both.device).unwrap();
                judge.bits(&got, &reference(&a_both.host, &b_both.host).unwrap(), &case);
            }
        }
    }
    bench.finish("arithmetic of two integers", &judge);
}

#[test]
fn comparisons() {
    let Some(mut bench) = Bench::open(&crate::common::options()) else { return };
    let (mut judge, mut numbers) = (Judge::default(), Numbers::new(15));
    for dtype in DType::ALL {
        for (a, b) in pairs() {
            bench.guard();
            let mut both = |view: &View| {
                // Few different ones, so that some are equal; NaN among them.
                let mut values: Vec<f64> =
                    (0..view.numel()).map(|_| numbers.below(4) as f64 - 1.0).collect();
                if dtype.is_float() && values.len() > 3 {
                    values[3] = f64::NAN;
                    values[2] = -0.0;
                }
                view.of(&bench.stream, dtype, &values::bytes(dtype, &values))
            };
            let (a_both, b_both) = (both(a), both(b));
            for &(name, device, reference, _) in COMPARISONS {
                let case = format!("{name} of {dtype}, {} and {}", a.name, b.name);
                let got = device(&a_both.device, &b_both.device).unwrap();
                judge.bits(&got, &reference(&a_both.host, &b_both.host).unwrap(), &case);
            }
        }
    }
    bench.finish("comparisons", &judge);
}

#[test]
fn numbers_beside_tensors() {
    let Some(bench) = Bench::open(&crate::common::options()) else { return };
    let (mut judge, mut numbers) = (Judge::default(), Numbers::new(16));
    let view = &layouts::ALL[0];
    for dtype in DType::ALL {
        let bytes = match dtype.is_float() {
            true => {
                values::bytes(dtype, &values::floats(&mut numbers, view.numel(), Range::Moderate))
            }
            false => values::integer_bytes(&mut numbers, dtype, view.numel()),
        };
        let Both { device, host: x } = view.of(&bench.stream, dtype, &bytes);
        let case = |name: &str| format!("{name} of {dtype} and a number");
        // A whole number keeps the type of numbers, a fraction makes floats of integers.
        let got = device.mul(3).unwrap();
        let expected = host::mul(&x, 3).unwrap();
        if got.dtype().is_float() {
            judge.floats(&got, &host::mul(&wide(&x), 3).unwrap(), Bound::Ulps(0.51), &case("mul"));
        } else {
            judge.bits(&got, &expected, &case("mul"));
        }
        let got = device.add(0.5).unwrap();
        assert_eq!(layouts::on_host(got.dtype()), host::add(&x, 0.5).unwrap().dtype());
        let at = wide(&x.cast(layouts::on_host(got.dtype())).unwrap());
        judge.floats(&got, &host::add(&at, 0.5).unwrap(), Bound::Ulps(0.51), &case("add"));
        judge.bits(&device.gt(1).unwrap(), &host::gt(&x, 1).unwrap(), &case("gt"));
        if dtype.is_float() {
            for power in [2.0, 0.5, -1.0, 3.0, 2.5] {
                let got = device.pow(power).unwrap();
                let expected = host::pow(&wide(&x), power).unwrap();
                judge.floats(&got, &expected, Bound::Ulps(16.0), &case(&format!("pow {power}")));
            }
        }
    }
    let ints = Tensor::from_host(&bench.stream, &[1_i64], &[1]).unwrap();
    for refused in [ints.pow(2).map(drop).err(), ints.logical_and(&ints).map(drop).err()] {
        let refused = refused.unwrap().to_string();
        assert!(refused.contains("on the host") || refused.contains("compare with 0"), "{refused}");
    }
    bench.finish("numbers beside tensors", &judge);
}

#[test]
fn the_choice_between_two() {
    let Some(mut bench) = Bench::open(&crate::common::options()) else { return };
    let (mut judge, mut numbers) = (Judge::default(), Numbers::new(17));
    for dtype in DType::ALL {
        for (a, b) in pairs() {
            bench.guard();
            let mut both = |view: &View, dtype| {
                let values = values::floats(&mut numbers, view.numel(), Range::All);
                view.of(&bench.stream, dtype, &values::bytes(dtype, &values))
            };
            let (condition, x, y) = (both(b, DType::Bool), both(a, dtype), both(b, dtype));
            let got = x.device.where_(&condition.device, &y.device).unwrap();
            let expected = host::where_(&condition.host, &x.host, &y.host).unwrap();
            judge.bits(&got, &expected, &format!("where of {dtype}, {} and {}", a.name, b.name));
            let got = x.device.where_(&condition.device, 1).unwrap();
            let expected = host::where_(&condition.host, &x.host, 1).unwrap();
            judge.bits(&got, &expected, &format!("where of {dtype} and 1, {}", a.name));
        }
    }
    let flags = Tensor::from_host(&bench.stream, &[true, true, false, false], &[4]).unwrap();
    let others = Tensor::from_host(&bench.stream, &[true, false, true, false], &[4]).unwrap();
    assert_eq!(
        flags.logical_and(&others).unwrap().to_host::<bool>().unwrap(),
        [true, false, false, false]
    );
    assert_eq!(
        flags.logical_or(&others).unwrap().to_host::<bool>().unwrap(),
        [true, true, true, false]
    );
    assert_eq!(
        flags.logical_xor(&others).unwrap().to_host::<bool>().unwrap(),
        [false, true, true, false]
    );
    bench.finish("the choice between two", &judge);
}
