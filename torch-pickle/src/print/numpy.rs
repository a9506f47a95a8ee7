//! Values and types of numpy, as version 2 of it writes them.

use super::text::{push, push_bytes, push_plain, push_str};
use super::value::join_complex;
use crate::NumpyScalar;
use crate::names::{push_float, push_scientific};

/// Byte order, kind and size of an element type: `<f4`.
fn parts(name: &str) -> Option<(char, char, usize)> {
    let mut chars = name.chars();
    let (order, kind) = (chars.next()?, chars.next()?);
    let size = if chars.as_str().is_empty() { 0 } else { chars.as_str().parse().ok()? };
    Some((order, kind, size))
}

/// `float32`, where it has a name of its own.
fn named(kind: char, size: usize) -> Option<String> {
    let word = match (kind, size) {
        ('b', 1) => return Some("bool".to_owned()),
        ('i', 1 | 2 | 4 | 8) => "int",
        ('u', 1 | 2 | 4 | 8) => "uint",
        ('f', 2 | 4 | 8 | 12 | 16) => "float",
        ('c', 8 | 16 | 24 | 32) => "complex",
        _ => return None,
    };
    Some(format!("{word}{}", size * 8))
}

/// The name of an element type, or as numpy's letters have it.
pub(super) fn push_type(name: &str, out: &mut String) {
    match parts(name) {
        Some((order, kind, size)) if let Some(named) = named(kind, size) => {
            out.push_str(&named);
            if order == '>' {
                out.push_str(" (big-endian)");
            }
        }
        _ => push_plain(name.trim_start_matches('|'), 80, out),
    }
}

/// `dtype('float32')`.
pub(super) fn push_dtype(name: &str, out: &mut String) {
    out.push_str("dtype('");
    match parts(name) {
        Some(('<' | '|' | '=', kind, size)) if let Some(named) = named(kind, size) => {
            out.push_str(&named);
        }
        _ if name == "|O8" || name == "|O" => out.push('O'),
        _ => push_plain(name, 80, out),
    }
    out.push_str("')");
}

/// `np.float32(0.1)`; `None` for what has no simple value.
pub(super) fn push_scalar(scalar: &NumpyScalar<'_>, most: usize, out: &mut String) -> Option<()> {
    let (order, kind, size) = parts(&scalar.dtype.as_ref()?.name)?;
    let data = scalar.data?;
    if kind == 'S' {
        out.push_str("np.bytes_(");
        push_bytes(data, most, out);
        out.push(')');
        return Some(());
    }
    let unit = if kind == 'c' { size / 2 } else { size };
    let unit = if kind == 'U' { 4 } else { unit };
    if kind == 'U' {
        let chars = data.chunks_exact(4).take(most + 1).map(|c| {
            let c = <[u8; 4]>::try_from(c).unwrap_or_default();
            let code = if order == '>' { u32::from_be_bytes(c) } else { u32::from_le_bytes(c) };
            char::from_u32(code)
        });
        let text = chars.collect::<Option<String>>()?;
        out.push_str("np.str_(");
        push_str(text.trim_end_matches('\0'), most, out);
        out.push(')');
        return Some(());
    }
    if data.len() != size || unit == 0 || unit > 8 {
        return None;
    }
    // Little-endian, so that all sizes read alike.
    let mut numbers = data.chunks_exact(unit).map(|part| {
        let mut bytes = [0; 8];
        bytes[..unit].copy_from_slice(part);
        if order == '>' {
            bytes[..unit].reverse();
        }
        u64::from_le_bytes(bytes)
    });
    let first = numbers.next()?;
    let shift = 64 - 8 * unit as u32;
    let value = match kind {
        'b' => {
            out.push_str(if first == 0 { "np.False_" } else { "np.True_" });
            return Some(());
        }
        'i' => ((first << shift) as i64 >> shift).to_string(),
        'u' => first.to_string(),
        'f' => float(first, unit)?,
        'c' => {
            let strip = |text: String| text.strip_suffix(".0").map(str::to_owned).unwrap_or(text);
            let (re, im) = (float(first, unit)?, float(numbers.next()?, unit)?);
            let joined = join_complex(first == 0, &strip(re), &strip(im));
            joined.trim_matches(['(', ')']).to_owned()
        }
        _ => return None,
    };
    push(out, format_args!("np.{}({value})", named(kind, size)?));
    Some(())
}

fn float(bits: u64, size: usize) -> Option<String> {
    let mut out = String::new();
    match size {
        2 => push_half(bits as u16, &mut out),
        4 => {
            let f = f32::from_bits(bits as u32);
            // Of two shortest ones that are equally near, the even one.
            let shortest = format!("{f:e}");
            let digits = shortest.split('e').next().unwrap_or_default().trim_start_matches('-');
            let even = format!("{f:.*e}", digits.len().saturating_sub(2));
            let text = if even.parse() == Ok(f) { even } else { shortest };
            // So few digits are the shortest ones of a double too.
            let x: f64 = text.parse().unwrap_or(f.into());
            push_number(f.into(), 1e6, &format!("{x:e}"), &format!("{x:?}"), &mut out);
        }
        8 => push_float(f64::from_bits(bits), &mut out),
        _ => return None,
    }
    Some(out)
}

/// Half precision, by the fewest digits that are nearer to it than to its neighbours.
fn push_half(bits: u16, out: &mut String) {
    let value = half(bits);
    let (below, above) = (half(bits.saturating_sub(1)), half(bits.wrapping_add(1)));
    // Half way to a neighbour an even number is the one that is read.
    let near = |x: f64| {
        let (far, gap) =
            ((x - value).abs() * 2.0, (value - below).abs().min((above - value).abs()));
        far < gap || (far == gap && bits & 1 == 0)
    };
    let shortest = (0..5).filter_map(|digits| format!("{value:.digits$e}").parse::<f64>().ok());
    let exact = !value.is_finite() || bits & 0x7FFF == 0 || bits & 0x7FFF == 0x7BFF;
    let found = if exact { None } else { { shortest }.find(|&x| near(x)) };
    let shortest = found.unwrap_or(value);
    push_number(value, 1e3, &format!("{shortest:e}"), &format!("{shortest:?}"), out);
}

/// Appends a float by its shortest digits: with an exponent below 1e-4, and from where not every
/// whole number has one of its own.
fn push_number(value: f64, most: f64, scientific: &str, plain: &str, out: &mut String) {
    let size = value.abs();
    if !value.is_finite() {
        push_float(value, out);
    } else if size == 0.0 || (1e-4..most).contains(&size) {
        out.push_str(plain);
    } else {
        push_scientific(scientific, out);
    }
}

fn half(bits: u16) -> f64 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1F), f64::from(bits & 0x3FF));
    match exponent {
        0 => sign * fraction * (-24f64).exp2(),
        31 if fraction == 0.0 => sign * f64::INFINITY,
        31 => f64::NAN,
        _ => sign * (1024.0 + fraction) * f64::from(exponent - 25).exp2(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NumpyDtype;

    fn text(name: &str, data: &[u8]) -> Option<String> {
        let dtype = Some(NumpyDtype { name: name.to_owned() });
        let mut out = String::new();
        push_scalar(&NumpyScalar { dtype, data: Some(data) }, 80, &mut out)?;
        Some(out)
    }

    /// Expected texts are numpy's.
    #[test]
    fn scalars_are_written_as_numpy_does() {
        for (name, data, expected) in [
            ("<f8", &1.5f64.to_le_bytes()[..], "np.float64(1.5)"),
            ("<f4", &0.1f32.to_le_bytes(), "np.float32(0.1)"),
            ("<f4", &3.4e38f32.to_le_bytes(), "np.float32(3.4e+38)"),
            (">f4", &0.1f32.to_be_bytes(), "np.float32(0.1)"),
            ("<f4", &1e-4f32.to_le_bytes(), "np.float32(1e-04)"),
            ("<f4", &999_999f32.to_le_bytes(), "np.float32(999999.0)"),
            ("<f4", &(3_017_263.0f32 + 0.25).to_le_bytes(), "np.float32(3.0172632e+06)"),
            ("<f4", &f32::NAN.to_le_bytes(), "np.float32(nan)"),
            ("<f4", &1e6f32.to_le_bytes(), "np.float32(1e+06)"),
            ("<f2", &0x6BB9u16.to_le_bytes(), "np.float16(3.954e+03)"),
            ("<f2", &0x6CDAu16.to_le_bytes(), "np.float16(4.97e+03)"),
            ("<f2", &0x068Eu16.to_le_bytes(), "np.float16(0.0001)"),
            ("<f2", &0x2E66u16.to_le_bytes(), "np.float16(0.1)"),
            ("<f2", &0x0001u16.to_le_bytes(), "np.float16(6e-08)"),
            ("<f2", &0x7C00u16.to_le_bytes(), "np.float16(inf)"),
            ("|i1", &[0xFF], "np.int8(-1)"),
            ("<u2", &[0xFF, 0xFF], "np.uint16(65535)"),
            ("<i8", &(-5i64).to_le_bytes(), "np.int64(-5)"),
            ("|b1", &[1], "np.True_"),
            ("<U2", &[b'a', 0, 0, 0, b'b', 0, 0, 0], "np.str_('ab')"),
            ("|S1", b"x", "np.bytes_(b'x')"),
            ("<c8", &[0, 0, 0x80, 0x3F, 0, 0, 0, 0x40], "np.complex64(1+2j)"),
        ] {
            assert_eq!(text(name, data).as_deref(), Some(expected));
        }
        assert_eq!(text("<f8", &[0; 4]), None);
        assert_eq!(text("<M8", &[0; 8]), None);
        assert_eq!(text("<f0", &[]), None);
    }
}
