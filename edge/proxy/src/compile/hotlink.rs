use breakwater_edge_config::{self as config, HostPattern};

use super::CompileError;
use super::edits::value_of;

/// Protection of files against use on other sites.
#[derive(Debug)]
pub(crate) struct Hotlink {
    allow: Vec<HostPattern>,
    allow_empty: bool,
    extensions: Vec<Box<[u8]>>,
    pub(crate) redirect: Option<Box<[u8]>>,
    /// The path that `redirect` leads to, where that is on this site: foreign pages may use it, or their
    /// visitors would be sent to it for ever.
    stand_in: Option<Box<[u8]>>,
}

impl Hotlink {
    pub(crate) fn compile(hotlink: &config::Hotlink, own: &[HostPattern]) -> Result<Self, CompileError> {
        Ok(Self {
            allow: hotlink.allow_referers.iter().chain(own).cloned().collect(),
            allow_empty: hotlink.allow_empty,
            extensions: hotlink.extensions.iter().map(|e| e.as_bytes().into()).collect(),
            redirect: hotlink
                .redirect
                .as_deref()
                .map(|to| value_of(to, "hotlink.redirect"))
                .transpose()?,
            stand_in: hotlink
                .redirect
                .as_deref()
                .and_then(|to| own_path(to.as_bytes(), own))
                .map(Into::into),
        })
    }

    /// True when this request must be refused. `path` is the raw path.
    pub(crate) fn refuses(&self, path: &[u8], referer: Option<&[u8]>) -> bool {
        if !self.protects(path) || self.stand_in.as_deref() == Some(path) {
            return false;
        }
        match referer {
            None | Some(b"") => !self.allow_empty,
            Some(referer) => !host_of(referer).is_some_and(|host| self.trusts(host)),
        }
    }

    fn protects(&self, path: &[u8]) -> bool {
        if self.extensions.is_empty() {
            return true;
        }
        let file = path.rsplit(|b| *b == b'/').next().unwrap_or_default();
        let end = Ending::of(file);
        self.extensions.iter().any(|protected| end.is(protected))
    }

    fn trusts(&self, host: &[u8]) -> bool {
        is_among(&self.allow, host)
    }
}

fn is_among(patterns: &[HostPattern], host: &[u8]) -> bool {
    let mut lower = [0_u8; 255];
    let Some(lower) = lower.get_mut(..host.len()) else {
        return false;
    };
    lower.copy_from_slice(host);
    lower.make_ascii_lowercase();
    std::str::from_utf8(lower).is_ok_and(|host| patterns.iter().any(|pattern| pattern.covers(host)))
}

/// The path of a URL, or of a reference to a path, that is on one of the `own` hosts.
fn own_path<'u>(url: &'u [u8], own: &[HostPattern]) -> Option<&'u [u8]> {
    let path = if url.starts_with(b"/") && !url.starts_with(b"//") {
        url
    } else {
        let host = host_of(url).filter(|host| is_among(own, host))?;
        let after = url.windows(host.len()).position(|part| part == host)? + host.len();
        let rest = url.get(after..)?;
        rest.get(rest.iter().position(|b| *b == b'/')?..)?
    };
    path.split(|b| matches!(b, b'?' | b'#')).next()
}

/// Longest extension that is compared; the kinds allow no longer one.
const MAX_EXTENSION: usize = 16;

/// The end of a file's name, found in one pass over it: names are visitors' and long, extensions may be many.
/// Origins decode, and many leave out parameters behind a semicolon.
struct Ending {
    /// The last bytes before any semicolon, decoded and small; the newest last.
    bytes: [u8; MAX_EXTENSION + 1],
}

impl Ending {
    fn of(file: &[u8]) -> Self {
        let mut bytes = [0; MAX_EXTENSION + 1];
        for byte in decode(file).take_while(|b| *b != b';') {
            bytes.rotate_left(1);
            if let Some(last) = bytes.last_mut() {
                *last = byte.to_ascii_lowercase();
            }
        }
        Self { bytes }
    }

    /// A dot and this extension.
    fn is(&self, extension: &[u8]) -> bool {
        let dot = MAX_EXTENSION.checked_sub(extension.len());
        dot.and_then(|dot| self.bytes.get(dot..))
            .and_then(<[u8]>::split_first)
            .is_some_and(|(dot, rest)| *dot == b'.' && rest.eq_ignore_ascii_case(extension))
    }
}

/// Bytes of a path, percent-decoded (RFC 3986 §2.1); what is no encoding stays as it is.
fn decode(path: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let hex = |b: u8| {
        char::from(b)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let mut rest = path;
    std::iter::from_fn(move || {
        if let [b'%', high, low, after @ ..] = rest
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            rest = after;
            return Some(high << 4 | low);
        }
        let (first, after) = rest.split_first()?;
        rest = after;
        Some(*first)
    })
}

/// The host of an `http` or `https` URL, without user information and port.
fn host_of(url: &[u8]) -> Option<&[u8]> {
    let mark = url.windows(3).position(|w| w == b"://")?;
    let scheme = url.get(..mark)?;
    if !scheme.eq_ignore_ascii_case(b"https") && !scheme.eq_ignore_ascii_case(b"http") {
        return None;
    }
    let rest = url.get(mark + 3..)?;
    // Browsers take a backslash for a slash.
    let authority = rest.split(|b| matches!(b, b'/' | b'?' | b'#' | b'\\')).next()?;
    let host = authority.rsplit(|b| *b == b'@').next()?;
    host.split(|b| *b == b':').next().filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_refused_visitors_are_sent_they_are_not_refused_again() {
        let own = HostPattern::parse("*.own.example").unwrap();
        for (redirect, path, refused) in [
            ("/no.jpg", "/no.jpg", false),
            ("/no.jpg?from=hotlink#x", "/no.jpg", false),
            ("https://www.own.example/no.jpg", "/no.jpg", false),
            ("https://WWW.own.example:444/no.jpg?x", "/no.jpg", false),
            ("https://www.own.example", "/no.jpg", true),
            ("https://other.example/no.jpg", "/no.jpg", true),
            ("//other.example/no.jpg", "//other.example/no.jpg", true),
            ("/no.jpg", "/NO.jpg", true),
            ("/no.jpg", "/yes.jpg", true),
        ] {
            let hotlink = config::Hotlink {
                allow_referers: Vec::new(),
                allow_empty: true,
                extensions: vec!["jpg".to_owned()],
                redirect: Some(redirect.to_owned()),
            };
            let hotlink = Hotlink::compile(&hotlink, std::slice::from_ref(&own)).unwrap();
            let got = hotlink.refuses(path.as_bytes(), Some(b"https://evil.example/"));
            assert_eq!(got, refused, "{redirect} {path}");
        }
    }

    #[test]
    fn files_are_used_on_own_and_allowed_pages_only() {
        let hotlink = Hotlink::compile(
            &config::Hotlink {
                allow_referers: vec![HostPattern::parse("*.friend.example").unwrap()],
                allow_empty: true,
                extensions: vec!["jpg".to_owned()],
                redirect: None,
            },
            &[HostPattern::parse("own.example").unwrap()],
        )
        .unwrap();
        for (path, referer, refused) in [
            ("/a.jpg", None, false),
            ("/a.jpg", Some("https://own.example/page"), false),
            ("/a.jpg", Some("HTTPS://OWN.example:444"), false),
            ("/a.jpg", Some("http://a.friend.example/?x"), false),
            ("/a.jpg", Some("https://evil.example/own.example"), true),
            ("/a.jpg", Some("https://own.example@evil.example/"), true),
            ("/a.jpg", Some("https://evil.example\\@own.example/"), true),
            ("/a.JPG", Some("https://evil.example/"), true),
            ("/a.%6ap%67", Some("https://evil.example/"), true),
            ("/a.jpg;x", Some("https://evil.example/"), true),
            ("/a.jpg%3bx", Some("https://evil.example/"), true),
            ("/a.jpg%zz", Some("https://evil.example/"), false),
            ("/.jpg", Some("https://evil.example/"), true),
            ("/a.jpg;a;b.png", Some("https://evil.example/"), true),
            ("/a.png;b.jpg", Some("https://evil.example/"), false),
            ("/a.xjpg", Some("https://evil.example/"), false),
            ("/a.averyveryverylong", Some("https://evil.example/"), false),
            ("/a.jpg", Some("data:x"), true),
            ("/a.png", Some("https://evil.example/"), false),
            ("/jpg", Some("https://evil.example/"), false),
        ] {
            assert_eq!(
                hotlink.refuses(path.as_bytes(), referer.map(str::as_bytes)),
                refused,
                "{path} {referer:?}"
            );
        }
    }
}
