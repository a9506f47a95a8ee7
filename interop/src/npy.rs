//! NumPy's `.npy` files: the header, read and written, and rows written as one.
//!
//! ```text
//!      0     6  93 "NUMPY"
//!      6     2  version: 1.0, 2.0 or 3.0
//!      8     2  length of the text; 4 bytes from version 2.0 on
//!      …     …  a Python dict of 'descr', 'fortran_order' and 'shape', padded with spaces to a
//!               multiple of 64 bytes from the start, and a line break
//!      …     …  the elements
//! ```
//!
//! Source: `numpy/lib/format.py`. Only the dict that NumPy writes is read, not Python: what is
//! longer than [`MAX_HEADER`] or holds anything else is refused, and nothing recurses.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use numpack_format::{DType, Rows};

use crate::dtype::{is_native, stored_form};
use crate::pull::Pull;
use crate::rows::put;
use crate::{Error, Result, TensorInfo, Tensors};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// The longest text taken. NumPy itself writes some hundred bytes for a type that is no structure.
const MAX_HEADER: u64 = 1 << 16;
/// Dimensions, as a store takes them.
const MAX_DIMS: usize = 64;

impl Tensors {
    /// Writes rows of a tensor as a `.npy` file: version 1.0, C order, little-endian.
    ///
    /// # Errors
    /// When there are no such rows, `.npy` has no such element type (bfloat16, float8, quantised
    /// types), they cannot be read, or `out` fails.
    pub fn write_npy(
        &self,
        tensor: &TensorInfo,
        rows: &Rows<'_>,
        out: &mut dyn Write,
    ) -> Result<()> {
        let dtype = self.tree().tensor(tensor.id).dtype;
        if !is_native(dtype) {
            return Err(Error::Name {
                path: self.path().to_owned(),
                message: format!(
                    "tensor {:?}: .npy files have no {dtype}; print it as text, or convert it \
                     with torch first",
                    tensor.name
                ),
            });
        }
        let mut shape = tensor.shape.clone();
        let count = self.count_rows(tensor, rows)?;
        if let Some(first) = shape.first_mut() {
            *first = count;
        }
        put(out, &header(stored_form(dtype).0, &shape, false))?;
        self.write_rows(tensor, rows, &mut |bytes| out.write_all(bytes))
    }
}

/// NumPy leaves room for the first dimension to grow to this many digits, so that rows can be added
/// in place.
const GROWTH_DIGITS: usize = 21;

/// The header of a little-endian array, byte for byte as NumPy 2 writes it.
pub(crate) fn header(dtype: DType, shape: &[u64], fortran_order: bool) -> Vec<u8> {
    let dims: Vec<String> = shape.iter().map(u64::to_string).collect();
    // Python's tuple of one has a comma.
    let comma = if dims.len() == 1 { "," } else { "" };
    let mut text = format!(
        "{{'descr': '{}', 'fortran_order': {}, 'shape': ({}{comma}), }}",
        descr(dtype),
        if fortran_order { "True" } else { "False" },
        dims.join(", ")
    );
    let grows = if fortran_order { dims.last() } else { dims.first() };
    let room = grows.map_or(0, |digits| GROWTH_DIGITS.saturating_sub(digits.len()));
    text.push_str(&" ".repeat(room));
    let start = MAGIC.len() + 4;
    let padded = (start + text.len() + 1).next_multiple_of(64);
    text.push_str(&" ".repeat(padded - start - text.len() - 1));
    text.push('\n');
    let mut out = MAGIC.to_vec();
    out.extend([1, 0]);
    // 64 dimensions of 20 digits are far below 64 KiB.
    out.extend((text.len() as u16).to_le_bytes());
    out.extend(text.as_bytes());
    out
}

/// NumPy's word for a type.
fn descr(dtype: DType) -> String {
    let kind = match dtype {
        DType::Bool => 'b',
        DType::U8 | DType::U16 | DType::U32 | DType::U64 => 'u',
        DType::I8 | DType::I16 | DType::I32 | DType::I64 => 'i',
        DType::F16 | DType::F32 | DType::F64 => 'f',
        DType::Complex64 | DType::Complex128 => 'c',
    };
    let order = if dtype.size() == 1 { '|' } else { '<' };
    format!("{order}{kind}{}", dtype.size())
}

/// A `.npy` file, open for reading from its first element on.
pub struct Npy {
    path: PathBuf,
    pub(crate) header: Header,
    reader: Box<dyn Read>,
}

/// What a header says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) dtype: DType,
    pub(crate) big_endian: bool,
    pub(crate) fortran_order: bool,
    pub(crate) shape: Vec<u64>,
}

impl Npy {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// When it cannot be read, is no `.npy` file, or holds objects or structures.
    pub fn open(path: impl AsRef<Path>) -> Result<Npy> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|e| Error::io(path, "open", e))?;
        Npy::from_reader(path, file)
    }

    /// The same from anything that can be read; `name` is for messages.
    ///
    /// # Errors
    /// As [`open`](Npy::open).
    pub fn from_reader(name: impl Into<PathBuf>, mut reader: impl Read + 'static) -> Result<Npy> {
        let path = name.into();
        let (header, _) = Header::read(&mut reader, &path)?;
        Ok(Npy { path, header, reader: Box::new(reader) })
    }

    /// A tensor of any file with tensors, as if it were a `.npy` file: in C order, little-endian.
    ///
    /// # Errors
    /// When there is none of that name, or `.npy` has no such element type.
    ///
    /// ```no_run
    /// use numpack_interop::{Npy, Tensors};
    /// let rows = Npy::from_tensors(Tensors::open("rows.npz")?, "ids")?;
    /// println!("{:?}", rows.shape());
    /// # Ok::<(), numpack_interop::Error>(())
    /// ```
    pub fn from_tensors(file: Tensors, name: &str) -> Result<Npy> {
        let tensor = file.find(name)?;
        let dtype = file.tree().tensor(tensor.id).dtype;
        let path = file.path().to_owned();
        if !is_native(dtype) {
            let message = format!(
                "tensor {name:?} is of {dtype}, which .npy files do not have; its rows cannot be \
                 taken"
            );
            return Err(Error::Name { path, message });
        }
        let header = Header {
            dtype: stored_form(dtype).0,
            big_endian: false,
            fortran_order: false,
            shape: tensor.shape.to_vec(),
        };
        Ok(Npy { path, header, reader: Box::new(Pull::new(file, tensor)) })
    }

    /// Where it came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.header.dtype
    }

    /// The shape.
    pub fn shape(&self) -> &[u64] {
        &self.header.shape
    }

    /// The size of the elements in bytes.
    pub fn nbytes(&self) -> u64 {
        self.header.nbytes().unwrap_or(u64::MAX)
    }

    /// Replaces what is in a buffer by the next bytes of elements; `false` where there were fewer.
    pub(crate) fn read(&mut self, out: &mut Vec<u8>, len: u64) -> Result<bool> {
        out.clear();
        // Memory is taken as they come.
        let read = (&mut self.reader).take(len).read_to_end(out);
        read.map_err(|e| Error::io(&self.path, "read", e))?;
        Ok(out.len() as u64 == len)
    }

    pub(crate) fn refuse(&self, message: impl Into<String>) -> Error {
        refuse(&self.path, message)
    }
}

impl std::fmt::Debug for Npy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let header = &self.header;
        f.debug_struct("Npy")
            .field("path", &self.path)
            .field("header", header)
            .finish_non_exhaustive()
    }
}

fn refuse(path: &Path, message: impl Into<String>) -> Error {
    Error::Unsupported { path: path.to_owned(), message: message.into() }
}

/// What is wrong with a header.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Problem {
    /// It is not what it should be.
    Damaged(String),
    /// It may be sound, and is of something that is not read.
    Foreign(String),
}

impl Problem {
    fn at(self, path: &Path) -> Error {
        match self {
            Problem::Damaged(problem) => Error::damaged(path, problem),
            Problem::Foreign(message) => refuse(path, message),
        }
    }
}

impl Header {
    /// Reads a header, and says how long it is: where the elements start.
    pub(crate) fn read(reader: &mut dyn Read, path: &Path) -> Result<(Header, u64)> {
        let start = take(reader, path, 8)?;
        if !start.starts_with(MAGIC) {
            return Err(refuse(path, "not a .npy file; numpy.save writes one"));
        }
        let (major, minor) = (start[6], start[7]);
        let count = match (major, minor) {
            (1, 0) => 2,
            (2 | 3, 0) => 4,
            _ => {
                let message = format!("version {major}.{minor} of .npy is not known; save it anew");
                return Err(refuse(path, message));
            }
        };
        let len = take(reader, path, count)?;
        let len = len.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b));
        if len > MAX_HEADER {
            let message = format!("the header has {len} bytes, at most {MAX_HEADER} are read");
            return Err(refuse(path, message));
        }
        let text = take(reader, path, len)?;
        let header = Header::parse(&text).map_err(|problem| problem.at(path))?;
        Ok((header, 8 + count + len))
    }

    /// The size of the elements, if it fits 64 bits.
    pub(crate) fn nbytes(&self) -> Option<u64> {
        if self.shape.contains(&0) {
            return Some(0);
        }
        self.shape.iter().try_fold(self.dtype.size() as u64, |n, &d| n.checked_mul(d))
    }

    fn parse(text: &[u8]) -> Result<Header, Problem> {
        let mut p = Parser { text, at: 0 };
        let (mut kind, mut order, mut shape) = (None, None, None);
        p.expect(b'{')?;
        while !p.accept(b'}') {
            let key = p.string()?;
            p.expect(b':')?;
            let again = match key {
                b"descr" => kind.replace(p.descr()?).is_some(),
                b"fortran_order" => order.replace(p.boolean()?).is_some(),
                b"shape" => shape.replace(p.shape()?).is_some(),
                _ => true,
            };
            if again {
                return Err(p.damaged("one of 'descr', 'fortran_order' and 'shape', each once"));
            }
            if !p.accept(b',') {
                p.expect(b'}')?;
                break;
            }
        }
        let (Some((dtype, big_endian)), Some(fortran_order), Some(shape)) = (kind, order, shape)
        else {
            return Err(p.damaged("'descr', 'fortran_order' and 'shape'"));
        };
        p.space();
        if p.at < text.len() {
            return Err(p.damaged("the end of the header"));
        }
        let header = Header { dtype, big_endian, fortran_order, shape };
        if header.nbytes().is_none() {
            let problem = format!("shape {:?} of {dtype} exceeds 64 bits", header.shape);
            return Err(Problem::Damaged(problem));
        }
        Ok(header)
    }
}

/// What a type that is not taken is, where that is known.
fn kind_of(kind: &str) -> &'static str {
    match kind.bytes().next() {
        Some(b'U') => " (text)",
        Some(b'S' | b'a') => " (bytes of text)",
        Some(b'M') => " (a date)",
        Some(b'm') => " (a time span)",
        Some(b'V') => " (raw bytes, as numpy saves the types of other packages, such as bfloat16)",
        _ => "",
    }
}

/// The next bytes of the header. Memory is taken as they come.
fn take(reader: &mut dyn Read, path: &Path, len: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(len).read_to_end(&mut bytes).map_err(|e| Error::io(path, "read", e))?;
    if (bytes.len() as u64) < len {
        return Err(Error::damaged(path, "not a .npy file: it ends within the header"));
    }
    Ok(bytes)
}

/// Reads the dict, a byte at a time.
struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    fn space(&mut self) {
        let blank = |b: &u8| matches!(b, b' ' | b'\n' | b'\t' | b'\r');
        self.at += self.text[self.at..].iter().take_while(|b| blank(b)).count();
    }

    fn peek(&mut self) -> Option<u8> {
        self.space();
        self.text.get(self.at).copied()
    }

    fn accept(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), Problem> {
        if self.accept(byte) {
            Ok(())
        } else {
            Err(self.damaged(&format!("{:?}", char::from(byte))))
        }
    }

    fn damaged(&self, expected: &str) -> Problem {
        let at = self.at;
        Problem::Damaged(format!(
            "the header is damaged: expected {expected} at byte {at} of its text"
        ))
    }

    /// A string without escapes.
    fn string(&mut self) -> Result<&'a [u8], Problem> {
        let quote = match self.peek() {
            Some(quote @ (b'\'' | b'"')) => quote,
            _ => return Err(self.damaged("a string")),
        };
        let text = self.text;
        let rest = &text[self.at + 1..];
        match rest.iter().position(|&b| b == quote) {
            Some(end) if !rest[..end].contains(&b'\\') => {
                self.at += end + 2;
                Ok(&rest[..end])
            }
            _ => Err(self.damaged("a string that ends")),
        }
    }

    fn boolean(&mut self) -> Result<bool, Problem> {
        self.space();
        for (word, value) in [(&b"True"[..], true), (b"False", false)] {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.damaged("True or False"))
    }

    fn shape(&mut self) -> Result<Vec<u64>, Problem> {
        self.expect(b'(')?;
        let mut shape = Vec::new();
        while !self.accept(b')') {
            shape.push(self.number()?);
            if shape.len() > MAX_DIMS {
                let message = format!("more than {MAX_DIMS} dimensions are not read");
                return Err(Problem::Foreign(message));
            }
            if !self.accept(b',') {
                // (3) is a number, not a tuple.
                if shape.len() == 1 {
                    return Err(self.damaged("','"));
                }
                self.expect(b')')?;
                break;
            }
        }
        Ok(shape)
    }

    fn number(&mut self) -> Result<u64, Problem> {
        self.space();
        let digits = self.text[self.at..].iter().take_while(|b| b.is_ascii_digit()).count();
        let text = std::str::from_utf8(&self.text[self.at..self.at + digits]).unwrap_or("");
        let number = text.parse().map_err(|_| self.damaged("a number below 2^64"))?;
        self.at += digits;
        // Python 2 marked long numbers.
        if self.text.get(self.at) == Some(&b'L') {
            self.at += 1;
        }
        Ok(number)
    }

    /// An element type, and whether it is big-endian.
    fn descr(&mut self) -> Result<(DType, bool), Problem> {
        if self.peek() == Some(b'[') {
            let message = "structured arrays are not taken; save each field by itself";
            return Err(Problem::Foreign(message.to_owned()));
        }
        let text = String::from_utf8_lossy(self.string()?).into_owned();
        let (order, kind) = text.split_at_checked(1).unwrap_or_default();
        if kind.starts_with('O') {
            let message = "arrays of Python objects are not taken: they are pickles, which can run \
                           anything when Python loads them, and numpack scan says what; save numbers";
            return Err(Problem::Foreign(message.to_owned()));
        }
        let found = DType::ALL.into_iter().find(|d| descr(*d)[1..] == *kind);
        match (found, order) {
            (Some(dtype), ">") => Ok((dtype, dtype.size() > 1)),
            (Some(dtype), "<" | "=") => Ok((dtype, false)),
            (Some(dtype), "|") if dtype.size() == 1 => Ok((dtype, false)),
            _ => Err(Problem::Foreign(format!(
                "element type {text:?} is not taken{}; convert it to a number of up to 8 bytes, or \
                 a complex one of up to 16, with astype",
                kind_of(kind)
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Header, Problem> {
        Header::parse(text.as_bytes())
    }

    #[test]
    fn headers_as_numpy_writes_them() {
        let header = |dtype, big_endian, fortran_order, shape: &[u64]| {
            Ok(Header { dtype, big_endian, fortran_order, shape: shape.to_vec() })
        };
        for (text, expected) in [
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }          \n",
                header(DType::F32, false, false, &[3, 2]),
            ),
            (
                "{'descr': '|b1', 'fortran_order': True, 'shape': (), }\n",
                header(DType::Bool, false, true, &[]),
            ),
            (
                "{'descr': '>c16', 'fortran_order': False, 'shape': (7,), }\n",
                header(DType::Complex128, true, false, &[7]),
            ),
            // Python 2.
            (
                "{'shape': (4L, 0L), 'fortran_order': False, 'descr': '<u8'}",
                header(DType::U64, false, false, &[4, 0]),
            ),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for dtype in DType::ALL {
            for shape in [&[][..], &[5], &[0, 7], &[u64::from(u32::MAX), 2, 3]] {
                for fortran_order in [false, true] {
                    let bytes = super::header(dtype, shape, fortran_order);
                    assert_eq!(bytes.len() % 64, 0);
                    let npy = Npy::from_reader("x", std::io::Cursor::new(bytes)).unwrap();
                    assert_eq!((npy.dtype(), npy.shape()), (dtype, shape));
                    assert!(!npy.header.big_endian);
                    assert_eq!(npy.header.fortran_order, fortran_order);
                }
            }
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let deep = format!("{{'shape': {}", "(".repeat(60_000));
        for text in [
            "",
            "{",
            "{}",
            "{'descr': '<f4', 'fortran_order': False}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3 2)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (18446744073709551616,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}",
            "{'descr': '<f4', 'fortran_order': 0, 'shape': (3,)}",
            "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), 'more': 1}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)} x",
            "{'descr': '<f\\x34', 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '|f4', 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '<V2', 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '', 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '€4', 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '|O', 'fortran_order': False, 'shape': (3,)}",
            "{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (3,)}",
            &deep,
        ] {
            assert!(parse(text).is_err(), "{text:.80}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_or_refused(
            version in 0u8..5,
            len in any::<u32>(),
            text in r"[{}(),:'\[0-9L ]{0,40}|\{'descr': '[<>|]?[bifucO]?[0-9]{0,2}', 'fortran_order': (True|False), 'shape': \([0-9, ]{0,30}\)[, }]{0,3}",
            fits in any::<bool>(),
        ) {
            let mut bytes = MAGIC.to_vec();
            bytes.extend([version, 0]);
            let len = if fits { text.len() as u32 } else { len };
            let len = len.to_le_bytes();
            bytes.extend(if version == 1 { &len[..2] } else { &len[..] });
            bytes.extend(text.as_bytes());
            if let Ok(npy) = Npy::from_reader("x", std::io::Cursor::new(bytes)) {
                prop_assert!(npy.header.nbytes().is_some());
            }
        }
    }
}
