//! The content of one file in a package, in the order of its bytes.

use super::format::{Entry, damaged, unsupported};
use super::{CHUNK, Compression};
use crate::error::{Error, Result};
use flate2::{Decompress, FlushDecompress, Status};
use ruzstd::decoding::{StreamingDecoder, errors::FrameDecoderError};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The most that a Zstandard frame may ask to be kept: what every decoder is to have.
const MAX_WINDOW: u64 = 8 << 20;
const BUFFER: usize = 64 << 10;

/// The content of a file, inflated as it is read: never more of it than the package declares.
pub(super) struct Content<'a> {
    path: &'a Path,
    entry: &'a Entry,
    /// How much has been given.
    at: u64,
    decoder: Decoder<'a>,
}

enum Decoder<'a> {
    Stored(Input<'a>),
    Zlib(Box<Zlib<'a>>),
    Zstd(Box<StreamingDecoder<Input<'a>, ruzstd::decoding::FrameDecoder>>),
}

type Input<'a> = BufReader<Stretch<'a>>;

struct Zlib<'a> {
    input: Input<'a>,
    inflate: Decompress,
    ended: bool,
}

impl<'a> Content<'a> {
    pub(super) fn open(file: &'a File, path: &'a Path, entry: &'a Entry) -> Result<Content<'a>> {
        let stretch = Stretch { file, start: entry.at, len: entry.packed, at: 0 };
        let input = BufReader::with_capacity(BUFFER, stretch);
        let decoder = match entry.compression {
            Compression::Stored => Decoder::Stored(input),
            Compression::Zlib => Decoder::Zlib(Box::new(Zlib {
                input,
                inflate: Decompress::new(true),
                ended: false,
            })),
            Compression::Zstd => {
                match StreamingDecoder::new_with_max_window_size(input, MAX_WINDOW) {
                    Ok(decoder) => Decoder::Zstd(Box::new(decoder)),
                    Err(FrameDecoderError::WindowSizeTooBig { requested, .. }) => {
                        let problem = format!(
                            "{:?} is compressed with a window of {requested} bytes, at most {MAX_WINDOW} are read",
                            entry.name
                        );
                        let hint = "pack the store again, uncompressed or at an ordinary level";
                        return Err(unsupported(path, entry.at, problem, hint));
                    }
                    Err(e) => {
                        let problem = format!("{:?} is no sound zstd stream: {e}", entry.name);
                        return Err(damaged(path, entry.at, problem));
                    }
                }
            }
        };
        Ok(Content { path, entry, at: 0, decoder })
    }

    /// Fills `out` with the next bytes.
    pub(super) fn read(&mut self, out: &mut [u8]) -> Result<()> {
        let n = out.len() as u64;
        if n > self.left() {
            return Err(self.damaged(format!("has {} bytes, no more", self.entry.size)));
        }
        let mut done = 0;
        while done < out.len() {
            match self.some(&mut out[done..])? {
                0 => {
                    let (at, size) = (self.at + done as u64, self.entry.size);
                    return Err(
                        self.damaged(format!("is to have {size} bytes, it ends after {at}"))
                    );
                }
                n => done += n,
            }
        }
        self.at += n;
        Ok(())
    }

    /// Leaves bytes out.
    pub(super) fn skip(&mut self, mut n: u64) -> Result<()> {
        if let Decoder::Stored(input) = &mut self.decoder
            && n <= self.entry.size - self.at
        {
            // Part of a file's length, which fits an i64.
            input.seek_relative(n as i64).map_err(Error::io("read", self.path))?;
            self.at += n;
            return Ok(());
        }
        let mut waste = vec![0; n.min(CHUNK as u64) as usize];
        while n > 0 {
            let now = n.min(waste.len() as u64);
            self.read(&mut waste[..now as usize])?;
            n -= now;
        }
        Ok(())
    }

    /// How much is still to come.
    pub(super) fn left(&self) -> u64 {
        self.entry.size - self.at
    }

    /// Everything has been read: the compressed bytes must be over too.
    pub(super) fn finish(mut self) -> Result<()> {
        let left = self.left();
        self.skip(left)?;
        if !matches!(self.decoder, Decoder::Stored(_)) && self.some(&mut [0])? != 0 {
            let size = self.entry.size;
            return Err(self.damaged(format!("is to have {size} bytes, but has more")));
        }
        let input = match &self.decoder {
            Decoder::Stored(_) => return Ok(()),
            Decoder::Zlib(zlib) => &zlib.input,
            Decoder::Zstd(decoder) => decoder.get_ref(),
        };
        let used = input.get_ref().at - input.buffer().len() as u64;
        if used != self.entry.packed {
            let packed = self.entry.packed;
            return Err(self.damaged(format!("takes {packed} bytes, its stream ends after {used}")));
        }
        Ok(())
    }

    /// Some of the next bytes; 0 at the end.
    fn some(&mut self, out: &mut [u8]) -> Result<usize> {
        let read = match &mut self.decoder {
            Decoder::Stored(input) => input.read(out),
            Decoder::Zlib(zlib) => zlib.some(out),
            Decoder::Zstd(decoder) => decoder.read(out),
        };
        match read {
            // What the file system says of the package has a number; all else is about the stream.
            Err(e) if e.raw_os_error().is_some() => Err(Error::io("read", self.path)(e)),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => self.some(out),
            Err(e) => Err(self.damaged(format!("is damaged: {e}"))),
            Ok(n) => Ok(n),
        }
    }

    fn damaged(&self, problem: impl std::fmt::Display) -> Error {
        damaged(self.path, self.entry.at, format!("{:?} {problem}", self.entry.name))
    }
}

impl Zlib<'_> {
    /// Inflates some bytes; 0 once the stream has ended.
    fn some(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while !self.ended {
            let input = self.input.fill_buf()?;
            let over = input.is_empty();
            let (ins, outs) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self
                .inflate
                .decompress(input, out, FlushDecompress::None)
                .map_err(|e| io::Error::other(format!("no sound zlib stream ({e})")))?;
            let used = (self.inflate.total_in() - ins) as usize;
            self.input.consume(used);
            self.ended = status == Status::StreamEnd;
            let n = (self.inflate.total_out() - outs) as usize;
            if n > 0 {
                return Ok(n);
            }
            if !self.ended && (over || used == 0) {
                return Err(io::Error::other("the zlib stream is cut off"));
            }
        }
        Ok(0)
    }
}

/// A range of a file, read without moving the file's own position.
pub(super) struct Stretch<'a> {
    file: &'a File,
    start: u64,
    len: u64,
    at: u64,
}

impl Read for Stretch<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = (self.len - self.at).min(out.len() as u64) as usize;
        let n = self.file.read_at(&mut out[..n], self.start + self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for Stretch<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
        };
        self.at = at.filter(|&at| at <= self.len).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
