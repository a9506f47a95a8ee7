//! Vulkan drivers that need no GPU, and the validation layers, as Debian packages unpacked under the
//! user's cache. Nothing of the system changes: package lists and archives have folders of their own.

use std::ffi::OsString;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::environment::{cache_folder, run};

/// What is fetched: a name for its folder, the packages, and whether they are the newer ones that
/// Debian makes for a release that is out.
const SETS: [(&str, &[&str], bool); 3] = [
    ("lavapipe", &["mesa-vulkan-drivers"], false),
    ("lavapipe-newer", &["mesa-vulkan-drivers"], true),
    // A newer loader and newer layers than Debian's own packages of them, and another driver.
    ("chromium", &["chromium-common"], false),
];

/// For the list of downloads.
pub(crate) const SIZE: &str = "about 90 MB fetched, 500 MB unpacked";

/// A driver to test with.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) name: &'static str,
    manifest: PathBuf,
    /// Where its libraries are, after the loader's.
    libraries: Vec<PathBuf>,
    layers: PathBuf,
}

impl Driver {
    /// Has a command use this driver and no other, and find the layers.
    pub(crate) fn set(&self, command: &mut Command) {
        let mut paths: Vec<OsString> = self.libraries.iter().map(|p| p.clone().into()).collect();
        paths.extend(std::env::var_os("LD_LIBRARY_PATH"));
        command
            .env("LD_LIBRARY_PATH", paths.join(":".as_ref()))
            .env("VK_DRIVER_FILES", &self.manifest)
            .env("VK_LAYER_PATH", &self.layers)
            .env("NUMPACK_TEST_DRIVER", self.name);
    }
}

/// The folder of what is fetched; another list of packages gets another one.
pub(crate) fn folder() -> Result<PathBuf> {
    let mut hash = DefaultHasher::new();
    (SETS, 1).hash(&mut hash);
    Ok(cache_folder()?.join(format!("vulkan-{:016x}", hash.finish())))
}

pub(crate) fn are_ready() -> Result<bool> {
    Ok(folder()?.join("ready").exists())
}

/// The drivers, fetched where they are not there yet.
pub(crate) fn drivers() -> Result<Vec<Driver>> {
    let folder = folder()?;
    if !are_ready()? {
        println!("xtask: fetching Vulkan drivers and layers ({SIZE})");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fetch(&folder)?;
        fs::write(folder.join("ready"), "")?;
    }
    let unpacked = |set: &str, file: &str| find(&folder.join(set).join("usr"), file);
    let chromium = unpacked("chromium", "libvulkan.so.1")?;
    let chromium = chromium.parent().context("libvulkan.so.1 is in no folder")?;
    // Of the browser's folder only the loader is to be found.
    let loader = folder.join("loader");
    fs::create_dir_all(&loader)?;
    let link = loader.join("libvulkan.so.1");
    if !link.exists() {
        std::os::unix::fs::symlink(chromium.join("libvulkan.so.1"), &link)?;
    }
    let layers = folder.join("layers");
    fs::create_dir_all(&layers)?;
    let layer = chromium.join("libVkLayer_khronos_validation.so");
    write_json(
        &layers.join("validation.json"),
        &format!(
            r#"{{"file_format_version": "1.2.0", "layer": {{"name": "VK_LAYER_KHRONOS_validation",
"type": "GLOBAL", "library_path": {:?}, "api_version": "1.4.300", "implementation_version": "1",
"description": "validation", "instance_extensions": [
{{"name": "VK_EXT_debug_utils", "spec_version": "2"}},
{{"name": "VK_EXT_layer_settings", "spec_version": "2"}}]}}}}"#,
            layer.display().to_string()
        ),
    )?;
    let driver = |name, library: PathBuf, version: &str| -> Result<Driver> {
        let manifest = folder.join(format!("{name}.json"));
        let path = library.display().to_string();
        write_json(
            &manifest,
            &format!(
                r#"{{"file_format_version": "1.0.0", "ICD": {{"library_path": {path:?},
"api_version": "{version}"}}}}"#
            ),
        )?;
        let beside = library.parent().map(Path::to_owned);
        let libraries = [Some(loader.clone()), beside].into_iter().flatten().collect();
        Ok(Driver { name, manifest, libraries, layers: layers.clone() })
    };
    Ok(vec![
        driver("lavapipe", unpacked("lavapipe", "libvulkan_lvp.so")?, "1.3.0")?,
        driver("lavapipe-newer", unpacked("lavapipe-newer", "libvulkan_lvp.so")?, "1.4.0")?,
        driver("swiftshader", chromium.join("libvk_swiftshader.so"), "1.3.0")?,
    ])
}

fn write_json(path: &Path, text: &str) -> Result<()> {
    // Another run may be reading it just now.
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    fs::write(path, text).with_context(|| path.display().to_string())
}

/// Fetches and unpacks everything.
fn fetch(folder: &Path) -> Result<()> {
    let sources = sources()?;
    let archives = folder.join("archives");
    fs::create_dir_all(archives.join("lists/partial"))?;
    fs::write(archives.join("sources.list"), &sources.lines)?;
    let apt = |set: &str| {
        let mut apt = Command::new("apt-get");
        let option = |name: &str, path: PathBuf| format!("{name}={}", path.display());
        apt.args(["-qq", "-o", &option("Dir::Etc::sourcelist", archives.join("sources.list"))])
            .args(["-o", "Dir::Etc::sourceparts=-", "-o", "Debug::NoLocking=1"])
            // The user who calls, not another who may not write to the folder.
            .args(["-o", "APT::Sandbox::User=root"])
            .args(["-o", &option("Dir::State::lists", archives.join("lists"))])
            .args(["-o", &option("Dir::Cache", archives.clone())])
            .args(["-o", &option("Dir::Cache::archives", archives.join(set))]);
        apt
    };
    run(apt("none").arg("update"))?;
    for (set, packages, newer) in SETS {
        fs::create_dir_all(archives.join(set).join("partial"))?;
        let mut install = apt(set);
        if newer {
            install.args(["-t", &sources.newer]);
        }
        // What the system has already is fetched too, so that one place holds all.
        install
            .args(["install", "--download-only", "--reinstall", "--yes"])
            .arg("--no-install-recommends")
            .args(packages);
        run(&mut install)?;
        let unpacked = folder.join(set);
        for entry in fs::read_dir(archives.join(set))? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "deb") {
                run(Command::new("dpkg-deb").arg("-x").arg(&path).arg(&unpacked))?;
            }
        }
    }
    fs::remove_dir_all(archives)?;
    Ok(())
}

struct Sources {
    /// As in `sources.list`.
    lines: String,
    /// The suite of newer packages.
    newer: String,
}

/// Where this system has its packages from, and beside it the newer ones.
fn sources() -> Result<Sources> {
    let known = Command::new("apt-get")
        .args(["indextargets", "--format"])
        .arg("$(CREATED_BY)|$(REPO_URI)|$(CODENAME)|$(COMPONENT)|$(LABEL)")
        .output();
    let known = match known {
        Ok(known) if known.status.success() => String::from_utf8_lossy(&known.stdout).into_owned(),
        _ => bail!("the Vulkan drivers for tests are fetched as Debian packages, by apt-get"),
    };
    let mut lines: Vec<String> = Vec::new();
    let mut newer = None;
    for target in known.lines() {
        let &["Packages", uri, codename, "main", label] =
            &target.split('|').collect::<Vec<_>>()[..]
        else {
            continue;
        };
        if !label.starts_with("Debian") {
            continue;
        }
        lines.push(format!("deb {uri} {codename} main\n"));
        if label == "Debian" && !codename.contains('-') {
            let suite = format!("{codename}-backports");
            lines.push(format!("deb {uri} {suite} main\n"));
            newer = Some(suite);
        }
    }
    lines.sort();
    lines.dedup();
    let newer =
        newer.context("the Vulkan drivers for tests are Debian's; this is another system")?;
    Ok(Sources { lines: lines.concat(), newer })
}

/// A file of this name, somewhere below a folder.
fn find(folder: &Path, name: &str) -> Result<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if entry.file_name() == name {
                return Ok(entry.path());
            }
        }
    }
    bail!("{name} is not among what was fetched into {}", folder.display())
}
