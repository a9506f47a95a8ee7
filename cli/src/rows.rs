//! A choice of rows as typed: `A:B`, `A:B:STEP`, or numbers.

use std::str::FromStr;

use numpack_interop::Rows;

/// Rows, counted from 0; negative numbers count from the end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Choice {
    Slice { start: Option<i64>, stop: Option<i64>, step: i64 },
    List(Vec<i64>),
}

impl Choice {
    pub(crate) fn rows(&self) -> Rows<'_> {
        match self {
            Choice::Slice { start, stop, step } => {
                Rows::Slice { start: *start, stop: *stop, step: *step }
            }
            Choice::List(rows) => Rows::List(rows),
        }
    }
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Choice, String> {
        let wrong = || "write A:B or A:B:STEP, or row numbers such as 1,5,-1".to_owned();
        let number = |t: &str| t.trim().parse::<i64>().map_err(|_| wrong());
        let bound = |t: &str| if t.trim().is_empty() { Ok(None) } else { number(t).map(Some) };
        let parts: Vec<&str> = text.split(':').collect();
        match parts[..] {
            [list] => Ok(Choice::List(list.split(',').map(number).collect::<Result<_, _>>()?)),
            [start, stop] => {
                Ok(Choice::Slice { start: bound(start)?, stop: bound(stop)?, step: 1 })
            }
            [start, stop, step] => {
                let step = bound(step)?.unwrap_or(1);
                if step == 0 {
                    return Err("a step of 0 leads nowhere".to_owned());
                }
                Ok(Choice::Slice { start: bound(start)?, stop: bound(stop)?, step })
            }
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_and_lists() {
        let slice = |start, stop, step| Ok(Choice::Slice { start, stop, step });
        assert_eq!("1:3".parse(), slice(Some(1), Some(3), 1));
        assert_eq!("-3:".parse(), slice(Some(-3), None, 1));
        assert_eq!(":".parse(), slice(None, None, 1));
        assert_eq!("::-2".parse(), slice(None, None, -2));
        assert_eq!("5:1:".parse(), slice(Some(5), Some(1), 1));
        assert_eq!("1, 5,-1".parse(), Ok(Choice::List(vec![1, 5, -1])));
        for bad in ["", "a", "1,", "1:2:0", "1:2:3:4", "1.5", "99999999999999999999", "1:2,3"] {
            assert!(bad.parse::<Choice>().is_err(), "{bad}");
        }
    }
}
