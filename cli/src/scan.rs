//! `numpack scan FILE…`.

use std::io::Write;
use std::path::Path;

use numpack_interop::scanned::{Class, Finding, Mention, Place, Verdict, WeightsOnly};
use numpack_interop::{ScanOptions, ScanReport, scan};
use serde::Serialize;

use crate::args::ScanArgs;
use crate::{Answer, text};

/// Places shown for each name; `--json` has more.
const SHOWN: usize = 3;

pub(crate) fn run(args: &ScanArgs, out: &mut dyn Write) -> anyhow::Result<Answer> {
    let (mut danger, mut failed, mut incomplete) = (false, false, false);
    let mut reports = Vec::new();
    for path in &args.files {
        let report = match scan(path, &ScanOptions::new()) {
            Ok(report) => report,
            Err(e) => {
                out.flush()?;
                eprintln!("numpack: {}", text::plain(&e.to_string()));
                failed = true;
                continue;
            }
        };
        let is_dangerous = report.verdict() == Verdict::Dangerous;
        danger |= is_dangerous;
        incomplete |= !is_dangerous && !report.is_complete();
        if args.json {
            reports.push((path, report));
        } else {
            print(path, &report, out)?;
        }
    }
    if args.json {
        let files: Vec<_> =
            reports.iter().map(|(path, report)| Listing::new(path, report)).collect();
        serde_json::to_writer_pretty(&mut *out, &files)?;
        writeln!(out)?;
    }
    Ok(match (failed, danger, incomplete) {
        (true, ..) => Answer::NotDone,
        (_, true, _) => Answer::No,
        (_, _, true) => Answer::NotDone,
        _ => Answer::Yes,
    })
}

/// What the file is, in a few words.
pub(crate) fn container(report: &ScanReport) -> String {
    let names: Vec<String> = report.containers.iter().map(ToString::to_string).collect();
    if names.is_empty() { "nothing that holds a pickle".to_owned() } else { names.join(", and ") }
}

/// What torch would do.
pub(crate) fn weights_only(report: &ScanReport) -> String {
    match &report.weights_only {
        WeightsOnly::Accepts => "torch.load(weights_only=True) takes it".to_owned(),
        WeightsOnly::Refuses(why) => {
            format!("torch.load(weights_only=True) refuses it: {}", text::plain(why))
        }
    }
}

fn print(path: &Path, report: &ScanReport, out: &mut dyn Write) -> anyhow::Result<()> {
    let path = text::plain(&path.display().to_string());
    writeln!(out, "{path}: {}", report.verdict())?;
    writeln!(out, "  {}, {}", container(report), text::count(report.pickles.len(), "pickle"))?;
    if !report.pickles.is_empty() {
        writeln!(out, "  {}", weights_only(report))?;
    }
    for finding in &report.findings {
        writeln!(out, "  {}", words(finding))?;
    }
    for mention in report.mentions.iter().filter(|m| m.class <= Class::Unknown) {
        let why = if mention.why.is_empty() { "" } else { ": " };
        let name = text::plain(&format!("{}.{}", mention.module, mention.name));
        writeln!(out, "  {}: {name}{why}{}", mention.class, mention.why)?;
        for place in mention.places.iter().take(SHOWN) {
            writeln!(out, "    {}", place_words(report, place))?;
        }
        let more = mention.count.saturating_sub(SHOWN as u64);
        if more > 0 {
            writeln!(out, "    and {more} more times")?;
        }
    }
    let others: Vec<String> = [Class::Refused, Class::Known]
        .into_iter()
        .filter(|&class| report.count(class) > 0)
        .map(|class| format!("{} {class}", report.count(class)))
        .collect();
    if !others.is_empty() {
        writeln!(out, "  other names: {}", others.join(", "))?;
    }
    if report.left_out > 0 {
        writeln!(out, "  {} more pickles, names and findings are not listed", report.left_out)?;
    }
    Ok(())
}

/// `suspicious: data.pkl at byte 3: what was found`.
fn words(finding: &Finding) -> String {
    let at = finding.offset.map(|n| format!("at byte {n}"));
    let part = Some(finding.part.clone()).filter(|p| !p.is_empty());
    let place: Vec<String> = part.into_iter().chain(at).collect();
    let colon = if place.is_empty() { "" } else { ": " };
    text::plain(&format!("{}: {}{colon}{}", finding.level, place.join(" "), finding.what))
}

fn place_words(report: &ScanReport, place: &Place) -> String {
    let pickle = report.pickles.get(place.pickle).map_or("", |p| p.name.as_str());
    let pickle = if pickle.is_empty() { String::new() } else { format!("{pickle}, ") };
    text::plain(&format!("{pickle}byte {}, {}", place.offset, place.opcode))
}

/// The stable schema of `--json`.
#[derive(Serialize)]
struct Listing<'a> {
    path: String,
    verdict: String,
    complete: bool,
    containers: Vec<String>,
    weights_only: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    weights_only_reason: Option<&'a str>,
    pickles: Vec<Pickle<'a>>,
    globals: Vec<Global<'a>>,
    findings: Vec<Found<'a>>,
    left_out: u64,
}

#[derive(Serialize)]
struct Pickle<'a> {
    name: &'a str,
    offset: Option<u64>,
    nbytes: u64,
    protocol: Option<u8>,
    persistent_ids: u64,
    sound: bool,
}

#[derive(Serialize)]
struct Global<'a> {
    module: &'a str,
    name: &'a str,
    class: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    why: &'a str,
    count: u64,
    places: Vec<Where>,
}

#[derive(Serialize)]
struct Where {
    pickle: usize,
    offset: u64,
    opcode: &'static str,
}

#[derive(Serialize)]
struct Found<'a> {
    level: String,
    part: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    what: &'a str,
}

impl<'a> Listing<'a> {
    fn new(path: &Path, report: &'a ScanReport) -> Listing<'a> {
        let reason = match &report.weights_only {
            WeightsOnly::Accepts => None,
            WeightsOnly::Refuses(why) => Some(why.as_str()),
        };
        let pickle = |p: &'a numpack_interop::scanned::PickleFound| Pickle {
            name: &p.name,
            offset: p.offset,
            nbytes: p.len,
            protocol: p.protocol,
            persistent_ids: p.persistent_ids,
            sound: p.sound,
        };
        let found = |f: &'a Finding| Found {
            level: f.level.to_string(),
            part: &f.part,
            offset: f.offset,
            what: &f.what,
        };
        Listing {
            path: path.to_string_lossy().into_owned(),
            verdict: report.verdict().to_string(),
            complete: report.is_complete(),
            containers: report.containers.iter().map(ToString::to_string).collect(),
            weights_only: report.weights_only.accepts(),
            weights_only_reason: reason,
            pickles: report.pickles.iter().map(pickle).collect(),
            globals: report.mentions.iter().map(Global::new).collect(),
            findings: report.findings.iter().map(found).collect(),
            left_out: report.left_out,
        }
    }
}

impl<'a> Global<'a> {
    fn new(mention: &'a Mention) -> Global<'a> {
        let class = match mention.class {
            Class::Dangerous => "dangerous",
            Class::Unknown => "unknown",
            Class::Refused => "refused",
            Class::Known => "known",
        };
        let place = |p: &Place| Where { pickle: p.pickle, offset: p.offset, opcode: p.opcode };
        Global {
            module: &mention.module,
            name: &mention.name,
            class,
            why: mention.why,
            count: mention.count,
            places: mention.places.iter().map(place).collect(),
        }
    }
}
