//! Devices for tests: the one that `cargo xtask vulkan` names, or whichever there is.
#![allow(dead_code, missing_docs, unreachable_pub)]

use vulkan_core::{Device, DeviceOptions, Error, Feature, Validation, devices};

/// How tests open a device: watched as asked for, without the optional feature that is named, and with
/// nothing kept from one run to the next.
pub fn options() -> DeviceOptions {
    let validation = match std::env::var("NUMPACK_TEST_VALIDATION").as_deref() {
        Ok("core") => Validation::Core,
        Ok("synchronization") => Validation::Synchronization,
        _ => Validation::Off,
    };
    let options = DeviceOptions::new().validation(validation).pipeline_cache(None);
    match std::env::var("NUMPACK_TEST_WITHOUT") {
        Ok(name) => {
            let named = Feature::ALL.into_iter().find(|f| format!("{f:?}") == name);
            options.without(named.unwrap_or_else(|| panic!("{name} is no feature")))
        }
        Err(_) => options,
    }
}

/// A device, or `None` where the machine has none, which in CI is an error.
pub fn device(options: &DeviceOptions) -> Option<Device> {
    match Device::open(options) {
        Ok(device) => Some(device),
        Err(e @ (Error::Loader { .. } | Error::NoDevice { .. })) => {
            assert!(std::env::var_os("CI").is_none(), "{e}");
            println!("skipped: {e}");
            None
        }
        Err(e) => panic!("{e}"),
    }
}

/// Whether tests about devices can be made here.
pub fn has_device() -> bool {
    let there = devices().is_ok_and(|all| all.iter().any(|d| d.unusable.is_none()));
    assert!(there || std::env::var_os("CI").is_none(), "CI tests devices: cargo xtask vulkan");
    there
}

/// The layers have nothing to say.
pub fn silent(device: &Device) {
    let messages = device.messages();
    assert!(messages.is_empty(), "{}", messages.join("\n\n"));
}

/// Numbers that look random, the same in each run.
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Numbers {
        Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        // xorshift64* (Marsaglia; Vigna).
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n
    }

    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| (self.next() >> 32) as u8).collect()
    }

    /// Between -1 and 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}
