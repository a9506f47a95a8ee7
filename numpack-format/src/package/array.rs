//! One array of a package, read where it is.

use super::content::Content;
use super::read::{Data, Package, lacks};
use crate::array::ArrayInfo;
use crate::error::{Error, Result, format};

/// An array of a package, open for reading; see [`Package::array`].
///
/// What is read in the order of the content costs one pass over it, in pieces of any size. In a
/// compressed file, going back starts again from its beginning.
pub struct PackedArray<'a> {
    package: &'a Package,
    info: &'a ArrayInfo,
    data: &'a Data,
    stream: Option<Stream<'a>>,
}

/// A pass over the file.
struct Stream<'a> {
    content: Content<'a>,
    /// How much has been given, in bytes without dropped rows.
    given: u64,
    /// How much has been read or left out, in bytes of the file.
    at: u64,
}

impl<'a> PackedArray<'a> {
    pub(super) fn new(package: &'a Package, info: &'a ArrayInfo, data: &'a Data) -> Self {
        PackedArray { package, info, data, stream: None }
    }

    /// What the package says of the array.
    pub fn info(&self) -> &'a ArrayInfo {
        self.info
    }

    /// The size of the content in bytes, without dropped rows.
    pub fn nbytes(&self) -> u64 {
        self.info.nbytes()
    }

    /// Reads any range of the content's bytes: C order, little-endian, without dropped rows. The
    /// checksum of a zlib stream is checked when the last byte is read.
    pub fn read_bytes_at(&mut self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.read(offset, out).map_err(|e| e.in_array(&self.info.name))
    }

    fn read(&mut self, offset: u64, out: &mut [u8]) -> Result<()> {
        let (n, nbytes) = (out.len() as u64, self.nbytes());
        let Some(end) = offset.checked_add(n).filter(|&end| end <= nbytes) else {
            let problem = format!("{n} bytes at {offset} are out of range, the array has {nbytes}");
            return Err(Error::parameter(None, problem));
        };
        if n == 0 && nbytes > 0 {
            return Ok(());
        }
        // Where this fails, the next read starts anew.
        let mut stream = match self.stream.take() {
            Some(stream) if stream.given <= offset => stream,
            _ => self.begin()?,
        };
        self.read_live(&mut stream, offset, out)?;
        stream.given = end;
        if end == nbytes {
            return stream.content.finish();
        }
        self.stream = Some(stream);
        Ok(())
    }

    fn begin(&self) -> Result<Stream<'a>> {
        let (path, file) = (&self.package.path, &self.data.file);
        let entry = self.package.layout.find(file).ok_or_else(|| lacks(path, file))?;
        let content = Content::open(&self.package.file, path, entry)?;
        Ok(Stream { content, given: 0, at: 0 })
    }

    fn read_live(&self, stream: &mut Stream<'_>, offset: u64, mut out: &mut [u8]) -> Result<()> {
        let Some(bitmap) = &self.data.bitmap else {
            stream.content.skip(offset - stream.at)?;
            stream.at = offset + out.len() as u64;
            return stream.content.read(out);
        };
        if out.is_empty() {
            return Ok(());
        }
        let size = self.info.row_size();
        let mut row = bitmap.select(offset / size);
        let mut within = offset % size;
        while !out.is_empty() {
            let from = row.ok_or_else(|| {
                let file = self.package.path.join(&self.data.file);
                format(&file, None, "the bitmap has fewer live rows than it counted")
            })?;
            let rows = bitmap.run(from, (within + out.len() as u64).div_ceil(size));
            let n = (rows * size - within).min(out.len() as u64);
            let (now, rest) = out.split_at_mut(n as usize);
            stream.content.skip(from * size + within - stream.at)?;
            stream.content.read(now)?;
            stream.at = from * size + within + n;
            (out, within) = (rest, 0);
            row = bitmap.next_live(from + rows);
        }
        Ok(())
    }
}

impl std::fmt::Debug for PackedArray<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PackedArray").field("info", self.info).finish_non_exhaustive()
    }
}
