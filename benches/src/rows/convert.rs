//! Conversions beside a plain copy of the same files.

use std::path::Path;

use anyhow::Result;
use numpack_interop::{CrcPolicy, FromTorch, NoProgress, ToTorch, from_torch_file, to_torch_file};

use crate::copier::{FileCopy, FolderCopy, Means, check_equal};
use crate::table::{Bound, Row, Table};
use crate::timing::Pairs;
use crate::{Outputs, Place, Settings, data};

/// A checkpoint becomes a store, with and without checksums.
///
/// # Errors
/// When a conversion or a copy fails, or they differ.
pub fn from_torch(place: &Place, s: &Settings, bounds: [f64; 2], table: &mut Table) -> Result<()> {
    let input = data::large(place, s)?;
    let policies = [(CrcPolicy::Off, "without crc"), (CrcPolicy::Refuse, "with crc")];
    for ((crc, policy), bound) in policies.into_iter().zip(bounds) {
        let pairs = store_pairs(place, s, &input, crc, Means::Kernel)?;
        let what = format!("{} MiB .pt to .npk, {}, {policy}", s.size >> 20, place.name);
        table.push(Row::pairs(what, "copy", &pairs, Bound::Ratio(bound)));
    }
    Ok(())
}

/// A store becomes a checkpoint; checksums are always computed.
///
/// # Errors
/// When a conversion or a copy fails, or they differ.
pub fn to_torch(place: &Place, s: &Settings, bound: f64, table: &mut Table) -> Result<()> {
    let input = data::store_of(&data::large(place, s)?)?;
    let pairs = file_pairs(place, s, &input, Means::Kernel)?;
    let what = format!("{} MiB .npk to .pt, {}", s.size >> 20, place.name);
    table.push(Row::pairs(what, "copy", &pairs, Bound::Ratio(bound)));
    Ok(())
}

/// Both ways with many tiny tensors.
///
/// # Errors
/// When a conversion or a copy fails, or they differ.
pub fn tiny(place: &Place, s: &Settings, table: &mut Table) -> Result<()> {
    let input = data::tiny(place, s)?;
    let store = data::store_of(&input)?;
    let pairs = store_pairs(place, s, &input, CrcPolicy::Refuse, Means::Buffer)?;
    let what = format!("{} tiny tensors .pt to .npk, {}", s.tensors, place.name);
    table.push(Row::pairs(what, "copy", &pairs, Bound::None));
    let pairs = file_pairs(place, s, &store, Means::Buffer)?;
    let what = format!("{} tiny tensors .npk to .pt, {}", s.tensors, place.name);
    table.push(Row::pairs(what, "copy", &pairs, Bound::None));
    Ok(())
}

fn store_pairs(
    place: &Place,
    s: &Settings,
    input: &Path,
    crc: CrcPolicy,
    means: Means,
) -> Result<Pairs> {
    let options = FromTorch::new().crc(crc);
    let convert = |output: &Path| Ok(from_torch_file(input, output, &options, &mut NoProgress)?);
    // The store that the copy is compared with, and takes its small files from.
    let (model, copied) = (place.join("model.npk"), place.join("copy.npk"));
    convert(&model)?;
    let copier = FolderCopy::like(input, &model, means)?;
    copier.run(&copied)?;
    check_equal(&model, &copied)?;
    let outputs = Outputs::new(place, "npk");
    let pairs = Pairs::measure(
        s.pairs,
        || outputs.time(convert),
        || outputs.time(|output| copier.run(output)),
    )?;
    outputs.clear()?;
    place.discard(&copied)?;
    place.discard(&model)?;
    Ok(pairs)
}

fn file_pairs(place: &Place, s: &Settings, input: &Path, means: Means) -> Result<Pairs> {
    let convert =
        |output: &Path| Ok(to_torch_file(input, output, &ToTorch::new(), &mut NoProgress)?);
    let (model, copied) = (place.join("model.pt"), place.join("copy.pt"));
    convert(&model)?;
    let copier = FileCopy::like(input, &model, means)?;
    copier.run(&copied)?;
    check_equal(&model, &copied)?;
    place.discard(&copied)?;
    place.discard(&model)?;
    let outputs = Outputs::new(place, "pt");
    let pairs = Pairs::measure(
        s.pairs,
        || outputs.time(convert),
        || outputs.time(|output| copier.run(output)),
    )?;
    outputs.clear()?;
    Ok(pairs)
}
