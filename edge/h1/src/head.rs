use breakwater_edge_proxy::{BodyHint, Name, Reason, RequestHead};

use crate::field::{Lines, Next};
use crate::line::{self, RequestLine};

/// Limits on a head.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Most bytes, the empty line at its end included; 65,535 at most. Answered 431.
    pub head_bytes: usize,
    /// Most bytes of the target. Answered 414.
    pub target_bytes: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            head_bytes: 32 << 10,
            target_bytes: 8 << 10,
        }
    }
}

/// Why a head isn't taken. The connection can't go on: where the next request begins isn't known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The standard answer of this reason.
    Answered(Reason),
    /// The peer speaks something else and would not understand an answer.
    Silent(Reason),
}

impl Refusal {
    /// The reason of either.
    pub fn reason(self) -> Reason {
        match self {
            Self::Answered(reason) | Self::Silent(reason) => reason,
        }
    }
}

/// Reads heads of requests, one after the other, and keeps the index of the last one.
///
/// It is given all bytes from the start of the head on each time, and looks at none of a line again before
/// the line's end has come.
#[derive(Clone, Debug, Default)]
pub struct HeadParser {
    stage: Stage,
    /// Where the line begins that has not been read to its end.
    at: usize,
    /// Up to here there is no end of that line.
    seen: usize,
    line: RequestLine,
    lines: Lines,
    body: BodyHint,
    /// The fields that frame the body contradict each other, or say what isn't taken.
    misframed: Option<Reason>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Nothing, or an empty line.
    #[default]
    Start,
    Line,
    Fields,
    Done,
}

impl HeadParser {
    /// Begins a new head; memory is kept.
    pub fn reset(&mut self) {
        self.stage = Stage::Start;
        self.at = 0;
        self.seen = 0;
        self.line = RequestLine::default();
        self.lines.clear();
        self.body = BodyHint::None;
        self.misframed = None;
    }

    /// True when nothing of a head has been read.
    pub fn is_fresh(&self) -> bool {
        self.stage == Stage::Start && self.seen == 0
    }

    /// Reads on. `bytes` begin with the head's first byte and have grown since the last call. The head's length
    /// in bytes when it is complete; `None`: more is needed.
    pub fn parse(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Option<usize>, Refusal> {
        let most = limits.head_bytes.min(usize::from(u16::MAX));
        let within = bytes.get(..most).unwrap_or(bytes);
        let fresh = within.get(self.seen..).unwrap_or_default();
        let length = if self.seen > self.at && !fresh.contains(&b'\n') {
            None
        } else {
            self.advance(within, limits)?
        };
        self.seen = within.len();
        if length.is_some() {
            return Ok(length);
        }
        let in_line = matches!(self.stage, Stage::Start | Stage::Line);
        if in_line && within.len() - self.at > limits.target_bytes + line::MAX_BESIDE_TARGET_BYTES {
            return Err(Refusal::Answered(Reason::TargetTooLong));
        }
        if bytes.len() >= most {
            return Err(Refusal::Answered(Reason::HeadTooLarge));
        }
        Ok(None)
    }

    fn advance(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Option<usize>, Refusal> {
        loop {
            match self.stage {
                Stage::Start => match bytes {
                    [] | [b'\r'] => return Ok(None),
                    // Old clients end a body with an empty line that they don't count. One is left out, as
                    // RFC 9112 §2.2 asks; more of them, or half of one, are nobody's habit.
                    [b'\r', b'\n', ..] => self.go_on(Stage::Line, 2),
                    _ => self.go_on(Stage::Line, 0),
                },
                Stage::Line => match line::read(bytes, self.at, limits.target_bytes)? {
                    None => return Ok(None),
                    Some((line, next)) => {
                        self.line = line;
                        self.go_on(Stage::Fields, next);
                    }
                },
                Stage::Fields => match self.lines.read(bytes, self.at).map_err(Refusal::Answered)? {
                    Next::Partial => return Ok(None),
                    Next::Line(next) => self.go_on(Stage::Fields, next),
                    Next::End(next) => {
                        self.go_on(Stage::Done, next);
                        match self.framing(bytes) {
                            Ok(body) => self.body = body,
                            Err(reason) => self.misframed = Some(reason),
                        }
                    }
                },
                Stage::Done => return Ok(Some(self.at)),
            }
        }
    }

    fn go_on(&mut self, stage: Stage, at: usize) {
        self.stage = stage;
        self.at = at;
    }

    /// Where the body ends (RFC 9112 §6.3). Only one way of saying so is taken.
    fn framing(&self, head: &[u8]) -> Result<BodyHint, Reason> {
        let mut codings = self.lines.all(Name::TransferEncoding, head);
        let mut lengths = self.lines.all(Name::ContentLength, head);
        let (coding, length) = (codings.next(), lengths.next());
        match (coding, length) {
            (None, None) => Ok(BodyHint::None),
            (Some(b"chunked"), None) if codings.next().is_none() && !self.line.http10 => {
                Ok(BodyHint::Streamed)
            }
            (Some(_), _) => Err(Reason::BadTransferEncoding),
            (None, Some(length)) => match decimal(length) {
                Some(length) if lengths.next().is_none() => Ok(BodyHint::Length(length)),
                _ => Err(Reason::BadContentLength),
            },
        }
    }

    /// The complete head, of the bytes that it was read from (its own length of them is enough).
    pub fn head<'b>(&self, bytes: &'b [u8]) -> RequestHead<'b> {
        RequestHead {
            method: self.line.method.map_or(b"", |span| span.of(bytes)),
            http10: self.line.http10,
            scheme: self.line.scheme.map(|span| span.of(bytes)),
            authority: self.line.authority.map(|span| span.of(bytes)),
            target: self.line.target.map_or(b"/", |span| span.of(bytes)),
            fields: self.lines.fields(bytes),
            body: self.body,
        }
    }

    /// What a complete head says of its body; the reason for which it has to be refused.
    pub fn body(&self) -> Result<BodyHint, Reason> {
        self.misframed.map_or(Ok(self.body), Err)
    }
}

/// `1*DIGIT` that fits. Zeros in front are refused: a reader might take them for octal.
fn decimal(digits: &[u8]) -> Option<u64> {
    if matches!(digits, [] | [b'0', _, ..]) {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
