//! `numpack devices`.

use std::io::Write;

use numpack_interop::vulkan::{DEVICE_VARIABLE, DeviceInfo, DeviceKind, devices};
use serde::Serialize;

use crate::args::DevicesArgs;
use crate::text::{self, Table};
use crate::{Answer, warn};

pub(crate) fn run(args: &DevicesArgs, out: &mut dyn Write) -> anyhow::Result<Answer> {
    let all = devices()?;
    if args.json {
        let devices: Vec<Row<'_>> = all.iter().map(Row::new).collect();
        serde_json::to_writer_pretty(&mut *out, &Listing { devices })?;
        writeln!(out)?;
        return Ok(Answer::Yes);
    }
    let mut table =
        Table::new(&[">INDEX", "NAME", "KIND", "VENDOR", ">MEMORY", "VULKAN", "DRIVER", "UUID"]);
    for device in &all {
        table.row(vec![
            device.index.to_string(),
            text::plain(&device.name),
            device.kind.name().to_owned(),
            text::plain(&device.vendor()),
            text::bytes(device.memory),
            version(device),
            text::plain(driver(device)),
            device.uuid_text(),
        ]);
    }
    table.print(out)?;
    for device in &all {
        if let Some(reason) = &device.unusable {
            writeln!(out, "device {} cannot be used: {reason}", device.index)?;
        }
    }
    let usable = || all.iter().filter(|d| d.unusable.is_none());
    writeln!(
        out,
        "{}; {DEVICE_VARIABLE} chooses by index or UUID",
        text::count(all.len(), "device")
    )?;
    if usable().count() > 0 && usable().all(|d| d.kind == DeviceKind::Software) {
        warn(&[
            "a software device computes on the host's processor; install your GPU's Vulkan driver \
                to use the GPU"
                .to_owned(),
        ]);
    }
    Ok(Answer::Yes)
}

fn version(device: &DeviceInfo) -> String {
    let (major, minor, patch) = device.api_version;
    format!("{major}.{minor}.{patch}")
}

/// The driver in its own words, or by its name where it has none.
fn driver(device: &DeviceInfo) -> &str {
    if device.driver_info.is_empty() { &device.driver } else { &device.driver_info }
}

/// The stable schema of `--json`.
#[derive(Serialize)]
struct Listing<'a> {
    devices: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    index: usize,
    name: &'a str,
    kind: &'static str,
    vendor: String,
    vendor_id: u32,
    device_id: u32,
    uuid: String,
    memory: u64,
    vulkan: String,
    driver: &'a str,
    driver_info: &'a str,
    max_storage_range: u64,
    max_allocation: u64,
    shared_memory: u32,
    subgroup_size: u32,
    /// Not there if it can be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    unusable: Option<&'a str>,
}

impl<'a> Row<'a> {
    fn new(device: &'a DeviceInfo) -> Row<'a> {
        Row {
            index: device.index,
            name: &device.name,
            kind: device.kind.name(),
            vendor: device.vendor(),
            vendor_id: device.vendor_id,
            device_id: device.device_id,
            uuid: device.uuid_text(),
            memory: device.memory,
            vulkan: version(device),
            driver: &device.driver,
            driver_info: &device.driver_info,
            max_storage_range: device.limits.max_storage_range,
            max_allocation: device.limits.max_allocation,
            shared_memory: device.limits.shared_memory,
            subgroup_size: device.limits.subgroup_size,
            unusable: device.unusable.as_deref(),
        }
    }
}
