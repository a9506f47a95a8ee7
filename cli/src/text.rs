//! Numbers and names as a person reads them.

use std::io::{self, Write};

/// `1.5 MiB`, `24 B`.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64;
    let mut unit = "";
    for next in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// `1 tensor`, `3 tensors`.
pub(crate) fn count(n: usize, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        _ => format!("{n} {what}s"),
    }
}

/// `1 row`, `3 rows`.
pub(crate) fn rows(n: u64) -> String {
    if n == 1 { "1 row".to_owned() } else { format!("{n} rows") }
}

/// `[3, 2]`.
pub(crate) fn shape(shape: &[u64]) -> String {
    format!("{shape:?}")
}

/// Text from a file, safe to show: control characters are escaped.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escaped = c.is_control();
            let shown: Vec<char> = if escaped { c.escape_default().collect() } else { vec![c] };
            shown
        })
        .collect()
}

/// A path in the object; the whole of it has none.
pub(crate) fn name(name: &str) -> String {
    if name.is_empty() { "(root)".to_owned() } else { plain(name) }
}

/// A number of bytes as typed: `4096`, `100M`.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.trim().to_ascii_uppercase() {
        t if t.ends_with('K') => (t[..t.len() - 1].to_owned(), 1 << 10),
        t if t.ends_with('M') => (t[..t.len() - 1].to_owned(), 1 << 20),
        t if t.ends_with('G') => (t[..t.len() - 1].to_owned(), 1 << 30),
        t => (t, 1),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(factor))
        .filter(|&n| n > 0)
        .ok_or_else(|| "write a number of bytes, such as 65536, 64K or 100M".to_owned())
}

/// No column is made wider than this.
const WIDEST: usize = 64;

/// Rows under a heading, each column as wide as it must be.
pub(crate) struct Table {
    /// Whether each column is a number, set to the right.
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A heading beginning with `>` makes its column one of numbers.
    pub(crate) fn new(headings: &[&str]) -> Table {
        let right = headings.iter().map(|h| h.starts_with('>')).collect();
        let heading = headings.iter().map(|h| h.trim_start_matches('>').to_owned()).collect();
        Table { right, rows: vec![heading] }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub(crate) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut widths = vec![0; self.right.len()];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                // One long name must not push all others off the screen: its own line runs over.
                *width = (*width).max(cell.chars().count().min(WIDEST));
            }
        }
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, &width), &right) in row.iter().zip(&widths).zip(&self.right) {
                let fill = " ".repeat(width.saturating_sub(cell.chars().count()));
                if right {
                    line.push_str(&fill);
                    line.push_str(cell);
                } else {
                    line.push_str(cell);
                    line.push_str(&fill);
                }
                line.push_str("  ");
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(1 << 30), "1.0 GiB");
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
    }

    #[test]
    fn typed_sizes_are_understood() {
        assert_eq!(parse_bytes("4096"), Ok(4096));
        assert_eq!(parse_bytes("100M"), Ok(100 << 20));
        assert_eq!(parse_bytes("2g"), Ok(2 << 30));
        for bad in ["", "0", "-1", "x", "1.5M", "99999999999999G"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_cannot_drive_the_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\n"), "a\\u{1b}[31mb\\n");
        assert_eq!(name("weißes Gewicht"), "weißes Gewicht");
    }
}
