//! The keys of storages.

use std::fmt;

/// The key of a storage: a text, of which torch nearly always writes the decimal count of the
/// storages before. Such a number takes no memory of its own.
///
/// ```
/// use torch_pickle::StorageKey;
/// let key = StorageKey::from("12");
/// assert_eq!((key.number(), key.to_string()), (Some(12), "12".into()));
/// assert_eq!(StorageKey::from("012").number(), None);
/// assert_ne!(StorageKey::from("012"), key);
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct StorageKey(Kept);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Kept {
    /// What the text is the shortest decimal form of: two that are equal are kept alike.
    Number(u32),
    Text(Box<str>),
}

impl StorageKey {
    /// The number that the key is the shortest decimal text of, if it has nine digits at most.
    pub fn number(&self) -> Option<u32> {
        match &self.0 {
            Kept::Number(n) => Some(*n),
            Kept::Text(_) => None,
        }
    }

    /// Its bytes, where it is no number.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.0 {
            Kept::Number(_) => None,
            Kept::Text(text) => Some(text),
        }
    }
}

/// The number that these digits are the shortest text of, if they are nine at most.
#[inline]
pub(crate) fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 9 || (digits[0] == b'0' && digits.len() > 1) {
        return None;
    }
    digits.iter().try_fold(0, |n, d| Some(n * 10 + char::from(*d).to_digit(10)?))
}

impl From<&str> for StorageKey {
    #[inline]
    fn from(text: &str) -> StorageKey {
        StorageKey(match number(text.as_bytes()) {
            Some(n) => Kept::Number(n),
            None => Kept::Text(text.into()),
        })
    }
}

impl From<String> for StorageKey {
    fn from(text: String) -> StorageKey {
        StorageKey::from(&*text)
    }
}

impl fmt::Display for StorageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kept::Number(n) => write!(f, "{n}"),
            Kept::Text(text) => f.write_str(text),
        }
    }
}

/// As a quoted text.
impl fmt::Debug for StorageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kept::Number(n) => write!(f, "\"{n}\""),
            Kept::Text(text) => fmt::Debug::fmt(text, f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_the_text_it_was_made_of() {
        for (text, n) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("999999999", Some(999_999_999)),
            ("1000000000", None),
            ("", None),
            ("00", None),
            ("01", None),
            ("+1", None),
            ("1x", None),
            ("\u{661}", None),
        ] {
            let key = StorageKey::from(text);
            assert_eq!((key.number(), key.to_string()), (n, text.to_owned()));
            assert_eq!(format!("{key:?}"), format!("{text:?}"));
        }
    }
}
