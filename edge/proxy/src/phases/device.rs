//! Classes of devices, told by what a browser says of itself. The rule is documented in the guide: a change of
//! it changes what visitors are sent.

use crate::wire::{Fields, Name};

/// What kind of device a visitor uses, as far as sites lay themselves out for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceClass {
    Phone,
    Tablet,
    Desktop,
}

/// The field that tells the origin the class.
pub(crate) const FIELD: &str = "x-device-class";

/// Fields that the class stands for: origins don't see the visitors' own, so they make no variants.
pub(crate) const STANDS_FOR: &[&str] = &[
    FIELD,
    Name::UserAgent.as_str(),
    "sec-ch-ua",
    "sec-ch-ua-arch",
    "sec-ch-ua-bitness",
    "sec-ch-ua-form-factors",
    "sec-ch-ua-full-version",
    "sec-ch-ua-full-version-list",
    "sec-ch-ua-mobile",
    "sec-ch-ua-model",
    "sec-ch-ua-platform",
    "sec-ch-ua-platform-version",
    "sec-ch-ua-wow64",
];

/// What the words of a `User-Agent` tell.
#[derive(Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is one fact")]
struct Told {
    android: bool,
    mobile: bool,
    phone: bool,
    tablet: bool,
    television: bool,
    windows_nt: bool,
}

impl Told {
    fn note(&mut self, word: &[u8], before: &[u8]) {
        let is = |known: &str| word.eq_ignore_ascii_case(known.as_bytes());
        let any = |known: &[&str]| known.iter().any(|known| is(known));
        let after = |known: &str| before.eq_ignore_ascii_case(known.as_bytes());
        // Few words begin with one of these: the others cost one comparison.
        match word.first().map_or(0, u8::to_ascii_lowercase) {
            b'a' => {
                self.android |= is("android");
                self.television |= any(&["androidtv", "appletv"]);
            }
            b'b' => {
                self.phone |= any(&["bb10", "blackberry"]);
                self.television |= is("bravia");
            }
            b'c' => self.television |= is("crkey"),
            b'g' => self.television |= is("googletv"),
            b'i' => {
                self.phone |= any(&["iphone", "ipod", "iemobile"]);
                self.tablet |= is("ipad");
            }
            b'k' => self.tablet |= is("kindle"),
            b'm' => {
                self.mobile |= is("mobile");
                self.phone |= any(&["mini", "mobi"]) && after("opera");
            }
            b'n' => self.windows_nt |= is("nt") && after("windows"),
            b'p' => {
                self.phone |= is("phone") && after("windows");
                self.tablet |= is("playbook");
            }
            b's' => {
                self.tablet |= is("silk");
                self.television |= is("smarttv");
            }
            b't' => {
                self.tablet |= is("tablet");
                self.television |= is("tv");
            }
            _ => {}
        }
    }
}

impl DeviceClass {
    /// The class of the device that a request comes from.
    ///
    /// Televisions and consoles are desktops. So is Windows, even where it calls itself a tablet. iPads, Kindles
    /// and whatever says `Tablet` are tablets; what calls itself a phone, or says `Mobile`, or whose
    /// `Sec-CH-UA-Mobile` is `?1`, is a phone; other Android devices are tablets. Everything else, and what says
    /// nothing, is a desktop. A crawler has the class that it asks as.
    pub(crate) fn of(fields: &Fields<'_>) -> Self {
        let mut told = Told::default();
        for agent in fields.all(Name::UserAgent) {
            let mut before: &[u8] = b"";
            for word in agent.split(|b| !b.is_ascii_alphanumeric()) {
                if !word.is_empty() {
                    told.note(word, before);
                    before = word;
                }
            }
        }
        let hinted = || fields.named(b"sec-ch-ua-mobile").any(|hint| hint == b"?1");
        if told.television || (told.windows_nt && !told.phone) {
            Self::Desktop
        } else if told.tablet {
            Self::Tablet
        } else if told.phone || told.mobile || hinted() {
            Self::Phone
        } else if told.android {
            Self::Tablet
        } else {
            Self::Desktop
        }
    }

    /// Every class, the one of whatever says nothing first.
    pub(crate) const ALL: [Self; 3] = [Self::Desktop, Self::Phone, Self::Tablet];

    /// Its name in the key and in [`FIELD`].
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Phone => "phone",
            Self::Tablet => "tablet",
            Self::Desktop => "desktop",
        }
    }

    /// What an origin is told in place of one visitor's browser. It names no version: an origin would take the
    /// oldest that is still written here for one that it no longer knows.
    pub(crate) fn user_agent(self) -> &'static str {
        match self {
            Self::Phone => "Mozilla/5.0 (Linux; Android; Mobile) Breakwater",
            Self::Tablet => "Mozilla/5.0 (Linux; Android; Tablet) Breakwater",
            Self::Desktop => "Mozilla/5.0 (X11; Linux x86_64) Breakwater",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(agent: &str, hint: Option<&str>) -> DeviceClass {
        let mut fields = Fields::default();
        fields.push(b"User-Agent", agent.as_bytes()).unwrap();
        if let Some(hint) = hint {
            fields.push(b"Sec-CH-UA-Mobile", hint.as_bytes()).unwrap();
        }
        DeviceClass::of(&fields)
    }

    #[test]
    fn browsers_have_the_class_of_their_device() {
        use DeviceClass::{Desktop, Phone, Tablet};
        #[rustfmt::skip]
        let table = [
            ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1", Phone),
            ("Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36", Phone),
            ("Mozilla/5.0 (Android 14; Mobile; rv:131.0) Gecko/131.0 Firefox/131.0", Phone),
            ("Opera/9.80 (J2ME/MIDP; Opera Mini/7.1.32052/29.3709; U; en) Presto/2.8.119 Version/11.10", Phone),
            ("Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Microsoft; Lumia 950) AppleWebKit/537.36 Edge/15.15063", Phone),
            ("Mozilla/5.0 (BB10; Touch) AppleWebKit/537.10+ Version/10.0.9.2372 Mobile Safari/537.10+", Phone),
            ("Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 Chrome/131.0 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", Phone),
            ("Mozilla/5.0 (iPad; CPU OS 12_5 like Mac OS X) AppleWebKit/605.1.15 Version/12.1.2 Mobile/15E148 Safari/604.1", Tablet),
            ("Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36", Tablet),
            ("Mozilla/5.0 (Android 14; Tablet; rv:131.0) Gecko/131.0 Firefox/131.0", Tablet),
            ("Mozilla/5.0 (Linux; Android 9; KFMAWI) AppleWebKit/537.36 Silk/120.1 like Chrome/120.0 Safari/537.36", Tablet),
            ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15", Desktop),
            ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:131.0) Gecko/20100101 Firefox/131.0", Desktop),
            ("Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Tablet PC 2.0)", Desktop),
            ("Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 Chrome/131.0.0.0 Safari/537.36", Desktop),
            ("Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/537.36 Version/6.0 TV Safari/537.36", Desktop),
            ("Mozilla/5.0 (Linux; Android 9; BRAVIA 4K UR2) AppleWebKit/537.36 Chrome/131.0 Safari/537.36", Desktop),
            ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", Desktop),
            ("curl/8.9.1", Desktop),
            ("automobile tabletop", Desktop),
            ("", Desktop),
        ];
        for (agent, expected) in table {
            assert_eq!(class(agent, None), expected, "{agent}");
        }
    }

    #[test]
    fn a_hint_makes_a_phone_of_what_names_no_device() {
        assert_eq!(class("x", Some("?1")), DeviceClass::Phone);
        assert_eq!(class("x", Some("?0")), DeviceClass::Desktop);
        assert_eq!(class("Mozilla/5.0 (iPad)", Some("?1")), DeviceClass::Tablet);
        assert_eq!(DeviceClass::of(&Fields::default()), DeviceClass::Desktop);
    }

    #[test]
    fn what_origins_are_told_is_of_its_own_class() {
        for own in DeviceClass::ALL {
            assert_eq!(class(own.user_agent(), None), own);
        }
    }
}
