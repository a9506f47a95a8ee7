//! Python environments under the user's cache.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// One virtual environment, by the file that says what is in it.
pub(crate) struct Environment {
    pub(crate) name: &'static str,
    /// Relative to the repository.
    pub(crate) requirements: &'static str,
    /// For the list of downloads.
    pub(crate) size: &'static str,
    /// Whether nothing is installed but what is listed, though it asks for more: most of that is large,
    /// and not used.
    pub(crate) listed_only: bool,
}

pub(crate) const TEST: Environment = Environment {
    name: "test",
    requirements: "xtask/peers/requirements-test.txt",
    size: "about 120 MB installed",
    listed_only: false,
};
/// What builds, types and tests the Python package, which itself needs numpy alone.
pub(crate) const PYTHON: Environment = Environment {
    name: "python",
    requirements: "xtask/peers/requirements-python.txt",
    size: "about 180 MB installed",
    listed_only: false,
};
/// The oldest numpy that it promises to work with, or the first for a newer Python.
pub(crate) const PYTHON_OLDEST: Environment = Environment {
    name: "python-oldest",
    requirements: "xtask/peers/requirements-python-oldest.txt",
    size: "about 100 MB installed",
    listed_only: false,
};
/// What its tests beside torch want more, which they import from torch's environment.
pub(crate) const PYTHON_TORCH: Environment = Environment {
    name: "python-torch",
    requirements: "xtask/peers/requirements-python-torch.txt",
    size: "about 110 MB installed",
    listed_only: false,
};
pub(crate) const TORCH: Environment = Environment {
    name: "torch",
    requirements: "xtask/peers/requirements-torch.txt",
    size: "about 5 GB installed",
    listed_only: false,
};
/// The oldest torch that the promise names.
pub(crate) const OLD_TORCH: Environment = Environment {
    name: "torch-1.13",
    requirements: "xtask/peers/requirements-torch-1.13.txt",
    size: "about 3 GB installed",
    listed_only: false,
};
pub(crate) const NUMPACK: Environment = Environment {
    name: "numpack",
    requirements: "xtask/peers/requirements-numpack.txt",
    size: "about 60 MB",
    listed_only: false,
};

pub(crate) const SCANNERS: Environment = Environment {
    name: "scanners",
    requirements: "xtask/peers/requirements-scanners.txt",
    size: "about 90 MB",
    listed_only: false,
};
/// A public model and its tokenizer. What they depend on is torch, which is not wanted here.
pub(crate) const ENCODER: Environment = Environment {
    name: "encoder",
    requirements: "xtask/peers/requirements-encoder.txt",
    size: "about 200 MB installed",
    listed_only: true,
};
/// A compiler that links against the glibc of years ago; and, where there is no clang, the second
/// compiler of the C and C++ tests.
pub(crate) const DIST: Environment = Environment {
    name: "dist",
    requirements: "xtask/peers/requirements-dist.txt",
    size: "about 430 MB installed",
    listed_only: false,
};

/// Other libraries that compute by Vulkan.
pub(crate) const VULKAN_PEERS: Environment = Environment {
    name: "vulkan-peers",
    requirements: "xtask/peers/requirements-vulkan.txt",
    size: "about 140 MB installed",
    listed_only: true,
};

impl Environment {
    /// Its folder. Another list of requirements or another Python gets another folder.
    pub(crate) fn folder(&self) -> Result<PathBuf> {
        let wanted = fs::read_to_string(repository().join(self.requirements))
            .with_context(|| format!("cannot read {}", self.requirements))?;
        let mut hash = DefaultHasher::new();
        (wanted, python_version()?).hash(&mut hash);
        Ok(cache_folder()?.join(format!("venv-{}-{:016x}", self.name, hash.finish())))
    }

    pub(crate) fn is_ready(&self) -> Result<bool> {
        Ok(self.folder()?.join("ready").exists())
    }

    /// Makes it where it is not there yet, and returns its Python.
    pub(crate) fn python(&self) -> Result<PathBuf> {
        let folder = self.folder()?;
        let python = folder.join("bin/python");
        if self.is_ready()? {
            return Ok(python);
        }
        println!("xtask: installing {} ({})", self.requirements, self.size);
        // What an interrupted run left is of no use.
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(folder.parent().unwrap_or(&folder))?;
        run(Command::new(system_python()).args(["-m", "venv"]).arg(&folder))?;
        run(Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(self.listed_only.then_some("--no-deps"))
            .arg("-r")
            .arg(repository().join(self.requirements)))?;
        fs::write(folder.join("ready"), "")?;
        Ok(python)
    }
}

/// Zig, which has a clang inside.
pub(crate) fn zig() -> Result<PathBuf> {
    let said = Command::new(DIST.python()?)
        .args(["-c", "import ziglang; print(ziglang.__path__[0], end='')"])
        .output()?;
    if !said.status.success() {
        bail!("{}", String::from_utf8_lossy(&said.stderr));
    }
    Ok(PathBuf::from(String::from_utf8(said.stdout)?).join("zig"))
}

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_owned)
}

/// Where cargo writes what it builds.
pub(crate) fn target_folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    repository().join(target)
}

pub(crate) fn cache_folder() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|v| !v.is_empty()) {
        Some(cache) => PathBuf::from(cache),
        None => PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?).join(".cache"),
    };
    Ok(base.join("libnumpack"))
}

pub(crate) fn system_python() -> String {
    std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

/// The version of the system's Python, or an error that says what to install.
pub(crate) fn python_version() -> Result<String> {
    let output = Command::new(system_python())
        .args(["-c", "import ensurepip, sys; print(sys.version)"])
        .output();
    match output {
        Ok(o) if o.status.success() => Ok(String::from_utf8_lossy(&o.stdout).trim().to_owned()),
        _ => bail!(
            "no usable python3: install Python 3.9 or newer with its venv module, or set PYTHON"
        ),
    }
}

/// Runs a command and fails where it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}").replace('"', "");
    let status = command.status().with_context(|| format!("cannot run {shown}"))?;
    if !status.success() {
        bail!("{shown}: {status}");
    }
    Ok(())
}
