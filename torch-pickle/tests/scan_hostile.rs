//! Files made to exhaust a scanner: each is scanned in a small stack, little memory and little time.

mod common;

use std::io::Write;
use std::sync::Mutex;
use std::time::Duration;

use common::heap::{self, Counting};
use common::*;
use torch_pickle::{ScanOptions, ScanReport, Verdict, scan};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Peaks can be told apart only one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

const MOST_MEMORY: usize = 256 << 20;
const MOST_TIME: Duration = Duration::from_secs(1);

fn cpu_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

fn tamed(name: &str, bytes: &[u8]) -> ScanReport {
    let _alone = ALONE.lock().unwrap_or_else(|e| e.into_inner());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let before = heap::start();
    let (report, took) = std::thread::scope(|scope| {
        let body = || (scan(file.path(), &ScanOptions::new()).unwrap(), cpu_time());
        let thread = std::thread::Builder::new().stack_size(1 << 20);
        thread.spawn_scoped(scope, body).unwrap().join().unwrap()
    });
    let peak = heap::peak_since(before);
    assert!(took < MOST_TIME, "{name}: {took:?}");
    assert!(peak < MOST_MEMORY, "{name}: {peak} bytes");
    report
}

const SYSTEM: &[u8] = b"cos\nsystem\n(S'true'\ntR.";

#[test]
fn floods_of_one_instruction() {
    let n = 8 << 20;
    for op in [b"(".as_slice(), b"N", b"2", b"]", b"}", b"\x94", b")", b"0", b"t", b"\x93", b"\x85"]
    {
        let bytes = [b"\x80\x04N".as_slice(), &op.repeat(n / op.len()), SYSTEM].concat();
        let report = tamed(&op.escape_ascii().to_string(), &bytes);
        assert_eq!(report.verdict(), Verdict::Dangerous);
    }
    for op in [
        b"p9999999\n".as_slice(),
        b"r\xFF\xFF\xFF\xFF",
        b"h\x07",
        b"Vtext\n",
        b"X\x01\0\0\0x",
        b"\x82\x01",
    ] {
        let bytes = [b"\x80\x04N".as_slice(), &op.repeat((2 << 20) / op.len()), SYSTEM].concat();
        let report = tamed(&op.escape_ascii().to_string(), &bytes);
        assert_eq!(report.verdict(), Verdict::Dangerous);
    }
}

#[test]
fn floods_of_names_memos_and_constants() {
    let flood = |one: &dyn Fn(u32) -> Vec<u8>, n: u32| {
        let all: Vec<u8> = (0..n).flat_map(one).collect();
        [b"\x80\x04".as_slice(), &all, SYSTEM].concat()
    };
    let name = |i: u32| format!("cm{i}\n{}\n", "x".repeat(900)).into_bytes();
    tamed("long names", &flood(&name, 5_000));
    tamed("names", &flood(&|i| format!("cm\nf{i}\n").into_bytes(), 200_000));
    tamed("dangerous names", &flood(&|i| format!("cos\nf{i}\n").into_bytes(), 200_000));
    let memo = |i: u32| [b"r".as_slice(), &(u32::MAX - i).to_le_bytes()].concat();
    tamed("memo", &flood(&memo, 400_000));
    let dots = ".a".repeat(490);
    tamed("dots", &flood(&|i| format!("cos\nx{i}{dots}\n").into_bytes(), 1_000));
    tamed("dotted", &flood(&|i| format!("cnumpy{dots}\nx{i}{dots}\n").into_bytes(), 300));
    // Each constant may be a pickle, and holds one that is a little shorter.
    tamed("constants", &flood(&|_| b"C\x05\x80\x02N0.".to_vec(), 150_000));
    let mut nested = SYSTEM.to_vec();
    for _ in 0..40 {
        let len = (nested.len() as u32).to_le_bytes();
        nested = [b"\x80\x04B", &len[..], &nested, b"0", &b"N0".repeat(10_000), b"N."].concat();
    }
    assert!(!tamed("nested", &nested).is_complete());
    let escaped = [b"S'".as_slice(), &b"\\x41".repeat(1 << 20), b"'\n."].concat();
    tamed("escapes", &escaped);
}

#[test]
fn searches_end() {
    let junk = [b"\x80\x02N.".as_slice(), b"\xFF"].concat();
    let n = 4 << 20;
    for repeated in [
        b"\x80\x02".as_slice(),
        b"\x80\x02N",
        b"\x80\x02(",
        b"\n",
        b"c\nrun\n",
        b"cos\nrun\n",
        b"\x8c\x01a\x93",
        b"\x93",
        b"PK\x03\x04",
        b"PK\x05\x06",
        b"\x80\x02N.",
    ] {
        let bytes = [junk.as_slice(), &repeated.repeat(n / repeated.len())].concat();
        tamed(&repeated.escape_ascii().to_string(), &bytes);
    }
}

#[test]
fn archives_in_archives_and_bombs() {
    let deflated = |data: &[u8]| {
        let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        e.write_all(data).unwrap();
        e.finish().unwrap()
    };
    // Inflates to a flood of instructions, many times over in one archive.
    let flood = Rec::deflated("a/x.pkl", &b"N0".repeat(4 << 20));
    let many: Vec<Rec> = (0..1000)
        .map(|i| {
            let name = format!("a/{i}.pkl").into_bytes();
            Rec { name, offset: (i > 0).then_some(0), ..flood.clone() }
        })
        .collect();
    tamed("one record of many names", &zip(&many));
    // The end of an archive that is inflated, whose directory is far beyond it.
    let end64 = [
        b"PK\x06\x06".as_slice(),
        &[0; 44],
        &u64::MAX.to_le_bytes(),
        b"PK\x06\x07",
        &[0; 16],
        b"PK\x05\x06",
        &[0; 18],
    ];
    for end in [[b"PK\x05\x06".as_slice(), &[0x56; 18]].concat(), end64.concat()] {
        for end in [end.clone(), [b"PK\x05\x06", &end[..]].concat()] {
            tamed("an end of nothing", &zip(&[Rec::deflated("a/x.pkl", &end)]));
            tamed("an end of nothing", &end);
        }
    }
    let mut inner = zip(&[Rec::new("x.pkl", SYSTEM)]);
    for i in 0..12 {
        let records: Vec<Rec> = (0..8)
            .map(|k| {
                let name = format!("{k}.zip").into_bytes();
                Rec { name, offset: (k > 0).then_some(0), ..Rec::new("", &inner) }
            })
            .collect();
        let records = if i % 2 == 0 { records } else { vec![Rec::deflated("x.zip", &inner)] };
        inner = zip(&records);
    }
    tamed("archives in archives", &inner);
    let mut packed = SYSTEM.to_vec();
    for _ in 0..30 {
        packed = deflated(&packed);
    }
    assert!(!tamed("packed again and again", &packed).is_complete());
    let bomb = deflated(&deflated(&vec![0; 512 << 20]));
    assert!(!tamed("bomb", &bomb).is_complete());
    let lies = Ending { count: Some(u64::MAX), zip64: true, ..Ending::default() };
    tamed("count", &zip_with(&[Rec::new("a/data.pkl", SYSTEM)], &lies));
    let ends = b"PK\x05\x06\0\0\0\0\x01\0\x01\0\x2e\0\0\0\0\0\0\0\0\0".repeat(1000);
    tamed("end records", &[b"PK\x01\x02".as_slice(), &[0; 42], &ends].concat());
    let mut tar = vec![0; 512];
    tar[124..136].copy_from_slice(b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF");
    tar[257..262].copy_from_slice(b"ustar");
    tar[0] = b'x';
    tamed("tar", &tar.repeat(1000));
    tar[124..136].copy_from_slice(b"00000000000\0");
    tamed("empty members", &tar.repeat(10_000));
}
