//! Where the bytes of each storage lie, and reading them from there.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::CrcPolicy;
use crate::archive::{Archive, ByteOrder};
use crate::error::Result;
use crate::io::read_exact_at;
use crate::pieces::Pieces;
use crate::record::{self, Record};
use crate::source::Source;

/// One of the files that a checkpoint consists of.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) source: Source,
    /// Its directory, where it is an archive.
    pub(crate) archive: Option<Archive>,
}

/// Where the bytes of a storage lie.
#[derive(Debug)]
pub(crate) enum Place {
    /// A record of an archive: the numbers of both.
    Entry { input: u32, entry: u32 },
    /// A range of a file.
    Range(Box<Range>),
    /// Put together out of several tensors.
    Pieces(Box<Pieces>),
}

/// What is found out about the bytes of a storage when they are read.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Where the bytes of a record start; 0, where none can, before its local header was checked.
    offset: AtomicU64,
    /// Whether the checksum was found right, or wrong and only warned about.
    checked: AtomicBool,
}

impl Found {
    pub(crate) fn is_checked(&self) -> bool {
        self.checked.load(Ordering::Relaxed)
    }

    pub(crate) fn set_checked(&self) {
        self.checked.store(true, Ordering::Relaxed);
    }
}

/// A range of a file.
#[derive(Debug)]
pub(crate) struct Range {
    input: u32,
    /// What it is called in errors.
    name: Box<str>,
    record: Record,
}

impl Place {
    pub(crate) fn range(input: u32, name: &str, record: Record) -> Place {
        Place::Range(Box::new(Range { input, name: name.into(), record }))
    }

    /// The same place, where there are more inputs before.
    pub(crate) fn shift(mut self, by: u32) -> Place {
        match &mut self {
            Place::Entry { input, .. } => *input += by,
            Place::Range(range) => range.input += by,
            Place::Pieces(_) => {}
        }
        self
    }

    /// What it is called in errors.
    pub(crate) fn name<'a>(&'a self, inputs: &'a [Input]) -> &'a str {
        match self {
            Place::Entry { input, entry } => {
                let archive = inputs[*input as usize].archive.as_ref();
                archive.map_or("", |archive| archive.entry(*entry).name)
            }
            Place::Range(range) => &range.name,
            Place::Pieces(pieces) => pieces.name(),
        }
    }

    /// The file it lies in, where it is one.
    pub(crate) fn input(&self) -> Option<u32> {
        match self {
            Place::Entry { input, .. } => Some(*input),
            Place::Range(range) => Some(range.input),
            Place::Pieces(_) => None,
        }
    }

    /// The bytes, once the local header of a record was compared with its directory.
    pub(crate) fn data<'a>(&'a self, inputs: &'a [Input], found: &Found) -> Result<Data<'a>> {
        let (input, record) = match self {
            Place::Entry { input, entry } => {
                let input = &inputs[*input as usize];
                let Some(archive) = &input.archive else { return Ok(Data::Nothing) };
                let record = match found.offset.load(Ordering::Relaxed) {
                    0 => {
                        let record = archive.record(&input.source, *entry)?;
                        found.offset.store(record.offset, Ordering::Relaxed);
                        record
                    }
                    offset => archive.record_at(*entry, offset),
                };
                (input, record)
            }
            Place::Range(range) => (&inputs[range.input as usize], range.record),
            Place::Pieces(pieces) => return Ok(Data::Pieces(pieces)),
        };
        Ok(Data::Record { source: &input.source, name: self.name(inputs), record })
    }
}

/// The bytes of a storage, to be read.
#[derive(Clone, Copy)]
pub(crate) enum Data<'a> {
    /// A record of an archive, or a range of a file.
    Record { source: &'a Source, name: &'a str, record: Record },
    /// Put together out of several tensors.
    Pieces(&'a Pieces),
    /// No bytes at all.
    Nothing,
}

impl Data<'_> {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Data::Record { record, .. } => record.len,
            Data::Pieces(pieces) => pieces.len(),
            Data::Nothing => 0,
        }
    }

    pub(crate) fn record(&self) -> Option<Record> {
        match self {
            Data::Record { record, .. } => Some(*record),
            _ => None,
        }
    }

    /// The order of bytes that is read. Pieces come as they are wanted.
    pub(crate) fn order(&self) -> ByteOrder {
        self.record().map_or(ByteOrder::Little, |record| record.order)
    }

    /// Whether a part can only be had by way of all that comes before it.
    pub(crate) fn is_compressed(&self) -> bool {
        self.record().is_some_and(|record| record.compressed)
    }

    /// Whether there is a checksum to compare. Pieces compare their own.
    pub(crate) fn has_crc(&self) -> bool {
        self.record().is_some_and(|record| record.crc.is_some())
    }

    /// Reads all of it, and compares the checksum. What is returned is a warning.
    pub(crate) fn read_into(&self, policy: CrcPolicy, out: &mut [u8]) -> Result<Option<String>> {
        match self {
            Data::Record { source, name, record } => {
                record::read_into(source, name, record, policy, out)
            }
            Data::Pieces(pieces) => pieces.read(0, out).map(|()| None),
            Data::Nothing => Ok(None),
        }
    }

    /// The same, in pieces of `step` bytes.
    pub(crate) fn pass(
        &self,
        policy: CrcPolicy,
        step: usize,
        sink: &mut dyn FnMut(&mut [u8]) -> Result<()>,
    ) -> Result<Option<String>> {
        match self {
            Data::Record { source, name, record } => {
                record::pass(source, name, record, policy, step, sink)
            }
            Data::Pieces(pieces) => pieces.pass(step, sink).map(|()| None),
            Data::Nothing => Ok(None),
        }
    }

    /// Reads a part of what is not compressed.
    pub(crate) fn read_part(&self, at: u64, out: &mut [u8]) -> Result<()> {
        match self {
            Data::Record { source, name, record } => {
                let offset = record.offset + at;
                read_exact_at(&source.file, out, offset)
                    .map_err(|e| record::read_error(source, name, offset, e))
            }
            Data::Pieces(pieces) => pieces.read(at, out),
            Data::Nothing => Ok(()),
        }
    }

    /// All of it in memory.
    pub(crate) fn read_all(&self, policy: CrcPolicy) -> Result<(Vec<u8>, Option<String>)> {
        match self {
            Data::Record { source, name, record } => record::read_all(source, name, record, policy),
            Data::Pieces(pieces) => {
                let mut all = Vec::new();
                let step = 1 << 20;
                pieces.pass(step, &mut |piece| {
                    all.extend_from_slice(piece);
                    Ok(())
                })?;
                Ok((all, None))
            }
            Data::Nothing => Ok((Vec::new(), None)),
        }
    }
}
