//! The list of devices, and the choice of one.

mod common;

use std::process::Command;

use common::{device, has_device, options};
use vulkan_core::{Device, DeviceKind, Error, Select, devices};

#[test]
fn each_device_is_described_and_can_be_chosen() {
    if !has_device() {
        return;
    }
    let all = devices().unwrap();
    for (index, info) in all.iter().enumerate() {
        println!("{info}: {} {}, {}", info.vendor(), info.kind.name(), info.driver_info);
        assert_eq!(info.index, index);
        assert!(!info.name.is_empty() && info.memory > 0 && info.limits.max_storage_range > 0);
        assert_eq!(info.uuid_text().parse(), Ok(Select::Uuid(info.uuid)));
        if info.unusable.is_some() {
            continue;
        }
        for select in [Select::Index(index), Select::Uuid(info.uuid)] {
            let chosen = Device::open(&options().select(select)).unwrap();
            assert_eq!(chosen.info().uuid, info.uuid);
            let warned = chosen.warning().is_some_and(|w| w.contains("not a GPU"));
            assert_eq!(warned, info.kind == DeviceKind::Software);
        }
    }
    // Software comes last.
    assert!(all.is_sorted_by_key(|d| d.kind));
}

#[test]
fn what_is_not_there_is_refused_with_what_there_is() {
    if !has_device() {
        return;
    }
    let first = devices().unwrap().remove(0);
    for select in [Select::Index(1000), Select::Uuid([0xee; 16])] {
        let refused = Device::open(&options().select(select)).unwrap_err();
        let Error::NoDevice { wanted, found } = &refused else { panic!("{refused}") };
        assert!(wanted.contains("1000") || wanted.contains(&"ee".repeat(16)), "{wanted}");
        assert!(found.contains(&first.name) && found.contains(&first.uuid_text()), "{found}");
    }
    for text in ["", "first", "-1", "00112233-4455-6677-8899-aabbccddee", "0x1"] {
        let refused = text.parse::<Select>().unwrap_err();
        assert!(refused.to_string().contains("give an index or a UUID"), "{refused}");
    }
}

/// The variable is read where a program chooses nothing, and only there.
#[test]
fn the_variable_chooses() {
    const CHILD: &str = "NUMPACK_TEST_CHILD";
    if let Ok(expected) = std::env::var(CHILD) {
        let said = match Device::open(&options()) {
            Ok(device) => device.info().uuid_text(),
            Err(e) => e.to_string(),
        };
        assert!(said.contains(&expected), "{said}");
        assert!(Device::open(&options().select(Select::Index(0))).is_ok());
        return;
    }
    if !has_device() {
        return;
    }
    let first = devices().unwrap().remove(0);
    let cases = [
        (first.uuid_text(), first.uuid_text()),
        (first.index.to_string(), first.uuid_text()),
        (" ".to_owned(), first.uuid_text()),
        ("4711".to_owned(), "device 4711 (NUMPACK_VULKAN_DEVICE)".to_owned()),
        ("best".to_owned(), "the variable NUMPACK_VULKAN_DEVICE: \"best\"".to_owned()),
    ];
    for (variable, expected) in cases {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_variable_chooses"])
            .env("NUMPACK_VULKAN_DEVICE", &variable)
            .env(CHILD, expected)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success(), "{variable:?}: {said}");
    }
}

/// Without a driver, the error says what to install.
#[test]
fn no_driver_is_an_error_that_says_what_to_install() {
    const CHILD: &str = "NUMPACK_TEST_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let refused = Device::open(&options()).unwrap_err().to_string();
        assert!(
            refused.contains("install") && refused.contains("mesa-vulkan-drivers"),
            "{refused}"
        );
        return;
    }
    if !has_device() {
        return;
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "no_driver_is_an_error_that_says_what_to_install"])
        .env("VK_DRIVER_FILES", "/nonexistent/driver.json")
        .env(CHILD, "")
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
}

#[test]
fn several_devices_live_side_by_side() {
    let (Some(a), Some(b)) = (device(&options()), device(&options())) else { return };
    assert!(a != b && a == a.clone());
    let t = vulkan_core::Tensor::from_host(&a.stream().unwrap(), &[1.0_f32], &[1]).unwrap();
    let u = vulkan_core::Tensor::from_host(&b.stream().unwrap(), &[2.0_f32], &[1]).unwrap();
    let refused = t.add(&u).unwrap_err().to_string();
    assert!(refused.contains("copy one through the host"), "{refused}");
    assert_eq!(t.to_host::<f32>().unwrap(), [1.0]);
    drop(a);
    // A tensor keeps its device.
    assert_eq!(t.add(1.0).unwrap().to_host::<f32>().unwrap(), [2.0]);
    assert_eq!(u.to_host::<f32>().unwrap(), [2.0]);
}

/// Compiled kernels are kept, and a file that is damaged or of another driver is as good as none.
#[test]
fn compiled_kernels_are_kept() {
    if !has_device() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let kept = options().pipeline_cache(Some(folder.path().join("kernels")));
    let run = || {
        let device = Device::open(&kept).unwrap();
        let t =
            vulkan_core::Tensor::from_host(&device.stream().unwrap(), &[2.0_f32], &[1]).unwrap();
        assert_eq!(t.mul(3.0).unwrap().to_host::<f32>().unwrap(), [6.0]);
        common::silent(&device);
    };
    run();
    let files = || -> Vec<std::path::PathBuf> {
        let all = std::fs::read_dir(folder.path().join("kernels")).unwrap();
        all.map(|entry| entry.unwrap().path()).collect()
    };
    let [file] = &files()[..] else { panic!("{:?}", files()) };
    let whole = std::fs::read(file).unwrap();
    assert!(whole.starts_with(b"NPPC") && whole.len() > 50, "{} bytes", whole.len());
    for damage in [&whole[..whole.len() / 2], b"", b"NPPC and something else"] {
        std::fs::write(file, damage).unwrap();
        run();
        assert!(std::fs::read(file).unwrap().starts_with(b"NPPC"));
    }
    assert_eq!(files().len(), 1);
}
