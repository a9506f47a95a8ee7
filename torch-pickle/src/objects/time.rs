//! Dates and times, as the module `datetime` writes them: a few bytes each.

use std::fmt;

use crate::objects::Kind;
use crate::{Global, Node, NodeId, Object, Tree};

const DAY: i64 = 86_400;
/// The bit that says that a local time is the second one of its name, in the byte of the month of
/// a `datetime` and in that of the hour of a `time`.
const FOLD: u8 = 0x80;

/// A `datetime.datetime`. It is written without its time zone, which is a node of its own.
///
/// ```
/// use torch_pickle::{Date, DateTime, Time};
/// let date = Date { year: 2024, month: 5, day: 1 };
/// let time = Time { hour: 12, minute: 30, second: 0, microsecond: 0, fold: false, tz: None };
/// assert_eq!(DateTime { date, time }.to_string(), "2024-05-01 12:30:00");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DateTime {
    /// The day.
    pub date: Date,
    /// The time on that day.
    pub time: Time,
}

/// A `datetime.date`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Date {
    /// From 1 to 9999.
    pub year: u16,
    /// From 1 to 12.
    pub month: u8,
    /// From 1 on.
    pub day: u8,
}

/// A `datetime.time`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Time {
    /// From 0 to 23.
    pub hour: u8,
    /// From 0 to 59.
    pub minute: u8,
    /// From 0 to 59.
    pub second: u8,
    /// From 0 to 999,999.
    pub microsecond: u32,
    /// Whether it is the second time of this name, as the clocks were put back.
    pub fold: bool,
    /// The node of its time zone.
    pub tz: Option<NodeId>,
}

/// A `datetime.timedelta`. Only the days may be negative.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeDelta {
    /// At most 999,999,999 either way.
    pub days: i32,
    /// From 0 to 86,399.
    pub seconds: u32,
    /// From 0 to 999,999.
    pub microseconds: u32,
}

/// A `datetime.timezone`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeZone<'t> {
    /// How far it is ahead of UTC.
    pub offset: TimeDelta,
    /// Its name, where it was given one.
    pub name: Option<&'t str>,
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}:{:02}", self.hour, self.minute, self.second)?;
        match self.microsecond {
            0 => Ok(()),
            micros => write!(f, ".{micros:06}"),
        }
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.date, self.time)
    }
}

impl fmt::Display for TimeDelta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hours, rest) = (self.seconds / 3600, self.seconds % 3600);
        if self.days != 0 {
            let plural = if self.days.abs() == 1 { "" } else { "s" };
            write!(f, "{} day{plural}, ", self.days)?;
        }
        write!(f, "{hours}:{:02}:{:02}", rest / 60, rest % 60)?;
        match self.microseconds {
            0 => Ok(()),
            micros => write!(f, ".{micros:06}"),
        }
    }
}

impl TimeDelta {
    /// Whole seconds, and the microseconds above them.
    fn total(self) -> (i64, u32) {
        (i64::from(self.days) * DAY + i64::from(self.seconds), self.microseconds)
    }

    /// As the offset from UTC is written behind a time: `+02:00`.
    pub(crate) fn as_offset(self) -> String {
        let (seconds, micros) = self.total();
        let (sign, seconds, micros) = match (seconds, micros) {
            (0.., _) => ('+', seconds, micros),
            (_, 0) => ('-', -seconds, 0),
            _ => ('-', -seconds - 1, 1_000_000 - micros),
        };
        let mut text = format!("{sign}{:02}:{:02}", seconds / 3600, seconds / 60 % 60);
        if seconds % 60 != 0 || micros != 0 {
            text += &format!(":{:02}", seconds % 60);
        }
        if micros != 0 {
            text += &format!(".{micros:06}");
        }
        text
    }
}

impl Tree {
    pub(super) fn called_of_datetime<'t>(
        &'t self,
        global: &Global,
        args: &'t [NodeId],
        object: &Object,
    ) -> Option<Kind<'t>> {
        if object.state.is_some() {
            return None;
        }
        match &*global.name {
            "datetime" => self.date_time(args).map(Kind::DateTime),
            "date" => {
                let [state] = args else { return None };
                date(&self.state_bytes::<4>(*state)?).map(Kind::Date)
            }
            "time" => {
                let (mut state, tz) = (self.state_bytes::<6>(*args.first()?)?, self.zone(args)?);
                let fold = state[0] & FOLD != 0;
                state[0] &= !FOLD;
                time(&state, fold, tz).map(Kind::Time)
            }
            "timedelta" => self.time_delta(args).map(Kind::TimeDelta),
            "timezone" => {
                let Kind::TimeDelta(offset) = self.kind_of_call(*args.first()?)? else {
                    return None;
                };
                let name = match args {
                    [_] => None,
                    [_, name] => Some(self.text(*name)?),
                    _ => return None,
                };
                // Less than a day either way.
                let (seconds, micros) = offset.total();
                let within = seconds < DAY && (seconds, micros) > (-DAY, 0);
                within.then_some(Kind::TimeZone(TimeZone { offset, name }))
            }
            _ => None,
        }
    }

    /// The kind of what must be a `datetime.timedelta`, without the recursion that asking for any
    /// kind would be.
    fn kind_of_call(&self, id: NodeId) -> Option<Kind<'_>> {
        let Node::Object(object) = self.node(id) else { return None };
        let is_delta = self.global(object.callable)?.is("datetime", "timedelta");
        let args = self.sequence(object.args)?;
        is_delta.then(|| self.time_delta(args)).flatten().map(Kind::TimeDelta)
    }

    fn time_delta(&self, args: &[NodeId]) -> Option<TimeDelta> {
        let [days, seconds, micros] = *args else { return None };
        let days = i32::try_from(self.integer(days)?).ok()?;
        let seconds = u32::try_from(self.integer(seconds)?).ok()?;
        let microseconds = u32::try_from(self.integer(micros)?).ok()?;
        let normal = days.unsigned_abs() < 1_000_000_000
            && i64::from(seconds) < DAY
            && microseconds < 1_000_000;
        normal.then_some(TimeDelta { days, seconds, microseconds })
    }

    fn date_time(&self, args: &[NodeId]) -> Option<DateTime> {
        let (mut state, tz) = (self.state_bytes::<10>(*args.first()?)?, self.zone(args)?);
        let fold = state[2] & FOLD != 0;
        state[2] &= !FOLD;
        Some(DateTime { date: date(&state[..4])?, time: time(&state[4..], fold, tz)? })
    }

    /// The time zone behind the state; `None` where there are other arguments.
    #[allow(clippy::option_option, reason = "none at all differs from a wrong one")]
    fn zone(&self, args: &[NodeId]) -> Option<Option<NodeId>> {
        match *args {
            [_] => Some(None),
            [_, tz] => Some((*self.node(tz) != Node::None).then_some(tz)),
            _ => None,
        }
    }

    /// A state of so many bytes. Python 2 wrote it as a string, which is text here where it happens
    /// to be UTF-8; as one of latin-1 it may be read into a string, and saved again.
    fn state_bytes<const N: usize>(&self, id: NodeId) -> Option<[u8; N]> {
        let text = match self.node(id) {
            Node::Bytes(bytes) => return (**bytes).try_into().ok(),
            Node::Str(text) if text.len() <= 2 * N => text,
            _ => return None,
        };
        if let Ok(bytes) = text.as_bytes().try_into() {
            return Some(bytes);
        }
        let bytes = text.chars().map(|c| u8::try_from(u32::from(c)).ok());
        bytes.collect::<Option<Vec<u8>>>()?.try_into().ok()
    }
}

fn date(state: &[u8]) -> Option<Date> {
    let [high, low, month, day] = *state else { return None };
    let year = u16::from_be_bytes([high, low]);
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    let exists = (1..=9999).contains(&year) && (1..=days).contains(&day);
    exists.then_some(Date { year, month, day })
}

fn time(state: &[u8], fold: bool, tz: Option<NodeId>) -> Option<Time> {
    let [hour, minute, second, a, b, c] = *state else { return None };
    let microsecond = u32::from_be_bytes([0, a, b, c]);
    let exists = hour < 24 && minute < 60 && second < 60 && microsecond < 1_000_000;
    exists.then_some(Time { hour, minute, second, microsecond, fold, tz })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_signed_as_a_whole() {
        let offset =
            |days, seconds, microseconds| TimeDelta { days, seconds, microseconds }.as_offset();
        assert_eq!(offset(0, 7200, 0), "+02:00");
        assert_eq!(offset(-1, 86_400 - 5400, 0), "-01:30");
        assert_eq!(offset(-1, 86_399, 500_000), "-00:00:00.500000");
        assert_eq!(offset(0, 61, 0), "+00:01:01");
    }

    #[test]
    fn only_days_that_exist() {
        assert!(date(&[7, 232, 2, 29]).is_some());
        assert!(date(&[7, 231, 2, 29]).is_none());
        assert!(date(&[0, 0, 1, 1]).is_none());
        assert!(date(&[7, 232, 13, 1]).is_none());
        assert!(date(&[39, 16, 1, 1]).is_none());
    }
}
