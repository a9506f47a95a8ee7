//! The type of a result, by PyTorch's rules ("Type Promotion Documentation", Tensor Attributes).
//!
//! A type belongs to a category: truth values, integers, floats. Among the operands, tensors with
//! dimensions come before those without, and those before numbers; a later kind only counts where its
//! category is higher.

use crate::dtype::DType;

/// What an operand adds to the type of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Dimensioned(DType),
    ZeroDim(DType),
    Number(DType),
}

fn category(dtype: DType) -> u8 {
    match dtype {
        DType::Bool => 0,
        DType::U8 | DType::I32 | DType::I64 => 1,
        DType::F16 | DType::BF16 | DType::F32 => 2,
    }
}

/// The smallest type that holds both.
fn both(a: DType, b: DType) -> DType {
    let rank = |dtype| match dtype {
        DType::Bool => 0,
        DType::U8 => 1,
        DType::I32 => 2,
        DType::I64 => 3,
        DType::F16 | DType::BF16 => 4,
        DType::F32 => 5,
    };
    match (a, b) {
        (DType::F16, DType::BF16) | (DType::BF16, DType::F16) => DType::F32,
        _ if rank(a) >= rank(b) => a,
        _ => b,
    }
}

/// The type that an operation on these computes in.
pub(crate) fn result_type(operands: &[Kind]) -> DType {
    let mut kinds: [Option<DType>; 3] = [None; 3];
    for &operand in operands {
        let (place, dtype) = match operand {
            Kind::Dimensioned(dtype) => (0, dtype),
            Kind::ZeroDim(dtype) => (1, dtype),
            Kind::Number(dtype) => (2, dtype),
        };
        kinds[place] = Some(kinds[place].map_or(dtype, |before| both(before, dtype)));
    }
    let mut result: Option<DType> = None;
    for dtype in kinds.into_iter().flatten() {
        result = match result {
            Some(before) if category(dtype) <= category(before) => Some(before),
            // Beside a lower category, the later kind decides.
            Some(before) => Some(both(before, dtype)),
            None => Some(dtype),
        };
    }
    result.unwrap_or(DType::F32)
}

#[cfg(test)]
mod tests {
    use super::Kind::*;
    use super::*;

    /// Results of `torch.result_type`, torch 2.15.
    #[test]
    fn as_torch_has_it() {
        use DType::*;
        let cases = [
            (Dimensioned(F16), Dimensioned(BF16), F32),
            (Dimensioned(U8), Dimensioned(I32), I32),
            (Dimensioned(I64), Dimensioned(F16), F16),
            (Dimensioned(Bool), Dimensioned(U8), U8),
            (Dimensioned(I32), ZeroDim(I64), I32),
            (Dimensioned(F16), ZeroDim(F32), F16),
            (Dimensioned(I32), ZeroDim(F16), F16),
            (Dimensioned(Bool), ZeroDim(I32), I32),
            (Dimensioned(F16), Number(F32), F16),
            (Dimensioned(I64), Number(F32), F32),
            (Dimensioned(Bool), Number(I64), I64),
            (Dimensioned(U8), Number(I64), U8),
            (ZeroDim(F16), Number(F32), F16),
        ];
        for (a, b, expected) in cases {
            assert_eq!(result_type(&[a, b]), expected, "{a:?} {b:?}");
            assert_eq!(result_type(&[b, a]), expected, "{b:?} {a:?}");
        }
    }
}
