//! Functions of elements.

use numpack_host_ops::{DType, Scalar};

use super::Tensor;
use crate::autograd::Saved;
use crate::error::{Error, Result};
use crate::exec::{Binary, Unary, Value};

/// What an operation takes beside a tensor: another, or a number, which takes less part in choosing the
/// type of the result.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Other<'a> {
    /// A tensor, whose shape broadcasts with the first one's.
    Tensor(&'a Tensor),
    /// A number.
    Number(Scalar),
}

impl<'a> From<&'a Tensor> for Other<'a> {
    fn from(tensor: &'a Tensor) -> Self {
        Other::Tensor(tensor)
    }
}

impl<S: Into<Scalar>> From<S> for Other<'_> {
    fn from(number: S) -> Self {
        Other::Number(number.into())
    }
}

/// A gradient as an input of this shape and type takes it: what was broadcast is summed.
pub(crate) fn fit(grad: Value, shape: &[usize], dtype: DType) -> Result<Value> {
    grad.sum_to_shape(shape)?.cast(dtype)
}

fn as_f64(number: Scalar) -> f64 {
    match number {
        Scalar::Bool(b) => f64::from(u8::from(b)),
        Scalar::Int(i) => i as f64,
        Scalar::Float(f) => f,
    }
}

macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident $op:ident;)*) => {
        impl Tensor {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// What executors say of types and memory.
                pub fn $name(&self) -> Result<Tensor> {
                    self.unary(Unary::$op)
                }
            )*
        }
    };
}

unary! {
    /// The negative of each element.
    neg Neg;
    /// The absolute value of each element; its gradient is 0 at 0.
    abs Abs;
    /// e to the power of each element.
    exp Exp;
    /// The natural logarithm of each element.
    log Log;
    /// The square root of each element.
    sqrt Sqrt;
    /// One over the square root of each element.
    rsqrt Rsqrt;
    /// One over each element.
    reciprocal Reciprocal;
    /// Each element times itself.
    square Square;
    /// The sine of each element, in radians.
    sin Sin;
    /// The cosine of each element, in radians.
    cos Cos;
    /// The hyperbolic tangent of each element.
    tanh Tanh;
    /// 1 / (1 + e^-x) of each element.
    sigmoid Sigmoid;
    /// Each element, or 0 if that is more.
    relu Relu;
    /// x times the part of a normal distribution below x.
    gelu Gelu;
    /// The same by its approximation with a hyperbolic tangent (`approximate='tanh'`).
    gelu_tanh GeluTanh;
    /// x times the sigmoid of x.
    silu Silu;
}

macro_rules! binary {
    ($($(#[$doc:meta])* $name:ident $op:ident;)*) => {
        impl Tensor {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// [`Error::Devices`](crate::Error::Devices) for tensors on two devices; what executors
                /// say of shapes and types.
                pub fn $name<'a>(&self, other: impl Into<Other<'a>>) -> Result<Tensor> {
                    self.binary(Binary::$op, other.into())
                }
            )*
        }
    };
}

binary! {
    /// The sums. Shapes broadcast and types are promoted as in torch.
    add Add;
    /// The differences.
    sub Sub;
    /// The products.
    mul Mul;
    /// The quotients, floats of integers.
    div Div;
    /// The elements to the power of the others.
    pow Pow;
    /// Of each two the larger, or NaN if one is. Where they are equal each has half the gradient.
    maximum Maximum;
    /// Of each two the smaller, or NaN if one is.
    minimum Minimum;
    /// Whether they are equal.
    eq Eq;
    /// Whether they are not equal.
    ne Ne;
    /// Whether they are less.
    lt Lt;
    /// Whether they are less or equal.
    le Le;
    /// Whether they are greater.
    gt Gt;
    /// Whether they are greater or equal.
    ge Ge;
    /// Whether both are true, of truth values.
    logical_and LogicalAnd;
    /// Whether one of them is true, of truth values.
    logical_or LogicalOr;
    /// Whether just one of them is true, of truth values.
    logical_xor LogicalXor;
}

impl Tensor {
    pub(crate) fn unary(&self, op: Unary) -> Result<Tensor> {
        let value = self.get().unary(op)?;
        Ok(Tensor::computed(op.name(), value, &[self], |out| {
            let saved = if op.saves_output() { out } else { self.save() };
            Box::new(move |grad, _| {
                Ok(vec![Some(grad.get()?.unary_backward(op, saved.get(op.name())?)?)])
            })
        }))
    }

    fn binary(&self, op: Binary, other: Other<'_>) -> Result<Tensor> {
        match other {
            Other::Tensor(other) => self.binary_tensor(op, other),
            Other::Number(number) => self.binary_number(op, number),
        }
    }

    fn binary_tensor(&self, op: Binary, other: &Tensor) -> Result<Tensor> {
        let value = self.get().binary(op, &other.get())?;
        Ok(Tensor::computed(op.name(), value, &[self, other], |out| {
            use Binary::*;
            let name = op.name();
            let like = [self, other].map(|t| (t.shape(), t.dtype()));
            // Only what is needed is kept: by a product, each factor for the other's gradient.
            let a = (!matches!(op, Add | Sub | Div) && (op != Mul || other.requires_grad()))
                .then(|| self.save());
            let b = (!matches!(op, Add | Sub) && (op != Mul || self.requires_grad()))
                .then(|| other.save());
            let out = matches!(op, Div | Pow).then_some(out);
            Box::new(move |grad, wants| {
                let grad = grad.get()?;
                let get = |saved: &Option<Saved>| match saved {
                    Some(saved) => saved.get(name).cloned(),
                    None => Err(Error::grad(name, "nothing was kept of an input", "report this")),
                };
                let then = |i: usize, f: &dyn Fn() -> Result<Value>| {
                    wants.then(i, || fit(f()?, &like[i].0, like[i].1))
                };
                let both = |[x, y]: [Value; 2]| -> Result<Vec<Option<Value>>> {
                    Ok(vec![then(0, &|| Ok(x.clone()))?, then(1, &|| Ok(y.clone()))?])
                };
                match op {
                    Add => both([grad.clone(), grad.clone()]),
                    Sub => Ok(vec![
                        then(0, &|| Ok(grad.clone()))?,
                        then(1, &|| grad.unary(Unary::Neg))?,
                    ]),
                    Mul => Ok(vec![
                        then(0, &|| grad.mul(&get(&b)?))?,
                        then(1, &|| grad.mul(&get(&a)?))?,
                    ]),
                    Div => Ok(vec![
                        then(0, &|| grad.div(&get(&b)?))?,
                        then(1, &|| grad.mul(&get(&out)?.div(&get(&b)?)?)?.unary(Unary::Neg))?,
                    ]),
                    Pow => both(grad.pow_backward(&get(&a)?, &get(&b)?, &get(&out)?)?),
                    _ => both(grad.extreme_backward(op, &get(&a)?, &get(&b)?)?),
                }
            })
        }))
    }

    fn binary_number(&self, op: Binary, number: Scalar) -> Result<Tensor> {
        let value = self.get().binary_number(op, number)?;
        Ok(Tensor::computed(op.name(), value, &[self], |_| {
            use Binary::{Add, Div, Mul, Sub};
            let name = op.name();
            let (shape, dtype) = (self.shape(), self.dtype());
            let x = (!matches!(op, Add | Sub | Mul | Div)).then(|| self.save());
            Box::new(move |grad, _| {
                let grad = grad.get()?;
                let factor = as_f64(number);
                let get = || match &x {
                    Some(x) => x.get(name),
                    None => Err(Error::grad(name, "nothing was kept of the input", "report this")),
                };
                let grad = match op {
                    Add | Sub => grad.clone(),
                    Mul => grad.times(factor)?,
                    Div => grad.binary_number(Div, number)?,
                    Binary::Pow => grad.pow_number_backward(get()?, factor)?,
                    // Of a number and an equal element, each has half.
                    _ => {
                        let x = get()?;
                        let number = Value::full(&x.device(), number, x.dtype(), &[])?;
                        let [grad, _] = grad.extreme_backward(op, x, &number)?;
                        grad
                    }
                };
                Ok(vec![Some(fit(grad, &shape, dtype)?)])
            })
        }))
    }

    /// A number less each element.
    ///
    /// # Errors
    /// As for [`sub`](Tensor::sub).
    pub fn rsub(&self, number: impl Into<Scalar>) -> Result<Tensor> {
        let value = self.get().number_binary(Binary::Sub, number.into())?;
        Ok(Tensor::computed("rsub", value, &[self], |_| {
            let dtype = self.dtype();
            Box::new(move |grad, _| Ok(vec![Some(grad.get()?.unary(Unary::Neg)?.cast(dtype)?)]))
        }))
    }

    /// A number divided by each element.
    ///
    /// # Errors
    /// As for [`div`](Tensor::div).
    pub fn rdiv(&self, number: impl Into<Scalar>) -> Result<Tensor> {
        let value = self.get().number_binary(Binary::Div, number.into())?;
        Ok(Tensor::computed("rdiv", value, &[self], |out| {
            let x = self.save();
            Box::new(move |grad, _| {
                let slope = out.get("rdiv")?.div(x.get("rdiv")?)?;
                let grad = grad.get()?.mul(&slope)?.unary(Unary::Neg)?;
                Ok(vec![Some(grad.cast(x.peek().dtype())?)])
            })
        }))
    }

    /// A number to the power of each element.
    ///
    /// # Errors
    /// As for [`pow`](Tensor::pow).
    pub fn rpow(&self, number: impl Into<Scalar>) -> Result<Tensor> {
        Tensor::of(self.get().number_beside(number.into())?).pow(self)
    }

    /// Each element, or the bound that it is beyond. The gradient is 0 beyond them.
    ///
    /// # Errors
    /// What executors say of types and bounds.
    pub fn clamp(&self, min: Option<f64>, max: Option<f64>) -> Result<Tensor> {
        let value = self.get().clamp(min, max)?;
        Ok(Tensor::computed("clamp", value, &[self], |_| {
            let x = self.save();
            Box::new(move |grad, _| {
                Ok(vec![Some(grad.get()?.clamp_backward(x.get("clamp")?, min, max)?)])
            })
        }))
    }

    /// Whether each is false, of truth values.
    ///
    /// # Errors
    /// What executors say of types.
    pub fn logical_not(&self) -> Result<Tensor> {
        Ok(Tensor::of(self.get().logical_not()?))
    }

    /// Of each two the first where the condition is true, else the second
    /// (`torch.where(condition, self, other)`).
    ///
    /// # Errors
    /// As for [`add`](Tensor::add), and for a condition that is not of truth values.
    pub fn where_<'a>(&self, condition: &Tensor, other: impl Into<Other<'a>>) -> Result<Tensor> {
        let number;
        let other = match other.into() {
            Other::Tensor(other) => other,
            Other::Number(n) => {
                number = Tensor::of(Value::full(&self.device(), n, n.dtype(), &[])?);
                &number
            }
        };
        let value = condition.get().choose(&self.get(), &other.get())?;
        Ok(Tensor::computed("where", value, &[self, other], |_| {
            let condition = condition.save();
            let [a, b] = [self, other].map(|t| (t.shape(), t.dtype()));
            Box::new(move |grad, wants| {
                let grad = grad.get()?;
                let zero = Value::full(&grad.device(), 0.0.into(), grad.dtype(), &[])?;
                let is = condition.get("where")?;
                Ok(vec![
                    wants.then(0, || fit(is.choose(grad, &zero)?, &a.0, a.1))?,
                    wants.then(1, || fit(is.choose(&zero, grad)?, &b.0, b.1))?,
                ])
            })
        }))
    }
}
