//! The records of an archive by their names.

use super::entry;
use crate::storage_key::number;
use crate::table::{Hasher, IdTable};

/// Finds records by name, and two of one name.
///
/// The storages of a checkpoint are called `…/data/0`, `…/data/1` and so on, one after another: as
/// long as they are, a number is a place, and no table is needed.
#[derive(Debug, Default)]
pub(super) struct Names {
    run: Run,
    table: IdTable,
    hasher: Hasher,
    /// Whether a name in the table ends on a digit, as those of the run do.
    has_digits: bool,
}

/// Records in a row whose names count up from 0.
#[derive(Debug, Default)]
struct Run {
    /// What stands in front of the number; empty where there is no run.
    stem: Vec<u8>,
    /// The place of number 0.
    first: u32,
    count: u32,
}

impl Run {
    /// The place of a name that is in the run.
    fn find(&self, name: &[u8]) -> Option<u32> {
        let digits = name.strip_prefix(self.stem.as_slice())?;
        let n = number(digits).filter(|&n| n < self.count)?;
        Some(self.first + n)
    }
}

impl Names {
    /// Adds the record at a place, behind all before; or says which one has its name. The names
    /// are those of the entries that start at `starts` in the directory.
    pub(super) fn add(
        &mut self,
        name: &[u8],
        index: u32,
        directory: &[u8],
        starts: &[u32],
    ) -> Option<u32> {
        let run = &mut self.run;
        if run.count == 0 {
            if name.ends_with(b"/0") {
                let stem = name[..name.len() - 1].to_vec();
                *run = Run { stem, first: index, count: 1 };
                return self.in_table(name, directory, starts);
            }
        } else if index - run.first == run.count
            && let Some(digits) = name.strip_prefix(run.stem.as_slice())
            && number(digits) == Some(run.count)
        {
            run.count += 1;
            return if self.has_digits { self.in_table(name, directory, starts) } else { None };
        }
        if let Some(first) = self.run.find(name).or_else(|| self.in_table(name, directory, starts))
        {
            return Some(first);
        }
        self.table.insert(self.hasher.hash(name), index);
        self.has_digits |= name.last().is_some_and(u8::is_ascii_digit);
        None
    }

    fn in_table(&self, name: &[u8], directory: &[u8], starts: &[u32]) -> Option<u32> {
        let name_of = |id: u32| entry::name(directory, starts[id as usize] as usize);
        self.table.find(self.hasher.hash(name), |id| name_of(id) == name)
    }

    /// The place of number 0 and how many there are, where the names that begin so are those of the
    /// run.
    pub(super) fn run(&self, stem: &[u8]) -> Option<(u32, u32)> {
        (self.run.count > 0 && self.run.stem == stem).then_some((self.run.first, self.run.count))
    }

    /// The place of a name.
    pub(super) fn find(&self, name: &[u8], directory: &[u8], starts: &[u32]) -> Option<u32> {
        self.run.find(name).or_else(|| self.in_table(name, directory, starts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries of a directory with nothing but names.
    fn directory(names: &[&str]) -> (Vec<u8>, Vec<u32>) {
        let (mut bytes, mut starts) = (Vec::new(), Vec::new());
        for name in names {
            starts.push(bytes.len() as u32);
            let mut entry = [0u8; 46];
            entry[28..30].copy_from_slice(&(name.len() as u16).to_le_bytes());
            bytes.extend_from_slice(&entry);
            bytes.extend_from_slice(name.as_bytes());
        }
        (bytes, starts)
    }

    #[test]
    fn each_name_is_found_and_none_twice() {
        let orders: [&[&str]; 7] = [
            &["a/data.pkl", "a/data/0", "a/data/1", "a/data/2", "a/version"],
            &["a/data/1", "a/data/0", "a/data/1x", "a/data/01", "a/data/2"],
            &["a/data/0", "a/data/2", "a/data/1", "a/data/3"],
            &["b/0", "a/0", "b/1", "a/1", "b/01"],
            &["a/0", "a/1", "x", "a/2", "a/"],
            &["a/1", "a/2", "a/0", "a/00", "a/+1", "a/0 "],
            &["/0", "/1", "0", "1", ""],
        ];
        for order in orders {
            let (bytes, starts) = directory(order);
            let mut names = Names::default();
            for (i, name) in order.iter().enumerate() {
                assert_eq!(names.add(name.as_bytes(), i as u32, &bytes, &starts), None, "{name}");
            }
            for (i, name) in order.iter().enumerate() {
                assert_eq!(names.find(name.as_bytes(), &bytes, &starts), Some(i as u32));
                // Each again, behind all.
                let twice: Vec<&str> = order.iter().chain([name]).copied().collect();
                let (bytes, starts) = directory(&twice);
                let mut names = Names::default();
                let met: Vec<Option<u32>> = (0..twice.len())
                    .map(|k| names.add(twice[k].as_bytes(), k as u32, &bytes, &starts))
                    .collect();
                assert_eq!(met.last(), Some(&Some(i as u32)), "{name} in {twice:?}");
            }
            assert_eq!(names.find(b"a/data/9", &bytes, &starts), None);
            assert_eq!(names.find(b"a/9", &bytes, &starts), None);
        }
    }
}
