//! Bytes from one file to another, as fast as the system has it.
//!
//! Large ranges are copied inside the kernel. Where their CRC-32 is needed a second thread reads
//! the same range by `pread` meanwhile: the bytes are in the page cache by then, and nothing is
//! mapped, so the resident memory stays a few buffers.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::progress::Meter;

/// The buffer of each reader.
const BUFFER: usize = 1 << 20;
/// From this length on a copy inside the kernel pays, and a second thread for the checksum.
const LARGE: u64 = 4 << 20;
/// One request to the kernel, between two calls of the progress callback.
const STEP: u64 = 16 << 20;

/// Copies `len` bytes.
pub(crate) fn copy(
    from: (&File, u64),
    to: (&File, u64),
    len: u64,
    meter: &mut Meter<'_>,
) -> io::Result<()> {
    if len < LARGE {
        return through_buffer(from, to, len, None, meter);
    }
    in_kernel(from, to, len, meter)
}

/// Copies `len` bytes and returns their CRC-32.
pub(crate) fn copy_with_crc(
    from: (&File, u64),
    to: (&File, u64),
    len: u64,
    meter: &mut Meter<'_>,
) -> io::Result<u32> {
    if len < LARGE {
        let mut crc = crc32fast::Hasher::new();
        through_buffer(from, to, len, Some(&mut crc), meter)?;
        return Ok(crc.finalize());
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let crc = scope.spawn(|| crc_of(from, len, &stop));
        let copied = in_kernel(from, to, len, meter);
        stop.store(copied.is_err(), Ordering::Relaxed);
        let crc = crc.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        copied.and(crc)
    })
}

/// The CRC-32 of `len` bytes of a file, unless it is told to stop.
fn crc_of((file, mut at): (&File, u64), len: u64, stop: &AtomicBool) -> io::Result<u32> {
    let mut buffer = vec![0; BUFFER.min(usize::try_from(len).unwrap_or(BUFFER))];
    let mut crc = crc32fast::Hasher::new();
    let end = at + len;
    while at < end && !stop.load(Ordering::Relaxed) {
        let n = buffer.len().min(usize::try_from(end - at).unwrap_or(BUFFER));
        read_exact_at(file, &mut buffer[..n], at)?;
        crc.update(&buffer[..n]);
        at += n as u64;
    }
    Ok(crc.finalize())
}

fn through_buffer(
    (from, mut read_at): (&File, u64),
    (to, mut write_at): (&File, u64),
    len: u64,
    mut crc: Option<&mut crc32fast::Hasher>,
    meter: &mut Meter<'_>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER.min(usize::try_from(len).unwrap_or(BUFFER))];
    let end = read_at + len;
    while read_at < end {
        let n = buffer.len().min(usize::try_from(end - read_at).unwrap_or(BUFFER));
        read_exact_at(from, &mut buffer[..n], read_at)?;
        if let Some(crc) = &mut crc {
            crc.update(&buffer[..n]);
        }
        write_all_at(to, &buffer[..n], write_at)?;
        read_at += n as u64;
        write_at += n as u64;
        meter.add(n as u64)?;
    }
    Ok(())
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn in_kernel(
    from: (&File, u64),
    to: (&File, u64),
    len: u64,
    meter: &mut Meter<'_>,
) -> io::Result<()> {
    use rustix::io::Errno;
    let (mut read_at, mut write_at) = (from.1, to.1);
    let end = read_at + len;
    while read_at < end {
        let step = usize::try_from((end - read_at).min(STEP)).unwrap_or(usize::MAX);
        let copied = rustix::fs::copy_file_range(
            from.0,
            Some(&mut read_at),
            to.0,
            Some(&mut write_at),
            step,
        );
        match copied {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => meter.add(n as u64)?,
            Err(Errno::INTR) => {}
            // Two file systems, or one that cannot: the ordinary way does it.
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {
                return through_buffer(
                    (from.0, read_at),
                    (to.0, write_at),
                    end - read_at,
                    None,
                    meter,
                );
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn in_kernel(
    from: (&File, u64),
    to: (&File, u64),
    len: u64,
    meter: &mut Meter<'_>,
) -> io::Result<()> {
    through_buffer(from, to, len, None, meter)
}

#[cfg(unix)]
pub(crate) fn read_exact_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, at)
}

#[cfg(unix)]
pub(crate) fn write_all_at(file: &File, buffer: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, buffer, at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NoProgress;
    use std::ops::ControlFlow;

    fn file_with(bytes: &[u8]) -> File {
        let file = tempfile::tempfile().unwrap();
        write_all_at(&file, bytes, 0).unwrap();
        file
    }

    #[test]
    fn small_and_large_ranges_arrive_with_their_checksum() {
        let bytes: Vec<u8> =
            (0..9_000_001u32).map(|i| (i.wrapping_mul(2654435761) >> 13) as u8).collect();
        let from = file_with(&bytes);
        for (offset, len) in [(0, 0), (3, 1), (17, 70_000), (1, 9_000_000)] {
            let to = tempfile::tempfile().unwrap();
            let mut progress = NoProgress;
            let mut meter = Meter::new(&mut progress, len);
            let crc = copy_with_crc((&from, offset), (&to, 5), len, &mut meter).unwrap();
            let expected = &bytes[offset as usize..(offset + len) as usize];
            let mut got = vec![0; len as usize];
            read_exact_at(&to, &mut got, 5).unwrap();
            assert!(got == expected);
            assert_eq!(crc, crc32fast::hash(expected));
        }
    }

    #[test]
    fn a_range_past_the_end_is_an_error() {
        let from = file_with(&[1; 5_000_000]);
        let to = tempfile::tempfile().unwrap();
        let mut progress = NoProgress;
        let mut meter = Meter::new(&mut progress, 0);
        let e = copy((&from, 1), (&to, 0), 5_000_000, &mut meter).unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_caller_can_stop_it() {
        let from = file_with(&[1; 40 << 20]);
        let to = tempfile::tempfile().unwrap();
        let mut progress = |done: u64, _: u64| match done {
            0..20_000_000 => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        };
        let mut meter = Meter::new(&mut progress, 40 << 20);
        let e = copy((&from, 0), (&to, 0), 40 << 20, &mut meter).unwrap_err();
        assert!(crate::error::is_cancelled(&e));
    }
}
