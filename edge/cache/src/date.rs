//! HTTP-date (RFC 9110 §5.6.7): the three formats in, IMF-fixdate out.

use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds since the Unix epoch, or `None` for what isn't a date or is before 1970. Surrounding white space
/// is no part of a field's value and must be gone.
pub fn parse_http_date(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    let time = httpdate::parse_http_date(text).ok()?;
    time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
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
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "0",
            "-1",
            "Sun, 06 Nov 1994 08:49:37 UTC+1",
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
        fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse_http_date(&bytes);
        }
    }
}
