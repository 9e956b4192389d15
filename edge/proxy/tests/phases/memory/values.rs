use breakwater_edge_proxy::{BodyHint, FailureKind, FetchPlan, Fields, Fill, Reason, RequestHead};

/// Owned `(name, value)` lines.
pub(crate) type Lines = Vec<(String, String)>;

pub(crate) fn lines(of: &[(&str, &str)]) -> Lines {
    of.iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

pub(super) fn index(lines: &Lines) -> Fields<'_> {
    Fields::from_lines(
        lines
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes())),
    )
    .unwrap()
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A request as a client writes it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) scheme: Option<&'static str>,
    pub(crate) authority: Option<&'static str>,
    pub(crate) fields: Lines,
    pub(crate) body: BodyHint,
    /// What comes of the body when a step reads it.
    pub(crate) content: String,
    /// It breaks off.
    pub(crate) breaks: Option<FailureKind>,
    pub(crate) http10: bool,
}

impl Request {
    pub(crate) fn new(method: &'static str, host: &str, target: &str) -> Self {
        Self {
            method,
            target: target.to_owned(),
            scheme: None,
            authority: None,
            fields: lines(&[("host", host)]),
            body: BodyHint::None,
            content: String::new(),
            breaks: None,
            http10: false,
        }
    }

    pub(crate) fn get(target: &str) -> Self {
        Self::new("GET", "shop.example", target)
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a body and its length.
    pub(crate) fn carrying(mut self, content: &str) -> Self {
        self.body = BodyHint::Length(content.len() as u64);
        content.clone_into(&mut self.content);
        self
    }

    pub(super) fn head(&self) -> RequestHead<'_> {
        RequestHead {
            method: self.method.as_bytes(),
            http10: self.http10,
            scheme: self.scheme.map(str::as_bytes),
            authority: self.authority.map(str::as_bytes),
            target: self.target.as_bytes(),
            fields: index(&self.fields),
            body: self.body,
        }
    }
}

/// What a client saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) fields: Lines,
    pub(crate) body: String,
    pub(crate) length: Option<u64>,
    pub(crate) trailers: Lines,
    pub(crate) ended: Option<Ended>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Whole,
    WholeThenClose,
    Closed(Reason),
    Reset(Reason),
    Upgraded,
    Aborted,
}

impl Got {
    /// The values of a field, joined by `, `.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let values: Vec<_> = self
            .fields
            .iter()
            .filter(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    }
}

/// A request that an origin received.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) plan: FetchPlan,
    pub(super) by: By,
}

#[derive(Debug)]
pub(super) enum By {
    Client(usize),
    Fill(Box<Fill>),
    /// Answered, failed, or sent again.
    Nobody,
}

impl Asked {
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let values: Vec<_> = self
            .plan
            .fields
            .iter()
            .filter(|(n, _)| *n == name.as_bytes())
            .map(|(_, v)| text(v))
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// `METHOD authority target`.
    pub(crate) fn line(&self) -> String {
        let plan = &self.plan;
        format!(
            "{} {} {}",
            text(&plan.method),
            text(&plan.authority),
            text(&plan.target)
        )
    }

    /// The answer is for the cache, too.
    pub(crate) fn is_fill(&self) -> bool {
        matches!(self.by, By::Fill(_))
    }
}

/// An origin's answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Lines,
    pub(crate) body: &'static str,
}

impl Answer {
    pub(crate) fn new(status: u16, fields: &[(&str, &str)], body: &'static str) -> Self {
        Self {
            status,
            fields: lines(fields),
            body,
        }
    }

    pub(crate) fn ok() -> Self {
        Self::new(200, &[("content-type", "text/plain")], "hello")
    }
}
