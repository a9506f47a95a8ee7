//! Any bytes to be scanned.
//!
//! Scanning never panics or fails, keeps to its bounds, and says the same each time. A pickle that
//! names what is dangerous, in the plainest way and in front of all else, is never missed.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use numpack_fuzz::Scratch;
use torch_pickle::{ScanOptions, ScanReport, Verdict, scan};

static SCRATCH: LazyLock<Scratch> = LazyLock::new(Scratch::new);
const NAMED: &[u8] = b"\x80\x02cos\nsystem\n";

fn report(input: &[u8]) -> ScanReport {
    let options = ScanOptions::new().max_places(3).max_names(20).max_pickles(20);
    let path = SCRATCH.write("input", input);
    let report = scan(&path, &options).expect("a file that is there can be scanned");
    assert!(report.mentions.len() <= 40 && report.pickles.len() <= 20);
    assert!(report.findings.len() <= 40);
    for mention in &report.mentions {
        assert!(mention.places.len() <= 3 && mention.count > 0);
    }
    report
}

fuzz_target!(|input: &[u8]| {
    let first = report(input);
    let second = report(input);
    assert_eq!(first.verdict(), second.verdict());
    assert_eq!(first.weights_only, second.weights_only);
    let behind = report(&[NAMED, input].concat());
    assert_eq!(behind.verdict(), Verdict::Dangerous, "{behind:?}");
});
