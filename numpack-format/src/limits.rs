//! How much a store may ask of the reader.

/// Upper bounds on what a store may make the reader allocate.
///
/// No count in a file is believed beyond what the file's size can hold; these bounds stand on top,
/// for a service that opens what strangers send. Array data is not bounded: it goes where the
/// caller wants it.
///
/// ```
/// let mut limits = numpack_format::Limits::default();
/// limits.max_metadata_bytes = 1 << 20;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Size of `metadata.npkm` in bytes. Default 512 MiB, about four million arrays.
    pub max_metadata_bytes: u64,
    /// Dimensions of an array. Default 64, NumPy's own bound.
    pub max_dims: u32,
    /// Size of a bitmap of dropped rows in bytes, one bit a row. Default 1 GiB.
    pub max_bitmap_bytes: u64,
    /// Size of a segment list in bytes. Default 16 MiB.
    pub max_segment_list_bytes: u64,
    /// Size of the side information in bytes. Default 512 MiB.
    pub max_side_bytes: u64,
    /// Size of a redo record in bytes, with the rows that one commit replaces. Default 2 GiB.
    pub max_redo_bytes: u64,
    /// How many times larger than a package all that comes out of it may be. Default 2000, about
    /// twice what zlib can do; up to 1 GiB may come out of any. Zstandard packs runs of one value
    /// up to 32768 times smaller, so raise this for a large trusted package of such.
    pub max_package_expansion: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_metadata_bytes: 512 << 20,
            max_dims: 64,
            max_bitmap_bytes: 1 << 30,
            max_segment_list_bytes: 16 << 20,
            max_side_bytes: 512 << 20,
            max_redo_bytes: 2 << 30,
            max_package_expansion: 2000,
        }
    }
}
