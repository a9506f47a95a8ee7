//! Text in pickles: UTF-8 with surrogates, quoted literals, escapes, decimal integers.

use crate::Node;

/// A string node from pickle's UTF-8, which may encode lone surrogates; `None` where it is neither.
pub(crate) fn unicode(bytes: &[u8]) -> Option<Node> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(Node::Str(text.into())),
        Err(_) => is_utf8_with_surrogates(bytes).then(|| Node::SurrogateStr(bytes.into())),
    }
}

/// Whether the bytes are UTF-8 but for encoded surrogates (ED A0..BF xx).
pub(crate) fn is_utf8_with_surrogates(mut bytes: &[u8]) -> bool {
    loop {
        let Err(e) = std::str::from_utf8(bytes) else { return true };
        match &bytes[e.valid_up_to()..] {
            [0xED, 0xA0..=0xBF, 0x80..=0xBF, rest @ ..] => bytes = rest,
            _ => return false,
        }
    }
}

/// A string of Python 2: text where it is UTF-8, else bytes.
pub(super) fn string(bytes: Vec<u8>) -> Node {
    match String::from_utf8(bytes) {
        Ok(text) => Node::Str(text.into()),
        Err(e) => Node::Bytes(e.into_bytes().into()),
    }
}

/// The contents of a quoted literal as Python's `repr` writes it.
pub(crate) fn quoted(line: &[u8]) -> Option<Vec<u8>> {
    let line = line.trim_ascii();
    let quote = *line.first().filter(|&&q| q == b'"' || q == b'\'')?;
    let inner = line[1..].strip_suffix(&[quote])?;
    let mut out = Vec::with_capacity(inner.len());
    let mut i = 0;
    while i < inner.len() {
        let c = inner[i];
        i += 1;
        if c != b'\\' {
            out.push(c);
            continue;
        }
        let escape = *inner.get(i)?;
        i += 1;
        match escape {
            b'\\' | b'\'' | b'"' => out.push(escape),
            b'a' => out.push(7),
            b'b' => out.push(8),
            b't' => out.push(b'\t'),
            b'n' => out.push(b'\n'),
            b'v' => out.push(11),
            b'f' => out.push(12),
            b'r' => out.push(b'\r'),
            b'\n' => {}
            b'x' => {
                out.push(number(inner.get(i..i + 2)?, 16)? as u8);
                i += 2;
            }
            b'0'..=b'7' => {
                let digits = inner[i - 1..].iter().take(3);
                let n = digits.take_while(|d| (b'0'..=b'7').contains(d)).count();
                out.push(number(&inner[i - 1..i - 1 + n], 8)? as u8);
                i += n - 1;
            }
            other => out.extend([b'\\', other]),
        }
    }
    Some(out)
}

fn number(digits: &[u8], radix: u32) -> Option<u32> {
    digits
        .iter()
        .try_fold(0u32, |n, &d| n.checked_mul(radix)?.checked_add(char::from(d).to_digit(radix)?))
}

/// Decodes `raw-unicode-escape`: Latin-1, and \u and \U escapes.
pub(crate) fn raw_unicode_escape(line: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(line.len());
    let mut i = 0;
    while i < line.len() {
        if line[i] != b'\\' {
            push_code_point(&mut out, line[i].into())?;
            i += 1;
            continue;
        }
        // Backslashes in pairs are text; only an odd one starts an escape.
        let run = line[i..].iter().take_while(|&&b| b == b'\\').count();
        let width = match line.get(i + run) {
            Some(b'u') if run % 2 == 1 => 4,
            Some(b'U') if run % 2 == 1 => 8,
            _ => 0,
        };
        let literal = if width > 0 { run - 1 } else { run };
        out.extend(std::iter::repeat_n(b'\\', literal));
        i += run;
        if width > 0 {
            let digits = line.get(i + 1..i + 1 + width)?;
            push_code_point(&mut out, number(digits, 16)?)?;
            i += 1 + width;
        }
    }
    Some(out)
}

/// Appends a code point as UTF-8, surrogates included.
fn push_code_point(out: &mut Vec<u8>, code: u32) -> Option<()> {
    if let Some(c) = char::from_u32(code) {
        out.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
    } else if (0xD800..0xE000).contains(&code) {
        out.extend([0xED, 0x80 | (code >> 6 & 0x3F) as u8, 0x80 | (code & 0x3F) as u8]);
    } else {
        return None;
    }
    Some(())
}

/// The bytes of a string of which each character is one byte: what `_codecs.encode(s, 'latin1')`
/// gives.
pub(super) fn latin1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

/// An integer node from two's complement little-endian bytes.
pub(crate) fn integer(bytes: &[u8]) -> Node {
    let negative = bytes.last().is_some_and(|&b| b & 0x80 != 0);
    let fill = if negative { 0xFF } else { 0 };
    let mut len = bytes.len();
    // The shortest form keeps one byte whose top bit is the sign.
    while len > 0
        && bytes[len - 1] == fill
        && (len == 1 || (bytes[len - 2] & 0x80 != 0) == negative)
    {
        if len == 1 && negative {
            break;
        }
        len -= 1;
    }
    let bytes = &bytes[..len];
    if len > 8 {
        return Node::BigInt(bytes.into());
    }
    let mut wide = [fill; 8];
    wide[..len].copy_from_slice(bytes);
    Node::Int(i64::from_le_bytes(wide))
}

/// Most decimal digits read; Python has the same bound.
const MAX_DIGITS: usize = 4300;

/// An integer node from decimal text.
pub(super) fn decimal(line: &[u8]) -> Option<Node> {
    let text = line.trim_ascii();
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() {
        // Python reads an empty LONG as zero.
        return (text.is_empty()).then_some(Node::Int(0));
    }
    if digits.len() > MAX_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut bytes: Vec<u8> = Vec::with_capacity(digits.len() / 2 + 2);
    for d in digits {
        let mut carry = u32::from(d - b'0');
        for b in &mut bytes {
            carry += u32::from(*b) * 10;
            *b = carry as u8;
            carry >>= 8;
        }
        if carry > 0 {
            bytes.push(carry as u8);
        }
    }
    bytes.push(0);
    if negative {
        negate(&mut bytes);
    }
    Some(integer(&bytes))
}

/// Two's complement negation in place.
pub(crate) fn negate(bytes: &mut [u8]) {
    let mut carry = true;
    for b in bytes {
        let (value, over) = (!*b).overflowing_add(u8::from(carry));
        (*b, carry) = (value, over);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_take_their_shortest_form() {
        assert_eq!(integer(&[]), Node::Int(0));
        assert_eq!(integer(&[0xFF]), Node::Int(-1));
        assert_eq!(integer(&[0xFF; 200]), Node::Int(-1));
        assert_eq!(integer(&[0; 200]), Node::Int(0));
        assert_eq!(integer(&[0xFF, 0]), Node::Int(255));
        assert_eq!(integer(&[0, 0xFF]), Node::Int(-256));
        assert_eq!(integer(&[0, 0, 0, 0, 0, 0, 0, 0x80]), Node::Int(i64::MIN));
        assert_eq!(
            integer(&[0, 0, 0, 0, 0, 0, 0, 0x80, 0, 0]),
            Node::BigInt([0, 0, 0, 0, 0, 0, 0, 0x80, 0].into())
        );
        assert_eq!(decimal(b"-9223372036854775808"), Some(Node::Int(i64::MIN)));
        assert_eq!(
            decimal(b"18446744073709551616"),
            Some(Node::BigInt([0, 0, 0, 0, 0, 0, 0, 0, 1].into()))
        );
        assert_eq!(
            decimal(b"-18446744073709551616"),
            Some(Node::BigInt([0, 0, 0, 0, 0, 0, 0, 0, 0xFF].into()))
        );
        assert_eq!(decimal(b"12a"), None);
        assert_eq!(decimal(&[b'1'; 5000]), None);
    }

    #[test]
    fn escapes() {
        assert_eq!(quoted(br"'a\x41\n\'\101\q'").as_deref(), Some(&b"aA\n'A\\q"[..]));
        assert_eq!(quoted(b"'"), None);
        assert_eq!(quoted(br"'\x4'"), None);
        assert_eq!(quoted(b"abc"), None);
        assert_eq!(raw_unicode_escape(br"a\u0041\\u0041").as_deref(), Some(&br"aA\\u0041"[..]));
        assert_eq!(raw_unicode_escape(b"\xE9").as_deref(), Some("é".as_bytes()));
        assert_eq!(raw_unicode_escape(br"\ud83d").as_deref(), Some(&[0xED, 0xA0, 0xBD][..]));
        assert_eq!(raw_unicode_escape(br"\U00110000"), None);
        assert_eq!(raw_unicode_escape(br"\u00"), None);
    }

    #[test]
    fn surrogates_pass_and_other_damage_does_not() {
        assert_eq!(unicode(b"a"), Some(Node::Str("a".into())));
        let lone = [b'x', 0xED, 0xA0, 0x80, b'y'];
        assert_eq!(unicode(&lone), Some(Node::SurrogateStr(lone.into())));
        assert_eq!(unicode(&[0xED, 0xA0]), None);
        assert_eq!(unicode(&[0xC0, 0x80]), None);
        assert_eq!(unicode(&[0xFF]), None);
    }
}
