//! What a scan says: of pickles made to hide what they do, and of honest files.

mod common;

use std::io::Write;

use common::*;
use torch_pickle::{
    Class, FileKind, Level, Mention, ScanOptions, ScanReport, Verdict, WeightsOnly, scan,
};

fn scanned(bytes: &[u8]) -> ScanReport {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    scan(file.path(), &ScanOptions::new()).unwrap()
}

fn find<'r>(report: &'r ScanReport, module: &str, name: &str) -> &'r Mention {
    let found = report.mentions.iter().find(|m| (&*m.module, &*m.name) == (module, name));
    found.unwrap_or_else(|| panic!("{module}.{name} is not in {report:#?}"))
}

/// A dangerous file that mentions this, and in which pickle, at which byte, by which opcode.
#[track_caller]
fn dangerous(bytes: &[u8], module: &str, name: &str, place: (&str, u64, &str)) -> ScanReport {
    let report = scanned(bytes);
    assert_eq!(report.verdict(), Verdict::Dangerous, "{report:#?}");
    let mention = find(&report, module, name);
    assert_eq!(mention.class, Class::Dangerous);
    assert!(!mention.why.is_empty() && mention.count > 0);
    let found = mention.places[0];
    let pickle = report.pickles[found.pickle].name.as_str();
    assert_eq!((pickle, found.offset, found.opcode), place, "{report:#?}");
    report
}

#[track_caller]
fn says(report: &ScanReport, level: Level, words: &str) {
    let found = report.findings.iter().any(|f| f.level == level && f.what.contains(words));
    assert!(found, "no {level} \"{words}\" in {:#?}", report.findings);
    for f in &report.findings {
        assert!(!f.what.ends_with('.') && !f.what.contains('\n'), "{}", f.what);
        assert!(
            !f.what.starts_with(char::is_uppercase) || f.what.starts_with("STACK"),
            "{}",
            f.what
        );
    }
}

const SYSTEM: &[u8] = b"cos\nsystem\n(S'true'\ntR.";

/// `os.system('true')` in protocol 4.
fn system_4() -> Vec<u8> {
    b"\x80\x04\x95\x1B\0\0\0\0\0\0\0\x8c\x02os\x94\x8c\x06system\x94\x93\x94\x8c\x04true\x94\x85\x94R\x94."
        .to_vec()
}

#[test]
fn each_opcode_that_names_a_global() {
    let first = |opcode| ("", 0, opcode);
    dangerous(SYSTEM, "os", "system", first("GLOBAL"));
    dangerous(b"(S'true'\nios\nsystem\n.", "os", "system", ("", 9, "INST"));
    dangerous(&system_4(), "os", "system", ("", 25, "STACK_GLOBAL"));
    // Through the memo, in another order, and with all kinds of text.
    let memo = b"\x80\x04\x8c\x06system\x940\x8c\x02os\x94h\x00\x93.";
    dangerous(memo, "os", "system", ("", 19, "STACK_GLOBAL"));
    let put =
        b"\x80\x04X\x02\0\0\0osr\x70\x11\x01\0U\x06systemq\x07\x30\x30j\x70\x11\x01\0h\x07\x93.";
    dangerous(put, "os", "system", ("", 33, "STACK_GLOBAL"));
    let escaped = b"V\\u006fs\nS'sy\\x73tem'\n\x93.";
    dangerous(escaped, "os", "system", ("", 22, "STACK_GLOBAL"));
    let dup = b"\x80\x04\x8c\x02os\x8c\x01x2\x300\x8c\x06system\x93.";
    dangerous(dup, "os", "system", ("", 20, "STACK_GLOBAL"));
    // What marks and pops leave.
    let marks = b"\x80\x04\x8c\x02os(KKNN1\x8c\x06system(0\x93.";
    dangerous(marks, "os", "system", ("", 22, "STACK_GLOBAL"));

    let report = scanned(b"\x80\x02\x82\x05.");
    assert_eq!(report.verdict(), Verdict::Suspicious);
    let code = find(&report, "copyreg extension", "5");
    assert_eq!((code.class, code.places[0].opcode), (Class::Unknown, "EXT1"));
    for code in [b"\x80\x02\x83\x05\x00.".as_slice(), b"\x80\x02\x84\x05\x00\x00\x00."] {
        find(&scanned(code), "copyreg extension", "5");
    }
}

#[test]
fn names_that_cannot_be_told() {
    for bytes in [
        b"\x80\x04\x8c\x02osN\x93.".as_slice(),
        b"\x80\x04h\x07h\x08\x93.",
        b"\x80\x04\x93.",
        b"\x80\x04K\x01K\x02\x93.",
        b"\x80\x04cbuiltins\nstr\n\x8c\x02os\x85R\x8c\x06system\x93.",
    ] {
        let report = scanned(bytes);
        assert_eq!(report.verdict(), Verdict::Dangerous, "{report:#?}");
        says(&report, Level::Dangerous, "STACK_GLOBAL");
    }
}

#[test]
fn what_follows_a_fault_counts() {
    let cases: [(&[u8], &str); 6] = [
        (b"\x80\x02cos\nsystem\nX\x04\0\0\0tr", "ends within an argument"),
        (b"\x80\x02cos\nsystem\n(S'true'\ntR", "ends without STOP"),
        (b"\x80\x02cos\nsystem\n(S'true'\ntR\xFF.", "0xff is no opcode"),
        (b"\x80\x02cos\nsystem\n(S'true'\ntR0000.", "the stack is empty"),
        (b"\x80\x020cos\nsystem\n(S'true'\ntR.", "the stack is empty"),
        (b"\x80\x02h\x09cos\nsystem\n(S'true'\ntR.", "never made"),
    ];
    for (bytes, words) in cases {
        let report = scanned(bytes);
        assert_eq!(report.verdict(), Verdict::Dangerous, "{report:#?}");
        find(&report, "os", "system");
        says(&report, Level::Suspicious, words);
        assert!(!report.pickles[0].sound);
    }
    // Behind an array in the middle of a pickle, as joblib writes it.
    for rest in [SYSTEM, &system_4()[11..], &[&[0x80, 2], SYSTEM].concat()] {
        let mut bytes = b"\x80\x03cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81".to_vec();
        bytes.extend([0xFF; 1000]);
        bytes.extend(rest);
        let report = scanned(&bytes);
        assert_eq!(report.verdict(), Verdict::Dangerous, "{report:#?}");
        find(&report, "os", "system");
    }
}

#[test]
fn pickles_in_pickles() {
    let place = |at: u64, opcode| (format!("constant at byte {at}"), opcode);
    let inner = |constant: &[u8]| [b"\x80\x04cmine\nload\n", constant, b"\x85R."].concat();
    let len = SYSTEM.len() as u8;
    let at = 2 + 11 + 2;
    for (constant, at) in [
        ([b"C", &[len][..], SYSTEM].concat(), at),
        ([b"U", &[len][..], SYSTEM].concat(), at),
        ([b"\x8c", &[len][..], SYSTEM].concat(), at),
        ([b"\x8E", &u64::from(len).to_le_bytes()[..], SYSTEM].concat(), at + 7),
        ([b"\x96", &u64::from(len).to_le_bytes()[..], SYSTEM].concat(), at + 7),
        ([b"X", &u32::from(len).to_le_bytes()[..], SYSTEM].concat(), at + 3),
    ] {
        let (name, opcode) = place(at, "GLOBAL");
        dangerous(&inner(&constant), "os", "system", (&name, 0, opcode));
    }
    // A text that latin-1 makes bytes of, as protocol 2 has them; and one with escapes.
    let four = system_4();
    let latin: String = four.iter().map(|&b| char::from(b)).collect();
    let text =
        Pickle::new().global("_codecs", "encode").str(&latin).str("latin1").op(b"\x86R").end();
    let report = scanned(&text);
    find(&report, "os", "system");
    let escaped = b"S'cos\\nsystem\\n(S\"true\"\\ntR.'\n.";
    dangerous(escaped, "os", "system", ("constant at byte 0", 0, "GLOBAL"));

    // Behind much that does nothing.
    let padded = [b"(".repeat(300), SYSTEM.to_vec()].concat();
    let constant = [b"B", &(padded.len() as u32).to_le_bytes()[..], &padded].concat();
    find(&scanned(&inner(&constant)), "os", "system");

    // Deep, and deeper than is looked.
    let mut bytes = SYSTEM.to_vec();
    let wrap = |inner: &[u8]| {
        [b"\x80\x04B", &(inner.len() as u32).to_le_bytes()[..], inner, b"."].concat()
    };
    for _ in 0..10 {
        bytes = wrap(&bytes);
    }
    find(&scanned(&bytes), "os", "system");
    for _ in 0..10 {
        bytes = wrap(&bytes);
    }
    let report = scanned(&bytes);
    says(&report, Level::NotLookedInto, "more than 16 deep");
    assert!(!report.is_complete() && report.verdict() > Verdict::Clean);
}

#[test]
fn several_pickles() {
    let two = [b"\x80\x02N.", SYSTEM].concat();
    dangerous(&two, "os", "system", ("byte 4", 0, "GLOBAL"));
    let trailing = [b"\x80\x02N.", &[0; 5000][..], &system_4()].concat();
    let report = dangerous(&trailing, "os", "system", ("byte 5004", 25, "STACK_GLOBAL"));
    says(&report, Level::Note, "5039 bytes follow");
}

#[test]
fn archives_that_the_reader_refuses() {
    let data = |name: &str| Rec::new(name, SYSTEM);
    let others = || records(b"\x80\x02}.", &[("0", &[0; 16])]);
    let with = |more: Rec| [others(), vec![more]].concat();
    let place = |name: &'static str| (name, 0, "GLOBAL");
    let check = |records: &[Rec], name: &'static str, words: &str| {
        let report = dangerous(&zip(records), "os", "system", place(name));
        if !words.is_empty() {
            says(&report, Level::Suspicious, words);
        }
        assert_eq!(report.containers, [FileKind::Torch]);
    };
    check(&with(data("archive/data.pkl")), "archive/data.pkl", "the same name");
    check(&with(data("archive/extra/x.pickle")), "archive/extra/x.pickle", "");
    check(&with(data("archive/x.joblib")), "archive/x.joblib", "");
    check(&with(data("other/x.dat")), "other/x.dat", "");
    check(&with(data("archive/data/1")), "archive/data/1", "");
    let protocol = Rec::new("archive/data/1", &[b"\x80\x02", SYSTEM].concat());
    let report = scanned(&zip(&with(protocol)));
    find(&report, "os", "system");
    check(&with(Rec { crc: 7, ..data("a/b.pkl") }), "a/b.pkl", "checksum");
    check(&with(Rec { flags: 1, ..data("a/b.pkl") }), "a/b.pkl", "marked as encrypted");
    check(&with(Rec::deflated("a/b.pkl", SYSTEM)), "a/b.pkl", "");
    // With long tables in front of the deflated data.
    let many: String = (0..400).map(|i| format!("S'{:x}'\n0", i * 7919 % 65521)).collect();
    let many = [&[0x80, 2], many.as_bytes(), SYSTEM].concat();
    find(&scanned(&zip(&with(Rec::deflated("a/b", &many)))), "os", "system");
    check(&with(Rec { len: 1, ..data("a/b.pkl") }), "a/b.pkl", "");
    let hidden = Rec { local_name: Some(b"archive/y.pkl".to_vec()), ..data("archive/n.txt") };
    check(&with(hidden), "archive/n.txt", "another name");
    let wrong = Rec { method: 9, ..data("a/b.pkl") };
    says(&scanned(&zip(&with(wrong))), Level::NotLookedInto, "method 9");

    // Not in the directory, and no directory at all.
    let whole = zip(&with(data("archive/b.pkl")));
    let entry = whole.windows(13).rposition(|w| w == b"archive/b.pkl").unwrap() - 46;
    let mut unlisted = whole[..entry].to_vec();
    let listed = zip(&others());
    let (records_end, _) = (0..listed.len() - 4)
        .find(|&i| listed[i..].starts_with(b"PK\x01\x02"))
        .map(|i| (i, ()))
        .unwrap();
    let start = whole.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    unlisted.truncate(start);
    unlisted.extend(&listed[records_end..]);
    let n = unlisted.len();
    unlisted[n - 6..n - 2].copy_from_slice(&(start as u32).to_le_bytes());
    let report = dangerous(&unlisted, "os", "system", place("archive/b.pkl"));
    says(&report, Level::Suspicious, "does not list");
    let report = dangerous(&whole[..start], "os", "system", place("archive/b.pkl"));
    says(&report, Level::Suspicious, "no central directory");
    // In another archive, and behind other bytes.
    let inner = zip(&[data("b.pkl")]);
    let report = scanned(&zip(&with(Rec::new("archive/inner.zip", &inner))));
    find(&report, "os", "system");
    let moved = [&[b'#'; 100], whole.as_slice()].concat();
    let report = dangerous(&moved, "os", "system", place("archive/b.pkl"));
    says(&report, Level::Suspicious, "in front of the archive");
}

#[test]
fn archives_in_records_are_no_rivals() {
    let inner = zip(&[Rec::new("archive/data.pkl", SYSTEM)]);
    let of = |data: &[u8]| {
        zip(&[records(b"\x80\x02}.", &[]), vec![Rec::new("archive/inner", data)]].concat())
    };
    let report =
        dangerous(&of(&inner), "os", "system", ("archive/inner, archive/data.pkl", 0, "GLOBAL"));
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert!(report.weights_only.accepts() && report.pickles.len() == 2);
    // Its directory may seem to be where the one of another stands.
    let first = zip(&[Rec::new("a/b", b"x")]);
    let at = first.windows(4).position(|w| w == b"PK\x01\x02").unwrap() + 30 + "a/1".len();
    let second = zip(&[Rec::new("b", &vec![b'y'; at - 30 - 1])]);
    let report = scanned(&zip(&[Rec::new("a/1", &first), Rec::new("a/2", &second)]));
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    // In what begins as something else, or where bytes follow the last end record, it may be taken
    // for the archive.
    let hidden = [b"text".as_slice(), &inner].concat();
    for bytes in [of(&hidden), [of(&inner).as_slice(), b"more"].concat()] {
        let report = scanned(&bytes);
        says(&report, Level::Suspicious, "2 central directories");
        find(&report, "os", "system");
    }
}

#[test]
fn files_that_are_two_things() {
    let archive = sound();
    let report = scanned(&[SYSTEM, &archive].concat());
    assert_eq!(report.verdict(), Verdict::Dangerous);
    assert_eq!(report.containers, [FileKind::Torch, FileKind::Pickle]);
    // A tar archive whose first name is a pickle, with a zip archive behind it.
    let mut tar = vec![0; 1024];
    tar[..SYSTEM.len()].copy_from_slice(SYSTEM);
    tar[124..136].copy_from_slice(b"00000000000\0");
    tar[257..263].copy_from_slice(b"ustar\0");
    let report = scanned(&[tar.clone(), archive].concat());
    assert_eq!(report.verdict(), Verdict::Dangerous);
    assert!(report.containers.contains(&FileKind::Tar));
    // A member.
    tar[..SYSTEM.len()].fill(0);
    tar[..7].copy_from_slice(b"pickle\0");
    tar[124..136].copy_from_slice(b"00000000030\0");
    tar[512..512 + SYSTEM.len()].copy_from_slice(SYSTEM);
    let report = dangerous(&tar, "os", "system", ("pickle", 0, "GLOBAL"));
    assert_eq!(report.containers, [FileKind::Tar]);
}

#[test]
fn arrays_and_packed_data() {
    let array = |descr: &str, data: &[u8]| {
        let header = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}");
        let header = format!("{header:<117}\n");
        [b"\x93NUMPY\x01\0\x76\0", header.as_bytes(), data].concat()
    };
    let objects = array("'|O'", SYSTEM);
    let report = dangerous(&objects, "os", "system", ("objects", 0, "GLOBAL"));
    assert_eq!(report.containers, [FileKind::Npy]);
    find(&scanned(&array("[('a', '|O'), ('b', '<f4')]", SYSTEM)), "os", "system");
    let report = scanned(&array("'<f4'", &[1, 2, 3, 4]));
    assert_eq!((report.verdict(), report.pickles.len()), (Verdict::Clean, 0));
    let npz = zip(&[Rec::new("a.npy", &objects), Rec::deflated("b.npy", &array("'<f4'", &[0; 4]))]);
    let report = dangerous(&npz, "os", "system", ("a.npy, objects", 0, "GLOBAL"));
    assert_eq!(report.containers, [FileKind::Npz]);

    let best = flate2::Compression::best();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), best);
    gzip.write_all(SYSTEM).unwrap();
    let report = scanned(&gzip.finish().unwrap());
    assert_eq!(
        (report.verdict(), &report.containers[..]),
        (Verdict::Dangerous, &[FileKind::Gzip][..])
    );
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), best);
    zlib.write_all(SYSTEM).unwrap();
    let packed = zlib.finish().unwrap();
    find(&scanned(&packed), "os", "system");
    // A bomb is looked into as far as it may be held.
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), best);
    bomb.write_all(SYSTEM).unwrap();
    (0..80).for_each(|_| bomb.write_all(&vec![0; 1 << 20]).unwrap());
    let report = scanned(&bomb.finish().unwrap());
    find(&report, "os", "system");
    says(&report, Level::NotLookedInto, "inflates to more than");
    for magic in
        [b"7z\xBC\xAF\x27\x1C..".as_slice(), b"BZh91AY", b"\xFD7zXZ\0.", b"\x28\xB5\x2F\xFD."]
    {
        let report = scanned(magic);
        assert!(!report.is_complete(), "{report:#?}");
        assert!(matches!(report.containers[..], [FileKind::Unread(_)]));
    }
}

/// What the processes of a distributed training write.
#[test]
fn archives_one_after_another() {
    let bad = checkpoint(SYSTEM, &[]);
    let row = [sound(), sound(), sound()].concat();
    let report = scanned(&row);
    assert_eq!((report.verdict(), &report.containers[..1]), (Verdict::Clean, &[FileKind::Row][..]));
    assert_eq!((report.pickles.len(), report.is_complete()), (3, true), "{report:#?}");
    assert!(matches!(report.weights_only, WeightsOnly::Refuses(_)));
    // Wherever it stands, a bad one is found.
    let place = format!("archive at byte {}, archive/data.pkl", sound().len());
    let report =
        dangerous(&[sound(), bad.clone(), sound()].concat(), "os", "system", (&place, 0, "GLOBAL"));
    assert_eq!(report.pickles.len(), 3);
    for row in [[bad.clone(), sound()], [sound(), bad.clone()]] {
        assert_eq!(scanned(&row.concat()).verdict(), Verdict::Dangerous);
    }
    // What is between them, before or behind is no archive's.
    for odd in [
        [b"#".to_vec(), row.clone()].concat(),
        [sound(), b"#".to_vec(), sound()].concat(),
        [row.clone(), b"#".to_vec()].concat(),
        [SYSTEM.to_vec(), sound(), sound()].concat(),
    ] {
        let report = scanned(&odd);
        assert!(report.verdict() > Verdict::Clean, "{report:#?}");
        assert!(!report.containers.contains(&FileKind::Row));
    }
    // More of them than may lie in one another.
    let many = scanned(&vec![zip(&[Rec::new("a/data.pkl", b"N.")]); 1500].concat());
    assert!(many.is_complete() && many.verdict() == Verdict::Clean, "{:#?}", many.findings);
    if let Some(fixtures) = fixtures() {
        let folder = fixtures.join("generated-torch-2.15/dcp");
        for file in ["__0_0.distcp", ".metadata"] {
            let report = scan(folder.join(file), &ScanOptions::new()).unwrap();
            assert_eq!(report.verdict(), Verdict::Clean, "{file}: {report:#?}");
        }
    }
}

#[test]
fn honest_files_are_clean() {
    let report = scanned(&sound());
    assert_eq!(report.verdict(), Verdict::Clean, "{report:#?}");
    assert_eq!(report.weights_only, WeightsOnly::Accepts);
    assert_eq!(report.pickles[0].persistent_ids, 1);
    assert_eq!((report.count(Class::Known), report.mentions.len()), (3, 3));
    for (bytes, verdict) in [
        (b"".as_slice(), Verdict::Clean),
        (b"some text\nin lines\n", Verdict::Clean),
        (b"\x80\x04N.", Verdict::Clean),
        (b"\x80\x02c__main__\nNet\n)\x81.", Verdict::Suspicious),
    ] {
        let report = scanned(bytes);
        assert_eq!(report.verdict(), verdict, "{report:#?}");
        assert!(matches!(report.weights_only, WeightsOnly::Refuses(_)));
    }
    let refusal = |pickle: &[u8]| match scanned(&checkpoint(pickle, &[])).weights_only {
        WeightsOnly::Refuses(why) => why,
        WeightsOnly::Accepts => panic!("accepted"),
    };
    assert!(refusal(b"\x80\x02cnumpy\ndtype\n.").contains("numpy.dtype"));
    assert!(refusal(b"\x80\x04\x8c\x01a.").contains("SHORT_BINUNICODE, at byte 2"));
    assert!(refusal(b"\x80\x02X\x06\0\0\0module\x85Q.").contains("no storage"));
    let folder = tempfile::tempdir().unwrap();
    assert!(scan(folder.path(), &ScanOptions::new()).is_err());
    assert!(scan(folder.path().join("none"), &ScanOptions::new()).is_err());
}

#[test]
fn floods_are_counted_and_danger_still_shows() {
    let mut p = Pickle::new();
    for i in 0..50_000 {
        p = p.global("mine", &format!("f{i}"));
    }
    for _ in 0..1000 {
        p = p.global("os", "system");
    }
    let report = scanned(&p.end());
    let system = find(&report, "os", "system");
    assert_eq!((system.count, system.places.len()), (1000, 100));
    assert_eq!((report.left_out, report.mentions.len()), (40_000, 10_001));
    let many = b"\x80\x02N.".repeat(50_000);
    let report = scanned(&[many.as_slice(), SYSTEM].concat());
    find(&report, "os", "system");
    assert_eq!(report.pickles.len(), 10_000);
}

#[test]
fn real_files_scan_as_torch_takes_them() {
    let Some(folder) = fixtures() else { return };
    let truth = std::fs::read(folder.join("truth.json")).unwrap();
    let truth: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&truth).unwrap();
    let (mut counts, mut compared) = ([0; 3], 0);
    for (name, entry) in &truth {
        let report = scan(folder.join(name), &ScanOptions::new()).unwrap();
        let verdict = report.verdict();
        assert!(verdict < Verdict::Dangerous, "{name}: {report:#?}");
        counts[verdict as usize] += 1;
        if let Some(mode) = entry.get("mode").and_then(|m| m.as_str()) {
            let accepts = report.weights_only.accepts();
            assert_eq!(accepts, mode == "weights_only", "{name}: {:?}", report.weights_only);
            compared += 1;
        }
    }
    println!("{counts:?} clean, suspicious, dangerous; {compared} as weights_only takes them");
    assert!(compared > 100 && counts[0] > 100);

    let (mut dangerous, mut todo) = (0, vec![folder.join("picklescan")]);
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(std::fs::read_dir(path).unwrap().map(|e| e.unwrap().path()));
            continue;
        }
        let report = scan(&path, &ScanOptions::new()).unwrap();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        // Test data of a scanner: these are the harmless ones of them.
        let harmless =
            ["int_arrays", "int_arrays_compressed", "object_array", "not_a_pickle", "bad_pytorch"];
        if path.extension().is_some_and(|e| e == "7z") {
            assert!(!report.is_complete());
        } else {
            let expected =
                if harmless.contains(&stem) { Verdict::Clean } else { Verdict::Dangerous };
            assert_eq!(report.verdict(), expected, "{}: {report:#?}", path.display());
            dangerous += usize::from(expected == Verdict::Dangerous);
        }
    }
    assert!(dangerous > 30, "{dangerous}");
}
