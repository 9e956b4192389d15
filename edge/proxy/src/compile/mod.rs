//! From a rendered configuration to what a request is served by: everything that can be decided, encoded or
//! looked up beforehand is. A configuration that can't be compiled gives one precise error and harms no other
//! site.

mod cors;
mod directory;
mod edits;
mod hosts;
mod hotlink;
mod matching;
mod nets;
mod policies;
mod purge;
mod rates;
mod route;
mod security;
mod site;
mod warm;

pub use directory::{Change, Directory, Snapshot};
pub use policies::Shared;
pub use purge::PurgeTargetError;
pub use site::{CompileError, Site};
pub use warm::{MAX_WARM, Warm};

pub(crate) use cors::Cors;
pub(crate) use edits::{Edit, Edits};
pub(crate) use hotlink::Hotlink;
pub(crate) use matching::Matcher;
pub(crate) use nets::Nets;
pub(crate) use policies::CacheRules;
pub(crate) use rates::{Key as RateKeyKind, Rate};
pub(crate) use route::{Action, RedirectPlan, RespondPlan, Route, Scheme};
