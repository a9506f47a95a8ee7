//! Positioned reads and writes: no shared cursor, so one open file serves many threads.

use std::fs::File;
use std::io;

/// Fills `buf` from `offset`; `UnexpectedEof` where the file is shorter.
pub(crate) fn read_exact_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<()> {
    #[cfg(unix)]
    {
        std::os::unix::fs::FileExt::read_exact_at(file, buf, offset)
    }
    #[cfg(windows)]
    {
        let (mut buf, mut offset) = (buf, offset);
        while !buf.is_empty() {
            let n = std::os::windows::fs::FileExt::seek_read(file, buf, offset)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            buf = &mut buf[n..];
            offset += n as u64;
        }
        Ok(())
    }
}

/// Appends `len` bytes from `offset` on; `UnexpectedEof` where the file is shorter, and an error
/// where memory does not suffice: the length may come from a file. Nothing is cleared first where
/// the system allows for that.
pub(crate) fn append_at(file: &File, out: &mut Vec<u8>, len: usize, offset: u64) -> io::Result<()> {
    out.try_reserve_exact(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
    let from = out.len();
    #[cfg(unix)]
    {
        while out.len() < from + len {
            let at = offset + (out.len() - from) as u64;
            match rustix::io::pread(file, rustix::buffer::spare_capacity(out), at) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        // There may be room for more than was asked for.
        out.truncate(from + len);
    }
    #[cfg(windows)]
    {
        out.resize(from + len, 0);
        read_exact_at(file, &mut out[from..], offset)?;
    }
    Ok(())
}

/// Writes all of `buf` at `offset`.
pub(crate) fn write_all_at(file: &File, buf: &[u8], offset: u64) -> io::Result<()> {
    #[cfg(unix)]
    {
        std::os::unix::fs::FileExt::write_all_at(file, buf, offset)
    }
    #[cfg(windows)]
    {
        let (mut buf, mut offset) = (buf, offset);
        while !buf.is_empty() {
            let n = std::os::windows::fs::FileExt::seek_write(file, buf, offset)?;
            buf = &buf[n..];
            offset += n as u64;
        }
        Ok(())
    }
}

/// A zeroed buffer, or an error where memory does not suffice: the length may come from a file.
pub(crate) fn buffer(len: usize) -> io::Result<Vec<u8>> {
    let mut buf = Vec::new();
    buf.try_reserve_exact(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
    buf.resize(len, 0);
    Ok(buf)
}
