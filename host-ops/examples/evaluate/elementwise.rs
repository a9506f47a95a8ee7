//! Operations on each element, types, views and copies.

use numpack_host_ops as ops;
use numpack_host_ops::{Approximate, Array};

use crate::request::{Outcome, Request};

pub(crate) fn approximate(r: &Request) -> Approximate {
    if r.word("approximate") == "tanh" { Approximate::Tanh } else { Approximate::None }
}

pub(crate) fn evaluate(r: &Request) -> Option<Outcome> {
    macro_rules! named {
        ($([$($unary:ident)*], [$($binary:ident)*], [$($logic:ident)*])*) => {
            match r.op.as_str() {
                $($(stringify!($unary) => r.array(0).map(ops::$unary),)*
                $(stringify!($binary) => both(r, |a, b| ops::$binary(a, b)),)*
                $(stringify!($logic) => {
                    r.array(0).and_then(|a| Ok(ops::$logic(a, r.array(1)?)))
                })*)*
                _ => return others(r),
            }
        };
    }
    let result = named! {
        [neg abs sign square exp log log1p sqrt rsqrt reciprocal sin cos tanh erf sigmoid relu silu
         isnan logical_not],
        [add sub mul div floor_divide remainder pow maximum minimum eq ne lt le gt ge],
        [logical_and logical_or logical_xor]
    };
    Some(result.and_then(one))
}

fn one(result: ops::Result<Array>) -> Outcome {
    result.map(|array| vec![array]).map_err(|e| e.to_string())
}

fn both<'a>(
    r: &'a Request,
    f: impl Fn(ops::Operand<'a>, ops::Operand<'a>) -> ops::Result<Array>,
) -> Result<ops::Result<Array>, String> {
    Ok(f(r.operand(0)?, r.operand(1)?))
}

fn others(r: &Request) -> Option<Outcome> {
    let outcome = || -> Result<Option<ops::Result<Array>>, String> {
        Ok(Some(match r.op.as_str() {
            "gelu" => ops::gelu(r.array(0)?, approximate(r)),
            "leaky_relu" => ops::leaky_relu(r.array(0)?, r.float("slope")?),
            "clamp" => ops::clamp(r.array(0)?, r.optional_operand(1), r.optional_operand(2)),
            "where" => ops::where_(r.array(0)?, r.operand(1)?, r.operand(2)?),
            "cast" => r.array(0)?.cast(r.dtype("dtype")?),
            "contiguous" => r.array(0)?.contiguous(),
            "transpose" => r.array(0)?.transpose(r.int("dim0")? as isize, r.int("dim1")? as isize),
            "permute" => r.array(0)?.permute(&r.dims("dims")),
            "expand" => r.array(0)?.expand(&r.dims("shape")),
            "reshape" => r.array(0)?.reshape(&r.dims("shape")),
            "view" => r.array(0)?.view_as(&r.dims("shape")),
            "flatten" => r.array(0)?.flatten(r.int("start")? as isize, r.int("end")? as isize),
            "squeeze" => r.array(0)?.squeeze(r.int("dim")? as isize),
            "squeeze_all" => Ok(r.array(0)?.squeeze_all()),
            "unsqueeze" => r.array(0)?.unsqueeze(r.int("dim")? as isize),
            "slice" => {
                let (start, stop, step) = (r.int("start")?, r.int("stop")?, r.int("step")?);
                r.array(0)?.slice(r.int("dim")? as isize, start, stop, step)
            }
            "select" => r.array(0)?.select(r.int("dim")? as isize, r.int("index")?),
            "arange" => Array::arange(
                scalar(r.operand(0)?)?,
                scalar(r.operand(1)?)?,
                scalar(r.operand(2)?)?,
                if r.has("dtype") { Some(r.dtype("dtype")?) } else { None },
            ),
            "full" => Array::full(&r.sizes("shape"), scalar(r.operand(0)?)?, r.dtype("dtype")?),
            "copy" => {
                let mut target = r.array(0)?.clone();
                target.copy_from(r.array(1)?).map(|()| target)
            }
            // The whole array after a part of it was written.
            "write" => {
                let mut target = r.array(0)?.clone();
                let (dim, step) = (r.int("dim")? as isize, r.int("step")?);
                let (start, stop) = (r.int("start")?, r.int("stop")?);
                target.write(|x| x.slice(dim, start, stop, step), r.array(1)?).map(|()| target)
            }
            "result_type" => {
                let operands: Vec<_> = (0..).map_while(|i| r.optional_operand(i)).collect();
                Array::zeros(&[], ops::result_type(&operands))
            }
            _ => return Ok(None),
        }))
    };
    match outcome() {
        Ok(result) => result.map(one),
        Err(e) => Some(Err(e)),
    }
}

fn scalar(operand: ops::Operand<'_>) -> Result<ops::Scalar, String> {
    match operand {
        ops::Operand::Scalar(scalar) => Ok(scalar),
        ops::Operand::Array(_) => Err("a plain number is wanted".to_owned()),
    }
}
