//! What a file is and holds, and whether it is sound.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use numpack_format::{Package, Store};
use torch_pickle::{ByteOrder, Checkpoint, Node, StorageId};

use crate::store_tree::StoreTree;
use crate::stored::Stored;
use crate::tensors::{CHUNK, Format};
use crate::{Error, Result, Tensors};

/// What a file holds, counted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// What it is: `zip archive by torch.save, version 3`.
    pub container: String,
    /// The kind of the whole object: `dict`, `OrderedDict`, `Tensor`.
    pub root: String,
    /// Tensors, each counted once however many names it has.
    pub tensors: usize,
    /// Their elements.
    pub elements: u64,
    /// Storages, and their bytes.
    pub storages: usize,
    /// Bytes of all storages.
    pub storage_bytes: u64,
    /// By element type: tensors and elements.
    pub dtypes: BTreeMap<&'static str, (usize, u64)>,
    /// Objects that are no plain containers or values, by class.
    pub objects: BTreeMap<String, usize>,
    /// What is said of the file as a whole: see [`Tensors::metadata`].
    pub metadata: BTreeMap<String, String>,
}

impl Tensors {
    /// Counts what the file holds. Reads nothing more.
    pub fn summary(&self) -> Summary {
        let tree = self.tree();
        let mut summary = Summary {
            container: self.container(),
            root: tree.root().map_or_else(|| "nothing".to_owned(), |r| self.kind(tree.node(r))),
            tensors: 0,
            elements: 0,
            storages: tree.storages().len(),
            storage_bytes: tree
                .storages()
                .iter()
                .fold(0, |n, s| n.saturating_add(s.nbytes().unwrap_or(0))),
            dtypes: BTreeMap::new(),
            objects: BTreeMap::new(),
            metadata: self.metadata().clone(),
        };
        for (_, node) in tree.first_names() {
            let Node::Tensor(id) = tree.node(node) else { continue };
            let tensor = tree.tensor(*id);
            let n = tensor.numel().unwrap_or(0);
            summary.tensors += 1;
            summary.elements = summary.elements.saturating_add(n);
            let of_type = summary.dtypes.entry(tensor.dtype.name()).or_default();
            of_type.0 += 1;
            of_type.1 = of_type.1.saturating_add(n);
        }
        for node in tree.nodes() {
            if matches!(node, Node::Object(_)) {
                *summary.objects.entry(self.kind(node)).or_default() += 1;
            }
        }
        summary
    }

    fn container(&self) -> String {
        let with_side = |side: bool| if side { " with side information" } else { "" };
        if let Some(store) = self.store() {
            return format!("numpack store{}", with_side(store.side().is_some()));
        }
        if let Some(package) = self.package() {
            let (info, side) = (package.info(), with_side(package.side().is_some()));
            let compressed = if info.compressed { ", compressed" } else { "" };
            return format!("numpack package{side}, version {}{compressed}", info.version);
        }
        match self.checkpoint() {
            Some(checkpoint) if self.format().is_neighbour() => self.neighbour(checkpoint),
            Some(checkpoint) => {
                let order = match checkpoint.byte_order() {
                    ByteOrder::Big => ", big-endian",
                    _ => "",
                };
                let version = match checkpoint.archive() {
                    Some(archive) if archive.version() > 0 => {
                        format!(", version {}", archive.version())
                    }
                    _ => String::new(),
                };
                format!("{}{version}{order}", checkpoint.container())
            }
            None => String::new(),
        }
    }

    /// What a neighbour of `.pt` is called.
    fn neighbour(&self, checkpoint: &Checkpoint) -> String {
        let records = (0..self.tree().storages().len() as u32)
            .filter_map(|i| checkpoint.storage_record(StorageId(i)).ok().flatten());
        let (mut big, mut compressed, mut files) = (false, false, BTreeSet::new());
        for (i, record) in records.enumerate() {
            big |= record.order == ByteOrder::Big;
            compressed |= record.compressed;
            files.extend(checkpoint.storage_file(StorageId(i as u32)).map(|(_, path)| path));
        }
        let what = match self.format() {
            Format::Npy => "numpy array".to_owned(),
            Format::Npz => "numpy archive".to_owned(),
            _ if files.len() > 1 => format!("safetensors, {} files", files.len()),
            _ => "safetensors".to_owned(),
        };
        let compressed = if compressed { ", compressed" } else { "" };
        format!("{what}{compressed}{}", if big { ", big-endian" } else { "" })
    }

    fn kind(&self, node: &Node) -> String {
        match node {
            Node::Dict(d) if d.ordered => "OrderedDict".to_owned(),
            Node::Dict(_) => "dict".to_owned(),
            Node::List(_) => "list".to_owned(),
            Node::Tuple(_) => "tuple".to_owned(),
            Node::Tensor(id) => match self.tree().tensor(*id).class {
                torch_pickle::TensorClass::Parameter => "Parameter".to_owned(),
                _ => "Tensor".to_owned(),
            },
            Node::Storage(_) => "storage".to_owned(),
            Node::Object(object) => match self.tree().node(object.callable) {
                Node::Global(global) => global.to_string(),
                _ => "object outside the file".to_owned(),
            },
            _ => "plain value".to_owned(),
        }
    }
}

/// What [`verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// What is wrong. Empty: the file is sound.
    pub faults: Vec<String>,
    /// What is odd but loses nothing.
    pub notices: Vec<String>,
}

/// Checks all that can be checked of a checkpoint, its neighbours, a store or a package:
/// structure, every local header and checksum of an archive, every file of a store and its side information, the content
/// and checksum of a package.
///
/// # Errors
/// When the file is not there or cannot be read at all. What is wrong inside is a fault, not an
/// error.
///
/// ```no_run
/// let found = numpack_interop::verify("model.npk")?;
/// assert!(found.faults.is_empty(), "{:?}", found.faults);
/// # Ok::<(), numpack_interop::Error>(())
/// ```
pub fn verify(path: impl AsRef<Path>) -> Result<Verified> {
    let path = path.as_ref();
    let mut found = Verified::default();
    let format = Format::of_file(path)?;
    match format {
        Format::SafeTensors | Format::Npy | Format::Npz => check_neighbour(path, &mut found)?,
        Format::Torch => match Checkpoint::open(path) {
            Ok(checkpoint) => {
                found.notices = checkpoint.warnings();
                found.faults = checkpoint.verify().iter().map(ToString::to_string).collect();
            }
            Err(e @ torch_pickle::Error::Format { .. }) => found.faults.push(e.to_string()),
            Err(e) => return Err(e.into()),
        },
        Format::NumPack => {
            for fault in Store::verify(path)? {
                let list = if fault.is_notice() { &mut found.notices } else { &mut found.faults };
                list.push(fault.to_string());
            }
            if found.faults.is_empty() {
                let store = Stored::open(path, Format::NumPack)?;
                check_object(path, store, &mut found)?;
            }
        }
        Format::Package => match Package::open(path) {
            Ok(package) => {
                found.notices.clone_from(&package.info().warnings);
                found.faults = package.faults()?.iter().map(ToString::to_string).collect();
                if found.faults.is_empty() {
                    check_object(path, Stored::Package(Box::new(package)), &mut found)?;
                }
            }
            Err(e @ numpack_format::Error::Format { .. }) => found.faults.push(e.to_string()),
            Err(e) => return Err(e.into()),
        },
    }
    Ok(found)
}

/// Opening has compared all lengths and headers; what is left are checksums and what is deflated.
fn check_neighbour(path: &Path, found: &mut Verified) -> Result<()> {
    let file = match Tensors::open(path) {
        Ok(file) => file,
        Err(Error::Torch(e @ torch_pickle::Error::Format { .. })) => {
            found.faults.push(e.to_string());
            return Ok(());
        }
        Err(e) => return Err(e),
    };
    found.notices = file.warnings();
    let Some(checkpoint) = file.checkpoint() else { return Ok(()) };
    for i in 0..file.tree().storages().len() as u32 {
        let record = checkpoint.storage_record(StorageId(i))?;
        if !record.is_some_and(|record| record.compressed || record.crc.is_some()) {
            continue;
        }
        match checkpoint.stream_storage(StorageId(i), CHUNK, &mut |_| Ok(())) {
            Ok(()) => {}
            Err(e @ torch_pickle::Error::Format { .. }) => found.faults.push(e.to_string()),
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// Checks the object that the side information tells of: what could not be exported is not sound.
fn check_object(path: &Path, stored: Stored, found: &mut Verified) -> Result<()> {
    match StoreTree::new(stored) {
        Ok(source) => {
            let checked = torch_pickle::check(&source.tree).err();
            let fault = checked.map(|e| format!("{}: the side information: {e}", path.display()));
            found.faults.extend(fault);
        }
        Err(e @ Error::Name { .. }) => found.faults.push(e.to_string()),
        Err(e) => return Err(e),
    }
    Ok(())
}
