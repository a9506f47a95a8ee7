//! What is installed is used as a user would, after it was moved: by pkg-config, by CMake, by
//! `dlopen`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::dist;
use crate::environment::{TEST, repository};
use crate::install;
use crate::steps::is_ci;

/// Installs, moves, compiles, links and runs.
pub(crate) fn install_tests() -> Result<()> {
    if !cfg!(target_os = "linux") {
        println!("skipped: the installed library (it is laid out for Linux)");
        return Ok(());
    }
    let folder = std::env::temp_dir().join(format!("numpack-install-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let result = in_folder(&folder);
    fs::remove_dir_all(&folder)?;
    result
}

fn in_folder(folder: &Path) -> Result<()> {
    // Under a destination, and from there to a place that nothing knows of.
    let staged = folder.join("stage");
    let args = ["--prefix", "/opt/numpack", "--destdir", path(&staged)?];
    // Twice: what is there is replaced.
    for _ in 0..2 {
        install::install(&args.map(str::to_owned))?;
    }
    let prefix = folder.join("moved here");
    fs::rename(staged.join("opt/numpack"), &prefix)?;

    let tree = Tree { folder, prefix };
    tree.check_files()?;
    tree.check_names()?;
    tree.with_pkg_config()?;
    tree.with_cmake()?;
    tree.with_dlopen()?;
    println!("the installed library works, moved, by pkg-config, CMake and dlopen");
    Ok(())
}

struct Tree<'a> {
    /// For what is made of it.
    folder: &'a Path,
    prefix: PathBuf,
}

impl Tree<'_> {
    fn lib(&self) -> PathBuf {
        self.prefix.join("lib")
    }

    /// Nothing is left over, and every header is there.
    fn check_files(&self) -> Result<()> {
        let mut found = Vec::new();
        files(&self.prefix, &self.prefix, &mut found)?;
        let mut headers = Vec::new();
        files(&repository().join("include"), &repository(), &mut headers)?;
        let mut expected: Vec<String> = [
            "lib/cmake/numpack/numpack-config-version.cmake",
            "lib/cmake/numpack/numpack-config.cmake",
            "lib/libnumpack.a",
            "lib/libnumpack.so",
            "lib/pkgconfig/numpack.pc",
            "share/doc/numpack/LICENSE",
        ]
        .map(str::to_owned)
        .into();
        expected.push(format!("lib/libnumpack.so.{}", install::VERSION));
        expected.push(format!("lib/libnumpack.so.{}", install::abi_version()?));
        expected.extend(headers);
        found.sort_unstable();
        expected.sort_unstable();
        ensure!(found == expected, "installed were {found:?}, not {expected:?}");
        Ok(())
    }

    /// The shared library has its name inside.
    fn check_names(&self) -> Result<()> {
        let library = self.lib().join("libnumpack.so");
        let Some(said) = tool(Command::new("readelf").arg("-d").arg(&library), "readelf")? else {
            return Ok(());
        };
        let soname = format!("soname: [libnumpack.so.{}]", install::abi_version()?);
        ensure!(said.contains(&soname), "no {soname} in\n{said}");
        let needs = dist::dotted(&dist::glibc_needed(&library)?);
        println!("libnumpack.so: {} bytes, needs GLIBC {needs}", fs::metadata(&library)?.len());
        Ok(())
    }

    fn with_pkg_config(&self) -> Result<()> {
        let ask = |arguments: &[&str]| {
            tool(
                Command::new("pkg-config")
                    .args(arguments)
                    .arg("numpack")
                    .env("PKG_CONFIG_PATH", self.lib().join("pkgconfig")),
                "pkg-config",
            )
        };
        let Some(version) = ask(&["--modversion"])? else { return Ok(()) };
        ensure!(version.trim() == install::VERSION, "pkg-config says version {version}");
        let shared = ask(&["--cflags", "--libs"])?.unwrap_or_default();
        self.compile("shared", &shared)?;
        // The static one by its whole name: by `-lnumpack` the shared one is found first.
        let with_private = ask(&["--cflags", "--libs", "--static"])?.unwrap_or_default();
        ensure!(with_private.contains("-lnumpack"), "pkg-config says {with_private}");
        self.compile("static", &with_private.replace("-lnumpack", "-l:libnumpack.a"))
    }

    /// Compiles the example with the words of pkg-config, as a shell takes them, and runs it.
    fn compile(&self, name: &str, words: &str) -> Result<()> {
        let program = self.folder.join(name);
        let source = repository().join("examples/convert.c");
        let line = format!("\"$CC\" \"$1\" -o \"$2\" {}", words.trim());
        let mut shell = Command::new("sh");
        shell.args(["-c", &line, "sh"]).arg(source).arg(&program);
        shell.env("CC", std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
        output(&mut shell)?;
        self.check_program(&program, name == "shared")
    }

    /// A program converts there and back. One with the library inside needs no other.
    fn check_program(&self, program: &Path, is_shared: bool) -> Result<()> {
        let store = program.with_extension("npk");
        let again = program.with_extension("pt");
        let checkpoint = repository().join("examples/checkpoint.pt");
        for (from, to) in [(&checkpoint, &store), (&store, &again)] {
            let mut convert = Command::new(program);
            convert.arg(from).arg(to).env_remove("LD_LIBRARY_PATH");
            if is_shared {
                convert.env("LD_LIBRARY_PATH", self.lib());
            }
            let said = output(&mut convert)?;
            ensure!(said.contains(" arrays, "), "{} said {said}", program.display());
        }
        Ok(())
    }

    fn with_cmake(&self) -> Result<()> {
        let python = match TEST.python() {
            Ok(python) => python,
            Err(e) if is_ci() => return Err(e),
            Err(e) => {
                println!("skipped: the installed library by CMake ({e:#})");
                return Ok(());
            }
        };
        let cmake = || Command::new(python.with_file_name("cmake"));
        let build = self.folder.join("build");
        output(
            cmake()
                .arg("-S")
                .arg(repository().join("examples/cmake"))
                .arg("-B")
                .arg(&build)
                .args(["-G", "Unix Makefiles"])
                .arg(format!("-DCMAKE_PREFIX_PATH={}", path(&self.prefix)?)),
        )?;
        output(cmake().arg("--build").arg(&build))?;
        // CMake writes into a program where its libraries are.
        self.check_program(&build.join("convert"), false)?;
        self.check_program(&build.join("convert-static"), false)?;

        // A version that does not fit is refused.
        for (wanted, fits) in
            [(install::VERSION, true), ("0.0.1", false), ("0.999", false), ("1", false)]
        {
            let script = self.folder.join("CMakeLists.txt");
            fs::write(
                &script,
                format!(
                    "cmake_minimum_required(VERSION 3.16)\nproject(version LANGUAGES C)\n\
                     find_package(numpack {wanted} REQUIRED)\n"
                ),
            )?;
            let found = cmake()
                .arg("-S")
                .arg(self.folder)
                .arg("-B")
                .arg(self.folder.join("versions"))
                .args(["-G", "Unix Makefiles"])
                .arg(format!("-DCMAKE_PREFIX_PATH={}", path(&self.prefix)?))
                .output()?
                .status
                .success();
            ensure!(found == fits, "find_package(numpack {wanted}) is {found}, expected {fits}");
        }
        Ok(())
    }

    /// How long loading takes is printed; it is no test.
    fn with_dlopen(&self) -> Result<()> {
        let source = self.folder.join("load.c");
        fs::write(&source, LOAD)?;
        let program = self.folder.join("load");
        let cc = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        output(Command::new(cc).arg(&source).arg("-o").arg(&program).arg("-ldl"))?;
        let mut times = Vec::new();
        for _ in 0..20 {
            let said = output(Command::new(&program).arg(self.lib().join("libnumpack.so")))?;
            let (version, nanoseconds) =
                said.trim().split_once(' ').context("load said nothing")?;
            ensure!(version == install::VERSION, "the loaded library is {version}");
            times.push(nanoseconds.parse::<u64>()?);
        }
        times.sort_unstable();
        println!("dlopen: {:.2} ms, the median of 20 processes", times[10] as f64 / 1e6);
        Ok(())
    }
}

/// Prints the version of a library that it loads, and the nanoseconds that took.
const LOAD: &str = r#"
#include <dlfcn.h>
#include <stdio.h>
#include <time.h>
int main(int argc, char **argv) {
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
    clock_gettime(CLOCK_MONOTONIC, &to);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    const char *(*version)(void) = (const char *(*)(void))dlsym(library, "numpack_version");
    printf("%s %lld\n", version(),
           (to.tv_sec - from.tv_sec) * 1000000000LL + (to.tv_nsec - from.tv_nsec));
    return 0;
}
"#;

/// The files below a folder, relative to `base`.
fn files(folder: &Path, base: &Path, found: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files(&entry.path(), base, found)?;
        } else {
            found.push(path(entry.path().strip_prefix(base)?)?.to_owned());
        }
    }
    Ok(())
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is no UTF-8", path.display()))
}

/// What a tool prints; `None` where it is not installed, which for CI is an error.
fn tool(command: &mut Command, name: &str) -> Result<Option<String>> {
    match command.output() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            if is_ci() {
                bail!("{name} is not installed");
            }
            println!("skipped: {name} is not installed");
            Ok(None)
        }
        _ => output(command).map(Some),
    }
}

/// What a command prints, which is to succeed.
fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}
