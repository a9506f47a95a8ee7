//! `numpack ls PATH`.

use std::fmt::Write as _;
use std::io::Write;

use numpack_interop::{TensorInfo, Tensors};
use serde::Serialize;

use crate::args::LsArgs;
use crate::text::{self, Table};
use crate::{Answer, warn};

pub(crate) fn run(args: &LsArgs, out: &mut dyn Write) -> anyhow::Result<Answer> {
    let file = Tensors::open(&args.path)?;
    warn(&file.warnings());
    let list = file.list()?;
    let hash = |t: &TensorInfo| -> anyhow::Result<Option<String>> {
        Ok(if args.sha256 { Some(hex(&file.sha256(t)?)) } else { None })
    };
    if args.json {
        let tensors =
            list.iter().map(|t| Ok(Row::new(t, hash(t)?))).collect::<anyhow::Result<Vec<_>>>()?;
        let path = args.path.to_string_lossy();
        let listing = Listing { path: &path, format: file.format().name(), tensors };
        serde_json::to_writer_pretty(&mut *out, &listing)?;
        writeln!(out)?;
        return Ok(Answer::Yes);
    }
    let mut headings = vec!["NAME", "DTYPE", "SHAPE", ">SIZE"];
    headings.extend(args.sha256.then_some("SHA-256"));
    let mut table = Table::new(&headings);
    // A key may be empty too, which is no reason to call it the whole object.
    let bare = ["Tensor", "Parameter"].contains(&file.summary().root.as_str());
    for t in &list {
        let mut row = vec![
            if bare { text::name(&t.name) } else { text::plain(&t.name) },
            t.dtype.to_string(),
            text::shape(&t.shape),
            text::bytes(t.nbytes),
        ];
        row.extend(hash(t)?);
        table.row(row);
    }
    table.print(out)?;
    let total = list.iter().map(|t| u128::from(t.nbytes)).sum::<u128>();
    let total = text::bytes(u64::try_from(total).unwrap_or(u64::MAX));
    writeln!(out, "{}, {total}", text::count(list.len(), "tensor"))?;
    Ok(Answer::Yes)
}

/// The stable schema of `--json`.
#[derive(Serialize)]
struct Listing<'a> {
    path: &'a str,
    format: &'a str,
    tensors: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    dtype: &'a str,
    shape: &'a [u64],
    nbytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    stride: &'a [u64],
    storage: u32,
    offset: u64,
    requires_grad: bool,
}

impl<'a> Row<'a> {
    fn new(t: &'a TensorInfo, sha256: Option<String>) -> Row<'a> {
        Row {
            name: &t.name,
            dtype: t.dtype.name(),
            shape: &t.shape,
            nbytes: t.nbytes,
            sha256,
            stride: &t.stride,
            storage: t.storage,
            offset: t.offset,
            requires_grad: t.requires_grad,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, b| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{b:02x}");
        text
    })
}
