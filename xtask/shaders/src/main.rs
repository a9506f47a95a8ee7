//! Compiles the kernels of `vulkan-core`: `shader-compiler SHADERS SPIRV` writes each module that
//! `SHADERS/modules.txt` lists into the folder `SPIRV`; with `--check`, it says which files differ.
//!
//! A line of the list is a module's name, its source, and what is defined for it (`NAME=VALUE`). In a
//! source, `#include "FILE"` stands for another one. The compiler writes the same bytes on every machine.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use glslang::{
    Compiler, CompilerOptions, ShaderInput, ShaderSource, ShaderStage, SpirvVersion, Target,
    VulkanVersion,
};

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(e) => {
            eprintln!("shader-compiler: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let check = args.first().is_some_and(|a| a == "--check");
    if check {
        args.remove(0);
    }
    let [shaders, spirv] = &args[..] else {
        bail!("usage: shader-compiler [--check] SHADERS SPIRV");
    };
    let (shaders, spirv) = (Path::new(shaders), Path::new(spirv));
    let list = std::fs::read_to_string(shaders.join("modules.txt")).context("modules.txt")?;
    let mut wanted = Vec::new();
    let mut same = true;
    for line in list.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let mut words = line.split_whitespace();
        let (Some(name), Some(source)) = (words.next(), words.next()) else {
            bail!("{line}: give a name and a source");
        };
        let defines: Vec<&str> = words.collect();
        let code = compile(shaders, source, &defines).with_context(|| name.to_owned())?;
        let file = format!("{name}.spv");
        let path = spirv.join(&file);
        if check {
            if std::fs::read(&path).ok().as_deref() != Some(&code[..]) {
                println!("{} is not what {source} compiles to", path.display());
                same = false;
            }
        } else {
            std::fs::write(&path, &code).with_context(|| path.display().to_string())?;
        }
        wanted.push(file);
    }
    for entry in std::fs::read_dir(spirv)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if wanted.contains(&name) {
            continue;
        }
        if check {
            println!("{} is not in the list of modules", entry.path().display());
            same = false;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    println!("{} modules", wanted.len());
    Ok(if same { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn compile(folder: &Path, source: &str, defines: &[&str]) -> Result<Vec<u8>> {
    let defines: String = defines
        .iter()
        .map(|define| format!("#define {}\n", define.replacen('=', " ", 1)))
        .collect();
    let text = format!("#version 450\n{defines}{}", whole(folder, source)?);
    let compiler = Compiler::acquire().ok_or_else(|| anyhow!("no compiler"))?;
    let text = ShaderSource::try_from(text).map_err(|e| anyhow!("{e:?}"))?;
    let options = CompilerOptions {
        target: Target::Vulkan {
            version: VulkanVersion::Vulkan1_1,
            spirv_version: SpirvVersion::SPIRV1_3,
        },
        ..CompilerOptions::default()
    };
    // What is defined stands in the text already.
    let none: Option<&[(&str, Option<&str>)]> = None;
    let input = ShaderInput::new(&text, ShaderStage::Compute, &options, none, None);
    let input = input.map_err(|e| anyhow!("{e}"))?;
    let shader = compiler.create_shader(input).map_err(|e| anyhow!("{e}"))?;
    let words = shader.compile().map_err(|e| anyhow!("{e}"))?;
    Ok(words.iter().flat_map(|word| word.to_le_bytes()).collect())
}

/// A source with what it includes.
fn whole(folder: &Path, name: &str) -> Result<String> {
    let path = folder.join(name);
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut all = String::new();
    for line in text.lines() {
        match line.strip_prefix("#include \"").and_then(|rest| rest.strip_suffix('"')) {
            Some(other) => all.push_str(&whole(folder, other)?),
            None => {
                all.push_str(line);
                all.push('\n');
            }
        }
    }
    Ok(all)
}
