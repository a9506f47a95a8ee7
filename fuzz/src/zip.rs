//! A zip container, as small as torch's reader accepts one.
//!
//! Checksums are all zero, which means that there are none, so that a changed byte is read and not
//! just refused.

/// How the bytes of a record are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// As they are.
    Stored,
    /// As a deflate stream, of blocks that are not compressed.
    Deflated,
}

/// An archive that is being made.
#[derive(Debug, Default)]
pub struct Zip {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    count: u16,
}

impl Zip {
    /// An empty one.
    pub fn new() -> Zip {
        Zip::default()
    }

    /// Adds a record.
    ///
    /// # Panics
    /// On 4 GiB or more, or a name of 64 KiB or more.
    #[must_use]
    pub fn add(mut self, name: &str, method: Method, data: &[u8]) -> Zip {
        let offset = size(self.bytes.len());
        let deflated;
        let (code, kept) = match method {
            Method::Stored => (0u16, data),
            Method::Deflated => {
                deflated = deflate(data);
                (8, &deflated[..])
            }
        };
        let mut fields = Vec::new();
        fields.extend(20u16.to_le_bytes()); // version
        fields.extend([0; 2]); // flags
        fields.extend(code.to_le_bytes());
        fields.extend([0, 0, 0x21, 0]); // midnight, 1 January 1980
        fields.extend([0; 4]); // no checksum
        fields.extend(size(kept.len()).to_le_bytes());
        fields.extend(size(data.len()).to_le_bytes());
        fields.extend(u16::try_from(name.len()).expect("a short name").to_le_bytes());
        fields.extend([0; 2]); // no extra field
        self.bytes.extend(b"PK\x03\x04");
        self.bytes.extend(&fields);
        self.bytes.extend(name.as_bytes());
        self.bytes.extend(kept);
        self.directory.extend(b"PK\x01\x02");
        self.directory.extend(20u16.to_le_bytes());
        self.directory.extend(&fields);
        self.directory.extend([0; 10]); // no comment, first disk, no attributes
        self.directory.extend(offset.to_le_bytes());
        self.directory.extend(name.as_bytes());
        self.count += 1;
        self
    }

    /// The bytes of the archive.
    ///
    /// # Panics
    /// On 4 GiB or more.
    pub fn finish(mut self) -> Vec<u8> {
        let start = size(self.bytes.len());
        self.bytes.extend(&self.directory);
        self.bytes.extend(b"PK\x05\x06");
        self.bytes.extend([0; 4]);
        self.bytes.extend(self.count.to_le_bytes());
        self.bytes.extend(self.count.to_le_bytes());
        self.bytes.extend(size(self.directory.len()).to_le_bytes());
        self.bytes.extend(start.to_le_bytes());
        self.bytes.extend([0; 2]);
        self.bytes
    }
}

/// A checkpoint around a pickle, with storages `0` to `3` of 0, 8, 64 and 4096 bytes.
pub fn checkpoint(pickle: &[u8]) -> Vec<u8> {
    let content: Vec<u8> = (0..4096u32).map(|i| (i % 251) as u8).collect();
    let mut zip = Zip::new().add("a/data.pkl", Method::Stored, pickle);
    for (key, len) in [0, 8, 64, 4096].into_iter().enumerate() {
        zip = zip.add(&format!("a/data/{key}"), Method::Stored, &content[..len]);
    }
    zip.add("a/version", Method::Stored, b"3\n").finish()
}

fn size(n: usize) -> u32 {
    u32::try_from(n).expect("a small archive")
}

fn deflate(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for block in data.chunks(65535) {
        let len = block.len() as u16;
        out.push(0);
        out.extend(len.to_le_bytes());
        out.extend((!len).to_le_bytes());
        out.extend(block);
    }
    out.extend([1, 0, 0, 0xff, 0xff]);
    out
}
