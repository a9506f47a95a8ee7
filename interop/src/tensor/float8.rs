//! Floats of 8 bits.
//!
//! The formats are those of `c10/util/Float8_*.h` of PyTorch and of the papers named there: the
//! `fn` kinds and `e5m2` of <https://arxiv.org/abs/2209.05433>, the `fnuz` kinds of
//! <https://arxiv.org/abs/2206.02915>, and `e8m0fnu` of the OCP microscaling specification.

/// What an 8-bit float is made of.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    /// Bits of the fraction; what is left beside the sign is the exponent.
    fraction: u32,
    bias: i32,
    /// The largest finite code, without a sign.
    max: u8,
    /// What is made of a number that is too large, infinity too, and what of one that is none:
    /// `e4m3fn` stays at its largest, as in torch, where the other kinds become infinite or NaN.
    overflow: u8,
    nan: u8,
    /// Whether there is one zero, one NaN, and no infinity.
    unsigned_zero: bool,
}

pub(super) const E4M3FN: Kind =
    Kind { fraction: 3, bias: 7, max: 0x7e, overflow: 0x7e, nan: 0x7f, unsigned_zero: false };
pub(super) const E4M3FNUZ: Kind =
    Kind { fraction: 3, bias: 8, max: 0x7f, overflow: 0x80, nan: 0x80, unsigned_zero: true };
pub(super) const E5M2: Kind =
    Kind { fraction: 2, bias: 15, max: 0x7b, overflow: 0x7c, nan: 0x7f, unsigned_zero: false };
pub(super) const E5M2FNUZ: Kind =
    Kind { fraction: 2, bias: 16, max: 0x7f, overflow: 0x80, nan: 0x80, unsigned_zero: true };

impl Kind {
    /// The number that a code stands for.
    pub(super) fn decode(self, code: u8) -> f32 {
        if self.unsigned_zero && code == self.nan {
            return f32::NAN;
        }
        let (sign, rest) = (code & 0x80, code & 0x7f);
        let size = if rest > self.max {
            // E5M2 has its infinity right above the largest number; all else is no number.
            if rest == self.overflow && rest != self.nan { f32::INFINITY } else { f32::NAN }
        } else {
            let exponent = i32::from(rest >> self.fraction);
            let fraction = f32::from(rest & ((1 << self.fraction) - 1));
            let one = (1 << self.fraction) as f32;
            match exponent {
                0 => fraction / one * power(1 - self.bias),
                e => (1.0 + fraction / one) * power(e - self.bias),
            }
        };
        if sign == 0 { size } else { -size }
    }

    /// The code nearest to a number, of two as near the even one.
    pub(super) fn encode(self, value: f32) -> u8 {
        let sign = if value.is_sign_negative() { 0x80 } else { 0 };
        let signed = |code: u8| if self.unsigned_zero && code == 0 { 0 } else { code | sign };
        if value.is_nan() {
            return if self.unsigned_zero { self.nan } else { self.nan | sign };
        }
        let too_large = if self.unsigned_zero { self.overflow } else { self.overflow | sign };
        let size = value.abs();
        if size.is_infinite() {
            return too_large;
        }
        // The steps between codes double with each exponent; below the smallest they stay.
        let exponent = ((size.to_bits() >> 23) as i32 - 127).max(1 - self.bias);
        let steps = (size / power(exponent) * (1 << self.fraction) as f32).round_ties_even();
        let code = steps as i32 + ((exponent + self.bias - 1) << self.fraction);
        if code > i32::from(self.max) { too_large } else { signed(code as u8) }
    }
}

/// 2 to a power that a normal single can have.
fn power(exponent: i32) -> f32 {
    f32::from_bits(((exponent + 127) as u32) << 23)
}

/// The number that a power of two stands for.
pub(super) fn decode_e8m0(code: u8) -> f32 {
    match code {
        0xff => f32::NAN,
        // Half of the smallest normal single.
        0 => f32::from_bits(1 << 22),
        e => f32::from_bits(u32::from(e) << 23),
    }
}

/// The power of two nearest to a number's size, of two as near the larger one; the sign is lost.
/// Torch's rule: infinity is NaN, and what is below the smallest power becomes that.
pub(super) fn encode_e8m0(value: f32) -> u8 {
    let bits = value.to_bits();
    let exponent = (bits >> 23 & 0xff) as u8;
    let (half, below) = (bits & 0x40_0000 != 0, bits & 0x3f_ffff != 0);
    let up = half && (below || exponent > 0);
    if exponent == 0xff { 0xff } else { exponent + u8::from(up) }
}
