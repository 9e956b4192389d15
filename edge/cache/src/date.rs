//! HTTP-date (RFC 9110 §5.6.7): the three formats in, IMF-fixdate out.

use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds since the Unix epoch, or `None` for what isn't a date or is before 1970. Surrounding white space
/// is no part of a field's value and must be gone.
///
/// Names are read in any case (RFC 9111 §4.2), and the day of the week needs not be that of the date: whoever
/// gets it wrong means the date. Every zone but GMT is wrong.
pub fn parse_http_date(value: &[u8]) -> Option<u64> {
    let mut text = Text(value);
    match value.get(3)? {
        b',' => text.fixed(),
        b' ' => text.asctime(),
        _ => text.obsolete(),
    }
}

/// What is left of a date.
struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    /// `Thu, 01 Jan 1970 00:00:00 GMT`
    fn fixed(&mut self) -> Option<u64> {
        self.day(&DAYS.map(|name| name.get(..3).unwrap_or_default()))?;
        self.expect(b", ")?;
        let day = self.number(2)?;
        self.expect(b" ")?;
        let month = self.month()?;
        self.expect(b" ")?;
        let year = self.number(4)?;
        self.expect(b" ")?;
        let secs = self.clock()?;
        self.zone()?;
        moment(year, month, day, secs)
    }

    /// `Thursday, 01-Jan-70 00:00:00 GMT`
    fn obsolete(&mut self) -> Option<u64> {
        self.day(&DAYS)?;
        self.expect(b", ")?;
        let day = self.number(2)?;
        self.expect(b"-")?;
        let month = self.month()?;
        self.expect(b"-")?;
        let short = self.number(2)?;
        self.expect(b" ")?;
        let secs = self.clock()?;
        self.zone()?;
        // Nothing of HTTP is older than 1970.
        let century = if short < 70 { 2_000 } else { 1_900 };
        moment(century + short, month, day, secs)
    }

    /// `Thu Jan  1 00:00:00 1970`
    fn asctime(&mut self) -> Option<u64> {
        self.day(&DAYS.map(|name| name.get(..3).unwrap_or_default()))?;
        self.expect(b" ")?;
        let month = self.month()?;
        self.expect(b" ")?;
        let digits = if self.expect(b" ").is_some() { 1 } else { 2 };
        let day = self.number(digits)?;
        self.expect(b" ")?;
        let secs = self.clock()?;
        self.expect(b" ")?;
        let year = self.number(4)?;
        self.0.is_empty().then_some(())?;
        moment(year, month, day, secs)
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn expect(&mut self, text: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    fn day(&mut self, names: &[&str]) -> Option<()> {
        let is_first = |name: &&&str| {
            let first = self.0.get(..name.len());
            first.is_some_and(|first| first.eq_ignore_ascii_case(name.as_bytes()))
        };
        let found = names.iter().find(is_first)?.len();
        self.take(found).map(|_| ())
    }

    /// 1 to 12.
    fn month(&mut self) -> Option<u64> {
        const NAMES: &[u8] = b"janfebmaraprmayjunjulaugsepoctnovdec";
        let name = self.take(3)?;
        let found = NAMES
            .chunks_exact(3)
            .position(|known| name.eq_ignore_ascii_case(known))?;
        u64::try_from(found + 1).ok()
    }

    fn number(&mut self, digits: usize) -> Option<u64> {
        self.take(digits)?.iter().try_fold(0, |value, digit| {
            digit
                .is_ascii_digit()
                .then(|| value * 10 + u64::from(digit - b'0'))
        })
    }

    /// `00:00:00`, in seconds. A leap second is the one after it.
    fn clock(&mut self) -> Option<u64> {
        let hour = self.number(2)?;
        self.expect(b":")?;
        let minute = self.number(2)?;
        self.expect(b":")?;
        let second = self.number(2)?;
        (hour < 24 && minute < 60 && second <= 60).then_some((hour * 60 + minute) * 60 + second)
    }

    /// The end of a date.
    fn zone(&self) -> Option<()> {
        self.0.eq_ignore_ascii_case(b" gmt").then_some(())
    }
}

const DAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

fn moment(year: u64, month: u64, day: u64, secs_of_day: u64) -> Option<u64> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days_in_month = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if year < 1_970 || !(1..=days_in_month).contains(&day) {
        return None;
    }
    // Years that begin in March have their leap day at the end; 1970-01-01 is day 719,468 of that calendar.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    Some((days - 719_468) * 86_400 + secs_of_day)
}

/// Writes dates, remembering the last: most answers of a worker fall into the same second.
#[derive(Debug, Default)]
pub struct DateWriter {
    secs: Option<u64>,
    text: [u8; DateWriter::LEN],
}

impl DateWriter {
    /// Length of every IMF-fixdate.
    pub const LEN: usize = 29;
    /// 9999-12-31T23:59:59Z, the last moment that the format can say; later ones are written as this one.
    const LAST: u64 = 253_402_300_799;

    /// `secs` after the Unix epoch as IMF-fixdate.
    pub fn write(&mut self, secs: u64) -> &[u8] {
        let secs = secs.min(Self::LAST);
        if self.secs != Some(secs) {
            let time: SystemTime = UNIX_EPOCH + Duration::from_secs(secs);
            let mut room = self.text.as_mut_slice();
            let written = write!(room, "{}", httpdate::HttpDate::from(time));
            debug_assert!(written.is_ok() && room.is_empty(), "an IMF-fixdate has 29 bytes");
            self.secs = Some(secs);
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_three_formats_of_a_moment_are_the_same_moment() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse_http_date(text.as_bytes()), Some(784_111_777), "{text}");
            assert_eq!(
                parse_http_date(text.to_ascii_lowercase().as_bytes()),
                Some(784_111_777)
            );
            assert_eq!(
                parse_http_date(text.to_ascii_uppercase().as_bytes()),
                Some(784_111_777)
            );
        }
        assert_eq!(
            parse_http_date(b"Thu Aug  8 02:01:18 2050"),
            parse_http_date(b"Mon, 08 Aug 2050 02:01:18 GMT"),
            "a wrong day of the week"
        );
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "0",
            "-1",
            "Sun, 06 Nov 1994 08:49:37 UTC+1",
            "Sun, 06 Nov 1994 08:49:37 +0000",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun, 06-Nov-1994 08:49:37 GMT",
            "Sun,  06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37  GMT",
            "Sun 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08.49.37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1969 08:49:37 GMT",
            "Sun Nov 6 08:49:37 1994",
            "Son, 06 Nov 1994 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 29 Feb 2100 08:49:37 GMT",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "\u{e9}",
        ] {
            assert_eq!(parse_http_date(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse_http_date(b"\xff\xfe"), None);
    }

    #[test]
    fn the_last_second_of_the_format_is_the_last_that_is_written() {
        let mut writer = DateWriter::default();
        assert_eq!(writer.write(u64::MAX), b"Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(writer.write(0), b"Thu, 01 Jan 1970 00:00:00 GMT");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(secs in 0_u64..253_402_300_799) {
            prop_assert_eq!(parse_http_date(DateWriter::default().write(secs)), Some(secs));
        }

        #[test]
        fn nothing_near_a_date_makes_the_parser_panic(
            text in "(Sun|Sunday)[, ]{1,2}[0-9 -]{2,3}(Nov|nov|-Nov-)[ 0-9]{1,5} [0-9:]{7,9} (GMT|[0-9]{4})",
        ) {
            let _ = parse_http_date(text.as_bytes());
        }

        #[test]
        fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse_http_date(&bytes);
        }
    }
}
