//! `numpack devices`. `cargo xtask vulkan` runs this with drivers.

use std::process::Command;

use serde_json::Value;

fn numpack(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_numpack"));
    command.args(args);
    command
}

#[test]
fn devices_are_listed() {
    if std::env::var_os("NUMPACK_TEST_DRIVER").is_none() {
        println!("skipped: cargo xtask vulkan runs this with drivers");
        return;
    }
    let text = numpack(&["devices"]).output().unwrap();
    let (said, warned) =
        (String::from_utf8(text.stdout).unwrap(), String::from_utf8(text.stderr).unwrap());
    assert!(text.status.success(), "{warned}");
    assert!(said.starts_with("INDEX"), "{said}");
    assert!(said.contains("llvmpipe") && said.contains("software"), "{said}");
    assert!(said.ends_with("1 device; NUMPACK_VULKAN_DEVICE chooses by index or UUID\n"), "{said}");
    assert!(warned.contains("install your GPU's Vulkan driver"), "{warned}");

    let json = numpack(&["devices", "--json"]).output().unwrap();
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    let device = &json["devices"][0];
    assert_eq!((&device["index"], &device["kind"]), (&0.into(), &"software".into()));
    assert!(said.contains(device["uuid"].as_str().unwrap()), "{device}");
    assert!(device.get("unusable").is_none(), "{device}");
}

/// Without a driver it could not be done, and what to install is said.
#[test]
fn without_vulkan_it_says_what_to_install() {
    let none = numpack(&["devices"])
        .env("VK_DRIVER_FILES", "/nonexistent.json")
        .env("VK_ICD_FILENAMES", "/nonexistent.json")
        .output()
        .unwrap();
    let warned = String::from_utf8(none.stderr).unwrap();
    assert_eq!(none.status.code(), Some(2), "{warned}");
    assert!(warned.starts_with("numpack: vulkan: ") && warned.contains("install"), "{warned}");
}
