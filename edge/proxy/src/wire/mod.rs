//! Header fields and heads as plain bytes: what comes in is borrowed, what goes out lies in reusable
//! buffers. Nothing here knows a protocol's framing.

mod fields;
mod names;
mod out;
mod request;

pub use fields::{Field, Fields, MAX_FIELDS, TooManyFields};
pub use names::Name;
pub use out::{FieldBuf, ResponseHead};
pub use request::{BodyHint, OriginHead, RequestHead};
