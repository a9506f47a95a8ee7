//! Elements as text, a line for each row.

use std::io::{self, Write};

use numpack_format::Rows;
use torch_pickle::DType;

use crate::rows::output_error;
use crate::{Error, Result, TensorInfo, Tensors};

/// Text gathered before it is written.
const BUFFER: usize = 64 << 10;

impl Tensors {
    /// Writes rows of a tensor as text: a line for each row, its elements in C order with a space
    /// between, a 0-d tensor as one line.
    ///
    /// Integers are decimal, booleans 0 or 1. A float is the shortest decimal that reads back as
    /// the same number, `nan`, `inf` or `-inf`; smaller floats (float16, bfloat16, float8) are
    /// shown as the float32 that they equal. A complex number is `a+bj`.
    ///
    /// # Errors
    /// When there are no such rows, the elements are no plain numbers (quantised types, raw bits),
    /// they cannot be read, or `out` fails.
    pub fn write_text(
        &self,
        tensor: &TensorInfo,
        rows: &Rows<'_>,
        out: &mut dyn Write,
    ) -> Result<()> {
        let dtype = self.tree().tensor(tensor.id).dtype;
        let Some(element) = printer(dtype) else {
            return Err(Error::Name {
                path: self.path().to_owned(),
                message: format!(
                    "tensor {:?}: {dtype} has no text form; convert it with torch first",
                    tensor.name
                ),
            });
        };
        let count = self.count_rows(tensor, rows)?;
        let row = tensor.shape.get(1..).unwrap_or_default();
        // What exceeds 64 bits has no rows.
        let per_row = if row.contains(&0) {
            0
        } else {
            row.iter().try_fold(1, |n: u64, &d| n.checked_mul(d)).unwrap_or(u64::MAX)
        };
        let mut lines = Lines { element, size: dtype.size(), per_row, at: 0, text: Vec::new() };
        if per_row == 0 {
            return lines.empty(count, out).map_err(output_error);
        }
        self.write_rows(tensor, rows, &mut |bytes| lines.put(bytes, out))?;
        out.write_all(&lines.text).map_err(output_error)
    }
}

/// Lines in the making.
struct Lines {
    element: Printer,
    size: usize,
    per_row: u64,
    /// Elements in the line so far.
    at: u64,
    text: Vec<u8>,
}

impl Lines {
    /// Takes whole elements.
    fn put(&mut self, bytes: &[u8], out: &mut dyn Write) -> io::Result<()> {
        for element in bytes.chunks_exact(self.size) {
            (self.element)(element, &mut self.text)?;
            self.at += 1;
            let ends = self.at == self.per_row;
            self.text.push(if ends { b'\n' } else { b' ' });
            if ends {
                self.at = 0;
            }
            if self.text.len() >= BUFFER {
                out.write_all(&self.text)?;
                self.text.clear();
            }
        }
        Ok(())
    }

    /// Rows without elements are lines all the same.
    fn empty(&self, count: u64, out: &mut dyn Write) -> io::Result<()> {
        (0..count).try_for_each(|_| out.write_all(b"\n"))
    }
}

/// Appends the text of an element, which has exactly its type's size.
type Printer = fn(&[u8], &mut Vec<u8>) -> io::Result<()>;

fn printer(dtype: DType) -> Option<Printer> {
    macro_rules! plain {
        ($t:ty) => {
            |bytes, out| write!(out, "{}", <$t>::from_le_bytes(part(bytes)))
        };
    }
    macro_rules! complex {
        ($float:expr, $half:literal) => {
            |bytes, out| complex(out, $float(&bytes[..$half]), $float(&bytes[$half..]))
        };
    }
    Some(match dtype {
        DType::Bool => |bytes, out| write!(out, "{}", u8::from(bytes != [0])),
        DType::UInt8 => plain!(u8),
        DType::UInt16 => plain!(u16),
        DType::UInt32 => plain!(u32),
        DType::UInt64 => plain!(u64),
        DType::Int8 => plain!(i8),
        DType::Int16 => plain!(i16),
        DType::Int32 => plain!(i32),
        DType::Int64 => plain!(i64),
        DType::Float64 => |bytes, out| float(out, f64_of(bytes)),
        DType::Float32 => |bytes, out| float(out, f32_of(bytes)),
        DType::Float16 => |bytes, out| float(out, f16_of(bytes)),
        DType::BFloat16 => |bytes, out| float(out, bf16_of(bytes)),
        DType::Complex128 => complex!(f64_of, 8),
        DType::Complex64 => complex!(f32_of, 4),
        DType::Complex32 => complex!(f16_of, 2),
        DType::BComplex32 => complex!(bf16_of, 2),
        DType::Float8E4M3Fn => |bytes, out| float(out, e4m3fn(bytes[0])),
        DType::Float8E4M3Fnuz => |bytes, out| float(out, fnuz(bytes[0], 3, 8)),
        DType::Float8E5M2 => |bytes, out| float(out, e5m2(bytes[0])),
        DType::Float8E5M2Fnuz => |bytes, out| float(out, fnuz(bytes[0], 2, 16)),
        DType::Float8E8M0Fnu => |bytes, out| float(out, e8m0fnu(bytes[0])),
        _ => return None,
    })
}

/// A float that prints so that it can be read back.
trait Float: std::fmt::Debug + Copy {
    fn is_nan(self) -> bool;
    fn is_negative(self) -> bool;
}

impl Float for f32 {
    fn is_nan(self) -> bool {
        self.is_nan()
    }
    fn is_negative(self) -> bool {
        self.is_sign_negative()
    }
}

impl Float for f64 {
    fn is_nan(self) -> bool {
        self.is_nan()
    }
    fn is_negative(self) -> bool {
        self.is_sign_negative()
    }
}

fn float(out: &mut Vec<u8>, x: impl Float) -> io::Result<()> {
    // In lower case, as C and NumPy have it.
    if x.is_nan() { out.write_all(b"nan") } else { write!(out, "{x:?}") }
}

fn complex<F: Float>(out: &mut Vec<u8>, re: F, im: F) -> io::Result<()> {
    float(out, re)?;
    if im.is_nan() || !im.is_negative() {
        out.push(b'+');
    }
    float(out, im)?;
    out.push(b'j');
    Ok(())
}

/// The bytes of an element as an array.
fn part<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut part = [0; N];
    part.copy_from_slice(&bytes[..N]);
    part
}

fn f64_of(bytes: &[u8]) -> f64 {
    f64::from_le_bytes(part(bytes))
}

fn f32_of(bytes: &[u8]) -> f32 {
    f32::from_le_bytes(part(bytes))
}

fn bf16_of(bytes: &[u8]) -> f32 {
    f32::from_bits(u32::from(u16::from_le_bytes(part(bytes))) << 16)
}

fn f16_of(bytes: &[u8]) -> f32 {
    let bits = u16::from_le_bytes(part(bytes));
    ieee(bits, 5, 10)
}

fn e5m2(byte: u8) -> f32 {
    ieee(u16::from(byte), 5, 2)
}

fn e4m3fn(byte: u8) -> f32 {
    if byte & 0x7f == 0x7f { f32::NAN } else { finite(u16::from(byte), 4, 3, 7) }
}

/// The types without infinities and negative zero, whose NaN takes that one's place.
fn fnuz(byte: u8, mantissa: u32, bias: i32) -> f32 {
    if byte == 0x80 { f32::NAN } else { finite(u16::from(byte), 7 - mantissa, mantissa, bias) }
}

fn e8m0fnu(byte: u8) -> f32 {
    if byte == 0xff { f32::NAN } else { 2f64.powi(i32::from(byte) - 127) as f32 }
}

/// A small float with infinities and NaN, as IEEE 754 has them.
fn ieee(bits: u16, exponent: u32, mantissa: u32) -> f32 {
    let all = (1 << exponent) - 1;
    if (bits >> mantissa) & all != all {
        return finite(bits, exponent, mantissa, i32::from(all >> 1));
    }
    let negative = bits >> (exponent + mantissa) != 0;
    match bits & ((1 << mantissa) - 1) {
        0 if negative => f32::NEG_INFINITY,
        0 => f32::INFINITY,
        _ => f32::NAN,
    }
}

fn finite(bits: u16, exponent: u32, mantissa: u32, bias: i32) -> f32 {
    let e = i32::from((bits >> mantissa) & ((1 << exponent) - 1));
    let m = i32::from(bits & ((1 << mantissa) - 1));
    let m = if e == 0 { m } else { m + (1 << mantissa) };
    // Exact: few digits, and far from the ends of the range.
    let size = f64::from(m) * 2f64.powi(e.max(1) - bias - mantissa as i32);
    let negative = bits >> (exponent + mantissa) != 0;
    (if negative { -size } else { size }) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(dtype: DType, bytes: &[u8]) -> String {
        let mut out = Vec::new();
        printer(dtype).unwrap()(bytes, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_read_back() {
        assert_eq!(text(DType::Bool, &[1]), "1");
        assert_eq!(text(DType::Int8, &[0x80]), "-128");
        assert_eq!(text(DType::UInt64, &[0xff; 8]), "18446744073709551615");
        for (x, expected) in [
            (0.1f32, "0.1"),
            (-0.0, "-0.0"),
            (1e30, "1e30"),
            (f32::MIN_POSITIVE / 2.0, "5.877472e-39"),
            (f32::NAN, "nan"),
            (-f32::NAN, "nan"),
            (f32::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(text(DType::Float32, &x.to_le_bytes()), expected);
        }
        let pair = |re: f64, im: f64| [re.to_le_bytes(), im.to_le_bytes()].concat();
        assert_eq!(text(DType::Complex128, &pair(1.0, -0.5)), "1.0-0.5j");
        assert_eq!(text(DType::Complex128, &pair(-0.0, f64::NAN)), "-0.0+nanj");
        assert_eq!(text(DType::Complex128, &pair(0.0, f64::INFINITY)), "0.0+infj");
        assert_eq!(text(DType::Complex32, &[0, 0x3c, 0, 0xc0]), "1.0-2.0j");
    }

    /// What torch gives for `tensor([byte], dtype=uint8).view(dtype).float()`.
    #[test]
    fn small_floats_are_as_torch_has_them() {
        let bytes = [0x00, 0x01, 0x07, 0x08, 0x38, 0x55, 0x7b, 0x7c, 0x7f, 0x80, 0x81, 0xd5, 0xff];
        let cases = [
            (
                DType::Float8E4M3Fn,
                "0.0 0.001953125 0.013671875 0.015625 1.0 13.0 352.0 384.0 nan -0.0 \
                 -0.001953125 -13.0 nan",
            ),
            (
                DType::Float8E4M3Fnuz,
                "0.0 0.0009765625 0.0068359375 0.0078125 0.5 6.5 176.0 192.0 240.0 nan \
                 -0.0009765625 -6.5 -240.0",
            ),
            (
                DType::Float8E5M2,
                "0.0 1.5258789e-5 0.00010681152 0.00012207031 0.5 80.0 57344.0 inf nan -0.0 \
                 -1.5258789e-5 -80.0 nan",
            ),
            (
                DType::Float8E5M2Fnuz,
                "0.0 7.6293945e-6 5.340576e-5 6.1035156e-5 0.25 40.0 28672.0 32768.0 57344.0 nan \
                 -7.6293945e-6 -40.0 -57344.0",
            ),
            (
                DType::Float8E8M0Fnu,
                "5.877472e-39 1.1754944e-38 7.523164e-37 1.5046328e-36 4.2351647e-22 \
                 2.2737368e-13 0.0625 0.125 1.0 2.0 4.0 7.7371252e25 nan",
            ),
        ];
        for (dtype, expected) in cases {
            let found: Vec<String> = bytes.iter().map(|&b| text(dtype, &[b])).collect();
            assert_eq!(found.join(" "), expected, "{dtype}");
        }
        assert_eq!(text(DType::BFloat16, &[0xcd, 0x3d]), "0.100097656");
        assert_eq!(text(DType::Float16, &[0x66, 0x2e]), "0.099975586");
        assert_eq!(text(DType::Float16, &[0x01, 0x80]), "-5.9604645e-8");
        assert_eq!(text(DType::Float16, &[0x00, 0xfc]), "-inf");
    }
}
