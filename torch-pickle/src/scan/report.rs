//! What a scan says of a file.

use std::fmt;

/// What was found in a file, and what that means for whoever loads it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ScanReport {
    /// What the file is; several things at once where different readers would take it for
    /// different ones. Empty where it is nothing that can hold a pickle.
    pub containers: Vec<FileKind>,
    /// The pickles, in the order in which they were met; no more than
    /// [`ScanOptions::max_pickles`](crate::ScanOptions::max_pickles).
    pub pickles: Vec<PickleFound>,
    /// Every global that is mentioned: the dangerous ones first, then by name.
    pub mentions: Vec<Mention>,
    /// What else is to be said: faults, oddities, parts that could not be looked into.
    pub findings: Vec<Finding>,
    /// Whether `torch.load(weights_only=True)` of torch 2.15 would take the pickles. It may still
    /// refuse the file for how its tensors or its archive are laid out.
    pub weights_only: WeightsOnly,
    /// Pickles, names and findings beyond the limits, which were looked at and are not listed.
    pub left_out: u64,
}

impl ScanReport {
    /// The worst of all that was found.
    pub fn verdict(&self) -> Verdict {
        let mentions = self.mentions.iter().map(|m| match m.class {
            Class::Dangerous => Verdict::Dangerous,
            Class::Unknown => Verdict::Suspicious,
            Class::Known | Class::Refused => Verdict::Clean,
        });
        let findings = self.findings.iter().map(|f| match f.level {
            Level::Dangerous => Verdict::Dangerous,
            Level::Suspicious | Level::NotLookedInto => Verdict::Suspicious,
            Level::Note => Verdict::Clean,
        });
        mentions.chain(findings).max().unwrap_or(Verdict::Clean)
    }

    /// Whether all of the file was looked into that can hold a pickle.
    pub fn is_complete(&self) -> bool {
        self.findings.iter().all(|f| f.level != Level::NotLookedInto)
    }

    /// How many mentioned globals are of a class.
    pub fn count(&self, class: Class) -> usize {
        self.mentions.iter().filter(|m| m.class == class).count()
    }
}

/// What a file is good for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Verdict {
    /// Nothing in it runs code, as far as the names it mentions are known.
    Clean,
    /// It mentions what is not known, is damaged, odd, or could not be looked into.
    Suspicious,
    /// Loading it without `weights_only` runs code, or reaches files or the network.
    Dangerous,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Clean => "clean",
            Verdict::Suspicious => "suspicious",
            Verdict::Dangerous => "dangerous",
        })
    }
}

/// What `torch.load(weights_only=True)` does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WeightsOnly {
    /// It takes the pickles.
    Accepts,
    /// It refuses, for this reason.
    Refuses(String),
}

impl WeightsOnly {
    /// Whether it takes the pickles.
    pub fn accepts(&self) -> bool {
        *self == WeightsOnly::Accepts
    }
}

/// What a file or a part of it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum FileKind {
    /// A zip archive by `torch.save`.
    Torch,
    /// A zip archive by `torch.jit.save`.
    TorchScript,
    /// A zip archive by `torch.export.save`, which `torch.load` does not read.
    Export,
    /// Several zip archives one after another, as the processes of a distributed training write
    /// them.
    Row,
    /// A zip archive of numpy arrays.
    Npz,
    /// Any other zip archive.
    Zip,
    /// Several pickles and storages, as torch wrote them before 1.6.
    Legacy,
    /// A tar archive; torch 0.1 wrote such.
    Tar,
    /// One pickle, or several one after the other.
    Pickle,
    /// A numpy array.
    Npy,
    /// Data compressed by gzip.
    Gzip,
    /// Data compressed by zlib, as joblib writes them.
    Zlib,
    /// A format that is compressed in a way this crate does not read.
    Unread(&'static str),
    /// A format that has no pickles.
    Other(&'static str),
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileKind::Torch => "zip archive of torch",
            FileKind::TorchScript => "zip archive of torchscript",
            FileKind::Export => "zip archive of torch.export",
            FileKind::Row => "zip archives one after another",
            FileKind::Npz => "npz archive of numpy arrays",
            FileKind::Zip => "zip archive",
            FileKind::Legacy => "legacy stream of torch",
            FileKind::Tar => "tar archive",
            FileKind::Pickle => "pickle",
            FileKind::Npy => "numpy array",
            FileKind::Gzip => "gzip",
            FileKind::Zlib => "zlib",
            FileKind::Unread(what) | FileKind::Other(what) => what,
        })
    }
}

/// A pickle in the file.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PickleFound {
    /// Where it is: the record's name, and the way to it where it lies deeper. Empty for one that
    /// the file itself begins with.
    pub name: String,
    /// Where it starts in the file; `None` inside of something compressed.
    pub offset: Option<u64>,
    /// Its length, as far as it can be read.
    pub len: u64,
    /// The protocol it states, if any.
    pub protocol: Option<u8>,
    /// References to things outside of it, such as storages.
    pub persistent_ids: u64,
    /// Whether it ends with STOP and has no fault.
    pub sound: bool,
}

/// What is known of a global.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Class {
    /// Runs code, or reaches files or the network, when it is called.
    Dangerous,
    /// Not known. It may be harmless.
    Unknown,
    /// Known to be harmless, and refused by `torch.load(weights_only=True)`.
    Refused,
    /// Accepted by `torch.load(weights_only=True)`.
    Known,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Class::Dangerous => "dangerous",
            Class::Unknown => "unknown",
            Class::Refused => "refused by weights_only",
            Class::Known => "known",
        })
    }
}

/// A global that pickles mention.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Mention {
    /// The module, as the pickle has it; cut off after a thousand bytes.
    pub module: String,
    /// The name in it, as the pickle has it, which may be a dotted path.
    pub name: String,
    /// What is known of it.
    pub class: Class,
    /// Why, for a dangerous one; empty for others of which there is nothing to say.
    pub why: &'static str,
    /// How often it is mentioned.
    pub count: u64,
    /// Where; no more than [`ScanOptions::max_places`](crate::ScanOptions::max_places).
    pub places: Vec<Place>,
}

/// A place in a pickle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Place {
    /// The index of the pickle in [`ScanReport::pickles`], if that has it.
    pub pickle: usize,
    /// The byte in that pickle.
    pub offset: u64,
    /// The name of the instruction there: `GLOBAL`, `STACK_GLOBAL`, `INST`.
    pub opcode: &'static str,
}

/// How much a finding matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Level {
    /// Good to know.
    Note,
    /// What no honest program writes, or a damage.
    Suspicious,
    /// It could hold a pickle, and could not be looked into.
    NotLookedInto,
    /// Made to hide something.
    Dangerous,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Note => "note",
            Level::Suspicious => "suspicious",
            Level::NotLookedInto => "not looked into",
            Level::Dangerous => "dangerous",
        })
    }
}

/// Something other than a name.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Finding {
    /// How much it matters.
    pub level: Level,
    /// The pickle or record it is about; empty for the whole file.
    pub part: String,
    /// Where: in the pickle, or in the file for a record.
    pub offset: Option<u64>,
    /// What was found.
    pub what: String,
}
